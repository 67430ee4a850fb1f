//! Why an import could not be begun, or had to end.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why. None of the messages holds a token or the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// No API key was given.
    #[error("set LATCHKEY_API_KEY to the product's API key, or name a file that holds it with --key-file")]
    NoKey,
    /// What was given is no key.
    #[error("what was given as API key is none: it begins with lk_ (latchkey key create makes one)")]
    NotAKey,
    /// The key is not taken.
    #[error("{0} does not take this API key: it is of another deployment, or was revoked. No row was sent.")]
    Unauthorized(String),
    /// An address that tokens are not sent to.
    #[error("{0} is not an address for tokens: https://host, or http://localhost:port on this machine")]
    NotAnAddress(String),
    /// Nothing answered at the address.
    #[error("{origin} does not answer ({what}). No row was sent: check --url, and try again.")]
    NoAnswer {
        /// Where.
        origin: String,
        /// What happened.
        what: String,
    },
    /// Something answered that is not Latchkey.
    #[error("{origin} answered {status}, not as Latchkey does. No row was sent: check --url.")]
    NotLatchkey {
        /// Where.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
    /// Latchkey cannot answer just now.
    #[error("{0} cannot answer just now. No row was sent: try again in a minute.")]
    Away(String),
    /// Another run has the journal.
    #[error("{} is in use: another import of the same file is running. Let it end, or end it.", .0.display())]
    Locked(PathBuf),
    /// The journal is not one.
    #[error(
        "{}:{line}: not a line of an import's journal. Move the file away and run again: Latchkey knows the \
         rows that it has, and sends none of them twice.", file.display()
    )]
    Journal {
        /// The journal.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// What became of a row could not be written down.
    #[error(
        "{}: {error}. Stopped. Rows that were sent are known to Latchkey: mend this and run the same command again.",
        file.display()
    )]
    Unwritten {
        /// The file.
        file: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The rows are one JSON array.
    #[error("{}: a JSON array is not read. Write each row on a line of its own, for example with jq -c '.[]'. No row was sent.", file.display())]
    Array {
        /// The file.
        file: PathBuf,
    },
    /// The file is UTF-16.
    #[error("{}: the file is UTF-16, which PowerShell's > writes. Save it as UTF-8 (Out-File -Encoding utf8). No row was sent.", file.display())]
    Utf16 {
        /// The file.
        file: PathBuf,
    },
    /// A file.
    #[error("{}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What happened.
        error: io::Error,
    },
}

impl ImportError {
    pub(super) fn file(file: &Path, error: io::Error) -> Self {
        Self::File { file: file.to_owned(), error }
    }

    pub(super) fn unwritten(file: &Path, error: io::Error) -> Self {
        Self::Unwritten { file: file.to_owned(), error }
    }

    /// 2: the call has to be changed. 1: the same call may succeed later.
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Self::Away(_) | Self::Unwritten { .. } => 1,
            _ => 2,
        }
    }
}
