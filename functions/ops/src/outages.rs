//! Tells an outage from the usual failures of single customers.
//!
//! Many customers in a day prove nothing: a large product always has users who press *Deny*. So a cause is an outage only
//! if many customers have it, and clearly more often than on the days before. Reported failures do not count: somebody
//! who pastes a text has not necessarily failed.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fmt::Display,
};

use diagnosis::Actor;
use domain::{App, Failure, Product, Provenance, tally::Measure};
use jiff::{SignedDuration, Timestamp};
use pages::ops::{Spread, WORDS, say};
use store::tallies::Tally;

use crate::{
    acts::next_action,
    counts::selected_counters,
    format::{customers, failures, label},
    query::{DAY, DashboardQuery, start_of},
};

/// Maximum failures that the page reads for one list, the latest first.
pub(crate) const MAX_FAILURES_READ: u8 = 100;

/// Minimum customers with the same cause for an outage.
const MIN_CUSTOMERS: usize = 3;

/// Minimum ratio to the baseline for an outage; it must be exceeded.
const MIN_RATIO: i64 = 3;

/// Days of the baseline.
const BASELINE_DAYS: i32 = 7;

/// Maximum causes that are listed: those with the most customers.
const MAX_CAUSES: usize = 8;

/// Maximum customers that are named for one cause.
const MAX_NAMED: usize = 6;

/// Whether a list of this length was cut at [`MAX_FAILURES_READ`].
pub(crate) fn is_capped(count: usize) -> bool {
    count >= usize::from(MAX_FAILURES_READ)
}

/// The days (UTC) of the baseline: the last whole days before the last 24 hours.
pub(crate) fn baseline_days(now: Timestamp) -> (Timestamp, Timestamp) {
    let end = start_of(now - DAY, DAY);
    (end - DAY * BASELINE_DAYS, end)
}

/// The time since which the failures are complete, if they do not cover the last 24 hours.
pub(crate) fn partial_day_since(observed: &[Failure], now: Timestamp) -> Option<Timestamp> {
    let first = observed.last()?.at;
    (is_capped(observed.len()) && first > now - DAY).then_some(first)
}

/// How often a cause was observed, and the last failure of each customer.
#[derive(Default)]
struct CauseCount<'a> {
    failures: usize,
    customers: BTreeMap<&'a str, &'a Failure>,
}

impl CauseCount<'_> {
    /// Whether this is an outage. `in_baseline` is the count over the baseline days, `within` the time that was read.
    fn is_outage(&self, in_baseline: i64, within: SignedDuration) -> bool {
        let failures = i64::try_from(self.failures).unwrap_or(i64::MAX);
        // failures / within > MIN_RATIO × in_baseline / BASELINE_DAYS, without a fraction.
        let baseline = (DAY * BASELINE_DAYS).as_secs();
        self.customers.len() >= MIN_CUSTOMERS
            && failures * baseline > MIN_RATIO * in_baseline * within.as_secs()
    }
}

/// The causes of the last day, outages first. `observed` is sorted by time, the latest first; `days` has at least the
/// counters of the baseline days.
pub(crate) fn outages(
    observed: &[Failure],
    days: &[Tally],
    product: &Product,
    selected: &DashboardQuery,
) -> Vec<Spread> {
    let now = selected.now;
    let within = partial_day_since(observed, now).map_or(DAY, |first| now.duration_since(first));
    let baseline = baseline(days, selected);
    let mut counts: BTreeMap<(&str, &str), CauseCount<'_>> = BTreeMap::new();
    for failure in observed {
        let count = counts.entry((&failure.cause, failure.app.as_str())).or_default();
        count.failures += 1;
        count.customers.entry(&failure.customer.id).or_insert(failure);
    }
    let mut rows: Vec<_> = counts
        .into_iter()
        .map(|((cause, app), count)| {
            let in_baseline = baseline.get(&(cause, app)).copied().unwrap_or_default();
            let is_outage = count.is_outage(in_baseline, within);
            let row = row((cause, app), &count, in_baseline, is_outage, product, selected);
            ((is_outage, count.customers.len(), count.failures), row)
        })
        .collect();
    rows.sort_by_key(|(size, _)| Reverse(*size));
    rows.truncate(MAX_CAUSES);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// How often each cause was observed with each app in the baseline days.
fn baseline<'t>(days: &'t [Tally], selected: &DashboardQuery) -> HashMap<(&'t str, &'t str), i64> {
    let (from, to) = baseline_days(selected.now);
    let days = days.iter().filter(|tally| (from..to).contains(&tally.at));
    let mut baseline = HashMap::new();
    for (tally, counter, count) in selected_counters(selected, days) {
        if let Measure::Failures { provenance: Provenance::Observed, cause, .. } = &counter.measure {
            *baseline.entry((cause.as_str(), tally.app.as_str())).or_default() += count;
        }
    }
    baseline
}

