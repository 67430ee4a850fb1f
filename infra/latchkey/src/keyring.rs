//! The keyring: a new key seals from now on, the old ones go on opening. A connection's tokens are sealed anew at its
//! next refresh; a key is taken out by hand, once nothing is sealed with it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    deployment::SecretsManager,
    report::{CommandError, Report},
};

/// Adds a key and makes it the current one.
pub async fn rotate(secrets: &SecretsManager, name: &str, dry_run: bool) -> Result<Report, CommandError> {
    let text = secrets.read(name).await?.ok_or_else(|| format!("there is no secret {name}"))?;
    let (written, old, new) = rotated(&text, &new_key())
        .ok_or_else(|| format!(r#"{name} is no keyring: expected {{"current":"v1","v1":"<key>"}}"#))?;
    if !dry_run {
        secrets.write(name, &written, false).await?;
    }
    let done = if dry_run {
        format!("{new} would seal in place of {old}; nothing was written: a dry run")
    } else {
        format!("{new} seals from now on; {old} and those before it go on opening")
    };
    Ok(Report::good(done, json!({ "keyring": name, "before": old, "current": new, "written": !dry_run })))
}

/// The keyring with one key more, the name of its key before and of its key now.
fn rotated(text: &str, key: &str) -> Option<(String, String, String)> {
    let mut keyring: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    let old = keyring.get("current").filter(|current| keyring.contains_key(*current))?.clone();
    let number = |name: &String| name.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
    let new = format!("v{}", keyring.keys().filter_map(number).max().unwrap_or(0) + 1);
    keyring.insert(new.clone(), key.to_owned());
    keyring.insert("current".into(), new.clone());
    Some((serde_json::to_string(&keyring).ok()?, old, new))
}

/// 256 bits, as the stack's first key is written: letters and digits.
fn new_key() -> String {
    domain::id::base32(&domain::secret::random::<40>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stays_and_the_new_one_seals() {
        let (written, old, new) = rotated(r#"{"current":"v1","v1":"one"}"#, "two").unwrap();
        assert_eq!((old.as_str(), new.as_str()), ("v1", "v2"));
        assert_eq!(written, r#"{"current":"v2","v1":"one","v2":"two"}"#);
        let (again, _, _) = rotated(&written, "three").unwrap();
        assert_eq!(again, r#"{"current":"v3","v1":"one","v2":"two","v3":"three"}"#);
    }

    #[test]
    fn what_is_no_keyring_is_left_alone() {
        for bad in ["", "[]", r#"{"v1":"one"}"#, r#"{"current":"v2","v1":"one"}"#] {
            assert!(rotated(bad, "key").is_none(), "{bad}");
        }
    }

    #[test]
    fn a_new_key_is_as_long_as_the_vault_asks() {
        assert!(new_key().len() >= 43);
        assert_ne!(new_key(), new_key());
    }
}
