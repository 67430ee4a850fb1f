//! Where a start's instructions go: callgrind counts them from the process's start to its first answer, so that
//! nothing else on the machine is in them. The binaries keep their symbols for it (`tests/bench/run profile`).

use std::{path::Path, process::Command};

use crate::{
    report::{Section, millions},
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
    "service::serve",
];

/// What was counted of one function.
struct Counted {
    name: String,
    instructions: u64,
    /// The costliest, with all that they call, in instructions.
    costliest: Vec<(u64, String)>,
}

/// The table, and the costliest of each function.
pub(crate) fn measure(stage: &Stage) -> Section {
    let hello = stage.references().swap_remove(0);
    let floor = count(&hello);
    let mut section = Section::new("Instructions of a cold start");
    section.row("hello", millions(floor.instructions), "");
    for function in stage.functions() {
        let counted = count(&function);
        section.row(
            format!("{}: to its first answer", counted.name),
            millions(counted.instructions),
            format!("hello {}", millions(floor.instructions)),
        );
        #[expect(clippy::cast_precision_loss, reason = "millions")]
        section.ratio(counted.instructions as f64 / floor.instructions as f64);
        let named = counted.costliest.iter().map(|(cost, name)| format!("{} `{name}`", millions(*cost)));
        section.note(format!("{}: {}.", counted.name, named.collect::<Vec<_>>().join(" · ")));
    }
    section
}

fn count(function: &Function) -> Counted {
    let told = annotated(|file| {
        let mut under = vec!["valgrind".to_owned()];
        under.extend(callgrind(file));
        under.push(binary(&function.name).display().to_string());
        let sandbox = Sandbox::start(&Function { command: under, ..function.clone() });
        sandbox.first();
        sandbox.end();
    });
    let mut lines = told.lines().filter_map(line);
    let (instructions, _) = lines.next().expect("the total");
    let mut costliest: Vec<(u64, String)> = Vec::new();
    for (cost, name) in lines.filter(|(_, name)| !PASSED_BY.iter().any(|part| name.contains(part))) {
        // A function's closures have its name: the costliest of them calls the others.
        if !costliest.iter().any(|(_, known)| *known == name) {
            costliest.push((cost, name));
        }
    }
    costliest.truncate(NAMED);
    Counted { name: function.name.clone(), instructions, costliest }
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
        let told = "1,707,563 (28.58%)  ???:service::platform::Platform::through [/tmp/token]";
        assert_eq!(line(told), Some((1_707_563, "service::platform::Platform::through".into())));
        assert_eq!(line("5,973,992 (100.0%)  PROGRAM TOTALS"), Some((5_973_992, "PROGRAM TOTALS".into())));
        assert_eq!(line("Events shown:     Ir"), None);
    }
}
