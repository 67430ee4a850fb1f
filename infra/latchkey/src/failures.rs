//! What fails most: the failures on record, counted by cause.

use std::collections::{BTreeMap, BTreeSet};

use domain::Failure;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Store;

use crate::{
    report::{CommandError, Report},
    scan::Scan,
};

#[derive(Debug, Default)]
struct Count {
    times: u64,
    customers: BTreeSet<String>,
    last: Option<Timestamp>,
}

/// The causes of the last `hours`, most frequent first.
pub async fn top(
    store: &Store,
    table: &str,
    now: Timestamp,
    hours: u32,
    most: usize,
) -> Result<Report, CommandError> {
    let since = now - SignedDuration::from_hours(i64::from(hours));
    let mut counts: BTreeMap<[String; 4], Count> = BTreeMap::new();
    let mut scan = Scan::new(store.client(), table, "FAILURE#");
    while let Some(items) = scan.next().await? {
        for item in items {
            let Ok(failure) = serde_dynamo::from_item::<_, Failure>(item) else { continue };
            if failure.at < since {
                continue;
            }
            let key = [
                failure.cause,
                failure.stage.word().to_owned(),
                failure.product.to_string(),
                failure.app.to_string(),
            ];
            let count = counts.entry(key).or_default();
            count.times += 1;
            count.customers.insert(failure.customer.id);
            count.last = count.last.max(Some(failure.at));
        }
    }
    let mut counted: Vec<_> = counts.into_iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(count.times));
    counted.truncate(most);
    let lines = counted.iter().map(|([cause, stage, product, app], count)| {
        let (times, customers) = (count.times, count.customers.len());
        format!("{times:>6}  {cause:<32} {stage:<10} {product}/{app}, {customers} customers")
    });
    let rows: Vec<Value> = counted
        .iter()
        .map(|([cause, stage, product, app], count)| {
            json!({
                "cause": cause, "stage": stage, "product": product, "app": app,
                "times": count.times, "customers": count.customers.len(), "last": count.last,
            })
        })
        .collect();
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = if text.is_empty() { format!("No failure in the last {hours} h.") } else { text };
    Ok(Report::good(text, json!({ "since": since, "top": rows })))
}
