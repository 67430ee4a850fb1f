//! Endpoints, a queue and functions of webhooks on a clock of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deliver::{Deliver, Delivered};
use domain::{EventId, WebhookEndpoint};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use local::queue::{LocalQueue, Received};
use notify::{Notify, WebhookQueue};
use platform::{
    Deadline, DeliveryQueue, DueDelivery, QueueError,
    delivery_queue::{OtherQueue, Queued},
    settings::PublicUrl,
};
use protocol::{
    Rig,
    stream::{bring, join_all, shards},
};
use serde_json::{Value, json};
use store::{DeliveryState, Store};
use sweep::Sweep;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use url::Url;
use webhooks::{
    Answer, EndpointClient, NoAnswer, SigningSecret,
    client::{ATTEMPT_TIMEOUT, Answered, OtherEndpoints},
};
use world::Clock;

/// When Lambda ends an invocation of `deliver` (infra/template.yaml).
const TIME_OUT: Duration = Duration::from_secs(25);

/// Maximum invocations of `deliver` at once (infra/template.yaml).
const AT_ONCE: usize = 50;

/// How long a delivery is on its way to an endpoint.
const WAY: Duration = Duration::from_millis(2);

/// The name of every endpoint's secret.
const SECRET: &str = "latchkey/test/webhooks/all";

/// What an endpoint does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behavior {
    Accepts,
    /// Accepts, and answers after its sender has given up.
    AcceptsTooLate,
    /// Accepts, and the connection breaks before its answer.
    AcceptsAndBreaks,
    Refuses,
    Hangs,
    IsDown,
}

const BEHAVIORS: [Behavior; 6] = [
    Behavior::Accepts,
    Behavior::AcceptsTooLate,
    Behavior::AcceptsAndBreaks,
    Behavior::Refuses,
    Behavior::Hangs,
    Behavior::IsDown,
];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing.
    Good,
    /// Endpoints do as they like, the queue fails, and functions die.
    Bad,
    /// The endpoint at this host hangs.
    Hangs(&'static str),
}

/// Every endpoint of the schedule.
#[derive(Debug)]
pub(crate) struct Endpoints {
    clock: Clock,
    rng: Mutex<Rng>,
    mood: Mutex<Mood>,
    seen: Mutex<Seen>,
}

/// When a delivery was accepted, and its body.
type Accepted = (Timestamp, Vec<u8>);

/// What endpoints saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Deliveries by host and event id.
    pub(crate) accepted: BTreeMap<(String, String), Vec<Accepted>>,
    in_flight: BTreeMap<String, usize>,
    /// How many deliveries one endpoint had at once, at most.
    pub(crate) most_at_once: usize,
}

/// A delivery under way; it ends also when its sender dies.
struct InFlight<'a> {
    endpoints: &'a Endpoints,
    host: String,
}

impl Endpoints {
    fn new(clock: Clock, rng: Rng, mood: Mood) -> Self {
        Self { clock, rng: Mutex::new(rng), mood: Mutex::new(mood), seen: Mutex::default() }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().expect("no panic") = mood;
    }

