//! What is wrong with a product file: each finding with its line and field.

use std::{fmt, path::PathBuf};

/// What is wrong with a product file.
#[derive(Debug, thiserror::Error)]
pub struct FileErrors {
    pub(super) file: PathBuf,
    pub(super) errors: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Debug)]
pub(super) struct FieldError {
    /// Counted from 1; 0 where the whole file is meant.
    pub(super) line: usize,
    pub(super) field: String,
    pub(super) what: String,
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldError { line, field, what }) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{line}: ", self.file.display())?;
            if !field.is_empty() {
                write!(f, "{field}: ")?;
            }
            // A value that is quoted may hold line breaks: each finding is one line.
            for c in what.chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
        }
        Ok(())
    }
}
