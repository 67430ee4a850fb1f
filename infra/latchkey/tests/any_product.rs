//! Any product file: what the fuzzer looks for (tests/fuzz), on stable, with files that are often almost right.

#[path = "../../../tests/fuzz/held/product.rs"]
mod held;

use proptest::prelude::*;

const WHOLE: &str = r##"id = "fernway"
return_addresses = ["https://app.fernway.example/salesforce/return"]

[brand]
name = "Fernway"
colour = "#1b6e4b"
support = { email = "help@fernway.example" }

[[apps]]
id = "sync"
kind = "connected_app"
consumer_key = "3MVG9.fernway.sync"
secret = "latchkey/dev/apps/fernway-sync"
scopes = ["api", "refresh_token"]
names = ["Fernway Sync"]
login_hosts = ["production"]
access_token_minutes = 15
connections = "shared"
"##;

/// What may stand where a value stands.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,30}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,30}",
        any::<i64>().prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "[]",
            "{}",
            "true",
            "\"\"",
            "\"\u{200b}\"",
            "\" x\"",
            "[\"API\"]",
            "[\"*\"]",
            "inf",
            "nan",
            "1979-05-27",
            "\"https://*.fernway.example/\"",
            "\"mailto:a@b.example\"",
            "\"https://xn--a/\"",
            "\"http://[::1\"",
            "[\"refresh_token\", \"new_api\"]",
            "\"\"\"\na\n\"\"\"",
            "'''",
            "18446744073709551616",
        ])
        .prop_map(str::to_owned),
    ]
}

#[test]
fn whole_file_is_accepted() {
    held::holds(WHOLE.as_bytes());
    assert!(latchkey::read_product(std::path::Path::new("any.toml"), WHOLE).is_ok());
}

#[test]
fn kept_corpus_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/product");
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).expect("the kept corpus") {
        held::holds(&std::fs::read(entry.expect("an entry").path()).expect("a small file"));
        tried += 1;
    }
    assert!(tried >= 4, "only {tried} files");
}

proptest! {
    #[test]
    fn any_bytes_are_a_product_file_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        held::holds(&bytes);
    }

    #[test]
    fn any_value_in_a_product_file_is_accepted_or_explained(
        line in 0..WHOLE.lines().count(),
        value in value(),
    ) {
        let lines: Vec<String> = WHOLE
            .lines()
            .enumerate()
            .map(|(at, text)| match text.split_once(" = ").filter(|_| at == line) {
                Some((name, _)) => format!("{name} = {value}"),
                None => text.to_owned(),
            })
            .collect();
        held::holds(lines.join("\n").as_bytes());
    }

    #[test]
    fn any_cut_of_a_product_file_is_accepted_or_explained(from in 0..WHOLE.len(), to in 0..WHOLE.len()) {
        let (from, to) = (from.min(to), from.max(to));
        held::holds(format!("{}{}", &WHOLE[..from], &WHOLE[to..]).as_bytes());
    }
}
