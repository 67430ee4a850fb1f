//! Product files into the table: the plan first, then the change. What is as it should be is not written.

use std::path::Path;

use domain::{Product, ProductId, WebhookEndpoint, product::ApiKeyDigest};
use serde_json::{Value, json};
use store::Store;

use crate::{
    product_file::{FileErrors, check_products},
    report::{CommandError, Report},
};

/// What is to be done about a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Change,
    Keep,
    /// It has no file, and its API keys work.
    Leave,
    /// It has no file: its API keys end. Its connections stay: they are its customers' grants.
    Prune,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Keep => "keep",
            Self::Leave => "leave",
            Self::Prune => "prune",
        }
    }
}

/// Checks the files alone.
pub fn check(folder: &Path) -> Result<Report, CommandError> {
    let (products, warnings) = check_products(folder)?;
    let ids: Vec<&str> = products.iter().map(|product| product.id.as_str()).collect();
    let text = format!("{}{} product files are good", lines_of(&warnings), ids.len());
    Ok(Report::good(text, json!({ "good": ids, "warnings": warnings.findings() })))
}

/// The warnings, a line each.
fn lines_of(warnings: &FileErrors) -> String {
    if warnings.is_empty() { String::new() } else { format!("{warnings}\n") }
}

/// A product as the table has it.
pub(crate) async fn stored(store: &Store, product: &ProductId) -> Result<Product, CommandError> {
    let stored = store.product(product).await?;
    Ok(stored.ok_or_else(|| format!("the table has no product {product}: latchkey apply"))?)
}

/// The products of the table that have no file, and whose API keys work all the same.
pub(crate) async fn without_file(store: &Store, files: &[Product]) -> Result<Vec<Product>, CommandError> {
    let mut without = Vec::new();
    for id in store.products().await? {
        if files.iter().all(|product| product.id != id) {
            without.extend(store.product(&id).await?.filter(|product| !product.api_keys.is_empty()));
        }
    }
    Ok(without)
}

/// Plans, and carries the plan out unless it is a dry run. With `prune` the API keys of products without a file end.
pub async fn run(folder: &Path, store: &Store, prune: bool, dry_run: bool) -> Result<Report, CommandError> {
    let (products, warnings) = check_products(folder)?;
    let without = without_file(store, &products).await?;
    let (mut plan, mut ended, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for product in &products {
        let stored = store.product(&product.id).await?.map(Product::as_configured);
        let differs = stored.as_ref().map(|stored| differences(stored, product)).unwrap_or_default();
        let step = match stored {
            None => Step::Create,
            Some(ref stored) if stored == product => Step::Keep,
            Some(_) => Step::Change,
        };
        refuse_reused_key_ids(store, product, stored.as_ref()).await?;
        let is_new = |endpoint: &&WebhookEndpoint| {
            stored.as_ref().and_then(|stored| stored.endpoint(&endpoint.id)).is_none()
        };
        added.extend(product.webhooks.iter().filter(is_new).map(|endpoint| (&product.id, &endpoint.id)));
        plan.push((product, step, differs));
        ended.push((&product.id, ended_key_ids(stored.as_ref(), &product.api_keys)));
    }
    let step = if prune { Step::Prune } else { Step::Leave };
    if prune {
        ended.extend(without.iter().map(|product| (&product.id, ended_key_ids(Some(product), &[]))));
    }
    plan.extend(without.iter().map(|product| (product, step, vec!["api_keys".to_owned()])));
    let line = |(product, step, differs): &(&Product, Step, Vec<String>)| {
        let differs = match step {
            Step::Leave => ": it has no file, and its API keys work. --prune ends them".to_owned(),
            Step::Prune => ": it has no file. Its API keys end, its connections stay".to_owned(),
            _ if differs.is_empty() => String::new(),
            _ => format!(": {}", differs.join(", ")),
        };
        format!("{:>6}  {}{differs}\n", step.word(), product.id)
    };
    let mut text: String = lines_of(&warnings) + &plan.iter().map(line).collect::<String>();
    let steps: Vec<Value> = plan
        .iter()
        .map(|(product, step, differs)| json!({ "product": product.id, "step": step.word(), "differs": differs }))
        .collect();
    if !dry_run {
        for (product, ids) in ended {
            store.retire_key_ids(product, ids).await?;
        }
        for (product, endpoint) in added {
            // What is known of a former endpoint with this id: it may have failed for days before it left the file.
            store.enable_endpoint(product, endpoint).await?;
        }
        for (product, step, _) in &plan {
            match step {
                // A table of before there was a list of products has none.
                Step::Keep => store.note_product(&product.id).await?,
                Step::Create | Step::Change => store.put_product(product).await?,
                Step::Prune => {
                    let pruned = Product { api_keys: Vec::new(), ..(*product).clone() };
                    store.put_product(&pruned).await?;
                }
                Step::Leave => {}
            }
        }
    }
    text += match (dry_run, plan.iter().all(|(_, step, _)| matches!(step, Step::Keep | Step::Leave))) {
        (_, true) => "Nothing to do.",
        (true, false) => "Nothing was written: a dry run.",
        (false, false) => "Done. Functions see it within 60 s.",
    };
    let wrong = plan.iter().any(|(_, step, _)| *step == Step::Leave);
    Ok(Report {
        text,
        json: json!({ "applied": !dry_run, "plan": steps, "warnings": warnings.findings() }),
        wrong,
    })
}

/// The ids of stored keys that are not among these.
fn ended_key_ids(stored: Option<&Product>, keys: &[ApiKeyDigest]) -> Vec<String> {
    let stored = stored.map_or(&[][..], |stored| &stored.api_keys);
    stored.iter().filter(|key| keys.iter().all(|kept| kept.id != key.id)).map(|key| key.id.clone()).collect()
}

/// A key's id in a log names one key for good, so an id that had another key is refused.
async fn refuse_reused_key_ids(
    store: &Store,
    product: &Product,
    stored: Option<&Product>,
) -> Result<(), CommandError> {
    let retired = store.retired_key_ids(&product.id).await?;
    let stored = stored.map_or(&[][..], |stored| &stored.api_keys);
    let reused = product.api_keys.iter().find(|key| match stored.iter().find(|known| known.id == key.id) {
        Some(known) => known.hash != key.hash,
        None => retired.contains(&key.id),
    });
    match reused {
        Some(key) => Err(format!(
            "{}: the key id {} belonged to another key. Make a key with a new id: latchkey key create {}",
            product.id, key.id, product.id
        )
        .into()),
        None => Ok(()),
    }
}

/// The parts of a product's configuration that differ, by their names in the file.
fn differences(stored: &Product, file: &Product) -> Vec<String> {
    let members = |product: &Product| serde_json::to_value(product).unwrap_or_default();
    let (stored, file) = (members(stored), members(file));
    let names = file.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    names.filter(|name| stored.get(name) != file.get(name)).collect()
}
