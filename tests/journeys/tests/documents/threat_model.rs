//! docs/threat-model.md names tests and files that exist, and leaves no section of its standards out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && name != "node_modules" && name != "target" {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn threat_model() -> String {
    std::fs::read_to_string(root().join("docs/threat-model.md")).expect("the threat model")
}

/// `file::test` for every test function: Rust's by their attribute, pytest's by their name.
fn tests() -> HashSet<String> {
    let mut all = Vec::new();
    for folder in ["functions", "shared", "infra", "tests"] {
        files(&root().join(folder), &mut all);
    }
    all.retain(|path| path.extension().is_some_and(|extension| extension == "rs" || extension == "py"));
    let mut found = HashSet::new();
    for file in all {
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
    let text = threat_model();
    let tests = tests();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let named: Vec<&str> =
        rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|code| code.contains("::")).collect();
    assert!(named.len() > 50, "the tables are read: {}", named.len());
    let gone: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(gone.is_empty(), "named in docs/threat-model.md, and not there: {gone:?}");
}

#[test]
fn every_requirement_that_is_met_says_where() {
    let text = threat_model();
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
        assert!(!place.is_empty(), "neither place nor reason: {row}");
        let names_a_file = place.split('`').skip(1).step_by(2).any(|code| code.contains('.'));
        assert!(state != "met" || names_a_file || place.contains("see "), "no file: {row}");
        let is_proved = tests.contains("::") || tests.starts_with("none: ");
        assert!(state != "met" || is_proved, "neither a test nor why there is none: {row}");
        rows += 1;
    }
    assert!(rows > 50, "the tables are read: {rows}");
}

/// The numbers that a requirement's first cell begins with or lists: `4–6` is 4, 5 and 6.
fn numbers(cell: &str) -> Vec<String> {
    let is_number = |text: &str| {
        !text.is_empty() && text.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut found = Vec::new();
    for word in cell.split([' ', ',', ';', ':']) {
        let (first, last) = word.split_once('–').unwrap_or((word, word));
        if !is_number(first) || !is_number(last) {
            continue;
        }
        let (section, from) = first.rsplit_once('.').unwrap_or(("", first));
        let to = last.rsplit_once('.').map_or(last, |(_, to)| to);
        let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>()) else { continue };
        let name = |n: u32| if section.is_empty() { n.to_string() } else { format!("{section}.{n}") };
        found.extend((from..=to).map(name));
    }
    found
}

#[test]
fn every_section_of_the_standards_has_a_row() {
    let text = threat_model();
    let rows_of = |heading: &str| -> HashSet<String> {
        let section = text.split(heading).nth(1).expect(heading);
        let section = section.split("\n#").next().unwrap_or_default();
        let cells = section.lines().filter_map(|row| row.strip_prefix("| ")?.split(" |").next());
        cells.flat_map(numbers).collect()
    };
    let mut missing = Vec::new();
    for (heading, section, last) in
        [("### RFC 9700", "4.", 17), ("### RFC 9207", "10.", 16), ("### OpenID Connect Core", "", 13)]
    {
        let rows = rows_of(heading);
        let required = (1..=last).map(|item| format!("{section}{item}"));
        missing.extend(required.filter(|item| !rows.contains(item)).map(|item| (heading, item)));
    }
    let heading = "### OWASP ASVS 5";
    let chapters: HashSet<String> =
        rows_of(heading).iter().filter_map(|item| item.split('.').next()).map(str::to_owned).collect();
    let required = (1..=17).map(|chapter: u32| chapter.to_string());
    missing.extend(required.filter(|item| !chapters.contains(item)).map(|item| (heading, item)));
    assert!(missing.is_empty(), "no row in docs/threat-model.md: {missing:?}");
}

#[test]
fn every_file_that_the_threat_model_names_exists() {
    let mut all = Vec::new();
    for folder in ["functions", "shared", "infra", "tests", "docs"] {
        files(&root().join(folder), &mut all);
    }
    all.extend(
        ["deny.toml", "SECURITY.md", "Cargo.lock"]
            .map(|name| root().join(name))
            .into_iter()
            .filter(|path| path.exists()),
    );
    let text = threat_model();
    let endings = [".rs", ".toml", ".md", ".yaml", ".py", ".html"];
    let code = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<&str> = code.filter(|code| endings.iter().any(|ending| code.ends_with(ending))).collect();
    assert!(named.len() > 15, "the files are read: {}", named.len());
    let gone: Vec<_> = named.iter().filter(|name| !all.iter().any(|path| path.ends_with(name))).collect();
    assert!(gone.is_empty(), "named in docs/threat-model.md, and not there: {gone:?}");
}
