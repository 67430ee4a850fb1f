//! The table of criteria names tests that there are.

use std::{fs, path::Path};

/// The sources of the tests in files, or in folders of tests, of this name.
fn sources(folder: &Path, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of tests") {
        let path = entry.expect("an entry").path();
        let is_named = path.file_stem().is_some_and(|stem| stem == name);
        if path.is_dir() {
            // All files of a folder of this name, or those of this name anywhere.
            let inside = if is_named { all(&path) } else { sources(&path, name) };
            found.extend(inside);
        } else if is_named {
            found.push(fs::read_to_string(&path).expect("text"));
        }
    }
    found
}

/// The sources of a folder.
fn all(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).expect("a folder of tests").map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(
            |path| if path.is_dir() { all(&path) } else { vec![fs::read_to_string(&path).expect("text")] },
        )
        .collect()
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
        // Cargo gives a command's path to the tests of its own crate alone.
        let folders =
            ["tests", "../protocol/tests", "../../infra/latchkey/tests"].map(|tests| folder.join(tests));
        let sources: Vec<_> = folders.iter().flat_map(|tests| sources(tests, file)).collect();
        assert!(!sources.is_empty(), "{name}: there is no such file");
        // A name in a comment or at the beginning of a longer one is no test.
        assert!(sources.iter().any(|source| source.contains(&format!("fn {test}()"))), "{name} is gone");
    }
}
