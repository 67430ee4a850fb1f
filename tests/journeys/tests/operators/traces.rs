//! Where a collector is configured it is sent each invocation's spans: a whole connect is one trace, a product's own
//! trace goes on in ours, and nothing secret is in either.

use std::{collections::BTreeSet, sync::Arc, sync::Mutex};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use jiff::SignedDuration;
use journeys::{Story, leaks::Places};
use local::Options;
use serde_json::{Value, json};
use telemetry::trace::TraceId;
use tokio::net::TcpListener;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

type Sent = Arc<Mutex<Vec<String>>>;

/// A collector of traces as OTLP has it, which takes whatever it is sent.
async fn collector() -> (String, Sent) {
    async fn take(State(sent): State<Sent>, headers: HeaderMap, body: String) -> &'static str {
        assert_eq!(headers["content-type"], "application/json");
        sent.lock().expect("no panic").push(body);
        "{}"
    }
    let sent = Sent::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&sent));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, sent)
}

async fn traced() -> (Story, Sent) {
    let (endpoint, sent) = collector().await;
    let story = Story::with(Options { collector: Some(endpoint), ..Options::for_tests() }).await;
    story.install("sync");
    (story, sent)
}

/// Every span, with its function's name, as OTLP's JSON has them.
fn spans(sent: &Sent) -> Vec<(String, Value)> {
    let bodies = sent.lock().expect("no panic").clone();
    let mut spans = Vec::new();
    for body in bodies {
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let of = &body["resourceSpans"][0];
        let service = of["resource"]["attributes"][0]["value"]["stringValue"].as_str().expect("a service");
        for span in of["scopeSpans"][0]["spans"].as_array().expect("spans") {
            let hex = |member: &str, digits: usize| {
                let id = span[member].as_str().expect("an id");
                assert!(id.len() == digits && id.bytes().all(|b| b.is_ascii_hexdigit()), "{span}");
            };
            hex("traceId", 32);
            hex("spanId", 16);
            let time =
                |member: &str| span[member].as_str().expect("a text").parse::<u128>().expect("nanoseconds");
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
            spans.push((service.to_owned(), span.clone()));
        }
    }
    spans
}

fn names<'a>(spans: impl Iterator<Item = &'a (String, Value)>) -> BTreeSet<String> {
    spans.map(|(service, span)| format!("{service} {}", span["name"].as_str().expect("a name"))).collect()
}

/// Each span hangs on one of the same trace, on the caller's, or on none.
fn hangs_together(spans: &[(String, Value)]) {
    let ids: BTreeSet<&str> = spans.iter().filter_map(|(_, span)| span["spanId"].as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "each has an id of its own");
    for (_, span) in spans {
        if let Some(parent) = span["parentSpanId"].as_str() {
            assert!(parent == CALLER || ids.contains(parent), "{span}");
        }
    }
}