    fn is_bad(&self) -> bool {
        *self.mood.lock().expect("no panic") == Mood::Bad
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    fn behavior(&self, host: &str) -> Behavior {
        let mood = *self.mood.lock().expect("no panic");
        match mood {
            Mood::Hangs(hangs) if hangs == host => Behavior::Hangs,
            Mood::Good | Mood::Hangs(_) => Behavior::Accepts,
            Mood::Bad => *self.rng.lock().expect("no panic").choice(&BEHAVIORS).expect("some"),
        }
    }
}

impl<'a> InFlight<'a> {
    fn begin(endpoints: &'a Endpoints, host: &str) -> Self {
        let mut seen = endpoints.seen();
        let count = seen.in_flight.entry(host.to_owned()).or_default();
        *count += 1;
        let count = *count;
        seen.most_at_once = seen.most_at_once.max(count);
        Self { endpoints, host: host.to_owned() }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.endpoints.seen().in_flight.get_mut(&self.host) {
            *count -= 1;
        }
    }
}

impl OtherEndpoints for Endpoints {
    fn post(&self, url: &Url, signature: [(&'static str, String); 3], body: Vec<u8>) -> Answered<'_> {
        let host = url.host_str().expect("a host").to_owned();
        let [(_, id), _, _] = signature;
        Box::pin(async move {
            let _in_flight = InFlight::begin(self, &host);
            let began = Instant::now();
            let behavior = self.behavior(&host);
            sleep(WAY).await;
            if let Behavior::Accepts | Behavior::AcceptsTooLate | Behavior::AcceptsAndBreaks = behavior {
                let at = self.clock.now();
                self.seen().accepted.entry((host, id)).or_default().push((at, body));
            }
            if let Behavior::AcceptsTooLate | Behavior::Hangs = behavior {
                sleep(ATTEMPT_TIMEOUT).await;
            }
            let took = began.elapsed();
            match behavior {
                Behavior::Accepts => Ok(Answer { status: 204, took, body: Vec::new() }),
                Behavior::Refuses => Ok(Answer { status: 503, took, body: b"down".to_vec() }),
                _ => Err(NoAnswer { what: "no whole answer".to_owned(), took }),
            }
        })
    }
}

/// The queue. Calls that add to it fail now and then, before they are carried out or after.
#[derive(Debug)]
struct FlakyQueue {
    queue: LocalQueue,
    endpoints: Arc<Endpoints>,
    rng: Mutex<Rng>,
}

impl OtherQueue for FlakyQueue {
    fn send(&self, messages: Vec<DueDelivery>) -> Queued<'_> {
        let fate = if self.endpoints.is_bad() { self.rng.lock().expect("no panic").u8(0..8) } else { 7 };
        Box::pin(async move {
            let failed = || Err(QueueError { operation: "SendMessageBatch", code: "NoAnswer".to_owned() });
            if fate == 0 {
                return failed();
            }
            self.queue.send(messages).await?;
            if fate == 1 { failed() } else { Ok(()) }
        })
    }

    fn postpone(&self, receipt: String, wait: Duration) -> Queued<'_> {
        self.queue.postpone(receipt, wait)
    }
}

/// Everything that webhooks are made of, on one rig.
pub(crate) struct Webhooks {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) queue: LocalQueue,
    pub(crate) store: Store,
    sandboxes: Vec<Deliver>,
    notify: Notify,
    sweep: Sweep,
    clock: Clock,
    rng: Rng,
}

impl Webhooks {
    pub(crate) fn new(rig: &Rig, mood: Mood, mut rng: Rng) -> Self {
        let clock = rig.clock.clone();
        rig.ether.put_secret(SECRET, json!({ "current": SigningSecret::encode(&[7; 32]) }).to_string());
        let endpoints = Arc::new(Endpoints::new(clock.clone(), rng.fork(), mood));
        let queue = LocalQueue::new(&clock);
        let flaky = Arc::new(FlakyQueue {
            queue: queue.clone(),
            endpoints: Arc::clone(&endpoints),
            rng: Mutex::new(rng.fork()),
        });
        let platform = || rig.platform_with(DeliveryQueue::other(Arc::<FlakyQueue>::clone(&flaky)));
        let sandbox = |_| {
            let client = EndpointClient::other(Arc::<Endpoints>::clone(&endpoints));
            Deliver::with_client(platform(), client).expect("the settings are complete")
        };
        let sandboxes = (0..3).map(sandbox).collect();
        let notified = platform();
        let outbox =
            WebhookQueue::new(notified.products.clone(), notified.deliveries().expect("a queue").clone());
        let url = PublicUrl::parse("https://connect.example.com").expect("an origin");
        Self {
            sandboxes,
            notify: Notify::new(notified.store, url).with_outbox(Arc::new(outbox)),
            sweep: Sweep::new(platform()).expect("the settings are complete"),
            store: rig.store(),
            endpoints,
            queue,
            clock,
            rng,
        }
    }

