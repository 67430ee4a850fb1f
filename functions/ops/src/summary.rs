//! `GET /v1/failures/summary`: failures by the dimensions that the caller names, sessions by step, outcomes of refreshes,
//! and times to fix. Only counters are read: no failure, session or connection.

use std::collections::BTreeMap;

use domain::{
    AppId, Environment, Provenance,
    tally::{BANDS, Counter, Measure, quantile},
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp, ToSpan as _, tz::TimeZone};
use serde::Serialize;
use store::tallies::Tally;
use web::{Problem, Query, Request, Response, respond, views};

use crate::{
    Ops,
    error::OpsError,
    failures::{enum_value, time},
};

/// Dimensions that `by` may name.
const DIMENSIONS: [&str; 6] = ["time", "cause", "app", "environment", "stage", "provenance"];

/// Maximum range with a bucket per hour. Hours are stored for 40 days and read one day at a time.
const MAX_RANGE_OF_HOURS: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Maximum range with a bucket per day. Days are stored for 400 days.
const MAX_RANGE_OF_DAYS: SignedDuration = SignedDuration::from_hours(24 * 400);

#[derive(Debug, Serialize)]
struct Summary<'a> {
    product: &'a str,
    from: String,
    to: String,
    bucket: &'static str,
    /// Time of the last change that is counted here, and when it was counted; `null`: nothing was ever counted.
    counted_until: Option<String>,
    counted_at: Option<String>,
    /// One row for each combination of the dimensions in `by`.
    failures: Vec<BTreeMap<&'static str, serde_json::Value>>,
    /// Sessions by the step that they have reached.
    sessions: BTreeMap<&'static str, i64>,
    /// The same for each bucket with a new session, if `by` names `time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions_over_time: Option<Vec<SessionsView>>,
    refreshes: BTreeMap<&'static str, i64>,
    /// How long it took from the first failure of a cause to the customer's success.
    fixed: Vec<FixedView>,
}

#[derive(Debug, Serialize)]
struct SessionsView {
    time: String,
    #[serde(flatten)]
    steps: BTreeMap<&'static str, i64>,
}

#[derive(Debug, Serialize)]
struct FixedView {
    cause: String,
    /// How the first failure is known.
    provenance: &'static str,
    count: u64,
    median_minutes: Option<i64>,
    p90_minutes: Option<i64>,
}

/// What the caller wants.
struct SummaryQuery {
    from: Timestamp,
    to: Timestamp,
    hours: bool,
    by: Vec<&'static str>,
    app: Option<AppId>,
    environment: Option<Environment>,
}

impl Ops {
    pub(crate) async fn summary(
        &self,
        request: &Request,
        given: &Query,
        now: Timestamp,
    ) -> Result<Response, OpsError> {
        let caller = self.caller(request, now).await?;
        let query = SummaryQuery::parse(given, now)?;
        let tallies = self.tallies(&caller.product.id, query.from, query.to, query.hours).await?;
        let tallies: Vec<Tally> = tallies
            .into_iter()
            .filter(|tally| query.app.as_ref().is_none_or(|app| tally.app == *app))
            .collect();
        let view = Summary {
            product: caller.product.id.as_str(),
            from: views::time(query.from),
            to: views::time(query.to),
            bucket: if query.hours { "hour" } else { "day" },
            counted_until: tallies.iter().map(|tally| tally.changed_at).max().map(views::time),
            counted_at: tallies.iter().map(|tally| tally.tallied_at).max().map(views::time),
            failures: failures(&tallies, &query),
            sessions: sums(&tallies, &query, step_of),
            sessions_over_time: query.by.contains(&"time").then(|| over_time(&tallies, &query)),
            refreshes: sums(&tallies, &query, |measure| match measure {
                Measure::Refreshes(outcome) => Some(outcome.word()),
                _ => None,
            }),
            fixed: fixed(&tallies, &query),
        };
        Ok(respond::json(StatusCode::OK, &view))
    }

    /// A product's counters in the buckets that begin between `from` and `to`.
    pub(crate) async fn tallies(
        &self,
        product: &domain::ProductId,
        from: Timestamp,
        to: Timestamp,
        hours: bool,
    ) -> Result<Vec<Tally>, store::StoreError> {
        let store = &self.platform.store;
        let day_of = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        // A bucket that begins at `to` is not in it.
        let (first, last) = (day_of(from), day_of(to - SignedDuration::from_millis(1)));
        if !hours {
            return store.tallies_of_days(product, first, last).await;
        }
        let (mut found, mut day) = (Vec::new(), first);
        while day <= last {
            found.extend(store.tallies_of_hours(product, day).await?);
            let Ok(next) = day.checked_add(1.day()) else { break };
            day = next;
        }
        let hour = SignedDuration::from_hours(1);
        found.retain(|tally| from < tally.at + hour && tally.at < to);
        Ok(found)
    }
}

