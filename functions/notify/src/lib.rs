//! **notify**: from the table's stream, events, and where they are passed on.
//!
//! | a change of | what follows |
//! | --- | --- |
//! | a connection whose revision rose | the event that the write named (`connection.*`) |
//! | a session | `session.connected`, `.failed`, `.lost`, `.parked` |
//! | a failure | `failure.resolved`; `app.incident` where only the vendor can fix it, in an app of its own |
//! | a wave | `incident.started`, `incident.ended` |
//! | a webhook endpoint that was disabled | `endpoint.disabled`, to the product's other endpoints |
//! | an event that was recorded | it is passed on to every outbox |
//!
//! An event's id is derived from the change, and an event is recorded only if there is none with its id. So a batch that
//! comes again, in halves or twice at once makes no second event. The event's own item comes back in the stream, and is
//! passed on from there: nothing is lost between recording and sending.
//!
//! Lambda retries what fails for as long as the stream keeps it, and everything behind it in its shard waits. So what fails
//! for good must not fail: a record that can never be processed is set aside with an alarm, and so is what the bus refuses
//! for good, or for a quarter of an hour. What the queue of webhooks does not get is noted in the table, and the sweep
//! queues it.
//!
//! This function cannot open tokens: those in the stream are sealed, and it has no keyring.

#![warn(missing_docs)]

mod bus;
mod changes;
mod outbox;
mod webhook_queue;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
};

use diagnosis::{Actor, Cause, event_actor};
use domain::{Event, EventId, EventType, FailureId, SaturatingTime as _};
use jiff::{SignedDuration, Timestamp};
use platform::{Platform, Products, SettingError, log::internal, settings::PublicUrl};
use runtime::{StreamFunction, records::Record};
use serde::Deserialize;
use serde_json::Value;
use store::{Recorded, Store, StoreError};
use telemetry::{Metric, Outcome, add, carried, ended};
use tokio::{task::JoinSet, time::Instant};

use changes::{Draft, RecordError, consequences};
pub use outbox::{Outbox, Refused};
pub use webhook_queue::WebhookQueue;

/// How many items are dealt with at once.
const AT_ONCE: usize = 8;

/// How long what an optional outbox refuses comes again. Everything behind it in its shard waits for as long.
const MAX_REFUSED: SignedDuration = SignedDuration::from_mins(15);

/// The function. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notify {
    store: Store,
    products: Products,
    public_url: PublicUrl,
    outboxes: Vec<Arc<dyn Outbox>>,
}

/// A batch of one shard's records. Each is read by itself: one that cannot be read does not stop the others.
#[derive(Debug, Default, Deserialize)]
pub struct Batch {
    /// In the order of their sequence numbers.
    #[serde(rename = "Records", default)]
    pub records: Vec<Value>,
}

/// What a batch came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Notified {
    /// Records in the batch.
    pub records: usize,
    /// Events that were recorded now.
    pub recorded: usize,
    /// Events that were recorded before: Lambda sent their records again.
    pub recorded_before: usize,
    /// Events that every outbox took, or that were set aside because an outbox never takes them.
    pub passed_on: usize,
    /// Records that can never be processed.
    pub set_aside: usize,
    /// The sequence numbers of the records that Lambda has to send again.
    pub failed: Vec<String>,
}

/// The time while a batch is processed.
#[derive(Debug, Clone, Copy)]
struct Running {
    began: Instant,
    since: Timestamp,
}

impl Running {
    fn now(self) -> Timestamp {
        self.since.later_by(SignedDuration::try_from(self.began.elapsed()).unwrap_or_default())
    }
}

/// Why a record was not processed.
#[derive(Debug, thiserror::Error)]
enum HandleError {
    /// It never will be.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HandleError {
    /// Whether processing the record again comes to the same.
    fn is_final(&self) -> bool {
        match self {
            Self::Record(_) | Self::Store(StoreError::Corrupt { .. }) => true,
            Self::Store(StoreError::Unavailable { code, .. }) => code == "ValidationException",
        }
    }
}

/// A recorded event that is to be passed on.
struct ToPassOn {
    event: Event,
    /// Whether it has come for longer than [`MAX_REFUSED`].
    is_old: bool,
}

/// What became of one record.
enum Handled {
    Done { recorded: usize, recorded_before: usize, to_pass_on: Option<Box<ToPassOn>> },
    SetAside,
    Failed,
}