    /// Brings records to `notify`, by several shards at once, while `deliver` is at work.
    pub(crate) async fn happen(&mut self, items: Vec<Vec<Value>>) {
        let mut bringing: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for shard in shards(items, &mut self.rng) {
            let (notify, clock, rng) = (self.notify.clone(), self.clock.clone(), self.rng.fork());
            bringing.push(Box::pin(bring(notify, shard, clock, rng)));
        }
        let over = AtomicBool::new(false);
        let brought = async {
            join_all(bringing).await;
            over.store(true, Ordering::Relaxed);
        };
        let delivered = async {
            while !over.load(Ordering::Relaxed) {
                self.deliver().await;
                sleep(Duration::from_millis(100)).await;
            }
            self.deliver().await;
        };
        tokio::join!(brought, delivered);
    }

    /// Lambda handles messages until the queue is empty. Invocations die at any moment while the mood is bad.
    pub(crate) async fn deliver(&mut self) {
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_ONCE
                && let Some(received) = self.queue.receive()
            {
                let deliver = self.rng.choice(&self.sandboxes).expect("some").clone();
                let dies = self.endpoints.is_bad() && self.rng.u8(0..6) == 0;
                let limit = if dies { Duration::from_millis(self.rng.u64(1..12_000)) } else { TIME_OUT };
                running.spawn(invoke(deliver, self.queue.clone(), received, self.clock.clone(), limit));
            }
            if running.is_empty() && self.queue.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some(ended) = running.join_next() => ended.expect("no panic"),
                // What is hidden comes back.
                () = sleep(Duration::from_millis(250)) => {}
            }
        }
    }

    /// Time passes; the sweep queues what is due, and it is delivered.
    pub(crate) async fn sweep_after(&mut self, time: Duration) {
        sleep(time).await;
        let now = self.clock.now();
        let ends = now + SignedDuration::from_mins(4);
        let time = Deadline::until(u64::try_from(ends.as_millisecond()).expect("after 1970"), now);
        // A run that the table fails is repeated by the next one.
        let _ = self.sweep.run(time).await;
        self.deliver().await;
    }

    /// Whether each of these events is delivered to so many endpoints.
    pub(crate) async fn are_delivered(&self, events: &BTreeSet<EventId>, endpoints: usize) -> bool {
        for id in events {
            let record = self.store.event_record(id).await.expect("read").expect("the event");
            let mut deliveries = record.deliveries.values();
            if record.deliveries.len() < endpoints
                || deliveries.any(|delivery| delivery.state != DeliveryState::Delivered)
            {
                return false;
            }
        }
        true
    }
}

/// One invocation of `deliver`, which ends after so long.
async fn invoke(deliver: Deliver, queue: LocalQueue, received: Received, clock: Clock, limit: Duration) {
    let Received { receipt, message } = received;
    let now = clock.now();
    let ends = now + SignedDuration::try_from(TIME_OUT).expect("seconds");
    let time = Deadline::until(u64::try_from(ends.as_millisecond()).expect("after 1970"), now);
    let done = timeout(limit, Box::pin(deliver.deliver(&message, &receipt, &time))).await;
    if let Ok(Ok(done)) = done
        && done != Delivered::Postponed
    {
        queue.delete(&receipt);
    }
}

pub(crate) fn endpoint(number: usize) -> WebhookEndpoint {
    WebhookEndpoint {
        id: format!("endpoint-{number}").parse().expect("an id"),
        url: format!("https://endpoint-{number}.example/hook").parse().expect("a URL"),
        events: vec!["*".to_owned()],
        secret: SECRET.to_owned(),
    }
}
