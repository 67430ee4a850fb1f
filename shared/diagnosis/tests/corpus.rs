//! The fuzzer's kept corpus of pastes, tried again: what once was hard stays right.

#[path = "../../../tests/fuzz/held/paste.rs"]
mod held;

#[test]
fn the_kept_corpus_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/paste");
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).expect("the kept corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        held::holds(&std::fs::read(path).expect("a small file"));
        tried += 1;
    }
    assert!(tried > 100, "only {tried} files");
}
