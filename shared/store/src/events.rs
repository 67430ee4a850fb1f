//! Events: recorded once for each id, and listed for a product in the order in which they were recorded.
//!
//! An event's place in its product's feed is the time at which it was recorded. A put is stamped just before it is sent
//! and may take [`PUT_TIMEOUT`]; a page of the feed ends [`HORIZON`] before now. So nothing is added before the end of a
//! page that was read, however late the change itself arrives: a shard of the stream that is ten minutes late is recorded
//! ten minutes later, behind everything that was read. A put whose answer came late is moved to a new place.
//!
//! The item is the outbox: its insertion comes back in the table's stream, and `functions/notify` passes it on. Whoever
//! records an event only calls [`Store::put_event`].

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use domain::{ConnectionId, EndpointId, Event, EventId, EventType, ProductId, SaturatingTime as _};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, timeout};

use crate::{
    Delivery, EventRecord, Item, S, Store, StoreError,
    item::{from_item, to_item},
    keys, millis,
    schema::FAILURES,
    ttl,
    write::{SendWrite, conditional},
};

/// How long an event is kept.
pub const EVENT_KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How long after an event was recorded the sweep queues it, if the stream should have lost it.
pub const QUEUED_BY_SWEEP: SignedDuration = SignedDuration::from_mins(10);

/// After this long an event that is not recorded was missed: a record of the stream lives for 24 hours.
pub const EVENT_OVERDUE: SignedDuration = SignedDuration::from_hours(25);

/// How long a put of an event may take, with the SDK's retries. It is then stamped and sent again.
pub const PUT_TIMEOUT: Duration = Duration::from_secs(3);

/// How far before now a page of the feed ends. It covers [`PUT_TIMEOUT`], a request that DynamoDB carries out after its
/// sender gave up, the delay of the index and the difference of two clocks.
pub const HORIZON: SignedDuration = SignedDuration::from_secs(10);

/// How old a stamp may be when its put is answered. A later answer moves the event.
const MAX_STAMP_AGE: SignedDuration = SignedDuration::from_secs(5);

/// Maximum number of times that one call sends a put.
const MAX_PUTS: u32 = 3;

/// Maximum number of requests for one page: a rare type gets a short page and the place to go on.
const MAX_REQUESTS: usize = 5;

/// Maximum number of requests for what an endpoint did not get.
const MAX_UNDELIVERED_REQUESTS: usize = 20;

/// How many events one request reads.
const READ_AT_ONCE: i32 = 100;

/// How many digits a time in a place has: they sort until the year 2286.
const TIME_DIGITS: usize = 16;

/// What became of recording an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// This call recorded it.
    New,
    /// It was recorded before.
    Before,
}

/// A place in a product's feed: a time in microseconds, and the event there. Places sort as their texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedPlace(String);

/// Which of a product's events to list, the earliest recorded first.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only those after this place.
    pub after: Option<FeedPlace>,
    /// Only these types; none: any.
    pub types: Vec<EventType>,
    /// Only this connection's.
    pub connection: Option<ConnectionId>,
    /// Only this customer's.
    pub customer: Option<String>,
    /// At most so many, 1 to 100.
    pub limit: u8,
}

/// A page of a product's feed.
#[derive(Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where to go on, also if nothing has been recorded there yet.
    pub next: FeedPlace,
    /// Whether the page ends because more can be read now.
    pub has_more: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EventRow {
    #[serde(flatten)]
    pub(crate) event: Event,
    listing_sk: String,
}

impl FeedPlace {
    /// The place before everything that is recorded at that time or later.
    pub fn floor(at: Timestamp) -> Self {
        Self(format!("{:0TIME_DIGITS$}", at.as_microsecond().max(0)))
    }

    fn of(at: Timestamp, id: &EventId) -> Self {
        Self(format!("{}-{id}", Self::floor(at).0))
    }

    /// Reads a place as [`FeedPlace::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (micros, id) = text.split_once('-').map_or((text, None), |(micros, id)| (micros, Some(id)));
        let is_time = micros.len() == TIME_DIGITS && micros.bytes().all(|b| b.is_ascii_digit());
        let is_id = id.is_none_or(|id| id.parse::<EventId>().is_ok());
        (is_time && is_id).then(|| Self(text.to_owned()))
    }

    /// The place as text: a cursor.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When what is there was recorded.
    pub fn at(&self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.0.get(..TIME_DIGITS)?.parse().ok()?).ok()
    }

    /// The lowest sort key after this place. `~` sorts after every character of an id.
    fn next(&self) -> String {
        if self.0.len() > TIME_DIGITS { format!("{}~", self.0) } else { self.0.clone() }
    }
}

