//! Any event of API Gateway's: what the fuzzer looks for (tests/fuzz), on stable, with requests that are often routed.

use proptest::{prelude::*, strategy::ValueTree as _};
use telemetry::trace::TraceContext;

use web::{
    Function, Request, Route,
    browser_binding::is_prefetch,
    request::{bearer, cookie, is_same_origin, json as json_body},
    routes::ROUTES,
};

use crate::sanitize_event::SanitizedEvent;

#[path = "../../../tests/fuzz/held/event.rs"]
mod held;

/// A request: one of our routes, more or less, with headers that are read.
fn request() -> impl Strategy<Value = String> {
    let route = prop::sample::select(ROUTES).prop_flat_map(|route| {
        let id = prop_oneof!["[a-z]{2}_[a-z0-9]{26}", "\\PC{0,12}", "%[0-9a-f]{2}"];
        let query = prop_oneof![
            3 => Just(String::new()),
            1 => "\\?(customer|limit|after|from|state|code|error)=[a-z0-9%&=;]{0,20}",
            1 => "\\?\\PC{0,30}",
        ];
        let method =
            prop_oneof![5 => Just(route.method.to_owned()), 1 => "(GET|HEAD|PUT|OPTIONS|[!-~]{1,8})"];
        (method, id, query).prop_map(move |(method, id, query)| {
            let segments = route.path.split('/').map(|part| if part.starts_with('{') { &id } else { part });
            format!("{method} {}{query}", segments.collect::<Vec<_>>().join("/"))
        })
    });
    let value = prop_oneof![
        "\\PC{0,30}",
        "(https://connect\\.example|null|same-origin|prefetch|Bearer lk_[a-z_]{0,30})",
        "0[01f]-[0-9a-f]{32}-[0-9a-f]{16}-0[01]",
        "(__Host-lk-abc=[a-z0-9]{0,20};? ?){0,3}",
    ];
    let name = prop::sample::select(vec![
        "Authorization",
        "Cookie",
        "Origin",
        "Sec-Fetch-Site",
        "Sec-Purpose",
        "traceparent",
        "Host",
        "X-Forwarded-Proto",
        "Idempotency-Key",
        "Content-Type",
        "n\u{e4}me",
    ]);
    let headers =
        prop::collection::vec((name, value).prop_map(|(name, value)| format!("{name}: {value}")), 0..5);
    let body = prop_oneof![2 => Just(String::new()), 1 => Just("{}".to_owned()), 1 => "\\PC{0,30}"];
    (route, headers, body)
        .prop_map(|(route, headers, body)| format!("{route}\n{}\n\n{body}", headers.join("\n")))
}

#[test]
fn requests_are_routed_often() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut requests = (0..500).map(|_| request().new_tree(&mut runner).expect("a request").current());
    let routed = requests.by_ref().filter(|request| held::holds(request.as_bytes())).count();
    assert!((150..450).contains(&routed), "{routed} of 500");
}

#[test]
fn kept_corpus_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/event");
    let (mut tried, mut routed) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("the kept corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a small file");
        routed += usize::from(held::holds(&bytes));
        tried += 1;
    }
    assert!(tried >= 10 && routed >= 4, "{routed} of {tried} are routed");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_routed_or_refused(request in request()) {
        held::holds(request.as_bytes());
    }

    #[test]
    fn any_bytes_are_routed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        held::holds(&bytes);
    }
}
