//! What a data folder keeps beside the table: the keyring and the API keys. Without the keyring every token in the table is
//! unreadable, so the file is never written in place.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use domain::{
    Product, ProductId,
    secret::{ApiKey, random},
};
use serde::{Deserialize, Serialize};

/// The keyring and the API keys.
const KEYS: &str = "keys.json";

/// The keys while they are written.
const NEW_KEYS: &str = "keys.json.new";

/// The table.
pub(crate) const TABLE_FILE: &str = "table.sqlite";

/// What a data folder keeps beside the table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    keyring: Option<String>,
    api_keys: BTreeMap<ProductId, String>,
}

/// The data folder cannot be used. It names the file, and says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error("{} cannot be {doing} ({error}): make room or check its permissions, then start again", file.display())]
    Io { file: PathBuf, doing: &'static str, error: io::Error },
    #[error(
        "{} is damaged ({error}): restore it from a copy, or move the folder away to start with an empty table, since the \
         tokens in the table can be read with these keys alone", file.display()
    )]
    Damaged { file: PathBuf, error: serde_json::Error },
    #[error(
        "{} is missing, and the tokens in the table beside it can be read with its keys alone: restore it from a copy, or \
         move the folder away to start with an empty table", file.display()
    )]
    Missing { file: PathBuf },
}

impl Kept {
    /// What the folder keeps; nothing where there is no folder, or it is new.
    pub(crate) fn load(folder: Option<&PathBuf>) -> Result<Self, KeptError> {
        let Some(folder) = folder else { return Ok(Self::default()) };
        let file = folder.join(KEYS);
        match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| KeptError::Damaged { file, error }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if folder.join(TABLE_FILE).exists() {
                    Err(KeptError::Missing { file })
                } else {
                    Ok(Self::default())
                }
            }
            Err(error) => Err(KeptError::Io { file, doing: "read", error }),
        }
    }

    /// Keeps it in the folder, if it is not what the folder keeps already: written beside, then renamed, so that whatever
    /// interrupts it leaves the one or the other.
    pub(crate) fn save(&self, folder: Option<&PathBuf>) -> Result<(), KeptError> {
        let Some(folder) = folder else { return Ok(()) };
        let wrong = |file: &Path, doing| {
            let file = file.to_owned();
            move |error| KeptError::Io { file, doing, error }
        };
        keep_private(folder).map_err(wrong(folder, "used as the data folder"))?;
        let (file, new) = (folder.join(KEYS), folder.join(NEW_KEYS));
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        if fs::read(&file).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        write_through(&new, &bytes).map_err(wrong(&new, "written"))?;
        fs::rename(&new, &file).map_err(wrong(&file, "replaced"))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong(folder, "written"))
    }

    /// The keyring; a new one where there is none.
    pub(crate) fn keyring(&mut self) -> &str {
        self.keyring.get_or_insert_with(new_keyring)
    }

    /// The API key of a product; a new one where there is none.
    pub(crate) fn api_key(&mut self, product: &Product) -> ApiKey {
        let text = self
            .api_keys
            .entry(product.id.clone())
            .or_insert_with(|| ApiKey::mint(&product.id, "local").expose().to_owned());
        ApiKey::new(text.clone())
    }
}

/// Makes the data folder, and keeps other users of this machine out of it: the table in it holds sealed tokens, and the
/// keyring lies beside it.
fn keep_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

fn write_through(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn new_keyring() -> String {
    format!(r#"{{"current":"v1","v1":"{}"}}"#, domain::id::base32(&random::<32>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("latchkey-kept-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn keys_are_kept_and_written_once() {
        let folder = folder("once");
        let mut kept = Kept::load(Some(&folder)).expect("a new folder");
        let keyring = kept.keyring().to_owned();
        kept.save(Some(&folder)).expect("kept");
        let written = fs::metadata(folder.join(KEYS)).expect("the file").modified().expect("a time");

        let mut again = Kept::load(Some(&folder)).expect("the folder");
        assert_eq!(again, kept);
        assert_eq!(again.keyring(), keyring);
        again.save(Some(&folder)).expect("kept");

        assert_eq!(fs::metadata(folder.join(KEYS)).expect("the file").modified().expect("a time"), written);
        assert!(!folder.join(NEW_KEYS).exists());
        fs::remove_dir_all(folder).expect("the folder goes");
    }

    #[test]
    fn interrupted_write_leaves_the_old_keys() {
        let folder = folder("interrupted");
        let mut kept = Kept::default();
        kept.keyring();
        kept.save(Some(&folder)).expect("kept");
        // A kill while the next ones were written.
        fs::write(folder.join(NEW_KEYS), "{\"keyri").expect("half a file");

        assert_eq!(Kept::load(Some(&folder)).expect("the old ones"), kept);
        fs::remove_dir_all(folder).expect("the folder goes");
    }

    #[test]
    fn damaged_and_missing_keys_are_named() {
        let folder = folder("damaged");
        fs::create_dir_all(&folder).expect("a folder");
        for damaged in ["", "{", "[]", "\0\0\0\0"] {
            fs::write(folder.join(KEYS), damaged).expect("written");
            let error = Kept::load(Some(&folder)).expect_err(damaged).to_string();
            assert!(error.contains("keys.json is damaged") && !error.contains('\n'), "{error}");
        }
        fs::remove_file(folder.join(KEYS)).expect("it goes");
        assert_eq!(Kept::load(Some(&folder)).expect("an empty folder"), Kept::default());
        fs::write(folder.join(TABLE_FILE), "a table").expect("written");
        let error = Kept::load(Some(&folder)).expect_err("no keys").to_string();
        assert!(error.contains("keys.json is missing"), "{error}");
        fs::remove_dir_all(folder).expect("the folder goes");
    }
}
