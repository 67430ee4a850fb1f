//! One customer, or all of them: whether a cause is met as it usually is, or is an outage.
//!
//! Many customers in a day prove nothing: a product of any size has as many who press *Deny*. So a cause is told to be
//! everybody's only when many met it, and it comes clearly more often than on the days before. What people only report
//! says nothing here: pasting is not failing.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Display};

use domain::{
    Failure, Product, Provenance,
    diagnosis::{self, Actor},
    tally::Measure,
};
use jiff::{SignedDuration, Timestamp};
use pages::ops::{Spread, WORDS, say};

use crate::{
    figures::Figures,
    view::{DAY, MOST_READ, begin_of},
    words::{self, app_name, customer, title, whose_move},
};

/// From so many customers on, at once, a cause may be more than one customer's.
const MANY: usize = 3;

/// And it is, from more than so many times as often as is usual.
const TIMES: i64 = 3;

/// What is usual is read from so many days.
const USUAL_DAYS: i32 = 7;

/// So many causes are told apart: the widest.
const MOST_SPREAD: usize = 8;

/// The days (UTC) that tell what is usual: the last whole ones before the last 24 hours.
pub(crate) fn usual_days(now: Timestamp) -> (Timestamp, Timestamp) {
    let end = begin_of(now - DAY, DAY);
    (end - DAY * USUAL_DAYS, end)
}

/// `None`: what was read is all of the last 24 hours; else since when it is.
pub(crate) fn whole_day_or_since(observed: &[Failure], now: Timestamp) -> Option<Timestamp> {
    let first = observed.last()?.at;
    (observed.len() == usize::from(MOST_READ) && first > now - DAY).then_some(first)
}

/// How often a cause was met, and the last failure of each customer who met it.
#[derive(Default)]
struct Met<'a> {
    failures: usize,
    customers: BTreeMap<&'a str, &'a Failure>,
}

impl Met<'_> {
    /// Whether that is an outage: of many, and clearly more than so many in the days that tell what is usual.
    fn is_wide(&self, in_usual_days: i64, within: SignedDuration) -> bool {
        let met = i64::try_from(self.failures).unwrap_or(i64::MAX);
        // met / within > TIMES × in_usual_days / USUAL_DAYS, without a fraction.
        let usual_days = (DAY * USUAL_DAYS).as_secs();
        self.customers.len() >= MANY && met * usual_days > TIMES * in_usual_days * within.as_secs()
    }
}

