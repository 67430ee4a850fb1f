//! Deliveries of one event that end at the same time, at 2 to 10 endpoints. Each delivery that is due keeps its place in the
//! index from which the sweep queues it, or nothing would ever send it. `SEED=<n>` replays one schedule, and
//! `SCHEDULES=<n>` runs more.

use std::{slice, time::Duration};

use domain::{EndpointId, Event, EventId, EventType, event::EventData};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use protocol::{
    Effect, Fate, Kind, Rig,
    ether::{Calm, Fates},
    rig::TABLE,
    run,
};
use serde_json::Value;
use store::{Delivery, DeliveryState, Due, EventRecord, Store, keys::DUE_SHARDS};
use tokio::{task::JoinSet, time::sleep};
use world::Clock;

/// How many schedules are run; `SCHEDULES` in the environment overrides it.
const SCHEDULES: u64 = 100;

/// How long after a write a delivery that was due before it is looked at, at the latest.
const QUEUED_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// What goes wrong at the table, of a hundred requests.
struct Weather {
    rng: Rng,
    risk: u32,
}

impl Fates for Weather {
    fn fate(&mut self, _: usize, kind: Kind) -> Fate {
        let millis = |rng: &mut Rng| Duration::from_millis(rng.u64(1..=30));
        let mut fate =
            Fate { there: millis(&mut self.rng), back: millis(&mut self.rng), effect: Effect::None };
        if self.rng.u32(0..100) < self.risk {
            match self.rng.u8(0..5) {
                0 => fate.effect = Effect::Unreachable,
                1 => fate.effect = Effect::Refused,
                2 => fate.effect = Effect::AnswerLost,
                3 if kind == Kind::Write => fate.effect = Effect::Conflict,
                _ => fate.back = Duration::from_secs(3),
            }
        }
        fate
    }
}

fn endpoint(number: usize) -> EndpointId {
    format!("endpoint-{number}").parse().expect("an id")
}

async fn recorded(store: &Store, now: Timestamp) -> EventId {
    let event = Event {
        id: EventId::of(EventType::ConnectionBlocked, "con_story", "1"),
        kind: EventType::ConnectionBlocked,
        product: "fernway".parse().expect("an id"),
        at: now,
        sequence: Some(1),
        data: EventData::default(),
    };
    store.put_event(&event, now).await.expect("recorded");
    event.id
}

/// The attempts at one endpoint. Each reads the event, waits up to ten seconds for the endpoint's answer, and writes what
/// came of it.
async fn attempts(store: Store, clock: Clock, event: EventId, endpoint: EndpointId, mut rng: Rng) {
    for _ in 0..rng.u8(1..4) {
        sleep(Duration::from_millis(rng.u64(0..3_000))).await;
        if rng.u8(0..5) == 0 {
            // An operator sends it again. What the table refuses, changes nothing.
            let _ = store.make_due(&event, slice::from_ref(&endpoint), clock.now()).await;
        }
        let Ok(Some(record)) = store.event_record(&event).await else { continue };
        let first = || Delivery::due(clock.now());
        let before = record.deliveries.get(&endpoint).cloned().unwrap_or_else(first);
        sleep(Duration::from_millis(rng.u64(0..10_000))).await;
        let now = clock.now();
        let (state, due_at) = match rng.u8(0..4) {
            0 => (DeliveryState::Delivered, None),
            1 => (DeliveryState::Disabled, None),
            _ => (DeliveryState::Due, Some(now + SignedDuration::from_secs(rng.i64(5..3_600)))),
        };
        let _ = store.put_delivery(&record, &endpoint, before.after(None, state, due_at, 1), now).await;
    }
}

/// How many deliveries are due. Each of them is in the index, no later than it is due.
fn due_in_index(rig: &Rig, seed: u64) -> usize {
    let number = |value: &Value| value["N"].as_str().and_then(|text| text.parse::<i64>().ok());
    let is_event = |item: &Value| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("EVENT#"));
    let item = rig.ether.items(TABLE).into_iter().find(is_event).expect("the event");
    let indexed = number(&item["due_at"]).filter(|_| item["due_shard"]["S"].is_string());
    let soon = (rig.clock.now() + QUEUED_AGAIN).as_millisecond();
    let mut due = 0;
    for (endpoint, delivery) in item["deliveries"]["M"].as_object().into_iter().flatten() {
        if delivery["M"]["state"]["S"] != "due" {
            continue;
        }
        due += 1;
        let latest = number(&delivery["M"]["due_at"]).expect("a time").max(soon);
        assert!(indexed.is_some_and(|at| at <= latest), "seed {seed}: {endpoint} is never sent: {item:#}");
    }
    due
}

