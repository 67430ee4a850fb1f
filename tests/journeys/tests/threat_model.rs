//! docs/threat-model.md names tests that exist.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// All Rust and Python files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && name != "node_modules" && name != "target" {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
            found.push(path);
        }
    }
}

/// `file::test` for every test function: Rust's by their attribute, pytest's by their name.
fn tests() -> HashSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["functions", "shared", "infra", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut found = HashSet::new();
    for file in files {
        let source = std::fs::read_to_string(&file).expect("text");
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder = file.parent().and_then(|folder| folder.file_name()?.to_str()).unwrap_or_default();
        // A module's tests may stand in a file `tests.rs` beside it.
        let module = if matches!(stem, "tests" | "mod" | "main") { folder } else { stem };
        let mut is_test = false;
        for line in source.lines().map(str::trim_start) {
            let declared = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
            let declared = declared.filter(|_| is_test).or_else(|| line.strip_prefix("def "));
            if let Some(name) = declared.and_then(|rest| rest.split(['(', '<']).next()) {
                if is_test || name.starts_with("test_") {
                    found.insert(format!("{module}::{name}"));
                }
                is_test = false;
            } else if line.starts_with("#[test]")
                || line.starts_with("#[tokio::test")
                || line.starts_with("proptest!")
            {
                is_test = true;
            }
        }
    }
    found
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/threat-model.md");
    let text = std::fs::read_to_string(path).expect("the threat model");
    let tests = tests();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let named: Vec<&str> = rows
        .filter_map(|row| row.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|code| code.contains("::"))
        .collect();
    assert!(named.len() > 50, "the tables are read: {}", named.len());
    let gone: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(gone.is_empty(), "named in docs/threat-model.md, and not there: {gone:?}");
}

#[test]
fn every_requirement_that_is_met_says_where() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/threat-model.md");
    let text = std::fs::read_to_string(path).expect("the threat model");
    let requirements = text.split("## Requirements").nth(1).expect("the requirements");
    let requirements = requirements.split("## Accepted").next().expect("their end");
    let mut rows = 0;
    for row in requirements.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, state, place, tests] = cells[..] else { panic!("four cells: {row}") };
        if state == "state" {
            continue;
        }
        assert!(matches!(state, "met" | "partly" | "not met" | "n/a"), "{row}");
        assert!(
            !place.is_empty() || !tests.trim_matches('|').trim().is_empty(),
            "neither place nor test: {row}"
        );
        rows += 1;
    }
    assert!(rows > 50, "the tables are read: {rows}");
}