/// Whether a cause is one customer's or everybody's: what was observed in the last day, the latest first, beside the counters
/// of at least the days that tell what is usual.
pub(crate) fn spread(
    observed: &[Failure],
    days: &Figures<'_>,
    product: &Product,
    now: Timestamp,
) -> Vec<Spread> {
    let within = whole_day_or_since(observed, now).map_or(DAY, |first| now.duration_since(first));
    let mut met: BTreeMap<(&str, &str), Met<'_>> = BTreeMap::new();
    for failure in observed {
        let of = met.entry((&failure.cause, failure.app.as_str())).or_default();
        of.failures += 1;
        of.customers.entry(&failure.customer.id).or_insert(failure);
    }
    let mut rows: Vec<_> = met
        .into_iter()
        .map(|((cause, app), met)| {
            let in_usual_days = in_usual_days(days, cause, app, now);
            let is_wide = met.is_wide(in_usual_days, within);
            let row = row((cause, app), &met, in_usual_days, is_wide, product);
            ((is_wide, met.customers.len(), met.failures), row)
        })
        .collect();
    rows.sort_by_key(|(size, _)| Reverse(*size));
    rows.truncate(MOST_SPREAD);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// How often the counters have a cause, observed with an app, in the days that tell what is usual.
fn in_usual_days(days: &Figures<'_>, cause: &str, app: &str, now: Timestamp) -> i64 {
    days.sum_within(usual_days(now), |its_app, measure| {
        let is_of_cause = matches!(
            measure,
            Measure::Failures { provenance: Provenance::Observed, cause: its, .. } if its == cause
        );
        its_app == app && is_of_cause
    })
}

fn row(
    (cause, app): (&str, &str),
    met: &Met<'_>,
    in_usual_days: i64,
    is_wide: bool,
    product: &Product,
) -> Spread {
    let acts = diagnosis::cause(cause).map(|cause| cause.actor);
    let names: Vec<String> = met.customers.values().map(|failure| customer(failure)).collect();
    let (are_few, names) = (met.customers.len() < MANY, names.join(", "));
    let reading = match (is_wide, acts) {
        (true, Some(Actor::Vendor)) => WORDS.vendor_acts.to_owned(),
        (true, _) => WORDS.spread_wide.to_owned(),
        (false, Some(Actor::Vendor)) => WORDS.spread_vendors.to_owned(),
        (false, Some(actor)) if are_few => {
            say(WORDS.spread_own, &[("customers", &names), ("move", &whose_move(actor))])
        }
        (false, Some(actor)) => say(WORDS.spread_usual, &[("move", &whose_move(actor))]),
        (false, None) => names,
    };
    let facts = [
        ("app", &app_name(app, product) as &dyn Display),
        ("failures", &words::failures(met.failures)),
        ("customers", &words::customers(met.customers.len())),
        ("usual", &usual(in_usual_days)),
        ("reading", &reading),
    ];
    Spread { title: title(cause, app, product, None), facts: say(WORDS.spread_facts, &facts), is_wide }
}

/// In words, how many a day are usual.
fn usual(in_usual_days: i64) -> String {
    let days = i64::from(USUAL_DAYS);
    match (in_usual_days, (in_usual_days + days / 2) / days) {
        (0, _) => WORDS.usual_none.to_owned(),
        (few, _) if few < days => WORDS.usual_few.to_owned(),
        (_, 1) => WORDS.usual_one.to_owned(),
        (_, count) => say(WORDS.usual_many, &[("count", &count)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wide(failures: usize, customers: usize, in_usual_days: i64, hours: i64) -> bool {
        let failure = serde_json::from_value::<Failure>(serde_json::json!({
            "id": domain::FailureId::mint(Timestamp::UNIX_EPOCH), "at": "2026-11-22T09:00:00Z", "product": "fernway", "app": "sync",
            "customer": { "id": "c-1" }, "stage": "callback", "cause": "user_denied",
            "evidence": { "surface": "callback", "provenance": "observed" },
        }));
        let failure = failure.expect("a failure");
        let names: Vec<String> = (0..customers).map(|number| format!("c-{number}")).collect();
        let customers = names.iter().map(|name| (name.as_str(), &failure)).collect();
        Met { failures, customers }.is_wide(in_usual_days, SignedDuration::from_hours(hours))
    }

    #[test]
    fn wide_is_what_many_meet_and_more_than_three_times_as_often_as_is_usual() {
        assert!(!is_wide(50, 2, 0, 24), "two customers are not many");
        assert!(is_wide(3, 3, 0, 24), "three are, where nobody meets it");
        assert!(!is_wide(12, 9, 28, 24), "four a day are usual: twelve are three times as many");
        assert!(is_wide(13, 9, 28, 24), "and thirteen are more");
        assert!(is_wide(100, 60, 700, 6), "a hundred in six hours are more than a hundred a day");
        assert!(!is_wide(100, 60, 700, 9));
    }

    #[test]
    fn usual_days_are_whole_and_over_before_the_last_24_hours_begin() {
        for now in ["2026-11-22T00:00:00Z", "2026-11-22T23:59:59Z"] {
            let now: Timestamp = now.parse().expect("a time");
            let (first, end) = usual_days(now);
            assert_eq!(
                (first.to_string(), end.to_string()),
                ("2026-11-14T00:00:00Z".into(), "2026-11-21T00:00:00Z".into())
            );
            assert!(end <= now - DAY);
        }
        assert_eq!(
            [0, 6, 7, 25].map(usual),
            [
                "none is usual",
                "less than one a day is usual",
                "about one a day is usual",
                "about 4 a day are usual"
            ]
        );
    }
}
