//! What spans cost where no collector is configured: how many a token read has, and what one that is off takes.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use telemetry::spans::TARGET;
use tracing::{
    Event, Metadata, Subscriber, info_span,
    instrument::WithSubscriber,
    span::{Attributes, Id, Record},
};

use crate::{
    report::{Section, median, time},
    stage::Stage,
    warm::Pair,
};

/// How many that are off are timed.
const OFF: u32 = 10_000_000;

/// How many token reads are timed beside them.
const READS: usize = 500;

/// The table, beside a token read's time.
pub(crate) async fn measure(stage: &Stage) -> Section {
    let pair = Pair::of(stage);
    let counted = Counted::default();
    pair.token().with_subscriber(counted.clone()).await;
    let spans = counted.0.load(Ordering::Relaxed);
    let mut reads = Vec::new();
    for _ in 0..READS {
        let began = Instant::now();
        pair.token().await;
        reads.push(began.elapsed());
    }
    let read = median(&reads);
    // As a deployed function without a collector has it.
    let off = tracing::subscriber::with_default(service::serve::logs(false), || {
        let began = Instant::now();
        for number in 0..OFF {
            drop(black_box(info_span!(target: TARGET, "off", number).entered()));
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(OFF)
    });
    let all = off * f64::from(spans);
    let mut section = Section::new("Spans without a collector");
    section.row("one that is off", format!("{off:.1} ns"), "");
    section.row(
        format!("the {spans} of a fresh token read"),
        format!("{all:.0} ns"),
        format!("the read {}", time(read)),
    );
    section.at_most(all / (read.as_secs_f64() * 1e9), 0.001);
    section
}

/// Counts the spans that are told, and keeps none.
#[derive(Debug, Clone, Default)]
struct Counted(Arc<AtomicU32>);

impl Subscriber for Counted {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == TARGET
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(u64::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
