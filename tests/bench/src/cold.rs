//! Cold start: from the process's start to its first answer, each function and its references in turn, so that
//! whatever else the machine does falls on all of them alike.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::{
    report::{Section, median, mib, time},
    sandbox::{Function, Memory, Sandbox},
    stage::{Stage, binary},
};

/// How often each answers again before its peak is read.
const MORE: usize = 50;

/// Those whose answer is no HTTP's.
const SCHEDULED: [&str; 2] = ["sweep", "tally"];

/// What was seen of one function.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// From start to first answer.
    pub(crate) starts: Vec<Duration>,
    computed: Vec<Duration>,
    resident: Vec<u64>,
    peak: Vec<u64>,
    warm: Vec<Duration>,
}

/// Starts everything so many times.
pub(crate) fn measure(stage: &Stage, starts: usize) -> BTreeMap<String, Seen> {
    let mut all = [stage.references(), stage.functions()].concat();
    all.retain(|function| std::fs::exists(&function.command[0]).unwrap_or(false) || function.name == "node");
    let mut seen = BTreeMap::<String, Seen>::new();
    for round in 0..=starts {
        for function in &all {
            let (first, computed, at_first, warm, peak) = start(function);
            if round == 0 {
                continue; // it brings the binaries into the page cache
            }
            let seen = seen.entry(function.name.clone()).or_default();
            seen.starts.push(first);
            seen.computed.push(computed);
            seen.resident.push(at_first.resident);
            seen.warm.push(warm);
            seen.peak.push(peak.peak);
        }
    }
    seen
}

/// Numbers the shards that are tallied.
static SHARDS: AtomicU64 = AtomicU64::new(1);

/// A batch of a shard that was never tallied, so that it counts each time. Any other event as it is.
fn fresh(event: &Value) -> Value {
    let mut event = event.clone();
    if event["shardId"].is_string() {
        event["shardId"] = format!("shardId-bench-{}", SHARDS.fetch_add(1, Ordering::Relaxed)).into();
    }
    event
}

fn start(function: &Function) -> (Duration, Duration, Memory, Duration, Memory) {
    let sandbox = Sandbox::start(&Function { event: fresh(&function.event), ..function.clone() });
    let (first, answer) = sandbox.first();
    let (computed, at_first) = (sandbox.computed(), sandbox.memory());
    let name = &function.name;
    let expected = if name == "callback" { 400 } else { 200 };
    assert!(SCHEDULED.contains(&name.as_str()) || answer["statusCode"] == expected, "{name}: {answer}");
    let mut warm = Vec::new();
    for _ in 0..MORE {
        warm.push(sandbox.again(&fresh(&function.event)).0);
    }
    (first, computed, at_first, median(&warm), sandbox.memory())
}

/// One way to look at a start: the middle one, the least disturbed one, and what the process computed in the middle
/// one, which leaves out whatever else ran on the machine.
type Look = (&'static str, fn(&Seen) -> Duration);

const LOOKS: [Look; 3] = [
    ("first answer, median", |seen| median(&seen.starts)),
    ("first answer, least", |seen| least(&seen.starts)),
    ("its processor time, median", |seen| median(&seen.computed)),
];

fn least(times: &[Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}

/// The table.
pub(crate) fn table(seen: &BTreeMap<String, Seen>) -> Section {
    let mut section = Section::new("Cold start");
    for (look, of) in LOOKS {
        let hello = of(&seen["hello"]);
        for (name, this) in seen.iter().filter(|(name, _)| *name != "hello") {
            let took = of(this);
            section.row(format!("{name}: {look}"), time(took), format!("hello {}", time(hello)));
            let ratio = took.as_secs_f64() / hello.as_secs_f64();
            match name.as_str() {
                "token" => section.at_most(ratio, 3.0),
                "authorize" => section.at_most(ratio, 2.5),
                _ => section.ratio(ratio),
            }
        }
        for name in ["token", "authorize"] {
            for peer in ["node", "python"] {
                let (Some(ours), Some(theirs)) = (seen.get(name), seen.get(peer)) else { continue };
                let (ours, theirs) = (of(ours), of(theirs));
                let times = theirs.as_secs_f64() / ours.as_secs_f64();
                section.row(format!("{name} against {peer}: {look}"), time(ours), time(theirs));
                if peer == "node" { section.at_least(times, 50.0) } else { section.ratio(times) }
            }
        }
    }
    for (name, seen) in seen {
        let (resident, peak) = (mib(median(&seen.resident)), mib(median(&seen.peak)));
        section.row(format!("{name}: resident at the first answer"), format!("{resident:.1} MiB"), "");
        if matches!(name.as_str(), "token" | "authorize") {
            section.at_most(resident, 8.0);
        }
        section.row(
            format!("{name}: peak of {MORE} more"),
            format!("{peak:.1} MiB"),
            format!("each warm {}", time(median(&seen.warm))),
        );
        if !matches!(name.as_str(), "node" | "python" | "hello") {
            section.at_most(peak, 16.0);
        }
    }
    section
}

/// Each function's size, as it is uploaded.
pub(crate) fn sizes() -> Section {
    let mut section = Section::new("Size");
    for name in ["token", "authorize", "callback", "errors", "ops", "sweep", "tally"] {
        let most = if name == "callback" { 3.5 } else { 2.5 };
        let binary = binary(name);
        if !binary.is_file() {
            continue;
        }
        let zipped =
            Command::new("zip").args(["-9", "-q", "-j", "-"]).arg(&binary).output().expect("zip runs");
        #[expect(clippy::cast_precision_loss, reason = "a few MB")]
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let (zip, bare) = (mb(zipped.stdout.len() as u64), mb(binary.metadata().expect("a file").len()));
        section.row(format!("{name}: zip"), format!("{zip:.2} MB"), format!("binary {bare:.2} MB"));
        section.at_most(zip, most);
    }
    section.note(format!(
        "Of what cargo builds for this machine ({}); the template's default is arm64.",
        std::env::consts::ARCH
    ));
    section
}

/// Each one's median start.
pub(crate) fn medians(seen: &BTreeMap<String, Seen>) -> Vec<(String, Duration)> {
    seen.iter().map(|(name, seen)| (name.clone(), median(&seen.starts))).collect()
}
