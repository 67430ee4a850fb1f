//! Where the instructions go: callgrind counts them from the process's start to its first answer, and of a warm answer,
//! so that nothing else on the machine is in them. The binaries keep their symbols for it (`tests/bench/run profile`).

use std::{cmp::Reverse, collections::HashMap, path::Path, process::Command};

use crate::{
    report::{Section, millions, thousands},
    sandbox::{Function, Sandbox},
    stage::{Stage, binary},
};

/// How many of the costliest are named.
const NAMED: usize = 10;

/// What the costliest are made of tells little: these only pass on.
const PASSED_BY: [&str; 13] = [
    "0x",
    "main",
    "libc_start",
    "__rust_begin_short_backtrace",
    "ld-linux",
    "Future>::poll",
    "lang_start",
    "tokio::runtime",
    "FnOnce::call_once",
    "sync::once",
    "client::orchestrator",
    "process_invocation",
    "runtime::http::serve",
];

/// More answers of a warm function, over which one is counted.
const MORE: u16 = 200;

/// What was counted of one process.
struct Counted {
    instructions: u64,
    /// Each function with all that it calls, in instructions, the costliest first.
    inclusive: Vec<(u64, String)>,
}

impl Counted {
    /// Of one answer, where this is of `MORE` beyond that.
    fn each_beyond(&self, before: &Self) -> Self {
        let known: HashMap<&str, u64> =
            before.inclusive.iter().map(|(cost, name)| (name.as_str(), *cost)).collect();
        let each = |after: u64, before: u64| after.saturating_sub(before) / u64::from(MORE);
        let beyond = |(cost, name): &(u64, String)| {
            (each(*cost, known.get(name.as_str()).copied().unwrap_or_default()), name.clone())
        };
        let mut inclusive: Vec<_> = self.inclusive.iter().map(beyond).collect();
        inclusive.sort_unstable_by_key(|(cost, _)| Reverse(*cost));
        Self { instructions: each(self.instructions, before.instructions), inclusive }
    }

    fn costliest(&self, unit: fn(u64) -> String) -> String {
        let named = self.inclusive.iter().take(NAMED).map(|(cost, name)| format!("{} `{name}`", unit(*cost)));
        named.collect::<Vec<_>>().join(" · ")
    }
}

/// The table, and the costliest of each function.
pub(crate) fn measure(stage: &Stage) -> Section {
    let hello = stage.references().swap_remove(0);
    let floor = count(&hello, 0);
    let warm_floor = count(&hello, MORE).each_beyond(&floor);
    let mut section = Section::new("Instructions");
    let beside =
        |section: &mut Section, what: String, counted: &Counted, floor: &Counted, unit: fn(u64) -> String| {
            section.row(what, unit(counted.instructions), format!("hello {}", unit(floor.instructions)));
            #[expect(clippy::cast_precision_loss, reason = "millions")]
            section.ratio(counted.instructions as f64 / floor.instructions as f64);
        };
    for function in stage.functions() {
        let name = &function.name;
        let cold = count(&function, 0);
        beside(&mut section, format!("{name}: from its start to its first answer"), &cold, &floor, millions);
        section.note(format!("{name}, its start: {}.", cold.costliest(millions)));
        if name == "token" {
            let warm = count(&function, MORE).each_beyond(&cold);
            beside(&mut section, format!("{name}: one more answer"), &warm, &warm_floor, thousands);
            section.note(format!("{name}, one more answer: {}.", warm.costliest(thousands)));
        }
    }
    section
}

/// To the first answer and so many more.
fn count(function: &Function, more: u16) -> Counted {
    let told = annotated(|file| {
        let mut under = vec!["valgrind".to_owned()];
        under.extend(callgrind(file));
        under.push(binary(&function.name).display().to_string());
        let sandbox = Sandbox::start(&Function { command: under, ..function.clone() });
        sandbox.first();
        for _ in 0..more {
            sandbox.again(&function.event);
        }
        sandbox.end();
    });
    let mut lines = told.lines().filter_map(line);
    let (instructions, _) = lines.next().expect("the total");
    let mut inclusive: Vec<(u64, String)> = Vec::new();
    for (cost, name) in lines.filter(|(_, name)| !PASSED_BY.iter().any(|part| name.contains(part))) {
        // A function's closures have its name: the costliest of them calls the others.
        if !inclusive.iter().any(|(_, known)| *known == name) {
            inclusive.push((cost, name));
        }
    }
    Counted { instructions, inclusive }
}

/// What valgrind is asked, so that its counts are in that file.
pub(crate) fn callgrind(file: &Path) -> [String; 3] {
    ["--quiet".into(), "--tool=callgrind".into(), format!("--callgrind-out-file={}", file.display())]
}

/// How many instructions a process took that `run` has counted into the file.
pub(crate) fn instructions(run: impl FnOnce(&Path)) -> u64 {
    annotated(run).lines().find_map(line).expect("the total").0
}

fn annotated(run: impl FnOnce(&Path)) -> String {
    let file = std::env::temp_dir().join(format!("latchkey-callgrind-{}", std::process::id()));
    run(&file);
    let told = Command::new("callgrind_annotate").arg("--inclusive=yes").arg(&file).output();
    std::fs::remove_file(&file).expect("callgrind has written it");
    String::from_utf8_lossy(&told.expect("valgrind is installed").stdout).into_owned()
}

/// `1,234,567 (12.3%)  file:function [object]`: how many, and the function.
fn line(text: &str) -> Option<(u64, String)> {
    let (count, rest) = text.trim_start().split_once(" (")?;
    let count = count.trim().replace(',', "").parse().ok()?;
    let (_, name) = rest.split_once("%)")?;
    let name = name.trim().rsplit_once(" [").map_or(name.trim(), |(name, _)| name);
    let name = name.split_once(':').map_or(name, |(_, name)| name);
    Some((count, name.trim_end_matches("::{{closure}}").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_callgrinds_is_read() {
        let told = "1,707,563 (28.58%)  ???:platform::clients::Platform::through [/tmp/token]";
        assert_eq!(line(told), Some((1_707_563, "platform::clients::Platform::through".into())));
        assert_eq!(line("5,973,992 (100.0%)  PROGRAM TOTALS"), Some((5_973_992, "PROGRAM TOTALS".into())));
        assert_eq!(line("Events shown:     Ir"), None);
    }
}
