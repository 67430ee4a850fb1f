//! Counters of the selected app and environment, added up in one pass.

use std::collections::HashMap;

use domain::{
    Product,
    product::AppOwner,
    tally::{Counter, Measure},
};
use store::tallies::Tally;

use crate::{acts::owner_of, query::DashboardQuery};

/// How often something was counted.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Over the time before the range.
    pub(crate) before: i64,
    /// In each bucket of the range.
    pub(crate) buckets: Vec<i64>,
    /// Who owns the apps for which it was counted in the range.
    pub(crate) owners: Vec<AppOwner>,
}

impl Counts {
    pub(crate) fn in_range(&self) -> i64 {
        self.buckets.iter().sum()
    }
}

/// The counters of the selected app and environment in some tallies.
pub(crate) fn selected_counters<'t>(
    selected: &DashboardQuery,
    tallies: impl IntoIterator<Item = &'t Tally>,
) -> impl Iterator<Item = (&'t Tally, &'t Counter, i64)> {
    let DashboardQuery { app, environment, .. } = selected;
    tallies
        .into_iter()
        .filter(move |tally| app.as_deref().is_none_or(|app| tally.app.as_str() == app))
        .flat_map(|tally| tally.counts.iter().map(move |(counter, count)| (tally, counter, *count)))
        .filter(move |(_, counter, _)| environment.is_none() || *environment == counter.environment)
}

/// How often each measure was counted in the range, and before it.
pub(crate) fn add_up<'t>(
    product: &Product,
    selected: &DashboardQuery,
    tallies: &'t [Tally],
) -> HashMap<&'t Measure, Counts> {
    let (from, to) = selected.span();
    let empty = vec![0; selected.buckets.len() - 1];
    let mut sums: HashMap<&Measure, Counts> = HashMap::new();
    for tally in tallies.iter().filter(|tally| tally.at < to) {
        let bucket = selected.bucket(tally.at);
        let owner = owner_of(product, &tally.app);
        for (_, counter, count) in selected_counters(selected, [tally]) {
            let counts = sums.entry(&counter.measure).or_insert_with(|| Counts {
                before: 0,
                buckets: empty.clone(),
                owners: Vec::new(),
            });
            match bucket {
                Some(bucket) => {
                    counts.buckets[bucket] += count;
                    if !counts.owners.contains(&owner) {
                        counts.owners.push(owner);
                    }
                }
                None if tally.at < from => counts.before += count,
                None => {}
            }
        }
    }
    sums
}
