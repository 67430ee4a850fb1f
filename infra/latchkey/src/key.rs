//! API keys. A product's file names the digests of its keys; the keys themselves are shown once and kept nowhere.

use std::path::{Path, PathBuf};

use domain::{Product, ProductId, product::ApiKeyDigest, secret::ApiKey};
use jiff::Timestamp;
use serde_json::json;
use store::Store;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::{
    read_product, read_products,
    report::{CommandError, Report},
};

/// Makes a key, and writes its digest into the product's file.
pub fn create(
    folder: &Path,
    product: &ProductId,
    id: Option<&str>,
    now: Timestamp,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let mut file = File::of(folder, product)?;
    let id = id.map_or_else(|| file.new_id(now), ToOwned::to_owned);
    if id.is_empty() || id.contains('_') {
        return Err("a key's id is not empty and has no underscore".into());
    }
    if file.product.api_keys.iter().any(|key| key.id == id) {
        return Err(format!("{product} has a key {id} already: choose another --id").into());
    }
    if dry_run {
        let text = format!("{product} would have a key {id}; nothing was written: a dry run");
        return Ok(Report::good(text, json!({ "product": product, "id": id, "created": false })));
    }
    let key = ApiKey::mint(product, &id);
    let mut entry = Table::new();
    entry["id"] = value(&id);
    entry["hash"] = value(key.hash().as_str());
    file.keys()?.push(entry);
    file.write()?;
    let path = file.path.display();
    Ok(Report::good(
        format!(
            "The key, shown this once; put it where the product's backend reads its secrets:\n\n  {}\n\n\
             Its digest is in {path}. It works once that is applied: latchkey apply",
            key.expose()
        ),
        json!({ "product": product, "id": id, "created": true, "key": key.expose(), "file": path.to_string() }),
    ))
}

/// The keys of a product: those of its file and those that work.
pub async fn list(folder: &Path, product: &ProductId, store: &Store) -> Result<Report, CommandError> {
    let file = File::of(folder, product)?.product.api_keys;
    let stored = store.product(product).await?.map(|stored| stored.api_keys).unwrap_or_default();
    let mut ids: Vec<&str> = file.iter().chain(&stored).map(|key| key.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let state = |id: &str| {
        let find = |keys: &[ApiKeyDigest]| keys.iter().find(|key| key.id == id).cloned();
        match (find(&file), find(&stored)) {
            (Some(one), Some(other)) if one == other => "works",
            (Some(_), Some(_)) => "works as applied before: its digest in the file is another",
            (Some(_), None) => "not applied yet",
            (None, _) => "works, and ends with the next apply: the file has it no more",
        }
    };
    let keys: Vec<_> = ids.iter().map(|id| json!({ "id": id, "state": state(id) })).collect();
    let lines: Vec<String> = ids.iter().map(|id| format!("{id:<12} {}", state(id))).collect();
    Ok(Report::good(lines.join("\n"), json!({ "product": product, "keys": keys })))
}

/// Ends a key: in the product's file, and at once in the table.
pub async fn revoke(
    folder: &Path,
    product: &ProductId,
    id: &str,
    store: &Store,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let mut file = File::of(folder, product)?;
    let stored = store.product(product).await?;
    let in_file = file.product.api_keys.iter().any(|key| key.id == id);
    let in_table = stored.as_ref().is_some_and(|stored| stored.api_keys.iter().any(|key| key.id == id));
    if !in_file && !in_table {
        return Err(format!("{product} has no key {id}: latchkey key list {product}").into());
    }
    if !dry_run {
        if in_file {
            file.keys()?.retain(|entry| entry.get("id").and_then(Item::as_str) != Some(id));
            file.write()?;
        }
        // Of the stored product nothing else changes: what the file has that was not applied yet stays so.
        if let Some(mut stored) = stored.filter(|_| in_table) {
            store.retire_key_ids(product, vec![id.to_owned()]).await?;
            stored.api_keys.retain(|key| key.id != id);
            store.put_product(&stored).await?;
        }
    }
    let done = if dry_run { "would end; nothing was written: a dry run" } else { "ends within 60 s" };
    Ok(Report::good(
        format!("{product}'s key {id} {done}"),
        json!({ "product": product, "id": id, "revoked": !dry_run }),
    ))
}

/// A product's file, to be edited: comments and order stay.
struct File {
    path: PathBuf,
    text: DocumentMut,
    product: Product,
}

impl File {
    fn of(folder: &Path, product: &ProductId) -> Result<Self, CommandError> {
        // All of them are read, so that a broken neighbour is told before anything is changed.
        read_products(folder)?;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            let found = read_product(&path, &text)?;
            if found.id == *product {
                return Ok(Self { text: text.parse()?, path, product: found });
            }
        }
        Err(format!("{} has no file of the product {product}", folder.display()).into())
    }

    /// An id that no other key of the product has or had: the file forgets the revoked ones, the time does not.
    fn new_id(&self, now: Timestamp) -> String {
        let taken = |id: &str| self.product.api_keys.iter().any(|key| key.id == id);
        let mut number = now.as_second();
        while taken(&format!("k{number}")) {
            number += 1;
        }
        format!("k{number}")
    }

    fn keys(&mut self) -> Result<&mut ArrayOfTables, CommandError> {
        let item = self.text.entry("api_keys").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let written_otherwise =
            || format!("{}: write the keys as [[api_keys]] tables", self.path.display()).into();
        item.as_array_of_tables_mut().ok_or_else(written_otherwise)
    }

    /// In one step: whoever reads sees the old file or the new one.
    fn write(&self) -> Result<(), CommandError> {
        let beside = self.path.with_extension("toml.new");
        std::fs::write(&beside, self.text.to_string())?;
        Ok(std::fs::rename(&beside, &self.path)?)
    }
}
