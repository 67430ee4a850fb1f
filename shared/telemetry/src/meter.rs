//! The invocation that runs, and what is counted in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    Fact, Metric, Outcome, Refresh,
    spans::Span,
    trace::{SpanId, TraceContext, TraceId},
};

tokio::task_local! {
    static RUNNING: Meter;
}

/// An invocation's counts. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tally: Mutex<Tally>,
    began: Instant,
    context: Option<TraceContext>,
    /// The trace, where neither a caller nor a session names one.
    alone: TraceId,
    span: SpanId,
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) many: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) facts: BTreeMap<Fact, String>,
    pub(crate) sums: BTreeMap<Metric, f64>,
    pub(crate) samples: BTreeMap<Metric, Vec<f64>>,
    pub(crate) failures: BTreeMap<Failure, u32>,
    pub(crate) refreshes: BTreeMap<Refresh, u32>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) spans: Vec<Span>,
}

/// One kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failure {
    pub(crate) stage: &'static str,
    pub(crate) cause: &'static str,
    pub(crate) reported: bool,
}

impl Meter {
    /// An invocation that begins now, as a part of its caller's trace where there is one.
    pub fn new(context: Option<TraceContext>) -> Self {
        Self(Arc::new(Inner {
            tally: Mutex::default(),
            began: Instant::now(),
            context,
            alone: TraceId::random(),
            span: SpanId::random(),
        }))
    }

    /// An invocation that is about many things at once: of what it is about it keeps its own id alone.
    pub fn of_many() -> Self {
        let meter = Self::new(None);
        meter.tally().many = true;
        meter
    }

    /// Runs a future as this invocation.
    pub async fn over<F: Future>(&self, future: F) -> F::Output {
        RUNNING.scope(self.clone(), future).await
    }

    /// Its trace: its caller's, else its session's, else its own. A session is known when it was read.
    pub fn trace(&self) -> TraceId {
        let of_session =
            || self.tally().facts.get(&Fact::Session).map(|session| TraceId::of_session(session));
        self.0.context.map(|context| context.trace).or_else(of_session).unwrap_or(self.0.alone)
    }

    /// Its own span.
    pub fn span(&self) -> SpanId {
        self.0.span
    }

    /// Whether its spans are wanted: a caller who records nothing of the trace wants none of us.
    pub fn sampled(&self) -> bool {
        self.0.context.is_none_or(|context| context.sampled)
    }

    pub(crate) fn parent(&self) -> Option<SpanId> {
        self.0.context.map(|context| context.parent)
    }

    pub(crate) fn began(&self) -> Instant {
        self.0.began
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        // A tally is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn with_meter(tell: impl FnOnce(&Meter)) {
    // Outside an invocation there is nobody to tell.
    let _ = RUNNING.try_with(tell);
}

fn with(count: impl FnOnce(&mut Tally)) {
    with_meter(|meter| count(&mut meter.tally()));
}

/// A future for another task, which counts where this one does.
pub fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let meter = RUNNING.try_with(Meter::clone).ok();
    async move {
        match meter {
            Some(meter) => meter.over(future).await,
            None => future.await,
        }
    }
}

/// So much more of it.
pub fn add(metric: Metric, amount: f64) {
    with(|tally| *tally.sums.entry(metric).or_default() += amount);
}

/// The most of it that there was.
pub fn most(metric: Metric, value: f64) {
    with(|tally| {
        let before = tally.sums.entry(metric).or_default();
        *before = before.max(value);
    });
}

/// One value of it. Its mean and percentiles are what counts.
pub fn sample(metric: Metric, value: f64) {
    with(|tally| tally.samples.entry(metric).or_default().push(value));
}

/// How the invocation ends. The last word counts.
pub fn ended(outcome: Outcome) {
    with(|tally| tally.outcome = Some(outcome));
}

/// What the invocation is about.
pub fn about(fact: Fact, value: impl Into<String>) {
    with(|tally| {
        if !tally.many || fact == Fact::RequestId {
            tally.facts.insert(fact, value.into());
        }
    });
}

/// A number for the line alone, which is no metric.
pub fn counted(name: &'static str, number: u64) {
    with(|tally| {
        tally.counts.insert(name, number);
    });
}

/// A failure, by its cause's name in the catalogue. One that was `reported` is kept apart: it raises no alarm.
pub fn failed(stage: &'static str, cause: &'static str, reported: bool) {
    with(|tally| *tally.failures.entry(Failure { stage, cause, reported }).or_default() += 1);
}

/// What became of a need for a newer token.
pub fn refreshed(refresh: Refresh) {
    with(|tally| *tally.refreshes.entry(refresh).or_default() += 1);
}