fn row(
    (cause, app): (&str, &str),
    count: &CauseCount<'_>,
    in_baseline: i64,
    is_outage: bool,
    product: &Product,
    selected: &DashboardQuery,
) -> Spread {
    let app = product.apps.iter().find(|known| known.id.as_str() == app).ok_or(app);
    let acts = diagnosis::cause(cause).map(|cause| (cause.actor_in(app.ok()), next_action(cause, app.ok())));
    let are_few = count.customers.len() < MIN_CUSTOMERS;
    let named = count.customers.values().take(MAX_NAMED);
    let reading = match (is_outage, acts) {
        (true, Some((Actor::Vendor, _))) => WORDS.vendor_acts.to_owned(),
        (true, _) => WORDS.spread_wide.to_owned(),
        (false, Some((Actor::Vendor, _))) => WORDS.spread_vendors.to_owned(),
        (false, Some((_, next))) if are_few => say(WORDS.spread_own, &[("move", &next)]),
        (false, Some((_, next))) => say(WORDS.spread_usual, &[("move", &next)]),
        (false, None) => String::new(),
    };
    let facts = [
        ("app", &app.map_or_else(|id| id, App::label) as &dyn Display),
        ("failures", &failures(count.failures, is_capped(count.failures))),
        ("customers", &customers(count.customers.len())),
        ("usual", &baseline_text(in_baseline)),
        ("reading", &reading),
    ];
    Spread {
        title: label(cause).to_owned(),
        href: selected.failures_href(Some(cause)),
        facts: say(WORDS.spread_facts, &facts),
        customers: named.map(|failure| selected.customer(&failure.customer)).collect(),
        is_wide: is_outage,
    }
}

/// The baseline in words: how many failures a day are usual.
fn baseline_text(in_baseline: i64) -> String {
    let days = i64::from(BASELINE_DAYS);
    match (in_baseline, (in_baseline + days / 2) / days) {
        (0, _) => WORDS.usual_none.to_owned(),
        (few, _) if few < days => WORDS.usual_few.to_owned(),
        (_, 1) => WORDS.usual_one.to_owned(),
        (_, count) => say(WORDS.usual_many, &[("count", &count)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_outage(failures: usize, customers: usize, in_baseline: i64, hours: i64) -> bool {
        let failure = serde_json::from_value::<Failure>(serde_json::json!({
            "id": domain::FailureId::mint(Timestamp::UNIX_EPOCH), "at": "2026-11-22T09:00:00Z", "product": "fernway", "app": "sync",
            "customer": { "id": "c-1" }, "stage": "callback", "cause": "user_denied",
            "evidence": { "surface": "callback", "provenance": "observed" },
        }));
        let failure = failure.expect("a failure");
        let names: Vec<String> = (0..customers).map(|number| format!("c-{number}")).collect();
        let customers = names.iter().map(|name| (name.as_str(), &failure)).collect();
        CauseCount { failures, customers }.is_outage(in_baseline, SignedDuration::from_hours(hours))
    }

    #[test]
    fn outage_needs_three_customers_and_three_times_the_baseline() {
        assert!(!is_outage(50, 2, 0, 24), "two customers are too few");
        assert!(is_outage(3, 3, 0, 24), "three are enough without a baseline");
        assert!(!is_outage(12, 9, 28, 24), "four a day are usual: twelve are exactly three times as many");
        assert!(is_outage(13, 9, 28, 24), "thirteen are more");
        assert!(is_outage(100, 60, 700, 6), "a hundred in six hours are more than a hundred a day");
        assert!(!is_outage(100, 60, 700, 9));
    }

    #[test]
    fn baseline_days_end_before_the_last_24_hours() {
        for now in ["2026-11-22T00:00:00Z", "2026-11-22T23:59:59Z"] {
            let now: Timestamp = now.parse().expect("a time");
            let (first, end) = baseline_days(now);
            assert_eq!(
                (first.to_string(), end.to_string()),
                ("2026-11-14T00:00:00Z".into(), "2026-11-21T00:00:00Z".into())
            );
            assert!(end <= now - DAY);
        }
        assert_eq!(
            [0, 6, 7, 25].map(baseline_text),
            [
                "none is usual",
                "less than one a day is usual",
                "about one a day is usual",
                "about 4 a day are usual"
            ]
        );
    }
}
