//! A hundred and fifty schedules of the table's stream (`SCHEDULES=10000` by hand, docs/contributing.md): batches that come again,
//! in halves, twice at once and out of shard order, invocations that are cut off, a faulty table, a shard that is ten
//! minutes late; and a product that polls. No event is lost, none is invented, none is recorded twice, and who polls
//! misses nothing. `SEED=<n>` replays one.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{ConnectionId, Event, EventId, ProductId};
use fastrand::Rng;
use jiff::Timestamp;
use notify::{Batch, Notify, Outbox, Refused};
use platform::settings::PublicUrl;
use protocol::{Effect, Fate, Kind, Rig, ether::Fates, rig::TABLE, run};
use serde_json::{Value, json};
use store::{EventQuery, FeedPlace, Store};
use tokio::time::{sleep, timeout};
use world::Clock;

/// How many schedules are run; `SCHEDULES` in the environment overrides it.
fn schedules() -> u64 {
    std::env::var("SCHEDULES").map_or(150, |count| count.parse().expect("SCHEDULES is a number"))
}

/// When Lambda ends an invocation of notify.
const TIME_OUT: Duration = Duration::from_mins(1);

/// What goes wrong at the table, of a hundred requests.
struct Weather {
    rng: Rng,
    risk: u32,
}

impl Fates for Weather {
    fn fate(&mut self, _: usize, kind: Kind) -> Fate {
        let rng = &mut self.rng;
        let millis = |rng: &mut Rng, most| Duration::from_millis(rng.u64(1..=most));
        let mut fate = Fate { there: millis(rng, 20), back: millis(rng, 20), effect: Effect::None };
        if rng.u32(0..100) < self.risk {
            match rng.u8(0..7) {
                0 => fate.effect = Effect::Unreachable,
                1 => fate.effect = Effect::Refused,
                2 => fate.effect = Effect::AnswerLost,
                3 => fate.effect = Effect::Silent,
                4 if kind == Kind::Write => fate.effect = Effect::Conflict,
                // A request is carried out within seconds of being sent, or never.
                5 => fate.there = millis(rng, 6_000),
                _ => fate.back = millis(rng, 20_000),
            }
        }
        fate
    }
}

/// An outbox that sometimes takes nothing.
#[derive(Debug)]
struct Sometimes {
    rng: Mutex<Rng>,
    taken: Mutex<Vec<EventId>>,
}

impl Outbox for Sometimes {
    fn take<'a>(&'a self, events: &'a [Event], _: Timestamp) -> Refused<'a> {
        let mut refused = Vec::new();
        for event in events {
            if self.rng.lock().expect("no panic").u8(0..5) == 0 {
                refused.push(event.id.clone());
            } else {
                self.taken.lock().expect("no panic").push(event.id.clone());
            }
        }
        Box::pin(async move { refused })
    }
}

/// The changes of one connection, as the stream has them: created, then blocked and recovered in turn, and between them
/// writes that make no event.
fn changes(number: usize, rng: &mut Rng, clock: &Clock) -> (Vec<Value>, BTreeSet<EventId>) {
    let id = ConnectionId::mint(clock.now());
    let key = json!({ "pk": { "S": format!("CONNECTION#{id}") }, "sk": { "S": "CONNECTION" } });
    let image = |revision: u64, event: &str, state: &str| {
        json!({
            "product": { "S": "fernway" }, "app": { "S": "sync" }, "state": { "S": state },
            "customer": { "M": { "id": { "S": format!("c-{number}") } } },
            "revision": { "N": revision.to_string() }, "revision_event": { "S": event },
        })
    };
    let mut records = Vec::new();
    let mut old = json!({ "product": { "S": "fernway" }, "state": { "S": "pending" } });
    let (mut ids, mut revision) = (BTreeSet::new(), 0);
    for _ in 0..rng.usize(1..6) {
        let quiet = revision > 0 && rng.u8(0..3) == 0;
        let new = if quiet {
            let mut new = old.clone();
            new["due_at"] = json!({ "N": rng.u32(..).to_string() });
            new
        } else {
            revision += 1;
            ids.insert(EventId::of_connection(&id, revision));
            let (event, state) = match revision {
                1 => ("connection.created", "active"),
                even if even % 2 == 0 => ("connection.blocked", "blocked"),
                _ => ("connection.recovered", "active"),
            };
            image(revision, event, state)
        };
        records.push(json!({ "dynamodb": { "Keys": key, "OldImage": old, "NewImage": new } }));
        old = new;
    }
    (records, ids)
}

