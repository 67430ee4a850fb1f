//! What a command says: for a person, or with `--json` for a machine.

use serde_json::Value;

/// A command's result.
#[derive(Debug)]
pub struct Report {
    /// For a person.
    pub text: String,
    /// For a machine: one object on one line.
    pub json: Value,
    /// Whether it found something that is to be put right.
    pub wrong: bool,
}

/// Why a command could not do its work. The message says what to do.
pub type CommandError = Box<dyn std::error::Error + Send + Sync>;

impl Report {
    /// A result that is as it should be.
    pub fn good(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, wrong: false }
    }
}
