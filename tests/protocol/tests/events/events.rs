//! A hundred and fifty schedules of the table's stream (`SCHEDULES=10000` by hand, docs/contributing.md): batches that come again,
//! in halves, twice at once and out of shard order, invocations that are cut off, a faulty table, a shard that is ten
//! minutes late; and a product that polls. No event is lost, none is invented, none is recorded twice, and who polls
//! misses nothing. `SEED=<n>` replays one.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Event, EventId, ProductId};
use fastrand::Rng;
use jiff::Timestamp;
use notify::{Notify, Outbox, Refused};
use platform::settings::PublicUrl;
use protocol::{
    Rig, run,
    stream::{Weather, bring, changes, insertions, join_all, shards},
};
use store::{EventQuery, FeedPlace, Store};
use tokio::time::sleep;
use world::Clock;

/// How many schedules are run; `SCHEDULES` in the environment overrides it.
fn schedules() -> u64 {
    std::env::var("SCHEDULES").map_or(150, |count| count.parse().expect("SCHEDULES is a number"))
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
