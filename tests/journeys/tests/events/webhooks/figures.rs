//! What an event costs, and how long it takes: docs/costs.md and docs/performance.md have the numbers.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use domain::{Event, Product};
use jiff::SignedDuration;
use journeys::Story;
use local::stack::{NOTIFIED, TABLE};
use notify::{Batch, Notify};
use platform::DueDelivery;
use serde_json::Value;
use world::dynamodb::Kind;

use super::scene::{Behavior, Endpoint, event, happens, with_endpoints};

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

/// A thousand events of one product, while an endpoint of another hangs with a queue of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: it needs the machine for itself, see docs/contributing.md"]
async fn thousand_events_are_not_delayed_by_another_products_endpoint() {
    const EVENTS: usize = 1000;
    let story = Story::begin().await;
    let (hangs, busy) = (Endpoint::start("hangs").await, Endpoint::start("busy").await);
    with_endpoints(&story, &[&hangs]).await;
    let tidewater = story.stack.products.iter().find(|product| product.id.as_str() == "tidewater");
    let tidewater = tidewater.expect("tidewater").clone();
    busy.is_of(&story, tidewater.clone()).await;
    let alone = deliver_many(&story, &tidewater, &busy, 0, EVENTS / 4).await;
    hangs.behaves(Behavior::Hang);
    for number in 0..50 {
        happens(&story, number, &[&hangs]).await;
    }
    let beside = deliver_many(&story, &tidewater, &busy, EVENTS / 4, EVENTS).await;
    println!("an event takes {alone:?} alone, {beside:?} next to an endpoint that hangs");
    assert!(!hangs.got().is_empty() && hangs.most_at_once() <= 2);
    assert!(beside < alone * 2 + Duration::from_millis(2), "{alone:?} alone, {beside:?} next to it");
}

/// How long one of these events takes, from the first to the last.
async fn deliver_many(
    story: &Story,
    product: &Product,
    to: &Endpoint,
    from: usize,
    until: usize,
) -> Duration {
    let now = story.stack.clock.now();
    let mut messages = Vec::new();
    for number in from..until {
        let event = Event { product: product.id.clone(), ..event(10_000 + number, now) };
        story.stack.store.put_event(&event, now).await.expect("the table can be written");
        messages.push(DueDelivery {
            product: product.id.clone(),
            endpoint: to.id.clone(),
            event: event.id,
            due_at: None,
        });
    }
    let platform = story.stack.platform();
    let began = Instant::now();
    platform.deliveries().expect("a queue").send(&messages).await.expect("the queue takes it");
    let deliveries = story.stack.deliveries();
    let working = tokio::spawn(async move { deliveries.run().await });
    while to.got().len() < until {
        assert!(began.elapsed() < Duration::from_mins(2), "{} of {until}", to.got().len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed() / u32::try_from(until - from).expect("a number");
    // What hangs is left to its timeout.
    working.abort();
    took
}
