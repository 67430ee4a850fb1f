//! What an event costs (docs/costs.md), and how long it takes. That an endpoint that hangs delays no other is measured on a
//! clock of its own: tests/protocol/tests/events/webhook_schedules.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use journeys::Story;
use local::stack::{NOTIFIED, TABLE};
use notify::{Batch, Notify};
use serde_json::Value;
use world::dynamodb::Kind;

use super::scene::{Behavior, Endpoint, happens, with_endpoints};

/// The event is one write, and each attempt at each endpoint is one more.
#[tokio::test]
async fn each_attempt_at_each_endpoint_is_one_more_write() {
    let story = Story::begin().await;
    let (up, down) = (Endpoint::start("up").await, Endpoint::start("down").await);
    with_endpoints(&story, &[&up, &down]).await;
    down.behaves(Behavior::Answer(503));
    story.stack.dynamodb.reset_counts();
    happens(&story, 1, &[&up, &down]).await;
    story.stack.deliver().await;
    story.pass(SignedDuration::from_secs(6));
    down.behaves(Behavior::Answer(204));
    story.stack.deliver().await;
    let requests = story.stack.dynamodb.requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.kind == Kind::Write).collect();
    assert_eq!(
        writes.len(),
        1 + 1 + 2,
        "the event, one attempt at one endpoint, two at the other: {writes:#?}"
    );
}

/// Lambda's windows as the template has them: a batch waits up to a second, and an event is a change of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_reaches_the_endpoint_within_seconds() {
    const CHANGES: usize = 40;
    const WINDOW: Duration = Duration::from_secs(1);
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let (deliveries, clock) = (story.stack.deliveries(), story.stack.clock.clone());
    let notify = <Notify as runtime::StreamFunction>::new(story.stack.platform()).expect("complete settings");
    let stream = async {
        let mut place = None;
        loop {
            tokio::time::sleep(WINDOW).await;
            // What this batch records comes with the next one.
            let (mut records, next) =
                story.stack.dynamodb.changes(TABLE, place.as_deref(), 1000).expect("the stream");
            place = next;
            records.retain(|record| {
                let pk = record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap_or_default();
                NOTIFIED.iter().any(|kind| pk.starts_with(kind))
            });
            for records in records.chunks(100) {
                let done = notify.run(Batch { records: records.to_vec() }, clock.now()).await;
                assert_eq!(done.failed.len(), 0, "{done:?}");
            }
        }
    };
    let queue = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            deliveries.run().await;
        }
    };
    let changes = async {
        let mut changed = HashMap::new();
        for number in 0..CHANGES {
            let connection = story.imported(&format!("customer{number}")).await;
            changed.insert(connection, Instant::now());
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        let began = Instant::now();
        while backend.got().len() < CHANGES && began.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        changed
    };
    let changed = tokio::select! {
        changed = changes => changed,
        () = async { tokio::join!(stream, queue); } => unreachable!("neither ends"),
    };
    let mut took: Vec<Duration> = backend
        .got()
        .iter()
        .map(|got| {
            let body: Value = serde_json::from_slice(&got.body).expect("JSON");
            let connection = body["data"]["connection_id"].as_str().expect("an id").to_owned();
            // It may arrive before the import is answered.
            got.arrived.saturating_duration_since(changed[&connection])
        })
        .collect();
    took.sort();
    assert_eq!(took.len(), CHANGES, "each is delivered");
    let (p50, p99) = (took[CHANGES / 2], took[CHANGES * 99 / 100]);
    println!("change to delivery: p50 {p50:?}, p99 {p99:?}");
    assert!(p50 < Duration::from_secs(3) && p99 < Duration::from_secs(10), "p50 {p50:?}, p99 {p99:?}");
}