/// One shard: its records are brought in order, and a batch again until it is done. Lambda does no more than that.
async fn bring(notify: Notify, mut records: Vec<Value>, clock: Clock, mut rng: Rng) {
    let mut halve = false;
    while !records.is_empty() {
        let most = rng.usize(1..=records.len().min(8));
        let size = if halve { most.div_ceil(2) } else { most };
        let batch = || Batch { records: records[..size].to_vec() };
        // An invocation that is cut off may have done all of it, or nothing.
        let limit = if rng.u8(0..6) == 0 { Duration::from_millis(rng.u64(1..4_000)) } else { TIME_OUT };
        let first = timeout(limit, notify.run(batch(), clock.now()));
        let done = if rng.u8(0..8) == 0 {
            let (_, done) = tokio::join!(notify.run(batch(), clock.now()), first);
            done
        } else {
            first.await
        };
        match done {
            Ok(done) => {
                assert_eq!(done.set_aside, 0);
                let first_failed = records[..size].iter().position(|record| {
                    let sequence = record["dynamodb"]["SequenceNumber"].as_str().expect("a number");
                    done.failed.iter().any(|failed| failed == sequence)
                });
                // Sometimes Lambda loses what it was answered, and brings the same once more.
                if rng.u8(0..8) != 0 {
                    records.drain(..first_failed.unwrap_or(size));
                }
                halve = false;
            }
            Err(_) => halve = true,
        }
        sleep(Duration::from_millis(rng.u64(1..1_500))).await;
    }
}

/// Cuts records into shards: by item, and some shards in two, whose second half does not wait for the first.
fn shards(items: Vec<Vec<Value>>, rng: &mut Rng) -> Vec<Vec<Value>> {
    let mut shards: Vec<Vec<Value>> = vec![Vec::new(); rng.usize(1..4)];
    for records in items {
        let shard = rng.usize(0..shards.len());
        shards[shard].extend(records);
    }
    let mut cut = Vec::new();
    for mut shard in shards {
        if shard.len() > 1 && rng.bool() {
            cut.push(shard.split_off(rng.usize(1..shard.len())));
        }
        cut.push(shard);
    }
    let mut number = 100_000_000_000_000_000_000_u128;
    for record in cut.iter_mut().flatten() {
        number += u128::from(rng.u64(1..1000));
        record["dynamodb"]["SequenceNumber"] = number.to_string().into();
    }
    cut
}

/// A product that polls until it is told to stop, and then once more.
async fn poll(store: Store, clock: Clock, mut rng: Rng, over: Arc<Mutex<bool>>) -> Vec<EventId> {
    let product: ProductId = "fernway".parse().expect("an id");
    let (mut seen, mut after): (Vec<EventId>, Option<FeedPlace>) = (Vec::new(), None);
    loop {
        let last = *over.lock().expect("no panic");
        let query = EventQuery { after: after.clone(), limit: rng.u8(1..5), ..EventQuery::default() };
        if let Ok(page) = store.events(&product, &query, clock.now()).await {
            assert!(after.as_ref().is_none_or(|after| *after <= page.next), "the feed goes forward");
            seen.extend(page.events.into_iter().map(|event| event.id));
            after = Some(page.next);
            if page.has_more {
                continue;
            }
            if last {
                return seen;
            }
        }
        let most = *rng.choice(&[2_000, 20_000, 200_000]).expect("some");
        sleep(Duration::from_millis(rng.u64(100..most))).await;
    }
}

