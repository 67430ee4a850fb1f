//! What is wrong with product files: each finding with its file, line and field.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// What is wrong with product files.
#[derive(Debug, Default, thiserror::Error)]
pub struct FileErrors(pub(super) Vec<FileError>);

/// What is wrong with one field of a file.
#[derive(Debug)]
pub(super) struct FileError {
    pub(super) file: PathBuf,
    pub(super) error: FieldError,
}

/// What is wrong with one field.
#[derive(Debug)]
pub(super) struct FieldError {
    /// Counted from 1; 0 where the whole file or folder is meant.
    pub(super) line: usize,
    pub(super) field: String,
    pub(super) what: String,
}

impl FileErrors {
    pub(super) fn of(file: &Path, errors: Vec<FieldError>) -> Self {
        Self(errors.into_iter().map(|error| FileError { file: file.to_owned(), error }).collect())
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The findings for a machine: file, line, field and what is wrong.
    pub fn findings(&self) -> Value {
        let finding = |FileError { file, error }: &FileError| {
            let line = Some(error.line).filter(|line| *line > 0);
            let field = Some(&error.field).filter(|field| !field.is_empty());
            json!({ "file": file, "line": line, "field": field, "what": on_one_line(&error.what) })
        };
        self.0.iter().map(finding).collect()
    }
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FileError { file, error: FieldError { line, field, what } }) in self.0.iter().enumerate()
        {
            if index > 0 {
                writeln!(f)?;
            }
            match line {
                0 => write!(f, "{}: ", file.display())?,
                line => write!(f, "{}:{line}: ", file.display())?,
            }
            if !field.is_empty() {
                write!(f, "{field}: ")?;
            }
            f.write_str(&on_one_line(what))?;
        }
        Ok(())
    }
}

/// A value that is quoted may hold line breaks: each finding is one line.
fn on_one_line(what: &str) -> String {
    let mut line = String::with_capacity(what.len());
    for c in what.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
