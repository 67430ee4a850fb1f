//! A thousand callers and one token that has ended.

use runtime::HttpFunction as _;
use std::time::{Duration, Instant};

use http::Request;
use lambda_http::Body;
use serde_json::{Value, json};
use token::Token;
use tokio::task::JoinSet;
use world::Clock;

use crate::{
    parts::Waits,
    report::{Section, median, number, time},
    stage::{Stage, platform_through},
};

const CALLERS: usize = 1000;

/// The last: a request at a time in each, as the template deploys them.
const PROCESSES: [usize; 3] = [1, 8, CALLERS];

/// What Salesforce takes for an exchange: a few hundred milliseconds is usual.
const EXCHANGES: [Duration; 3] =
    [Duration::from_millis(150), Duration::from_millis(300), Duration::from_millis(600)];

/// How many storms of each kind, of which the middle one counts.
const STORMS: usize = 3;

/// How often a caller asks before it gives up.
const MOST_CALLS: usize = 30;

/// A process: the function, and the ways out that are its own.
#[derive(Clone)]
struct Process {
    token: Token,
    waits: Waits,
}

/// What was seen of one storm.
struct Seen {
    /// When the last had the new token.
    last: Duration,
    /// When the last of a thousand at once had a fresh one.
    fresh: Duration,
    /// What one alone takes.
    read: Duration,
    calls: u32,
    exchanges: usize,
    /// Of a process's waiters, each: the most of all processes.
    reads: f64,
    writes: usize,
}

/// The table: over one process, over eight with memories of their own, and over one for each caller.
pub(crate) async fn measure() -> Section {
    let mut section = Section::new("Storm: 1,000 waiters on one token that has ended");
    for processes in PROCESSES {
        for exchange in EXCHANGES {
            let mut seen = Vec::new();
            for _ in 0..STORMS {
                // A stage each: of a connection whose fresh tokens are rejected twice the refreshing is paused.
                seen.push(storm(&Stage::set().await, processes, exchange).await);
            }
            rows(&mut section, processes, exchange, &seen);
        }
    }
    section.note(format!(
        "Each figure is the middle one of {STORMS} storms, counts the worst. The processes share this machine and its cores \
         with the table; each has clients and memory of its own."
    ));
    section
}

fn rows(section: &mut Section, processes: usize, exchange: Duration, seen: &[Seen]) {
    let over = match processes {
        1 => "one process".to_owned(),
        many => format!("{many} processes"),
    };
    let of = format!("{over}, an exchange of {} ms", exchange.as_millis());
    let last = median(&seen.iter().map(|seen| seen.last).collect::<Vec<_>>());
    let against = |section: &mut Section, what: String, beside: &str, more: fn(&Seen) -> Duration| {
        let floor = exchange + median(&seen.iter().map(more).collect::<Vec<_>>());
        section.row(what, time(last), format!("exchange and {beside} {}", time(floor)));
        last.as_secs_f64() / floor.as_secs_f64()
    };
    let ratio = against(section, format!("the last has the new token: {of}"), "one read", |seen| seen.read);
    section.at_most(ratio, 2.0);
    let ratio =
        against(section, format!("the same: {over}"), "a thousand at once with a fresh token", |seen| {
            seen.fresh
        });
    section.ratio(ratio);
    let exchanges = seen.iter().map(|seen| seen.exchanges).max().unwrap_or_default();
    section.row(format!("exchanges: {over}"), exchanges.to_string(), "");
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    section.at_most(exchanges as f64, 1.0);
    let reads = seen.iter().map(|seen| seen.reads).fold(0.0, f64::max);
    let (calls, writes) =
        (seen.iter().map(|seen| seen.calls).max(), seen.iter().map(|seen| seen.writes).max());
    let (calls, writes) = (calls.unwrap_or_default(), writes.unwrap_or_default());
    let whose = if processes == CALLERS { "reads, the most of any waiter" } else { "reads a waiter" };
    section.row(format!("{whose}: {over}"), number(reads), format!("{calls} calls, {writes} writes in all"));
    section.at_most(reads, 4.0);
}

async fn storm(stage: &Stage, processes: usize, exchange: Duration) -> Seen {
    let salesforce = &stage.story.stack.salesforce;
    let process = |_| {
        let waits = Waits::default();
        let platform = platform_through(stage, waits.aws(), waits.salesforce());
        Process { token: Token::new(platform).expect("complete"), waits }
    };
    let processes: Vec<Process> = (0..processes).map(process).collect();
    let mut dead = Value::Null;
    for process in &processes {
        dead = body(&process.token.respond(call(stage, None), Clock::running().now()).await);
    }
    let fresh = crowd(stage, &processes, None).await.last;
    salesforce.expire_access_tokens();
    salesforce.set_token_latency(exchange);
    for process in &processes {
        process.waits.take();
    }
    let storm = crowd(stage, &processes, Some(&json!({ "rejected": dead["fingerprint"] }))).await;
    salesforce.set_token_latency(Duration::ZERO);
    for answer in &storm.answers {
        assert_eq!(answer["fingerprint"], storm.answers[0]["fingerprint"], "{answer}");
        assert_ne!(answer["fingerprint"], dead["fingerprint"]);
    }
    let (mut exchanges, mut writes, mut reads) = (0, 0, 0);
    for process in &processes {
        let asked = process.waits.take();
        let of = |is: fn(&str) -> bool| asked.iter().filter(|(what, _)| is(what)).count();
        exchanges += of(|what| what.starts_with('/'));
        writes += of(|what| matches!(what, "UpdateItem" | "PutItem" | "TransactWriteItems"));
        reads =
            reads.max(of(|what| matches!(what, "GetItem" | "BatchGetItem" | "TransactGetItems" | "Query")));
    }
    let began = Instant::now();
    processes[0].token.respond(call(stage, None), Clock::running().now()).await;
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let reads = reads as f64 / (CALLERS / processes.len()) as f64;
    Seen { last: storm.last, fresh, read: began.elapsed(), calls: storm.calls, exchanges, reads, writes }
}

/// What a thousand at once were answered.
struct Crowd {
    answers: Vec<Value>,
    calls: u32,
    /// When the last had a token.
    last: Duration,
}

async fn crowd(stage: &Stage, processes: &[Process], ask: Option<&Value>) -> Crowd {
    let requests = || (0..MOST_CALLS).map(|_| call(stage, ask)).collect::<Vec<_>>();
    let callers = processes.iter().cycle().take(CALLERS).map(|process| (process.token.clone(), requests()));
    let callers: Vec<_> = callers.collect();
    let began = Instant::now();
    let mut crowd = JoinSet::new();
    for (token, requests) in callers {
        crowd.spawn(async move {
            // As a product does: not yet is asked again.
            for (calls, request) in (1_u32..).zip(requests) {
                let answer = token.respond(request, Clock::running().now()).await;
                if answer.status() == 503 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                } else {
                    return (body(&answer), calls, Instant::now());
                }
            }
            panic!("never a token");
        });
    }
    let all = crowd.join_all().await;
    let last = all.iter().map(|(.., at)| *at).max().unwrap_or(began) - began;
    let calls = all.iter().map(|(_, calls, _)| calls).sum();
    Crowd { answers: all.into_iter().map(|(answer, ..)| answer).collect(), calls, last }
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

fn body(answer: &web::Response) -> Value {
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    serde_json::from_slice(answer.body().as_ref()).expect("JSON")
}