/// The insertions of the event items, as the stream has them.
fn insertions(rig: &Rig) -> BTreeMap<String, Value> {
    let items = rig.ether.items(TABLE).into_iter();
    let events = items.filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("EVENT#")));
    let record = |item: Value| {
        let key = json!({ "pk": item["pk"], "sk": item["sk"] });
        (
            item["id"]["S"].as_str().expect("an id").to_owned(),
            json!({
                "eventName": "INSERT", "dynamodb": { "Keys": key, "NewImage": item },
            }),
        )
    };
    events.map(record).collect()
}

async fn schedule(seed: u64) -> (usize, usize) {
    fastrand::seed(seed);
    let mut rng = Rng::with_seed(seed);
    let rig = Rig::new(true).await;
    let clock = rig.clock.clone();
    let outbox = Arc::new(Sometimes { rng: Mutex::new(rng.fork()), taken: Mutex::default() });
    let url = PublicUrl::parse("https://connect.example.com").expect("an origin");
    let notify = Notify::new(rig.store(), url).with_outbox(Arc::<Sometimes>::clone(&outbox));
    let (mut items, mut expected) = (Vec::new(), BTreeSet::new());
    for number in 0..rng.usize(1..5) {
        let (records, ids) = changes(number, &mut rng, &clock);
        items.push(records);
        expected.extend(ids);
    }
    rig.ether.set(Weather { rng: rng.fork(), risk: *rng.choice(&[0, 5, 20, 50]).expect("some") });

    let over = Arc::new(Mutex::new(false));
    let poller = tokio::spawn(poll(rig.store(), clock.clone(), rng.fork(), Arc::clone(&over)));
    let mut bringing: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for shard in shards(items, &mut rng) {
        // One in four is ten minutes late or later.
        let late = if rng.u8(0..4) == 0 { rng.u64(600..4_000) } else { rng.u64(0..5) };
        let (notify, clock, rng) = (notify.clone(), clock.clone(), rng.fork());
        bringing.push(Box::pin(async move {
            sleep(Duration::from_secs(late)).await;
            bring(notify, shard, clock, rng).await;
        }));
    }
    join_all(bringing).await;
    // What was sent before its sender gave up has arrived by now.
    sleep(Duration::from_secs(30)).await;

    let recorded = insertions(&rig);
    let ids: BTreeSet<EventId> = recorded.keys().map(|id| id.parse().expect("an id")).collect();
    assert_eq!(ids, expected, "seed {seed}: recorded is not what happened");
    let of_events = shards(recorded.into_values().map(|record| vec![record]).collect(), &mut rng);
    for shard in of_events {
        bring(notify.clone(), shard, clock.clone(), rng.fork()).await;
    }
    let taken: BTreeSet<EventId> = outbox.taken.lock().expect("no panic").iter().cloned().collect();
    assert_eq!(taken, expected, "seed {seed}: passed on is not what was recorded");
    assert_eq!(insertions(&rig).len(), expected.len(), "seed {seed}: passing on records nothing");

    rig.ether.set(protocol::ether::Calm);
    *over.lock().expect("no panic") = true;
    let seen = poller.await.expect("the poller goes on");
    let unique: BTreeSet<EventId> = seen.iter().cloned().collect();
    assert_eq!(unique, expected, "seed {seed}: who polls does not see what was recorded");
    (expected.len(), seen.len() - unique.len())
}

/// Drives all of them at once.
async fn join_all(mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn no_event_is_lost_or_invented_and_a_poller_misses_nothing() {
    if let Ok(seed) = std::env::var("SEED") {
        let (events, again) = run(schedule(seed.parse().expect("SEED is a number")));
        println!("{events} events, {again} of them twice in the feed");
        return;
    }
    let (mut events, mut again) = (0, 0);
    for seed in 0..schedules() {
        let (of_schedule, twice) = run(schedule(seed));
        events += of_schedule;
        again += twice;
    }
    println!(
        "{} schedules, {events} events, {again} twice in the feed because their place moved",
        schedules()
    );
}
