//! The table of criteria names tests that there are.

use std::{fs, path::Path};

/// The source of a file of tests, or of all files of a folder of tests.
fn source(folder: &Path, name: &str) -> Option<String> {
    let places = [
        format!("tests/{name}.rs"),
        format!("tests/bad_input/{name}.rs"),
        format!("tests/reconnect/{name}.rs"),
        format!("tests/attacker/{name}.rs"),
        format!("tests/same_connection/{name}.rs"),
        format!("../protocol/tests/{name}.rs"),
        // Cargo gives a command's path to the tests of its own crate alone.
        format!("../../infra/latchkey/tests/{name}.rs"),
    ];
    if let Some(source) = places.iter().find_map(|place| fs::read_to_string(folder.join(place)).ok()) {
        return Some(source);
    }
    let files = fs::read_dir(folder.join("tests").join(name)).ok()?;
    Some(files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok()).collect())
}

#[test]
fn every_test_that_the_readme_names_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(folder.join("README.md")).expect("the README");
    let named: Vec<&str> =
        readme.split('`').skip(1).step_by(2).filter(|code| code.matches("::").count() == 1).collect();
    assert!(named.len() > 60, "the table is read: {}", named.len());
    for name in named {
        let (file, test) = name.split_once("::").expect("file::test");
        let source = source(folder, file).unwrap_or_else(|| panic!("{name}: there is no such file"));
        // A name in a comment or at the beginning of a longer one is no test.
        assert!(source.contains(&format!("fn {test}()")), "{name} is gone");
    }
}