impl EventQuery {
    /// Whether it lets an event through.
    pub fn admits(&self, event: &Event) -> bool {
        let customer = event.data.customer.as_ref().map(|customer| &customer.id);
        (self.types.is_empty() || self.types.contains(&event.kind))
            && (self.connection.is_none() || self.connection == event.data.connection)
            && (self.customer.is_none() || self.customer.as_ref() == customer)
    }
}

impl Store {
    /// Records an event, unless one with its id is recorded already. One write. `now` is the time of this call, not that of
    /// the invocation: it becomes the event's place in the feed.
    pub async fn put_event(&self, event: &Event, now: Timestamp) -> Result<Recorded, StoreError> {
        self.put_event_to_queue(event, None, now).await
    }

    /// The same for an event that no change of the table brings again: if the stream loses its insertion, the sweep queues it
    /// at that time for the product's endpoints.
    pub async fn put_event_to_queue(
        &self,
        event: &Event,
        queue_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        let began = Instant::now();
        let clock = || now.later_by(SignedDuration::try_from(began.elapsed()).unwrap_or_default());
        let mut sent = 0;
        loop {
            sent += 1;
            let stamp = clock();
            let put = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(event_item(event, stamp, queue_at)?))
                .condition_expression("attribute_not_exists(pk)")
                .return_values_on_condition_check_failure(OnFailure::AllOld);
            let Ok(written) = timeout(PUT_TIMEOUT, put.send_write()).await else {
                if sent < MAX_PUTS {
                    continue;
                }
                return Err(StoreError::timed_out("PutItem"));
            };
            let place = match conditional("PutItem", written)? {
                Ok(_) => FeedPlace::of(stamp, &event.id),
                Err(found) => {
                    let place = found.as_ref().and_then(place_of);
                    // A put of this call whose answer was lost is this call's own.
                    match place.filter(|place| place.at().is_some_and(|at| at >= now)) {
                        Some(own) if sent > 1 || own == FeedPlace::of(stamp, &event.id) => own,
                        _ => return Ok(Recorded::Before),
                    }
                }
            };
            return self.confirm_place(event, place, clock).await.map(|()| Recorded::New);
        }
    }

    /// Moves an event that may have become visible only after a page ended behind it.
    async fn confirm_place(
        &self,
        event: &Event,
        mut place: FeedPlace,
        clock: impl Fn() -> Timestamp,
    ) -> Result<(), StoreError> {
        while place.at().is_some_and(|at| clock() >= at.later_by(MAX_STAMP_AGE)) {
            let later = FeedPlace::of(clock(), &event.id);
            let moved = self
                .update(&keys::event(&event.id))
                .update_expression("SET listing_sk = :later")
                .condition_expression("listing_sk = :before")
                .expression_attribute_values(":later", S(later.as_str()))
                .expression_attribute_values(":before", S(place.as_str()))
                .send_write()
                .await;
            if conditional("UpdateItem", moved)?.is_err() {
                // Moved by another call, or by this one before its answer was lost.
                return Ok(());
            }
            place = later;
        }
        Ok(())
    }

    /// The event of that id, while it is kept.
    pub async fn get_event(&self, id: &EventId, now: Timestamp) -> Result<Option<Event>, StoreError> {
        let key = keys::event(id);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        let is_kept = is_kept(&item, now);
        let row: EventRow = from_item(&key.pk, item)?;
        Ok(is_kept.then_some(row.event))
    }

    /// A product's events after a place, with their deliveries, the earliest recorded first: at most 100, and where to go on
    /// if there are more. It goes to the end, beyond the last page of the feed, and may miss what was recorded within the
    /// last seconds.
    pub async fn event_records(
        &self,
        product: &ProductId,
        after: &FeedPlace,
    ) -> Result<(Vec<EventRecord>, Option<FeedPlace>), StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(FAILURES)
            .key_condition_expression("failures_pk = :product AND listing_sk > :after")
            .expression_attribute_values(":product", S(keys::events(product)))
            .expression_attribute_values(":after", S(after.next()))
            .limit(READ_AT_ONCE)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))?;
        let items = answer.items.unwrap_or_default();
        let last = answer.last_evaluated_key.and_then(|_| items.iter().rev().find_map(place_of));
        let records: Result<Vec<_>, StoreError> =
            items.into_iter().map(|item| EventRecord::read("an event", item)).collect();
        Ok((records?, last))
    }

    /// The oldest events since then that an endpoint did not get and still may, and whether there may be more. Reads at most
    /// 2,000 events.
    pub async fn undelivered(
        &self,
        product: &ProductId,
        endpoint: &EndpointId,
        since: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<EventRecord>, bool), StoreError> {
        let mut found = Vec::new();
        let mut after = FeedPlace::floor(since.max(now.earlier_by(EVENT_KEPT)));
        for _ in 0..MAX_UNDELIVERED_REQUESTS {
            let (records, next) = self.event_records(product, &after).await?;
            for record in records {
                if !record.deliveries.get(endpoint).is_some_and(Delivery::is_missed) {
                    continue;
                }
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push(record);
            }
            let Some(next) = next else { return Ok((found, false)) };
            after = next;
        }
        Ok((found, true))
    }

    /// A page of a product's feed. It may be short, or empty, and still have more.
    pub async fn events(
        &self,
        product: &ProductId,
        query: &EventQuery,
        now: Timestamp,
    ) -> Result<EventPage, StoreError> {
        let limit = usize::from(query.limit.clamp(1, 100));
        let oldest = FeedPlace::floor(now.earlier_by(EVENT_KEPT));
        let horizon = FeedPlace::floor(now.earlier_by(HORIZON));
        let mut page = EventPage {
            events: Vec::new(),
            next: query.after.clone().map_or(oldest.clone(), |after| after.max(oldest)),
            has_more: true,
        };
        for _ in 0..MAX_REQUESTS {
            if page.next.next() >= horizon.0 {
                return Ok(EventPage { has_more: false, ..page });
            }
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(FAILURES)
                .key_condition_expression("failures_pk = :product AND listing_sk BETWEEN :after AND :horizon")
                .expression_attribute_values(":product", S(keys::events(product)))
                .expression_attribute_values(":after", S(page.next.next()))
                .expression_attribute_values(":horizon", S(horizon.as_str()))
                .limit(READ_AT_ONCE)
                .send()
                .await
                .map_err(|error| StoreError::unavailable("Query", &error))?;
            for item in answer.items.unwrap_or_default() {
                if page.events.len() == limit {
                    return Ok(page);
                }
                let row: EventRow = from_item("an event", item)?;
                page.next = FeedPlace(row.listing_sk);
                page.events.extend(Some(row.event).filter(|event| query.admits(event)));
            }
            if answer.last_evaluated_key.is_none() {
                return Ok(EventPage { has_more: false, ..page });
            }
        }
        Ok(page)
    }
}

