//! The table's stream as Lambda brings it: batches that come again, in halves, twice at once and out of shard order, and
//! invocations that are cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use domain::{ConnectionId, EventId};
use fastrand::Rng;
use notify::{Batch, Notify};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use world::Clock;

use crate::{Effect, Fate, Kind, Rig, ether::Fates, rig::TABLE};

/// When Lambda ends an invocation of notify.
const TIME_OUT: Duration = Duration::from_mins(1);

/// What goes wrong at the table, of a hundred requests.
#[derive(Debug)]
pub struct Weather {
    /// Draws each request's fate.
    pub rng: Rng,
    /// Of a hundred requests, how many something befalls.
    pub risk: u32,
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

/// The changes of one connection, as the stream has them: created, then blocked and recovered in turn, and between them
/// writes that make no event.
pub fn changes(number: usize, rng: &mut Rng, clock: &Clock) -> (Vec<Value>, BTreeSet<EventId>) {
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
pub async fn bring(notify: Notify, mut records: Vec<Value>, clock: Clock, mut rng: Rng) {
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
pub fn shards(items: Vec<Vec<Value>>, rng: &mut Rng) -> Vec<Vec<Value>> {
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

/// The insertions of the event items, as the stream has them.
pub fn insertions(rig: &Rig) -> BTreeMap<String, Value> {
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

/// Drives all of them at once.
pub async fn join_all(mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