#[tokio::test]
async fn a_connect_is_one_trace_and_a_products_trace_goes_on_in_a_refresh() {
    let (story, sent) = traced().await;
    let connection = story.connected().await;

    let connect = spans(&sent);
    hangs_together(&connect);
    let session = connect.iter().find_map(|(_, span)| {
        let attributes = span["attributes"].as_array()?;
        let session = attributes.iter().find(|attribute| attribute["key"] == "session")?;
        session["value"]["stringValue"].as_str()
    });
    let trace = TraceId::of_session(session.expect("a session")).to_string();
    let of_session = connect.iter().filter(|(_, span)| span["traceId"] == trace.as_str());
    let named = names(of_session);
    for step in [
        "latchkey-authorize authorize",
        "latchkey-authorize aws",
        "latchkey-callback callback",
        "latchkey-callback claim",
        "latchkey-callback exchange",
        "latchkey-callback salesforce",
        "latchkey-callback seal",
        "latchkey-callback store",
    ] {
        assert!(named.contains(step), "no {step} among {named:?}");
    }
    let requests = connect.iter().filter(|(_, span)| span["traceId"] == trace.as_str() && span["kind"] == 2);
    assert!(requests.count() >= 5, "created, opened, left, returned, redeemed");

    // A refresh, asked for within a trace of the product's.
    story.pass(SignedDuration::from_hours(3));
    sent.lock().expect("no panic").clear();
    let key = story.stack.api_key("fernway").expose().to_owned();
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let path = format!("/v1/connections/{connection}/token");
    let token = story.call_with(&key, &[("traceparent", &parent)], "GET", &path, None).await;
    assert_eq!(token.status, 200);
    let response = token.headers["traceresponse"].to_str().expect("ASCII");
    let refresh = spans(&sent);
    hangs_together(&refresh);
    assert!(refresh.iter().all(|(_, span)| span["traceId"] == TRACE), "{refresh:?}");
    let own = refresh.iter().find(|(_, span)| span["parentSpanId"] == CALLER).expect("the caller's child");
    assert_eq!(response, format!("00-{TRACE}-{}-01", own.1["spanId"].as_str().expect("an id")));
    let named = names(refresh.iter());
    for step in ["refresh", "lease", "begin", "send", "salesforce", "keep", "aws"] {
        assert!(named.contains(&format!("latchkey-token {step}")), "no {step} among {named:?}");
    }
    let sent_within = refresh.iter().find(|(_, span)| span["name"] == "salesforce").expect("the call");
    let above = refresh.iter().find(|(_, span)| span["spanId"] == sent_within.1["parentSpanId"]);
    assert_eq!(above.expect("its step").1["name"], "send");
    let line = story.stack.functions.lines.all().into_iter().rev().find(|line| line.contains(TRACE));
    assert!(line.is_some(), "the log names the trace");

    let traces = sent.lock().expect("no panic").clone();
    let all: Vec<String> = connect.iter().map(|(_, span)| span.to_string()).chain(traces).collect();
    story.nothing_leaked_to(Places { traces: all, ..Places::default() }).await;
}

#[tokio::test]
async fn who_records_nothing_is_sent_nothing_and_who_writes_nonsense_is_answered() {
    let (story, sent) = traced().await;
    let key = story.stack.api_key("fernway").expose().to_owned();
    let list = async |parent: &str| {
        story.call_with(&key, &[("traceparent", parent)], "GET", "/v1/connections", None).await
    };

    let unsampled = list(&format!("00-{TRACE}-{CALLER}-00")).await;
    assert_eq!(unsampled.status, 200);
    assert!(unsampled.headers["traceresponse"].to_str().expect("ASCII").ends_with("-00"));
    assert!(spans(&sent).is_empty(), "its caller does not record");

    for nonsense in ["00-xyz", "", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-1-1-1"] {
        let answer = list(nonsense).await;
        assert_eq!(answer.status, 200, "{nonsense}");
        assert!(answer.headers.get("traceresponse").is_none(), "{nonsense}");
    }
    assert_eq!(spans(&sent).iter().filter(|(_, span)| span["kind"] == 2).count(), 4, "in traces of our own");

    // A link cannot make a browser's visit a part of anybody's trace.
    sent.lock().expect("no panic").clear();
    let link = story.wish(json!({})).await.text("connect_url").to_owned();
    let path = link.strip_prefix(&story.stack.latchkey).expect("ours").to_owned();
    story.call_with("", &[("traceparent", &format!("00-{TRACE}-{CALLER}-01"))], "GET", &path, None).await;
    assert!(spans(&sent).iter().all(|(_, span)| span["traceId"] != TRACE));
}

#[tokio::test]
async fn a_collector_that_is_away_costs_half_a_second_and_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("an address"));
    let story = Story::with(Options { collector: Some(silent), ..Options::for_tests() }).await;

    let began = std::time::Instant::now();
    let listed = story.call("GET", "/v1/connections", None).await;

    assert_eq!(listed.status, 200);
    assert!(began.elapsed().as_secs_f64() < 5.0, "{:?}", began.elapsed());
    drop(listener);
}
