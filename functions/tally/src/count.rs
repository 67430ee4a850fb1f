//! One change of one item → what it changes of the counters.
//!
//! What an item counts for is read from the item alone ([`counts`]); a change counts for the difference between after and
//! before. So each session is counted once a step, in the hour and on the day in which it was created, however often it is
//! written. Refreshes are the exception: they leave no item, and are read from how a connection's item changes.

use std::collections::BTreeMap;

use domain::{
    AppId, ProductId,
    tally::{Counter, Measure, RefreshOutcome, Step, band},
};
use jiff::{SignedDuration, Timestamp};
use store::tallies::{Bucket, Deltas};

use runtime::records::{Change, Image};

/// What is counted of whom, and when.
type Counted = BTreeMap<(ProductId, AppId, Bucket, Counter), i64>;

/// Adds what a change changes of the counters.
pub(crate) fn add(change: &Change, at: Timestamp, deltas: &mut Deltas) {
    let pk = change.pk();
    let kind = pk.split('#').next().unwrap_or_default();
    let mut counted = Counted::new();
    let (old, new) = (change.old.as_ref().map(Image), change.new.as_ref().map(Image));
    // What has been is not undone when its item is deleted; how many there are is.
    let is_gone_but_counted = new.is_none() && kind != "CONNECTION";
    if !is_gone_but_counted {
        for (image, sign) in [(new, 1), (old, -1)] {
            if let Some(image) = image {
                counts(kind, image, sign, &mut counted);
            }
        }
    }
    if let ("CONNECTION", Some(old), Some(new)) = (kind, old, new)
        && let Some((outcome, mut party)) = refreshed(old, new).zip(Party::of(new))
    {
        party.add_event(&Measure::Refreshes(outcome), at, 1, &mut counted);
    }
    for ((product, app, bucket, counter), delta) in counted.into_iter().filter(|(_, delta)| *delta != 0) {
        let counts = deltas.entry((product, app, bucket)).or_default();
        *counts.entry(counter).or_default() += delta;
    }
}

/// Whom an item counts for.
struct Party<'a>(Image<'a>, ProductId, AppId);

impl<'a> Party<'a> {
    fn of(image: Image<'a>) -> Option<Self> {
        Some(Self(image, image.read("product")?, image.read("app")?))
    }

    fn add(&mut self, measure: Measure, bucket: Bucket, sign: i64, counted: &mut Counted) {
        let counter = Counter { environment: self.0.read("environment"), measure };
        *counted.entry((self.1.clone(), self.2.clone(), bucket, counter)).or_default() += sign;
    }

    fn add_event(&mut self, measure: &Measure, at: Timestamp, sign: i64, counted: &mut Counted) {
        for bucket in Bucket::of(at) {
            self.add(measure.clone(), bucket, sign, counted);
        }
    }
}

/// What an item counts for, `sign` times.
fn counts(kind: &str, image: Image<'_>, sign: i64, counted: &mut Counted) {
    let Some(mut party) = Party::of(image) else { return };
    match kind {
        "SESSION" => {
            let Some(created) = image.time("created_at") else { return };
            for step in steps(image) {
                party.add_event(&Measure::Sessions(step), created, sign, counted);
            }
        }
        "FAILURE" => {
            let evidence = image.map("evidence");
            let (Some(at), Some(stage), Some(provenance), Some(cause)) = (
                image.read::<Timestamp>("at"),
                image.read("stage"),
                evidence.and_then(|evidence| evidence.read("provenance")),
                image.text("cause"),
            ) else {
                return;
            };
            let cause = cause.to_owned();
            let failure = Measure::Failures { stage, provenance, cause: cause.clone() };
            party.add_event(&failure, at, sign, counted);
            let resolved = image.map("resolved");
            let fixed =
                resolved.and_then(|r| r.read::<Timestamp>("at")).zip(resolved.and_then(|r| r.number("took")));
            if let Some((at, took)) = fixed {
                let band = band(SignedDuration::from_millis(took));
                party.add_event(&Measure::Fixed { provenance, cause, band }, at, sign, counted);
            }
        }
        // What stands beside a connection while it is authorized anew is none of its own.
        "CONNECTION" if !image.has("reconnect") => {
            if let Some(state) = image.text("state") {
                party.add(Measure::Connections(state.to_owned()), Bucket::Now, sign, counted);
            }
        }
        _ => {}
    }
}

/// The steps that a session has reached.
fn steps(session: Image<'_>) -> Vec<Step> {
    let state = session.text("state").unwrap_or_default();
    let attempted = session.number("attempts").unwrap_or_default() > 0;
    let connected = state == "connected";
    let returned = connected || session.has("returned_at") || matches!(state, "returned" | "parked");
    [
        (true, Step::Created),
        // A browser may go on from a page that it opened before; nobody goes on from a page that nobody opened.
        (session.has("opened_at") || attempted || returned, Step::Opened),
        (attempted || returned, Step::Redirected),
        (returned, Step::Returned),
        (connected, Step::Connected),
        (state == "failed", Step::Failed),
        (state == "lost", Step::Lost),
    ]
    .into_iter()
    .filter_map(|(reached, step)| reached.then_some(step))
    .collect()
}

/// Whether a connection's item changed because of a refresh, and what became of that.
pub(crate) fn refreshed(old: Image<'_>, new: Image<'_>) -> Option<RefreshOutcome> {
    let same = |name: &str| old.0.get(name) == new.0.get(name);
    // A reconnect brings another session's grant.
    if new.has("reconnect") || old.has("reconnect") || !same("session") {
        return None;
    }
    if !same("access_fingerprint") {
        return Some(RefreshOutcome::Refreshed);
    }
    if !same("state") || !same("since") || (old.has("refused_at") && !same("refused_at")) {
        return match new.text("state")? {
            "needs_reauth" => Some(RefreshOutcome::NeedsReauth),
            "blocked" => Some(RefreshOutcome::Blocked),
            "refresh_unknown" => Some(RefreshOutcome::Unanswered),
            _ => None,
        };
    }
    if new.has("paused_until") && !same("paused_until") {
        return Some(RefreshOutcome::Paused);
    }
    (old.has("began_at") && !new.has("began_at")).then_some(RefreshOutcome::Passed)
}
