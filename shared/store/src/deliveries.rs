//! Deliveries: what became of an event at each endpoint that receives it. They are part of the event's item, so recording
//! an event and adding its deliveries is one write, and so is each attempt.
//!
//! The event also says when the sweep looks at it (`due_at`, in the index `due`): at the earliest attempt that waits, at
//! whichever endpoint. A write that moves this time is conditional on `due_revision`, and raises it. So it never moves the
//! time by what was read before another delivery became due: every delivery that is due has its place in the index.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use domain::{EndpointId, Event, EventId, SaturatingTime as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    Item, N, Store, StoreError,
    due_events::moving,
    events::{EventRow, is_kept},
    item::from_item,
    keys,
    write::{SendWrite, conditional},
};

/// How long an attempt that is due, and so in the queue, is left alone. Then the sweep queues it again: its message may be
/// lost.
const QUEUED_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Maximum attempts that are kept of one delivery, the latest ones.
const MAX_KEPT_ATTEMPTS: usize = 12;

/// How long a delivery that was accepted is not sent again: whoever presses a button twice wants one more delivery.
const JUST_DELIVERED: SignedDuration = SignedDuration::from_secs(10);

/// Maximum number of times that one call writes a delivery. Of several writers at once, one succeeds each time, and a
/// product has up to ten endpoints.
const MAX_WRITES: u32 = 20;

/// Maximum wait before a delivery is written again: writers that met must not meet again.
const MAX_WAIT: Duration = Duration::from_millis(50);

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// An attempt is due, now or later.
    Due,
    /// The endpoint accepted the event.
    Delivered,
    /// Every attempt failed.
    GaveUp,
    /// The endpoint is disabled. Enabling it sends the event.
    Disabled,
    /// The product file has no such endpoint anymore.
    Removed,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAttempt {
    /// When it began, in milliseconds.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub took: u64,
    /// The endpoint's status, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer, or the first bytes of an answer that is no success, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An event at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it stands.
    pub state: DeliveryState,
    /// When the next attempt is due, in milliseconds, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<i64>,
    /// How many attempts failed since the event was recorded, or sent again by hand.
    pub failed: u32,
    /// Raised by every write, so that no write overwrites another.
    revision: u32,
    /// The latest attempts, the earliest first.
    #[serde(default)]
    pub attempts: Vec<DeliveryAttempt>,
}

/// An event, and what became of it at each endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// The event.
    pub event: Event,
    /// By endpoint.
    pub deliveries: BTreeMap<EndpointId, Delivery>,
    /// Whether the item has a map to put a delivery into. Events that were recorded before 1 December 2026 have none.
    has_map: bool,
    /// When the sweep looks at the event, in milliseconds, if it does.
    pub(crate) due_at: Option<i64>,
    /// Raised by every write that moves this time.
    pub(crate) due_revision: Option<u64>,
    /// Whether the sweep queues first attempts at this time: nobody else may have.
    pub is_unqueued: bool,
}

#[derive(Debug, Default, Deserialize)]
struct DeliveriesRow {
    deliveries: Option<BTreeMap<EndpointId, Delivery>>,
    due_at: Option<i64>,
    due_revision: Option<u64>,
    #[serde(default)]
    unqueued: bool,
}

impl DeliveryState {
    /// Its name in the table, the API and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Delivered => "delivered",
            Self::GaveUp => "gave_up",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }
}

impl Delivery {
    /// A first attempt that is due now.
    pub fn due(now: Timestamp) -> Self {
        Self {
            state: DeliveryState::Due,
            due_at: Some(now.as_millisecond()),
            failed: 0,
            revision: 0,
            attempts: Vec::new(),
        }
    }

    /// When the next attempt is due.
    pub fn due_at(&self) -> Option<Timestamp> {
        let due_at = self.due_at.filter(|_| self.state == DeliveryState::Due)?;
        Timestamp::from_millisecond(due_at).ok()
    }

    /// Whether the endpoint did not get the event, and still may.
    pub fn is_missed(&self) -> bool {
        !matches!(self.state, DeliveryState::Delivered | DeliveryState::Removed)
    }

