//! `GET /v1/events`: a product's events in the order in which they were recorded, for who polls. Everything is read from
//! the partition of the caller's own product, so no filter and no cursor leads out of it.

use domain::{EndpointId, EventId, EventType, event::Payload};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use store::{Delivery, DeliveryAttempt, EventQuery, EventRecord, FeedPlace};
use web::{Problem, Query, Request, Response, respond, views};

use crate::{Ops, error::OpsError};

/// Default page size.
const PAGE_SIZE: u8 = 50;

#[derive(Debug, Serialize)]
struct FeedView<'a> {
    /// Each as a webhook carries it.
    events: Vec<Payload<'a>>,
    /// Send it as `after` for what comes next, also if there is nothing yet.
    next: &'a str,
    /// Whether there is more to read now.
    has_more: bool,
}

impl Ops {
    pub(crate) async fn list_events(
        &self,
        request: &Request,
        given: &Query,
        now: Timestamp,
    ) -> Result<Response, OpsError> {
        let caller = self.caller(request, now).await?;
        let page = self.platform.store.events(&caller.product.id, &query(given)?, now).await?;
        let view = FeedView {
            events: page.events.iter().map(domain::Event::payload).collect(),
            next: page.next.as_str(),
            has_more: page.has_more,
        };
        Ok(respond::json(StatusCode::OK, &view))
    }

    /// One event. Another product's is not found: the two are not told apart.
    pub(crate) async fn show_event(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, OpsError> {
        let caller = self.caller(request, now).await?;
        let unknown = || Problem::not_found("event");
        let id: EventId = id.parse().map_err(|_| unknown())?;
        let record = self.platform.store.kept_event_record(&id, now).await?;
        let record = record.filter(|record| record.event.product == caller.product.id).ok_or_else(unknown)?;
        Ok(respond::json(StatusCode::OK, &EventView::new(&record)))
    }
}

/// An event, and what became of it at each endpoint.
#[derive(Debug, Serialize)]
pub(crate) struct EventView<'a> {
    #[serde(flatten)]
    event: Payload<'a>,
    deliveries: Vec<DeliveryView<'a>>,
}

#[derive(Debug, Serialize)]
struct DeliveryView<'a> {
    endpoint: &'a EndpointId,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    /// The latest attempts, the earliest first.
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Debug, Serialize)]
struct AttemptView<'a> {
    at: String,
    took_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why there was no answer, or the first bytes of an answer that is no success.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> EventView<'a> {
    pub(crate) fn new(record: &'a EventRecord) -> Self {
        let deliveries = record.deliveries.iter();
        Self {
            event: record.event.payload(),
            deliveries: deliveries
                .map(|(endpoint, delivery)| DeliveryView::new(endpoint, delivery))
                .collect(),
        }
    }
}

impl<'a> DeliveryView<'a> {
    fn new(endpoint: &'a EndpointId, delivery: &'a Delivery) -> Self {
        let attempt = |attempt: &'a DeliveryAttempt| AttemptView {
            at: views::time(Timestamp::from_millisecond(attempt.at).unwrap_or_default()),
            took_ms: attempt.took,
            status: attempt.status,
            error: attempt.error.as_deref(),
        };
        Self {
            endpoint,
            state: delivery.state.as_str(),
            next_attempt_at: delivery.due_at().map(views::time),
            attempts: delivery.attempts.iter().map(attempt).collect(),
        }
    }
}

fn query(given: &Query) -> Result<EventQuery, Problem> {
    let after = given.get("after").map(|text| FeedPlace::parse(text).ok_or(text)).transpose();
    let types: Result<Vec<EventType>, _> =
        given.get("types").map_or(Ok(Vec::new()), |list| list.split(',').map(str::parse).collect());
    let limit = given.get("limit").map_or(Ok(PAGE_SIZE), str::parse);
    Ok(EventQuery {
        after: after.map_err(|_| Problem::bad_request("after must be the next of an earlier answer"))?,
        types: types.map_err(|_| {
            let known: Vec<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
            Problem::bad_request(format!("types is a list, with commas between, of {}", known.join(", ")))
        })?,
        connection: given
            .get("connection")
            .map(str::parse)
            .transpose()
            .map_err(|_| Problem::bad_request("connection is a connection's id"))?,
        customer: given.get("customer").map(str::to_owned),
        limit: limit
            .ok()
            .filter(|limit| (1..=100).contains(limit))
            .ok_or_else(|| Problem::bad_request("limit must be 1 to 100"))?,
    })
}