impl SummaryQuery {
    fn parse(given: &Query, now: Timestamp) -> Result<Self, Problem> {
        let hours = match given.get("bucket") {
            None | Some("day") => false,
            Some("hour") => true,
            Some(_) => return Err(Problem::bad_request("bucket is hour or day")),
        };
        let to = time(given, "to")?.unwrap_or(now);
        let usual = SignedDuration::from_hours(if hours { 24 } else { 24 * 30 });
        let from = time(given, "from")?.unwrap_or(to - usual);
        let most = if hours { MAX_RANGE_OF_HOURS } else { MAX_RANGE_OF_DAYS };
        if from >= to || to.duration_since(from) > most {
            let days = most.as_hours() / 24;
            return Err(Problem::bad_request(format!("from is before to, and at most {days} days before")));
        }
        let by = given.get("by").unwrap_or("cause").split(',').map(|name| {
            let known = DIMENSIONS.into_iter().find(|known| *known == name.trim());
            known.ok_or_else(|| Problem::bad_request(format!("by is a list of {}", DIMENSIONS.join(", "))))
        });
        Ok(Self {
            from,
            to,
            hours,
            by: by.collect::<Result<_, _>>()?,
            app: given
                .get("app")
                .map(str::parse)
                .transpose()
                .map_err(|_| Problem::bad_request("app is an app's id"))?,
            environment: enum_value(given, "environment", "production, sandbox or my_domain")?,
        })
    }

    fn counts<'a>(&'a self, tally: &'a Tally) -> impl Iterator<Item = (&'a Counter, i64)> {
        let wanted =
            |counter: &&Counter| self.environment.is_none() || self.environment == counter.environment;
        tally
            .counts
            .iter()
            .filter(move |(counter, _)| wanted(counter))
            .map(|(counter, count)| (counter, *count))
    }
}

fn failures(tallies: &[Tally], query: &SummaryQuery) -> Vec<BTreeMap<&'static str, serde_json::Value>> {
    let mut rows: BTreeMap<Vec<String>, (i64, i64)> = BTreeMap::new();
    for tally in tallies {
        for (counter, count) in query.counts(tally) {
            let Measure::Failures { stage, provenance, cause } = &counter.measure else { continue };
            let of = |dimension: &&str| match *dimension {
                "time" => views::time(tally.at),
                "cause" => cause.clone(),
                "app" => tally.app.to_string(),
                "environment" => counter.environment.map_or("unknown", Environment::word).to_owned(),
                "stage" => stage.word().to_owned(),
                _ => provenance.word().to_owned(),
            };
            let row = rows.entry(query.by.iter().map(of).collect()).or_default();
            row.0 += count;
            if *provenance == Provenance::Reported {
                row.1 += count;
            }
        }
    }
    rows.into_iter()
        .map(|(names, (count, reported))| {
            let mut row: BTreeMap<_, _> =
                query.by.iter().copied().zip(names.into_iter().map(serde_json::Value::from)).collect();
            row.insert("count", count.into());
            // Reported failures prove nothing: somebody said so.
            row.insert("of_these_reported", reported.into());
            row
        })
        .collect()
}

fn step_of(measure: &Measure) -> Option<&'static str> {
    match measure {
        Measure::Sessions(step) => Some(step.word()),
        _ => None,
    }
}

fn over_time(tallies: &[Tally], query: &SummaryQuery) -> Vec<SessionsView> {
    let mut buckets: BTreeMap<Timestamp, Vec<&Tally>> = BTreeMap::new();
    for tally in tallies {
        buckets.entry(tally.at).or_default().push(tally);
    }
    buckets
        .into_iter()
        .map(|(at, tallies)| SessionsView { time: views::time(at), steps: sums(tallies, query, step_of) })
        .filter(|view| !view.steps.is_empty())
        .collect()
}

fn sums<'t>(
    tallies: impl IntoIterator<Item = &'t Tally>,
    query: &SummaryQuery,
    name: impl Fn(&Measure) -> Option<&'static str>,
) -> BTreeMap<&'static str, i64> {
    let mut sums = BTreeMap::new();
    for (counter, count) in tallies.into_iter().flat_map(|tally| query.counts(tally)) {
        if let Some(name) = name(&counter.measure) {
            *sums.entry(name).or_default() += count;
        }
    }
    sums
}

fn fixed(tallies: &[Tally], query: &SummaryQuery) -> Vec<FixedView> {
    let mut causes: BTreeMap<(&str, Provenance), [u64; BANDS.len() + 1]> = BTreeMap::new();
    for (counter, count) in tallies.iter().flat_map(|tally| query.counts(tally)) {
        if let Measure::Fixed { cause, band, provenance } = &counter.measure {
            let bands = causes.entry((cause, *provenance)).or_default();
            bands[usize::from(*band)] += u64::try_from(count).unwrap_or_default();
        }
    }
    causes
        .into_iter()
        .map(|((cause, provenance), bands)| FixedView {
            cause: cause.to_owned(),
            provenance: provenance.word(),
            count: bands.iter().sum(),
            median_minutes: quantile(&bands, 0.5),
            p90_minutes: quantile(&bands, 0.9),
        })
        .collect()
}
