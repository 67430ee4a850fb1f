//! Any host and any token answer: what the fuzzer looks for (tests/fuzz), on stable, with inputs that are often accepted.

#[path = "../../../tests/fuzz/held/answer.rs"]
mod answer;
#[path = "../../../tests/fuzz/held/host.rs"]
mod host;
#[path = "../../../tests/fuzz/held/reply.rs"]
mod reply;

use proptest::{prelude::*, strategy::ValueTree as _};
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

/// Answers over HTTP: tokens that are signed or not, redirects, refusals, gateways' pages.
fn reply_shaped() -> impl Strategy<Value = String> {
    let status = prop_oneof![
        6 => Just("200".to_owned()),
        2 => prop::sample::select(vec!["400", "401", "403", "429", "500", "502", "503"]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["301", "302", "303", "307", "308"]).prop_map(str::to_owned),
        1 => "[0-9]{0,4}",
    ];
    let location = prop_oneof![
        3 => Just(String::new()),
        2 => "https://[a-z]{1,8}(\\.sandbox)?\\.my\\.salesforce\\.com/services/oauth2/token",
        1 => "(https?:)?//(login|test|u@acme\\.my|xn--a\\.my|acme\\.my)\\.salesforce\\.com(:[0-9]{1,6})?/?",
        1 => "\\PC{0,30}",
    ];
    let after = prop_oneof![
        3 => Just(String::new()),
        2 => "-?[0-9]{1,25}",
        1 => "(Mon|Sat), [0-9]{2} Nov (2026|9999|0001) [0-9]{2}:00:00 GMT",
        1 => "\\PC{0,20}",
    ];
    let body = prop_oneof![
        3 => answer_shaped(),
        1 => Just(r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#.to_owned()),
        1 => Just(r#"[{"errorCode":"API_DISABLED","message":"no"}]"#.to_owned()),
        1 => "<html>\\PC{0,20}",
        1 => "\\PC{0,40}",
    ];
    (status, location, after.clone(), after, body)
        .prop_map(|(status, to, after, date, body)| [status, to, after, date, body].join("\n"))
}

#[test]
fn replies_bring_tokens_often() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut replies = (0..300).map(|_| reply_shaped().new_tree(&mut runner).expect("a reply").current());
    let kept = replies.by_ref().filter(|text| reply::holds(text.as_bytes())).count();
    assert!((30..250).contains(&kept), "{kept} of 300");
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
    corpus("reply", |bytes| {
        reply::holds(bytes);
    });
}

proptest! {
    #[test]
    fn any_text_is_a_usable_host_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        host::holds(&bytes);
    }

    #[test]
    fn any_damaged_address_names_its_org_or_none(
        before in "(https?|ttps|htps|s|[a-z0-9]{0,6})(:|/|//|://|:/|;//| |', '|)(acme|x y|-)?[/: ]?",
        name in "[a-z0-9-]{1,9}",
        ending in prop::sample::select(vec!["", ".my", ".my.salesforce.com", ".sandbox.my.salesforce.com"]),
        after in "(|/|/[a-z./:-]{0,12}|:|:[a-z0-9]{0,3}| [a-z]{0,5}|\\))",
    ) {
        host::holds(format!("{before}{name}{ending}{after}").as_bytes());
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

    #[test]
    fn any_bytes_are_a_reply(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        reply::holds(&bytes);
    }

    #[test]
    fn any_reply_is_tokens_or_explained(text in reply_shaped()) {
        reply::holds(text.as_bytes());
    }
}
