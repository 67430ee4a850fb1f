//! What fails most: the failures on record, counted by cause.

use std::collections::{BTreeMap, BTreeSet};

use domain::SaturatingTime as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::{
    Store,
    failure_lists::{FailureFilter, FailureQuery},
};

use crate::{
    report::{CommandError, Report},
    scan::progress,
};

/// How far a function's clock may be ahead of this machine's.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

#[derive(Debug, Default)]
struct Count {
    times: u64,
    customers: BTreeSet<String>,
    last: Option<Timestamp>,
}

/// A page of the index.
const PAGE: u8 = 100;

/// The causes of the last `hours`, most frequent first: by the index, so that what is read is what failed.
pub async fn top(store: &Store, now: Timestamp, hours: u32, most: usize) -> Result<Report, CommandError> {
    let since = now.earlier_by(SignedDuration::from_hours(i64::from(hours)));
    let mut counts: BTreeMap<[String; 4], Count> = BTreeMap::new();
    let mut seen: u64 = 0;
    for product in store.products().await? {
        let mut query = FailureQuery {
            from: since,
            to: now + SKEW,
            customer: None,
            filter: FailureFilter::default(),
            limit: PAGE,
            after: None,
        };
        loop {
            let (failures, after) = store.list_failures(&product, &query).await?;
            seen += failures.len() as u64;
            for failure in failures {
                let app = failure.app.to_string();
                let key = [failure.cause, failure.stage.word().to_owned(), failure.product.to_string(), app];
                let count = counts.entry(key).or_default();
                count.times += 1;
                count.customers.insert(failure.customer.id);
                count.last = count.last.max(Some(failure.at));
            }
            progress(&format!("{seen} failures read"), false);
            if after.is_none() {
                break;
            }
            query.after = after;
        }
    }
    progress(&format!("{seen} failures read"), true);
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
