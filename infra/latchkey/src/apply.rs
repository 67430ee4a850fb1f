//! Product files into the table: the plan first, then the change. What is as it should be is not written.

use std::path::Path;

use domain::Product;
use serde_json::{Value, json};
use store::Store;

use crate::{
    read_products,
    report::{CommandError, Report},
};

/// What is to be done about a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Change,
    Keep,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Keep => "keep",
        }
    }
}

/// Checks the files alone.
pub fn check(folder: &Path) -> Result<Report, CommandError> {
    let products = read_products(folder)?;
    let ids: Vec<&str> = products.iter().map(|product| product.id.as_str()).collect();
    Ok(Report::good(format!("{} product files are good", ids.len()), json!({ "good": ids })))
}

/// Plans, and carries the plan out unless it is a dry run.
pub async fn run(folder: &Path, store: &Store, dry_run: bool) -> Result<Report, CommandError> {
    let products = read_products(folder)?;
    let mut plan = Vec::new();
    for product in &products {
        let stored = store.product(&product.id).await?;
        let differs = stored.as_ref().map(|stored| differences(stored, product)).unwrap_or_default();
        let step = match stored {
            None => Step::Create,
            Some(stored) if stored == *product => Step::Keep,
            Some(_) => Step::Change,
        };
        plan.push((product, step, differs));
    }
    let line = |(product, step, differs): &(&Product, Step, Vec<String>)| {
        let differs = if differs.is_empty() { String::new() } else { format!(": {}", differs.join(", ")) };
        format!("{:>6}  {}{differs}\n", step.word(), product.id)
    };
    let mut text: String = plan.iter().map(line).collect();
    let steps: Vec<Value> = plan
        .iter()
        .map(|(product, step, differs)| json!({ "product": product.id, "step": step.word(), "differs": differs }))
        .collect();
    if !dry_run {
        for (product, step, _) in &plan {
            if *step == Step::Keep {
                // A table of before there was a list of products has none.
                store.note_product(&product.id).await?;
            } else {
                store.put_product(product).await?;
            }
        }
    }
    text += match (dry_run, plan.iter().all(|(_, step, _)| *step == Step::Keep)) {
        (_, true) => "Nothing to do.",
        (true, false) => "Nothing was written: a dry run.",
        (false, false) => "Done. Functions see it within 60 s.",
    };
    Ok(Report::good(text, json!({ "applied": !dry_run, "plan": steps })))
}

/// The parts of a product's configuration that differ, by their names in the file.
fn differences(stored: &Product, file: &Product) -> Vec<String> {
    let members = |product: &Product| serde_json::to_value(product).unwrap_or_default();
    let (stored, file) = (members(stored), members(file));
    let names = file.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    names.filter(|name| stored.get(name) != file.get(name)).collect()
}
