//! The whole way of an event on a clock of its own: the table's stream, `notify`, the queue, `deliver`, the sweep, endpoints.
//! Batches come again, in halves and out of order. Endpoints accept and then hang, hang up, or answer too late. Functions
//! die between an attempt and its record. The table and the queue fail. Every endpoint accepts every event under its one id,
//! and no other. `SEED=<n>` replays one schedule, and `SCHEDULES=<n>` runs more (docs/contributing.md).

mod scene;

use std::{collections::BTreeSet, time::Duration};

use domain::{Event, EventId, EventType, WebhookEndpoint, event::EventData};
use fastrand::Rng;
use jiff::SignedDuration;
use platform::{DueDelivery, delivery_queue::OtherQueue as _};
use protocol::{
    Rig,
    ether::Calm,
    rig::TABLE,
    run,
    stream::{Weather, changes, insertions},
};
use serde_json::Value;
use tokio::time::sleep;

use scene::{Mood, Webhooks, endpoint};

/// How many schedules are run; `SCHEDULES` in the environment overrides it.
const SCHEDULES: u64 = 40;

/// How long an endpoint that hangs holds a place.
const HANGS_FOR: SignedDuration = SignedDuration::from_secs(10);

/// How much longer an event may wait next to it: whichever lane is first to use a sandbox reads the product for it.
const NOT_MEASURABLE: SignedDuration = SignedDuration::from_millis(25);

/// How many events there were, and how many deliveries of what an endpoint had accepted before.
async fn schedule(seed: u64) -> (usize, usize) {
    fastrand::seed(seed);
    let mut rng = Rng::with_seed(seed);
    let rig = Rig::new(false).await;
    rig.lose_connection();
    let endpoints: Vec<WebhookEndpoint> = (0..rng.usize(1..4)).map(endpoint).collect();
    rig.put_webhooks("fernway", endpoints.clone()).await;
    let mut webhooks = Webhooks::new(&rig, Mood::Bad, rng.fork());
    let (mut items, mut expected) = (Vec::new(), BTreeSet::new());
    for number in 0..rng.usize(1..4) {
        let (records, ids) = changes(number, &mut rng, &rig.clock);
        items.push(records);
        expected.extend(ids);
    }
    rig.ether.set(Weather { rng: rng.fork(), risk: *rng.choice(&[0, 5, 20, 40]).expect("some") });
    webhooks.happen(items).await;
    // What was sent before its sender gave up has arrived by now.
    sleep(Duration::from_secs(30)).await;
    webhooks.happen(insertions(&rig).into_values().map(|record| vec![record]).collect()).await;
    for _ in 0..rng.usize(0..6) {
        webhooks.sweep_after(Duration::from_mins(5)).await;
    }
    rig.ether.set(Calm);
    webhooks.endpoints.set(Mood::Good);
    let mut rounds = 0;
    while !webhooks.are_delivered(&expected, endpoints.len()).await {
        rounds += 1;
        assert!(rounds < 12, "seed {seed}: a day later it is not delivered: {:#?}", rig.ether.items(TABLE));
        webhooks.sweep_after(Duration::from_hours(2)).await;
    }
    webhooks.sweep_after(Duration::from_hours(2)).await;

    assert_eq!(insertions(&rig).len(), expected.len(), "seed {seed}: delivering records nothing");
    for item in rig.ether.items(TABLE) {
        let is_event = item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("EVENT#"));
        assert!(!is_event || item["due_shard"].is_null(), "seed {seed}: looked at for ever: {item:#}");
    }
    let seen = webhooks.endpoints.seen();
    assert!(seen.most_at_once <= 2, "seed {seed}: {} at once", seen.most_at_once);
    for endpoint in &endpoints {
        let of_endpoint = |(host, _): &&(String, String)| Some(host.as_str()) == endpoint.url.host_str();
        let accepted = seen.accepted.keys().filter(of_endpoint);
        let accepted: BTreeSet<EventId> = accepted.map(|(_, id)| id.parse().expect("an id")).collect();
        assert_eq!(accepted, expected, "seed {seed}: {}", endpoint.id);
    }
    let mut again = 0;
    for ((_, id), deliveries) in &seen.accepted {
        let (_, first) = &deliveries[0];
        assert!(deliveries.iter().all(|(_, body)| body == first), "seed {seed}: one id, two bodies");
        let body: Value = serde_json::from_slice(first).expect("JSON");
        assert_eq!(body["id"], id.as_str(), "seed {seed}");
        again += deliveries.len() - 1;
    }
    (expected.len(), again)
}

#[test]
fn every_endpoint_accepts_every_event_whatever_dies() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCHEDULES").unwrap_or(SCHEDULES),
    };
    let (mut events, mut again) = (0, 0);
    for seed in seeds {
        let (of_schedule, twice) = run(schedule(seed));
        events += of_schedule;
        again += twice;
    }
    println!("{events} events; {again} deliveries of what an endpoint had accepted before");
    assert!(again > 0 || number("SEED").is_some(), "some are accepted, and sent again");
}

/// How long each of a thousand events waits from the queue to its endpoint, the shortest wait first. `hangs`: whether an
/// endpoint of another product hangs meanwhile, with a queue of its own.
async fn waits(hangs: bool) -> Vec<SignedDuration> {
    const EVENTS: usize = 1000;
    let rig = Rig::new(false).await;
    let mood = if hangs { Mood::Hangs("endpoint-1.example") } else { Mood::Good };
    let mut webhooks = Webhooks::new(&rig, mood, Rng::with_seed(1));
    for (product, number) in [("fernway", 0), ("tidewater", 1)] {
        rig.put_webhooks(product, vec![endpoint(number)]).await;
    }
    let mut messages = Vec::new();
    // The same events of the first product in both cases: the lane of an event follows from its id.
    for (product, number, events) in [("tidewater", 1, if hangs { 50 } else { 0 }), ("fernway", 0, EVENTS)] {
        for event in 0..events {
            let event = Event {
                id: EventId::of(EventType::ConnectionBlocked, product, &event.to_string()),
                kind: EventType::ConnectionBlocked,
                product: product.parse().expect("an id"),
                at: rig.clock.now(),
                sequence: Some(1),
                data: EventData::default(),
            };
            webhooks.store.put_event(&event, rig.clock.now()).await.expect("recorded");
            messages.push(DueDelivery {
                product: event.product,
                endpoint: endpoint(number).id,
                event: event.id,
                due_at: None,
            });
        }
    }
    let sent_at = rig.clock.now();
    webhooks.queue.send(messages).await.expect("the queue takes them");
    webhooks.deliver().await;
    let seen = webhooks.endpoints.seen();
    assert!(seen.most_at_once == 2, "both lanes are used, and no more");
    let accepted = seen.accepted.values().map(|deliveries| deliveries[0].0.duration_since(sent_at));
    let mut waits: Vec<SignedDuration> = accepted.collect();
    waits.sort();
    assert_eq!(waits.len(), EVENTS, "each is accepted, and none of the endpoint that hangs");
    waits
}

#[test]
fn thousand_events_are_not_delayed_by_another_products_endpoint() {
    let (alone, beside) = (run(waits(false)), run(waits(true)));
    let longest = alone.last().expect("a thousand");
    assert!(*longest < HANGS_FOR, "all are sent while the other hangs: {longest}");
    for (alone, beside) in alone.iter().zip(&beside) {
        assert!(*beside <= *alone + NOT_MEASURABLE, "{alone} alone, {beside} next to it");
    }
}