/// Whether an event's item is kept: DynamoDB deletes it up to two days after its time.
pub(crate) fn is_kept(item: &Item, now: Timestamp) -> bool {
    let recorded_at = place_of(item).and_then(|place| place.at());
    recorded_at.is_some_and(|at| at > now.earlier_by(EVENT_KEPT))
}

fn place_of(item: &Item) -> Option<FeedPlace> {
    FeedPlace::parse(item.get("listing_sk")?.as_s().ok()?)
}

fn event_item(event: &Event, recorded: Timestamp, queue_at: Option<Timestamp>) -> Result<Item, StoreError> {
    let mut item = to_item(&keys::event(&event.id), event)?;
    item.insert("failures_pk".into(), S(keys::events(&event.product)));
    item.insert("listing_sk".into(), S(FeedPlace::of(recorded, &event.id).as_str()));
    item.insert("ttl".into(), ttl(recorded.later_by(EVENT_KEPT)));
    // Two endpoints that answer at the same time both find the map: neither write is refused.
    item.insert("deliveries".into(), AttributeValue::M(Item::new()));
    if let Some(at) = queue_at {
        item.insert("unqueued".into(), AttributeValue::Bool(true));
        item.insert("due_shard".into(), S(keys::due_shard(event.id.as_str())));
        item.insert("due_at".into(), millis(at));
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_sort_by_time_and_are_read_as_written() {
        let id = EventId::of(EventType::SessionLost, "cs_x", "");
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let (early, late) = (FeedPlace::of(at(1), &id), FeedPlace::of(at(1_764_516_517), &id));
        assert!(
            FeedPlace::floor(at(1)) < early && early < late && late < FeedPlace::floor(at(1_764_516_518))
        );
        assert!(early.next() > early.0 && early.next() < late.0);
        for place in [&early, &late, &FeedPlace::floor(at(9))] {
            assert_eq!(FeedPlace::parse(place.as_str()).as_ref(), Some(place));
        }
        assert_eq!(late.at(), Some(at(1_764_516_517)));
    }

    #[test]
    fn nothing_else_is_a_place() {
        for text in
            ["", "-", "1764516517", "1764516517123456-", "1764516517123456-con_x", "176451651712345x", "~"]
        {
            assert_eq!(FeedPlace::parse(text), None, "{text}");
        }
    }
}