async fn schedule(seed: u64) -> usize {
    fastrand::seed(seed);
    let mut rng = Rng::with_seed(seed);
    let rig = Rig::new(true).await;
    let (store, clock) = (rig.store(), rig.clock.clone());
    let event = recorded(&store, clock.now()).await;
    rig.ether.set(Weather { rng: rng.fork(), risk: *rng.choice(&[0, 10, 40]).expect("some") });
    let mut running = JoinSet::new();
    for number in 0..rng.usize(2..=10) {
        running.spawn(attempts(store.clone(), clock.clone(), event.clone(), endpoint(number), rng.fork()));
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no panic");
    }
    // What was sent before its sender gave up has arrived by now.
    sleep(Duration::from_secs(30)).await;
    rig.ether.set(Calm);
    due_in_index(&rig, seed)
}

#[test]
fn every_delivery_that_is_due_is_in_the_index() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCHEDULES").unwrap_or(SCHEDULES),
    };
    let due: usize = seeds.map(|seed| run(schedule(seed))).sum();
    assert!(due > 0, "some deliveries are due at the end");
}

/// The events that the sweep finds at that time.
async fn found(store: &Store, at: Timestamp) -> Vec<(i64, EventId)> {
    let mut found = Vec::new();
    for shard in 0..DUE_SHARDS {
        for (since, due) in store.due(shard, at, 50, None).await.expect("read").items {
            if let Due::Event(id) = due {
                found.push((since.as_millisecond(), id));
            }
        }
    }
    found
}

async fn read(store: &Store, id: &EventId) -> EventRecord {
    store.event_record(id).await.expect("read").expect("the event")
}

#[test]
fn delivery_that_ends_leaves_the_due_time_of_another() {
    run(async {
        let rig = Rig::new(true).await;
        let (store, now) = (rig.store(), rig.clock.now());
        let id = recorded(&store, now).await;
        let (slow, silent) = (endpoint(0), endpoint(1));
        let soon = now + SignedDuration::from_secs(5);
        let failed = Delivery::due(now).after(None, DeliveryState::Due, Some(soon), 1);
        assert!(store.put_delivery(&read(&store, &id).await, &slow, failed, now).await.expect("written"));
        // An attempt at the first endpoint takes nine seconds. Meanwhile one at the second fails.
        let before = read(&store, &id).await;
        let later = now + SignedDuration::from_mins(5);
        let failed = Delivery::due(now).after(None, DeliveryState::Due, Some(later), 1);
        assert!(store.put_delivery(&read(&store, &id).await, &silent, failed, now).await.expect("written"));
        let accepted = before.deliveries[&slow].after(None, DeliveryState::Delivered, None, 1);
        assert!(store.put_delivery(&before, &slow, accepted, now).await.expect("written"));
        assert_eq!(found(&store, later).await, [(later.as_millisecond(), id.clone())]);
        let deliveries = read(&store, &id).await.deliveries;
        assert_eq!(deliveries[&slow].state, DeliveryState::Delivered);
        assert_eq!(deliveries[&silent].due_at().map(Timestamp::as_millisecond), Some(later.as_millisecond()));
    });
}

#[test]
fn first_attempts_leave_each_others_due_times() {
    run(async {
        let rig = Rig::new(true).await;
        let (store, now) = (rig.store(), rig.clock.now());
        let id = recorded(&store, now).await;
        // Three processes read the event before any of them writes.
        let before = read(&store, &id).await;
        let later = now + SignedDuration::from_mins(5);
        let fails = Delivery::due(now).after(None, DeliveryState::Due, Some(later), 1);
        let accepts = Delivery::due(now).after(None, DeliveryState::Delivered, None, 0);
        for (number, after) in [accepts.clone(), fails, accepts].into_iter().enumerate() {
            assert!(store.put_delivery(&before, &endpoint(number), after, now).await.expect("written"));
        }
        assert_eq!(read(&store, &id).await.deliveries.len(), 3);
        assert_eq!(found(&store, later).await, [(later.as_millisecond(), id)]);
    });
}

#[test]
fn sweep_moves_no_event_by_what_it_read_before_a_write() {
    run(async {
        let rig = Rig::new(true).await;
        let (store, now) = (rig.store(), rig.clock.now());
        let id = recorded(&store, now).await;
        let failed = |at| Delivery::due(now).after(None, DeliveryState::Due, Some(at), 1);
        let (soon, later) = (now + SignedDuration::from_mins(5), now + SignedDuration::from_hours(20));
        store.put_delivery(&read(&store, &id).await, &endpoint(0), failed(soon), now).await.expect("written");
        let before = read(&store, &id).await;
        // The earliest time stays as it is, so nothing but the revision tells that a delivery came between.
        store.put_delivery(&before, &endpoint(1), failed(later), now).await.expect("written");
        store.look_again(&before, None).await.expect("ignored");
        assert_eq!(found(&store, soon).await, [(soon.as_millisecond(), id.clone())]);
        store.look_again(&read(&store, &id).await, Some(later)).await.expect("moved");
        assert!(found(&store, soon).await.is_empty());
        assert_eq!(found(&store, later).await, [(later.as_millisecond(), id)]);
    });
}
