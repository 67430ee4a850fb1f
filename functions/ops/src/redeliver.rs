//! `POST /v1/events/{id}/redeliver` and `POST /v1/webhooks/test`. Both may be repeated: an attempt that is due is not made
//! due again, and a test has an id that is derived from its endpoint and its time.

use domain::{EndpointId, Event, EventId, EventType, Product, WebhookEndpoint, event::EventData};
use http::StatusCode;
use jiff::Timestamp;
use platform::{DueDelivery, log::internal};
use serde::Deserialize;
use web::{Problem, Request, Response, request, respond};

use crate::{Ops, error::OpsError, events::EventView};

/// How long the same test stays one event, in seconds.
const ONE_TEST: i64 = 10;

/// What both calls take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Only this endpoint.
    endpoint: Option<String>,
}

impl Ops {
    pub(crate) async fn redeliver(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, OpsError> {
        let caller = self.caller(request, now).await?;
        let Wanted { endpoint: wanted } = request::json(request)?;
        let unknown = || Problem::not_found("event");
        let id: EventId = id.parse().map_err(|_| unknown())?;
        let store = &self.platform.store;
        let record = store.kept_event_record(&id, now).await?;
        let record = record.filter(|record| record.event.product == caller.product.id).ok_or_else(unknown)?;
        let chosen: Vec<EndpointId> = if let Some(wanted) = wanted {
            vec![find(&caller.product, &wanted)?.id.clone()]
        } else {
            let gets = |endpoint: &&WebhookEndpoint| {
                endpoint.takes(&record.event) || record.deliveries.contains_key(&endpoint.id)
            };
            caller.product.webhooks.iter().filter(gets).map(|endpoint| endpoint.id.clone()).collect()
        };
        let mut enabled = Vec::new();
        for endpoint in chosen {
            if store.endpoint_health(&caller.product.id, &endpoint).await?.disabled.is_none() {
                enabled.push(endpoint);
            }
        }
        if enabled.is_empty() {
            return Err(no_endpoint().into());
        }
        let due = store.make_due(&id, &enabled, now).await?;
        let messages: Vec<DueDelivery> = due
            .into_iter()
            .map(|(endpoint, due_at)| DueDelivery {
                product: caller.product.id.clone(),
                endpoint,
                event: id.clone(),
                due_at: Some(due_at),
            })
            .collect();
        // What the queue does not take now, the sweep queues: the attempt is due in the table.
        if let Ok(queue) = self.platform.deliveries()
            && let Err(error) = queue.send(&messages).await
        {
            internal(&error);
        }
        self.accepted(&id, now).await
    }

    pub(crate) async fn test_webhooks(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> Result<Response, OpsError> {
        let caller = self.caller(request, now).await?;
        let Wanted { endpoint: wanted } = request::json(request)?;
        let endpoint = wanted.map(|wanted| find(&caller.product, &wanted)).transpose()?;
        let endpoint = endpoint.map(|endpoint| endpoint.id.to_string());
        let product = &caller.product.id;
        let subject = format!("{product}/{}", endpoint.as_deref().unwrap_or_default());
        let point = now.as_second().div_euclid(ONE_TEST).to_string();
        let mut event = Event {
            id: EventId::of(EventType::WebhookTest, &subject, &point),
            kind: EventType::WebhookTest,
            product: product.clone(),
            at: now,
            sequence: None,
            data: EventData { endpoint, ..EventData::default() },
        };
        event.data.message = Some(diagnosis::event_message(&event));
        // The recorded event comes back in the stream, and goes the way of every event.
        self.platform.store.put_event(&event, now).await?;
        self.accepted(&event.id, now).await
    }

    /// 202, and the event as `GET /v1/events/{id}` shows it.
    async fn accepted(&self, id: &EventId, now: Timestamp) -> Result<Response, OpsError> {
        let record = self.platform.store.kept_event_record(id, now).await?;
        let record = record.ok_or_else(|| Problem::not_found("event"))?;
        Ok(respond::json(StatusCode::ACCEPTED, &EventView::new(&record)))
    }
}

/// The endpoint of that id in the product's file.
fn find<'p>(product: &'p Product, wanted: &str) -> Result<&'p WebhookEndpoint, Problem> {
    let found = product.webhooks.iter().find(|endpoint| endpoint.id.as_str() == wanted);
    found.ok_or_else(|| Problem::not_found("endpoint"))
}

fn no_endpoint() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "no-endpoint",
        "No endpoint would get this event",
        "The endpoint is disabled, or the product file has no endpoint that receives events of this type. An operator \
         enables an endpoint: latchkey events enable.",
    )
}
