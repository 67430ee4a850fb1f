//! What spans cost where no collector is configured: how many a token read has, and what one that is off takes, counted
//! by callgrind and timed.

use std::{
    hint::black_box,
    process::Command,
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
    profile::{callgrind, instructions},
    report::{Section, median, time},
    stage::Stage,
    warm::Pair,
};

/// How many that are off are timed.
const OFF: u32 = 10_000_000;

/// How many are counted.
const COUNTED: u32 = 100_000;

/// How many token reads are timed beside them.
const READS: usize = 500;

/// The table, beside a token read's time.
pub(crate) async fn measure(stage: &Stage) -> Section {
    let pair = Pair::of(stage);
    let told = Told::default();
    pair.token().with_subscriber(told.clone()).await;
    let spans = told.0.load(Ordering::Relaxed);
    let mut reads = Vec::new();
    for _ in 0..READS {
        let began = Instant::now();
        pair.token().await;
        reads.push(began.elapsed());
    }
    let read = median(&reads);
    let began = Instant::now();
    are_off(OFF);
    let off = began.elapsed().as_secs_f64() * 1e9 / f64::from(OFF);
    let all = off * f64::from(spans);
    let mut section = Section::new("Spans without a collector");
    #[expect(clippy::cast_precision_loss, reason = "millions")]
    let counted = (counted(COUNTED) - counted(0)) as f64 / f64::from(COUNTED);
    section.row("one that is off", format!("{off:.1} ns"), format!("{counted:.1} instructions"));
    section.row(
        format!("the {spans} of a fresh token read"),
        format!("{all:.0} ns"),
        format!("the read {}", time(read)),
    );
    section.at_most(all / (read.as_secs_f64() * 1e9), 0.001);
    section
}

/// So many spans, as a deployed function without a collector has them.
pub(crate) fn are_off(spans: u32) {
    tracing::subscriber::with_default(runtime::logs::logs(false, std::io::stdout), || {
        for number in 0..spans {
            drop(black_box(info_span!(target: TARGET, "off", number).entered()));
        }
    });
}

/// The instructions of a process that has so many and does nothing else.
fn counted(spans: u32) -> u64 {
    let this = std::env::current_exe().expect("Linux says so");
    instructions(|file| {
        let mut process = Command::new("valgrind");
        process.args(callgrind(file)).arg(&this).args(["--spans-off", &spans.to_string()]);
        assert!(process.status().expect("valgrind is installed").success());
    })
}

/// Counts the spans that are told, and keeps none.
#[derive(Debug, Clone, Default)]
struct Told(Arc<AtomicU32>);

impl Subscriber for Told {
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