    /// Whether sending it again now would change nothing: an attempt is due already, or was accepted a moment ago.
    fn is_being_sent(&self, now: Timestamp) -> bool {
        let last = self.attempts.last().and_then(|last| Timestamp::from_millisecond(last.at).ok());
        match self.state {
            DeliveryState::Due => self.due_at().is_none_or(|due_at| due_at <= now),
            DeliveryState::Delivered => last.is_some_and(|at| now < at.later_by(JUST_DELIVERED)),
            _ => false,
        }
    }

    /// The delivery after an attempt, or after none was made. `due_at`: when the next one is due, if the state is
    /// [`DeliveryState::Due`].
    #[must_use]
    pub fn after(
        &self,
        attempt: Option<DeliveryAttempt>,
        state: DeliveryState,
        due_at: Option<Timestamp>,
        failed: u32,
    ) -> Self {
        let mut attempts = self.attempts.clone();
        attempts.extend(attempt);
        attempts.drain(..attempts.len().saturating_sub(MAX_KEPT_ATTEMPTS));
        let due_at = due_at.map(Timestamp::as_millisecond);
        Self { state, due_at, failed, revision: self.revision + 1, attempts }
    }
}

impl EventRecord {
    pub(crate) fn read(pk: &str, item: Item) -> Result<Self, StoreError> {
        let DeliveriesRow { deliveries, due_at, due_revision, unqueued } = from_item(pk, item.clone())?;
        let has_map = deliveries.is_some();
        let deliveries = deliveries.unwrap_or_default();
        let event = from_item::<EventRow>(pk, item)?.event;
        Ok(Self { event, deliveries, has_map, due_at, due_revision, is_unqueued: unqueued })
    }

    /// When the sweep queues first attempts.
    fn unqueued_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.due_at.filter(|_| self.is_unqueued)?).ok()
    }

    /// When the first attempt that waits is due, at any endpoint.
    pub fn next_attempt(&self) -> Option<Timestamp> {
        self.deliveries.values().filter_map(Delivery::due_at).min()
    }

    /// When the sweep has to look at the event again, if the attempts that are due by now are in the queue.
    pub fn next_look(&self, now: Timestamp) -> Option<Timestamp> {
        next_look(self.deliveries.values(), now)
    }
}

/// When the sweep has to look at these deliveries: at the earliest attempt that waits. One that is due already is in the
/// queue.
fn next_look<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>, now: Timestamp) -> Option<Timestamp> {
    let look = |due_at: Timestamp| if due_at > now { due_at } else { now.later_by(QUEUED_AGAIN) };
    deliveries.into_iter().filter_map(Delivery::due_at).map(look).min()
}

fn to_attribute(pk: &str, value: &impl Serialize) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(value)
        .map_err(|error| StoreError::Corrupt { pk: pk.to_owned(), what: error.to_string() })
}

impl Store {
    /// An event and its deliveries, as they are now.
    pub async fn event_record(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        let key = keys::event(id);
        let item = self.get(&key, true).await?;
        item.map(|item| EventRecord::read(&key.pk, item)).transpose()
    }

    /// The same, while the event is kept.
    pub async fn kept_event_record(
        &self,
        id: &EventId,
        now: Timestamp,
    ) -> Result<Option<EventRecord>, StoreError> {
        let key = keys::event(id);
        let item = self.get(&key, true).await?.filter(|item| is_kept(item, now));
        item.map(|item| EventRecord::read(&key.pk, item)).transpose()
    }

    /// Writes one delivery of an event. `false`: it has changed since it was read, and nothing was written. One write, and
    /// one more for each writer of another endpoint's delivery that came between.
    pub async fn put_delivery(
        &self,
        record: &EventRecord,
        endpoint: &EndpointId,
        after: Delivery,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut record = Cow::Borrowed(record);
        for _ in 0..MAX_WRITES {
            let others = record.deliveries.iter().filter(|(other, _)| *other != endpoint);
            let look = next_look(others.map(|(_, delivery)| delivery).chain([&after]), now);
            let look = [look, record.unqueued_at()].into_iter().flatten().min();
            let Err(current) = self.write_delivery(&record, endpoint, &after, look).await? else {
                return Ok(true);
            };
            let Some(current) = current else { return Ok(false) };
            if current.deliveries.get(endpoint) != record.deliveries.get(endpoint) {
                return Ok(false);
            }
            record = Cow::Owned(current);
            sleep(MAX_WAIT.mul_f64(fastrand::f64())).await;
        }
        Err(StoreError::timed_out("UpdateItem"))
    }

