//! What a command says: for a person, or with `--json` for a machine.

use serde_json::{Value, json};

use crate::{aws_error, product_file::FileErrors};

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

/// An error for a person.
pub fn error_text(error: &CommandError) -> String {
    aws_error::told(error.as_ref())
}

/// An error for a machine: `{"error": …}`, and for product files each finding.
pub fn error_json(error: &CommandError) -> Value {
    let mut json = json!({ "error": error_text(error) });
    if let Some(errors) = error.downcast_ref::<FileErrors>() {
        json["findings"] = errors.findings();
    }
    json
}
