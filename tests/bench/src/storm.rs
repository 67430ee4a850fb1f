//! A thousand callers and one token that has ended.

use std::time::{Duration, Instant};

use http::Request;
use lambda_http::Body;
use serde_json::{Value, json};
use token::Token;
use tokio::task::JoinSet;
use world::Clock;

use crate::{
    parts::Waits,
    report::{Section, number, time},
    stage::{Stage, platform_through},
};

const CALLERS: usize = 1000;

/// How often a caller asks before it gives up.
const MOST_CALLS: usize = 10;

/// What Salesforce takes for an exchange: a few hundred milliseconds is usual.
const EXCHANGE: Duration = Duration::from_millis(300);

/// The table: over one process, and over eight with memories of their own.
pub(crate) async fn measure() -> Section {
    let mut section = Section::new("Storm: 1,000 waiters on one token that has ended");
    for processes in [1, 8] {
        // A stage each: of a connection whose fresh tokens are rejected twice the refreshing is paused.
        storm(&Stage::set().await, processes, &mut section).await;
    }
    section.note(format!(
        "Salesforce takes {} for an exchange. The processes share this machine and its two cores with the table; \
         each has clients and memory of its own.",
        time(EXCHANGE)
    ));
    section
}

async fn storm(stage: &Stage, processes: usize, section: &mut Section) {
    let over = format!("over {}", if processes == 1 { "one process" } else { "eight processes" });
    let (salesforce, waits) = (&stage.story.stack.salesforce, Waits::default());
    let process = || Token::new(platform_through(stage, waits.aws(), waits.salesforce()));
    let processes: Vec<Token> = (0..processes).map(|_| process().expect("complete")).collect();
    let mut dead = Value::Null;
    for process in &processes {
        dead = body(&process.respond(call(stage, None), Clock::running().now()).await);
    }
    let fresh = crowd(stage, &processes, None).await;
    salesforce.expire_access_tokens();
    salesforce.set_token_latency(EXCHANGE);
    waits.take();
    let storm = crowd(stage, &processes, Some(&json!({ "rejected": dead["fingerprint"] }))).await;
    salesforce.set_token_latency(Duration::ZERO);
    for answer in &storm.answers {
        assert_eq!(answer["fingerprint"], storm.answers[0]["fingerprint"], "{answer}");
        assert_ne!(answer["fingerprint"], dead["fingerprint"]);
    }
    let asked = waits.take();
    let of = |is: fn(&str) -> bool| asked.iter().filter(|(what, _)| is(what)).count();
    let exchanges = of(|what| what.starts_with('/'));
    let reads = of(|what| matches!(what, "GetItem" | "BatchGetItem" | "TransactGetItems" | "Query"));
    let writes = of(|what| matches!(what, "UpdateItem" | "PutItem" | "TransactWriteItems"));
    let one_read = {
        let began = Instant::now();
        processes[0].respond(call(stage, None), Clock::running().now()).await;
        began.elapsed()
    };

    let ratio = |floor: Duration| storm.last.as_secs_f64() / floor.as_secs_f64();
    section.row(
        format!("the last has the new token, {over}"),
        time(storm.last),
        format!("exchange and one read {}", time(EXCHANGE + one_read)),
    );
    section.at_most(ratio(EXCHANGE + one_read), 2.0);
    section.row(
        format!("the same, {over}"),
        time(storm.last),
        format!("exchange, and a thousand at once with a fresh token {}", time(EXCHANGE + fresh.last)),
    );
    section.ratio(ratio(EXCHANGE + fresh.last));
    section.row(format!("exchanges, {over}"), exchanges.to_string(), "");
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    {
        section.at_most(exchanges as f64, 1.0);
        let each = reads as f64 / CALLERS as f64;
        section.row(
            format!("reads a waiter, {over}"),
            number(each),
            format!("{} calls, {writes} writes in all", storm.calls),
        );
        section.at_most(each, 4.0);
    }
}

/// What a thousand at once were answered.
struct Crowd {
    answers: Vec<Value>,
    calls: u32,
    /// When the last had a token.
    last: Duration,
}

async fn crowd(stage: &Stage, processes: &[Token], ask: Option<&Value>) -> Crowd {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let process = processes[caller % processes.len()].clone();
        let requests = (0..MOST_CALLS).map(|_| call(stage, ask)).collect::<Vec<_>>();
        callers.spawn(async move {
            // As a product does: not yet is asked again.
            for (calls, request) in (1_u32..).zip(requests) {
                let answer = process.respond(request, Clock::running().now()).await;
                if answer.status() == 503 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                } else {
                    return (body(&answer), calls);
                }
            }
            panic!("never a token");
        });
    }
    let (answers, calls): (Vec<Value>, Vec<u32>) = callers.join_all().await.into_iter().unzip();
    Crowd { answers, calls: calls.into_iter().sum(), last: began.elapsed() }
}

fn call(stage: &Stage, body: Option<&Value>) -> Request<Body> {
    let (method, body) = match body {
        Some(body) => ("POST", Body::Text(body.to_string())),
        None => ("GET", Body::Empty),
    };
    Request::builder()
        .method(method)
        .uri(stage.token_path())
        .header("authorization", stage.bearer()[0].1)
        .header("content-type", "application/json")
        .body(body)
        .expect("a request")
}

fn body(answer: &service::Response) -> Value {
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    serde_json::from_slice(answer.body().as_ref()).expect("JSON")
}