    /// The same, once. `look`: when the sweep looks at the event. The inner error: the event as it is, if it still is; it
    /// has changed since `record` was read.
    async fn write_delivery(
        &self,
        record: &EventRecord,
        endpoint: &EndpointId,
        after: &Delivery,
        look: Option<Timestamp>,
    ) -> Result<Result<(), Option<EventRecord>>, StoreError> {
        let key = keys::event(&record.event.id);
        let update = self.update(&key);
        let (set, mut condition, update) = if record.has_map {
            let update = update
                .expression_attribute_names("#endpoint", endpoint.as_str())
                .expression_attribute_values(":after", to_attribute(&key.pk, after)?);
            let (condition, update) = match record.deliveries.get(endpoint) {
                Some(before) => (
                    "deliveries.#endpoint.revision = :revision",
                    update.expression_attribute_values(":revision", N(before.revision)),
                ),
                None => {
                    ("attribute_exists(deliveries) AND attribute_not_exists(deliveries.#endpoint)", update)
                }
            };
            ("deliveries.#endpoint = :after", condition.to_owned(), update)
        } else {
            let all = to_attribute(&key.pk, &BTreeMap::from([(endpoint, after)]))?;
            let condition = "attribute_exists(pk) AND attribute_not_exists(deliveries)".to_owned();
            ("deliveries = :all", condition, update.expression_attribute_values(":all", all))
        };
        // A delivery that ends leaves alone what other deliveries have put into the index since.
        let moves = look.is_some() || record.due_at.is_some();
        let update = if moves {
            let (move_to, not_moved, update) = moving(record, look, update);
            condition = format!("{condition} AND {not_moved}");
            update.update_expression(format!("SET {set}, {move_to}"))
        } else {
            update.update_expression(format!("SET {set}"))
        };
        let written = update
            .condition_expression(condition)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        match conditional("UpdateItem", written)? {
            Ok(_) => Ok(Ok(())),
            Err(item) => Ok(Err(item.map(|item| EventRecord::read(&key.pk, item)).transpose()?)),
        }
    }

    /// Makes an event due at these endpoints, whatever became of it there, with all its attempts ahead. An attempt that is
    /// due already, or was accepted a few seconds ago, stays as it is. Returns the endpoints with an attempt that is due
    /// now, and since when it is: with that time a second message in the queue is a duplicate.
    pub async fn make_due(
        &self,
        id: &EventId,
        endpoints: &[EndpointId],
        now: Timestamp,
    ) -> Result<BTreeMap<EndpointId, Timestamp>, StoreError> {
        let mut due = BTreeMap::new();
        for endpoint in endpoints {
            let due_at = self.make_due_at(id, endpoint, now).await?;
            due.extend(due_at.map(|due_at| (endpoint.clone(), due_at)));
        }
        Ok(due)
    }

    /// The same at one endpoint.
    async fn make_due_at(
        &self,
        id: &EventId,
        endpoint: &EndpointId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut record = self.event_record(id).await?;
        for _ in 0..MAX_WRITES {
            let Some(current) = record else { return Ok(None) };
            let before = current.deliveries.get(endpoint);
            if let Some(before) = before.filter(|before| before.is_being_sent(now)) {
                let due_at = before.due_at();
                if due_at.is_some() && current.due_at.is_none() {
                    self.look_again(&current, Some(now)).await?;
                }
                return Ok(due_at);
            }
            let after = match before {
                Some(before) => before.after(None, DeliveryState::Due, Some(now), 0),
                None => Delivery::due(now),
            };
            match self.write_delivery(&current, endpoint, &after, Some(now)).await? {
                Ok(()) => return Ok(Some(now)),
                Err(changed) => record = changed,
            }
            sleep(MAX_WAIT.mul_f64(fastrand::f64())).await;
        }
        Err(StoreError::timed_out("UpdateItem"))
    }
}
