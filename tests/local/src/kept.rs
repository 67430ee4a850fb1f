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

/// Minimum characters of a key in the keyring.
const MIN_KEY: usize = 43;

/// Minimum characters of an API key: 43 of them are random.
const MIN_API_KEY: usize = 50;

/// The table.
pub(crate) const TABLE_FILE: &str = "table.sqlite";

/// What a data folder keeps beside the table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    keyring: Option<String>,
    api_keys: BTreeMap<ProductId, String>,
    /// Whether there was a table beside it.
    #[serde(default)]
    has_table: bool,
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
    Damaged { file: PathBuf, error: String },
    #[error(
        "{} is missing, and the tokens in the table beside it can be read with its keys alone: restore it from a copy, or \
         move the folder away to start with an empty table", file.display()
    )]
    Missing { file: PathBuf },
    #[error(
        "{} is missing, and the keys beside it belong to it: restore it from a copy, or move the folder away to start with an \
         empty table", file.display()
    )]
    TableMissing { file: PathBuf },
}

impl Kept {
    /// What the folder keeps; nothing where there is no folder, or it is new.
    pub(crate) fn load(folder: Option<&PathBuf>) -> Result<Self, KeptError> {
        let Some(folder) = folder else { return Ok(Self::default()) };
        let file = folder.join(KEYS);
        match fs::read(&file) {
            Ok(bytes) => {
                let table = folder.join(TABLE_FILE);
                let kept =
                    Self::read(&bytes, table.exists()).map_err(|error| KeptError::Damaged { file, error })?;
                if kept.has_table && !table.exists() {
                    return Err(KeptError::TableMissing { file: table });
                }
                Ok(kept)
            }
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

    /// The keys in a file. With a table beside it, the file must have a keyring: a new one could not read the table's
    /// tokens, and would replace the old one.
    fn read(bytes: &[u8], has_table: bool) -> Result<Self, String> {
        let kept: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match &kept.keyring {
            Some(keyring) => check_keyring(keyring)?,
            None if has_table => return Err("it has no keyring".to_owned()),
            None => {}
        }
        for (product, key) in &kept.api_keys {
            let key = ApiKey::new(key.as_str());
            let is_whole = key.claims().is_some_and(|(claimed, _)| claimed == *product)
                && key.expose().len() >= MIN_API_KEY;
            if !is_whole {
                return Err(format!("the API key of {product} is not a key of this product"));
            }
        }
        Ok(kept)
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

    /// Notes that there is a table beside it, so that a table that is lost later is not taken for a new folder.
    pub(crate) fn note_table(&mut self) {
        self.has_table = true;
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

/// Whether the text is a keyring: `{"current":"v1","v1":"<key>"}`.
fn check_keyring(text: &str) -> Result<(), String> {
    let keys: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|_| "its keyring is not a JSON object of keys".to_owned())?;
    let current = keys.get("current").and_then(|current| keys.get(current));
    match current {
        Some(key) if key.len() >= MIN_KEY => Ok(()),
        Some(_) => Err("the current key of its keyring is cut short".to_owned()),
        None => Err("its keyring has no current key".to_owned()),
    }
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

    #[test]
    fn lost_table_is_named() {
        let folder = folder("lost");
        let mut kept = Kept::default();
        kept.keyring();
        kept.save(Some(&folder)).expect("kept");
        assert!(Kept::load(Some(&folder)).is_ok(), "interrupted before there was a table");

        kept.note_table();
        kept.save(Some(&folder)).expect("kept");
        let error = Kept::load(Some(&folder)).expect_err("no table").to_string();
        assert!(error.contains("table.sqlite is missing") && !error.contains('\n'), "{error}");
        fs::write(folder.join(TABLE_FILE), "a table").expect("written");
        assert_eq!(Kept::load(Some(&folder)).expect("both"), kept);
        fs::remove_dir_all(folder).expect("the folder goes");
    }

    #[test]
    fn keys_that_cannot_read_the_table_are_named_and_kept() {
        let folder = folder("unfit");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(TABLE_FILE), "a table").expect("written");
        let keyring = |text: &str| serde_json::json!({ "keyring": text, "api_keys": {} }).to_string();
        for damaged in [
            "{}".to_owned(),
            r#"{"api_keys":{}}"#.to_owned(),
            r#"{"keyring":null,"api_keys":{}}"#.to_owned(),
            keyring(""),
            keyring("{}"),
            keyring("v1"),
            keyring(r#"{"current":"v2","v1":"a"}"#),
            keyring(r#"{"current":"v1","v1":"short"}"#),
            keyring(&new_keyring()).replace("keyring", "keyrings"),
            keyring(&new_keyring()).replace("{}", r#"{"fernway":""}"#),
            keyring(&new_keyring()).replace("{}", r#"{"fernway":"lk_tidewater_local_0123456789"}"#),
        ] {
            fs::write(folder.join(KEYS), &damaged).expect("written");
            let error = Kept::load(Some(&folder)).expect_err(&damaged).to_string();
            assert!(error.contains("keys.json is damaged") && !error.contains('\n'), "{error}");
            assert_eq!(fs::read_to_string(folder.join(KEYS)).expect("the file"), damaged);
        }
        fs::write(folder.join(KEYS), keyring(&new_keyring())).expect("written");
        assert!(Kept::load(Some(&folder)).is_ok());
        fs::remove_dir_all(folder).expect("the folder goes");
    }
}
