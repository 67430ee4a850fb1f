//! What has become of each row, on disk: one JSON object a line, written and synced before the row is told. It names
//! rows by their digest and holds no token.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Done,
    api::{Rejected, Told},
    error::ImportError,
};

/// The journal of one input. It is locked for as long as this lives, and by the system let go when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    settled: HashMap<String, Before>,
}

/// How a row ended in an earlier run, if it has ended.
#[derive(Debug, Clone)]
pub(super) enum Before {
    /// It is this connection.
    Imported(String),
    /// Bringing it again cannot help.
    Rejected(Rejected),
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    row: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Rejected>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Imported,
    Rejected,
    PutOff,
}

impl Journal {
    /// Opens, locks and reads the journal, or begins one.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let failed = |error| ImportError::file(path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ImportError::Locked(path.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        // A new file's name is durable only with its folder.
        #[cfg(unix)]
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        // A run that was killed may leave half a line: its row was not told, and is brought again.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut settled = HashMap::new();
        for (at, line) in text[..whole].lines().enumerate() {
            let entry: Entry = serde_json::from_str(line)
                .map_err(|_| ImportError::Journal { file: path.to_owned(), line: at + 1 })?;
            let before = match entry.outcome {
                Outcome::Imported => entry.connection_id.map(Before::Imported),
                Outcome::Rejected => entry.rejected.filter(Rejected::is_final).map(Before::Rejected),
                Outcome::PutOff => None,
            };
            match before {
                Some(before) => settled.insert(entry.row, before),
                None => settled.remove(&entry.row),
            };
        }
        Ok(Self { path: path.to_owned(), file, settled })
    }

    /// How this row ended; `None`: it is worth bringing.
    pub(super) fn settled(&self, digest: &str) -> Option<&Before> {
        self.settled.get(digest)
    }

    /// Writes down what became of a row, durably.
    pub(super) fn write(&mut self, done: &Done) -> Result<(), ImportError> {
        let (outcome, connection_id, rejected) = match &done.told {
            Told::Imported { connection, .. } => (Outcome::Imported, Some(connection.clone()), None),
            Told::Rejected(rejected) => (Outcome::Rejected, None, Some(rejected.clone())),
            Told::PutOff(_) => (Outcome::PutOff, None, None),
            Told::WouldImport | Told::Unauthorized => return Ok(()),
        };
        let entry = Entry { row: done.digest.clone(), outcome, connection_id, rejected };
        let mut line =
            serde_json::to_vec(&entry).map_err(|error| ImportError::unwritten(&self.path, error.into()))?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|error| ImportError::unwritten(&self.path, error))
    }
}
