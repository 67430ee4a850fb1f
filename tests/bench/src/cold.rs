//! Cold start: from the process's start to its first answer, each function and its references in turn, so that
//! whatever else the machine does falls on all of them alike.

use std::{collections::BTreeMap, process::Command, time::Duration};

use crate::{
    report::{Section, median, mib, time},
    sandbox::{Function, Memory, Sandbox},
    stage::{Stage, binary},
};

/// How often each answers again before its peak is read.
const MORE: usize = 50;

/// What was seen of one function.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// From start to first answer.
    pub(crate) starts: Vec<Duration>,
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
            let (first, at_first, warm, peak) = start(function);
            if round == 0 {
                continue; // it brings the binaries into the page cache
            }
            let seen = seen.entry(function.name.clone()).or_default();
            seen.starts.push(first);
            seen.resident.push(at_first.resident);
            seen.warm.push(warm);
            seen.peak.push(peak.peak);
        }
    }
    seen
}

fn start(function: &Function) -> (Duration, Memory, Duration, Memory) {
    let sandbox = Sandbox::start(function);
    let (first, answer) = sandbox.first();
    let at_first = sandbox.memory();
    let name = &function.name;
    let expected = if name == "callback" { 400 } else { 200 };
    assert!(name == "sweep" || answer["statusCode"] == expected, "{name}: {answer}");
    let mut warm = Vec::new();
    for _ in 0..MORE {
        warm.push(sandbox.again(&function.event).0);
    }
    (first, at_first, median(&warm), sandbox.memory())
}

/// The table.
pub(crate) fn table(seen: &BTreeMap<String, Seen>) -> Section {
    let mut section = Section::new("Cold start");
    let of = |name: &str| seen.get(name).map(|seen| median(&seen.starts));
    let hello = of("hello").expect("the floor was measured");
    for (name, seen) in seen {
        let first = median(&seen.starts);
        let ratio = first.as_secs_f64() / hello.as_secs_f64();
        let what = format!("{name}: first answer");
        section.row(what, time(first), format!("hello {}", time(hello)));
        match name.as_str() {
            "token" => section.at_most(ratio, 3.0),
            "authorize" => section.at_most(ratio, 2.5),
            _ => section.at_most(ratio, f64::INFINITY),
        }
        if matches!(name.as_str(), "token" | "authorize") {
            for (peer, target) in [("node", 50.0), ("python", 50.0)] {
                let Some(theirs) = of(peer) else { continue };
                let what = format!("{name}: against {peer}");
                section.row(what, time(first), format!("{peer} {}", time(theirs)));
                section.at_least(theirs.as_secs_f64() / first.as_secs_f64(), target);
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
            time(median(&seen.warm)),
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
    for (name, most) in
        [("token", 2.5), ("authorize", 2.5), ("callback", 3.5), ("errors", 2.5), ("sweep", 2.5)]
    {
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
    section
}

/// Each one's median start.
pub(crate) fn medians(seen: &BTreeMap<String, Seen>) -> Vec<(String, Duration)> {
    seen.iter().map(|(name, seen)| (name.clone(), median(&seen.starts))).collect()
}