impl StreamFunction for Notify {
    const NAME: &'static str = "notify";
    type Batch = Batch;
    type Done = Notified;
    type Error = Infallible;

    fn new(platform: Platform) -> Result<Self, SettingError> {
        let queue = WebhookQueue::new(platform.products.clone(), platform.deliveries()?.clone());
        let bus = platform.event_bus();
        let products = platform.products;
        let notify = Self { products, ..Self::new(platform.store, platform.settings.public_url) }
            .with_outbox(Arc::new(queue));
        Ok(match bus {
            Some(bus) => notify.with_outbox(Arc::new(bus)),
            None => notify,
        })
    }

    async fn run(&self, batch: Batch, now: Timestamp) -> Result<Notified, Infallible> {
        Ok(self.run(batch, now).await)
    }

    /// The records to be sent again. Lambda goes on at the lowest of them.
    fn answer(done: &Notified) -> Value {
        let failed = |sequence: &String| serde_json::json!({ "itemIdentifier": sequence });
        serde_json::json!({ "batchItemFailures": done.failed.iter().map(failed).collect::<Vec<_>>() })
    }
}

impl Notified {
    /// What a batch came to, for its line.
    fn tell(&self) {
        ended(Outcome::Notified);
        let Self { records, recorded, recorded_before, passed_on, set_aside, failed } = self;
        for (name, number) in [
            ("records", *records),
            ("recorded", *recorded),
            ("recorded_before", *recorded_before),
            ("passed_on", *passed_on),
            ("set_aside", *set_aside),
            ("to_retry", failed.len()),
        ] {
            telemetry::counted(name, u64::try_from(number).unwrap_or(u64::MAX));
        }
    }
}

impl Notify {
    /// The function on this table. Events are recorded and passed on to nobody.
    pub fn new(store: Store, public_url: PublicUrl) -> Self {
        let products = Products::new(store.clone());
        Self { store, products, public_url, outboxes: Vec::new() }
    }

    /// Passes recorded events on to this outbox too.
    #[must_use]
    pub fn with_outbox(mut self, outbox: Arc<dyn Outbox>) -> Self {
        self.outboxes.push(outbox);
        self
    }

    /// Processes a batch.
    pub async fn run(&self, batch: Batch, now: Timestamp) -> Notified {
        let time = Running { began: Instant::now(), since: now };
        let mut done = Notified { records: batch.records.len(), ..Notified::default() };
        // The changes of one item stay in order; those of several items are independent.
        let mut items: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in batch.records {
            match serde_json::from_value::<Record>(record) {
                Ok(record) => items.entry(record.change.pk().to_owned()).or_default().push(record),
                Err(error) => {
                    set_aside("unreadable", &error);
                    done.set_aside += 1;
                }
            }
        }
        let mut running = JoinSet::new();
        let mut to_pass_on = Vec::new();
        let mut finish = |done: &mut Notified, handled: Vec<(String, Handled)>| {
            for (sequence, handled) in handled {
                match handled {
                    Handled::Done { recorded, recorded_before, to_pass_on: event } => {
                        done.recorded += recorded;
                        done.recorded_before += recorded_before;
                        to_pass_on.extend(event.map(|event| (sequence, *event)));
                    }
                    Handled::SetAside => done.set_aside += 1,
                    Handled::Failed => done.failed.push(sequence),
                }
            }
        };
        for (_, records) in items {
            if running.len() == AT_ONCE
                && let Some(Ok(handled)) = running.join_next().await
            {
                finish(&mut done, handled);
            }
            running.spawn(carried(self.clone().handle_item(records, time)));
        }
        while let Some(joined) = running.join_next().await {
            // A panic is caught where one record is handled.
            finish(&mut done, joined.unwrap_or_default());
        }
        self.pass_on(to_pass_on, time.now(), &mut done).await;
        done.failed.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        done.tell();
        done
    }

