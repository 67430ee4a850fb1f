//! Deliveries: what became of an event at each endpoint that receives it. They are part of the event's item, so recording
//! an event and adding its deliveries is one write, and so is each attempt.

use std::{borrow::Cow, collections::BTreeMap};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{EndpointId, Event, EventId, SaturatingTime as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Item, N, S, Store, StoreError,
    events::{EventRow, is_kept},
    item::from_item,
    keys, millis,
    write::{SendWrite, conditional},
};

/// How long an attempt that is due, and so in the queue, is left alone. Then the sweep queues it again: its message may be
/// lost.
const QUEUED_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Maximum attempts that are kept of one delivery, the latest ones.
const MAX_KEPT_ATTEMPTS: usize = 12;

/// How long a delivery that was accepted is not sent again: whoever presses a button twice wants one more delivery.
const JUST_DELIVERED: SignedDuration = SignedDuration::from_secs(10);

/// Maximum number of times that one call writes a delivery.
const MAX_WRITES: u32 = 3;

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
}

#[derive(Debug, Default, Deserialize)]
struct DeliveriesRow {
    deliveries: Option<BTreeMap<EndpointId, Delivery>>,
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
        let DeliveriesRow { deliveries } = from_item(pk, item.clone())?;
        let has_map = deliveries.is_some();
        let event = from_item::<EventRow>(pk, item)?.event;
        Ok(Self { event, deliveries: deliveries.unwrap_or_default(), has_map })
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

    /// Writes one delivery of an event. `false`: it has changed since it was read, and nothing was written. One write.
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
            if self.write_delivery(&record, endpoint, after.clone(), look).await? {
                return Ok(true);
            }
            // The first delivery of another endpoint may have come between: it makes the map that both are in.
            let Some(current) = self.event_record(&record.event.id).await? else { return Ok(false) };
            if current.deliveries.get(endpoint) != record.deliveries.get(endpoint) {
                return Ok(false);
            }
            record = Cow::Owned(current);
        }
        Err(StoreError::timed_out("UpdateItem"))
    }

    /// The same. `look`: when the sweep looks at the event.
    async fn write_delivery(
        &self,
        record: &EventRecord,
        endpoint: &EndpointId,
        after: Delivery,
        look: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let key = keys::event(&record.event.id);
        let mut changed = record.clone();
        let before = changed.deliveries.insert(endpoint.clone(), after.clone());
        let update = self.update(&key);
        let (set, condition, update) = if !record.has_map {
            let all = to_attribute(&key.pk, &changed.deliveries)?;
            let condition = "attribute_exists(pk) AND attribute_not_exists(deliveries)";
            ("deliveries = :all", condition, update.expression_attribute_values(":all", all))
        } else {
            let update = update
                .expression_attribute_names("#endpoint", endpoint.as_str())
                .expression_attribute_values(":after", to_attribute(&key.pk, &after)?);
            match before {
                Some(before) => (
                    "deliveries.#endpoint = :after",
                    "deliveries.#endpoint.revision = :revision",
                    update.expression_attribute_values(":revision", N(before.revision)),
                ),
                None => (
                    "deliveries.#endpoint = :after",
                    "attribute_exists(deliveries) AND attribute_not_exists(deliveries.#endpoint)",
                    update,
                ),
            }
        };
        let update = match look {
            Some(at) => update
                .update_expression(format!("SET {set}, due_shard = :shard, due_at = :at"))
                .expression_attribute_values(":shard", S(keys::due_shard(record.event.id.as_str())))
                .expression_attribute_values(":at", millis(at)),
            None => update.update_expression(format!("SET {set} REMOVE due_shard, due_at")),
        };
        let written = update.condition_expression(condition).send_write().await;
        Ok(conditional("UpdateItem", written)?.is_ok())
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
            for _ in 0..MAX_WRITES {
                let Some(record) = self.event_record(id).await? else { return Ok(due) };
                let before = record.deliveries.get(endpoint);
                if let Some(before) = before.filter(|before| before.is_being_sent(now)) {
                    due.extend(before.due_at().map(|due_at| (endpoint.clone(), due_at)));
                    break;
                }
                let after = match before {
                    Some(before) => before.after(None, DeliveryState::Due, Some(now), 0),
                    None => Delivery::due(now),
                };
                if self.write_delivery(&record, endpoint, after, Some(now)).await? {
                    due.insert(endpoint.clone(), now);
                    break;
                }
            }
        }
        Ok(due)
    }

    /// Takes an event off the sweep's list: nothing of it is due.
    pub async fn event_not_due(&self, id: &EventId, seen: Timestamp) -> Result<(), StoreError> {
        let removed = self
            .update(&keys::event(id))
            .update_expression("REMOVE due_shard, due_at")
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":seen", millis(seen))
            .send_write()
            .await;
        conditional("UpdateItem", removed).map(drop)
    }
}
