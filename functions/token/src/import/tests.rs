//! Any body of an import: what the fuzzer looks for (tests/fuzz), on stable, with bodies that are often accepted.

use proptest::{prelude::*, strategy::ValueTree as _};
use serde_json::{Value, json};

use super::held;

/// Bodies of the call, each with at most a few members that are wrong.
fn body() -> impl Strategy<Value = Value> {
    let token = prop_oneof![
        8 => "5Aep861[A-Za-z0-9._!]{20,80}",
        1 => "5Aep861[A-Za-z0-9+/=&?#]{20,80}",
        1 => "\\PC{0,40}",
        1 => "[A-Za-z0-9]{10,30}[%\"' :]{0,1}",
    ];
    let place = prop_oneof![
        3 => Just(json!({ "environment": "production" })),
        1 => Just(json!({ "environment": "sandbox" })),
        4 => "[a-z0-9-]{1,20}(--[a-z]{1,6})?(\\.my\\.salesforce\\.com)?".prop_map(|host| json!({ "my_domain": host })),
        1 => "\\PC{0,30}".prop_map(|host| json!({ "my_domain": host })),
        1 => Just(json!({ "my_domain": "xn--acme" })),
        1 => Just(json!({})),
    ];
    let name = prop_oneof![4 => "[a-z0-9-]{1,12}", 1 => "\\PC{0,12}"];
    let more = prop::option::weighted(
        0.1,
        prop::sample::select(vec![
            json!({ "another": true }),
            json!({ "dry_run": 1 }),
            json!({ "app": "other" }),
            json!({ "custmer": {} }),
            json!({ "user": null }),
        ]),
    );
    (token, place, name.clone(), name, more).prop_map(|(token, place, customer, user, more)| {
        let mut body = json!({ "customer": { "id": customer }, "user": user, "refresh_token": token });
        for members in [Some(place), more].into_iter().flatten() {
            for (name, value) in members.as_object().into_iter().flatten() {
                body[name] = value.clone();
            }
        }
        body
    })
}

#[test]
fn bodies_are_accepted_often() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..500)
        .filter(|_| {
            let tree = body().new_tree(&mut runner).expect("a body");
            held::holds(tree.current().to_string().as_bytes())
        })
        .count();
    assert!((150..450).contains(&accepted), "{accepted} of 500");
}

#[test]
fn kept_corpus_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/row");
    let (mut tried, mut accepted) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("the kept corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a small file");
        for line in bytes.split(|byte| *byte == b'\n') {
            accepted += usize::from(held::holds(line));
        }
        tried += 1;
    }
    assert!(tried >= 10 && accepted >= 4, "{accepted} rows of {tried} files are accepted");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_is_one_request_or_refused(body in body()) {
        held::holds(body.to_string().as_bytes());
    }

    #[test]
    fn any_bytes_are_a_body_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        held::holds(&bytes);
    }
}