    /// Handles the changes of one item in order. What comes after one that failed waits for it.
    async fn handle_item(self, records: Vec<Record>, time: Running) -> Vec<(String, Handled)> {
        let mut handled = Vec::with_capacity(records.len());
        let mut has_failed = false;
        for record in records {
            let (sequence, pk) = (record.change.sequence.clone(), record.change.pk().to_owned());
            if has_failed {
                handled.push((sequence, Handled::Failed));
                continue;
            }
            let this = self.clone();
            let one = tokio::spawn(carried(async move { this.handle(&record, time).await }));
            let outcome = match one.await {
                Ok(Ok(done)) => done,
                Ok(Err(error)) if error.is_final() => {
                    set_aside(&pk, &error);
                    Handled::SetAside
                }
                Ok(Err(error)) => {
                    internal(&error);
                    has_failed = true;
                    Handled::Failed
                }
                Err(panicked) => {
                    set_aside(&pk, &panicked);
                    Handled::SetAside
                }
            };
            handled.push((sequence, outcome));
        }
        handled
    }

    /// Records the events that follow from one record.
    async fn handle(&self, record: &Record, time: Running) -> Result<Handled, HandleError> {
        let found = consequences(record, time.now())?;
        let (mut recorded, mut recorded_before) = (0, 0);
        for draft in found.drafts {
            let Some(event) = self.complete(draft, time.now()).await? else { continue };
            match self.store.put_event(&event, time.now()).await? {
                Recorded::New => recorded += 1,
                Recorded::Before => recorded_before += 1,
            }
        }
        let is_old = record.change.at().is_some_and(|at| time.now().duration_since(at) > MAX_REFUSED);
        let to_pass_on = found.recorded.map(|event| Box::new(ToPassOn { event, is_old }));
        Ok(Handled::Done { recorded, recorded_before, to_pass_on })
    }

    /// Adds what only the failure says, who acts, and the help page. `None`: a customer's own app has a problem, which
    /// is no incident of the product.
    async fn complete(&self, draft: Draft, now: Timestamp) -> Result<Option<Event>, StoreError> {
        let Draft { mut event, explained_by } = draft;
        if let Some(id) = &explained_by
            && let Some(failure) = self.store.failure_now(id, now).await?
        {
            event.data.cause = Some(failure.cause);
            event.data.incident = failure.incident.map(|incident| incident.id);
        }
        let actor = self.actor(&event, now).await?;
        if event.kind == EventType::AppIncident && actor != Some(Actor::Vendor) {
            return Ok(None);
        }
        event.data.actor = actor.map(|actor| actor.word().to_owned());
        event.data.help = event.data.failure.as_ref().map(|failure| help_page(&self.public_url, failure));
        event.data.message = Some(diagnosis::event_message(&event));
        Ok(Some(event))
    }

    /// Who acts on an event's cause. The product is read only where that depends on who owns the app.
    async fn actor(&self, event: &Event, now: Timestamp) -> Result<Option<Actor>, StoreError> {
        let cause = event.data.cause.as_deref().and_then(diagnosis::cause);
        let product = if cause.is_some_and(Cause::depends_on_owner) {
            self.products.get(&event.product, now).await?
        } else {
            None
        };
        Ok(event_actor(event, product.as_deref()))
    }

    /// Passes recorded events on. Those that an outbox did not take come again.
    async fn pass_on(&self, recorded: Vec<(String, ToPassOn)>, now: Timestamp, done: &mut Notified) {
        if recorded.is_empty() {
            return;
        }
        let old: BTreeSet<EventId> =
            recorded.iter().filter(|(_, it)| it.is_old).map(|(_, it)| it.event.id.clone()).collect();
        let (sequences, events): (Vec<String>, Vec<Event>) =
            recorded.into_iter().map(|(sequence, it)| (sequence, it.event)).unzip();
        let mut refused = Vec::new();
        for outbox in &self.outboxes {
            for id in outbox.take(&events, now).await {
                if outbox.is_optional() && old.contains(&id) {
                    add(Metric::UnreadableRecords, 1.0);
                    tracing::error!(%id, "an event is set aside that an outbox has refused for too long");
                } else {
                    refused.push(id);
                }
            }
        }
        for (sequence, event) in sequences.into_iter().zip(&events) {
            if refused.contains(&event.id) {
                done.failed.push(sequence);
            } else {
                done.passed_on += 1;
            }
        }
    }
}

/// The help page of a failure.
pub fn help_page(public_url: &PublicUrl, failure: &FailureId) -> String {
    public_url.at(&format!("/help/{failure}"))
}

/// Leaves a record alone that can never be processed. The item itself is named, not shown: it may hold sealed tokens.
fn set_aside(pk: &str, error: &dyn std::error::Error) {
    add(Metric::UnreadableRecords, 1.0);
    tracing::error!(%pk, "a change of the table makes no event");
    internal(error);
}
