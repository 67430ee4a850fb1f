//! Any host and any token answer: what the fuzzer looks for (tests/fuzz), on stable, with inputs that are often accepted.

#[path = "../../../tests/fuzz/held/answer.rs"]
mod answer;
#[path = "../../../tests/fuzz/held/host.rs"]
mod host;

use proptest::prelude::*;
use serde_json::{Value, json};

/// Values that a member of an answer may have, or should not.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            " ",
            "Bearer",
            "bearer",
            "api refresh_token",
            "0",
            "-1",
            "7200",
            "1667600739962",
            "253402300799999",
            "99999999999999999999",
            "-9223372036854775808",
            "https://acme.my.salesforce.com",
            "https://xn--a",
            "https://acme.my.salesforce.com:99999",
            "https://acme.my.newsalesforce.example",
            "//acme",
            "https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ",
            "https://login.salesforce.com/id//",
        ])
        .prop_map(Value::from),
        prop::collection::vec("[a-z_]{0,12}", 0..3).prop_map(Value::from),
        Just(json!({ "nested": [1] })),
    ]
}

/// Members of an answer, each of which may be absent, or there twice.
fn answer_shaped() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "access_token",
        "refresh_token",
        "id",
        "issued_at",
        "instance_url",
        "scope",
        "token_type",
        "expires_in",
        "id_token",
        "sfdc_community_url",
        "error",
        "error_description",
        "anything",
    ]);
    prop::collection::vec((names, value()), 0..10).prop_map(|members| {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// The kept corpus of a target.
fn corpus(target: &str, holds: fn(&[u8])) {
    let folder = format!("{}/../../tests/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).expect("the kept corpus") {
        holds(&std::fs::read(entry.expect("an entry").path()).expect("a small file"));
        tried += 1;
    }
    assert!(tried >= 10, "only {tried} files");
}

#[test]
fn kept_corpora_hold() {
    corpus("host", host::holds);
    corpus("answer", answer::holds);
}

proptest! {
    #[test]
    fn any_text_is_a_usable_host_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        host::holds(&bytes);
    }

    #[test]
    fn any_name_under_salesforce_is_a_usable_host_or_refused(
        name in "[a-zA-Z0-9.:@/?#%\\\\_-]{0,20}(--[a-z]{0,6})?",
        ending in prop::sample::select(vec!["", ".my.salesforce.com", ".sandbox.my.salesforce.com", ".salesforce.mil"]),
    ) {
        host::holds(format!("{name}{ending}").as_bytes());
    }

    #[test]
    fn any_bytes_are_an_answer_or_doubtful(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        answer::holds(&bytes);
    }

    #[test]
    fn any_members_are_an_answer_or_doubtful(text in answer_shaped()) {
        answer::holds(text.as_bytes());
    }
}
