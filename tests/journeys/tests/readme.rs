//! The table of criteria names tests that there are.

use std::path::Path;

#[test]
fn every_test_that_the_readme_names_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).expect("the README");
    let named: Vec<&str> =
        readme.split('`').skip(1).step_by(2).filter(|code| code.matches("::").count() == 1).collect();
    assert!(named.len() > 60, "the table is read: {}", named.len());
    for name in named {
        let (file, test) = name.split_once("::").expect("file::test");
        let places = [
            format!("tests/{file}.rs"),
            format!("tests/bad_input/{file}.rs"),
            format!("tests/reconnect/{file}.rs"),
            format!("tests/{file}/main.rs"),
            format!("tests/attacker/{file}.rs"),
            // Cargo gives a command's path to the tests of its own crate alone.
            format!("../../infra/latchkey/tests/{file}.rs"),
        ];
        let source = places.iter().find_map(|place| std::fs::read_to_string(folder.join(place)).ok());
        let source = source.unwrap_or_else(|| panic!("{name}: there is no such file"));
        assert!(source.contains(test), "{name} is gone");
    }
}
