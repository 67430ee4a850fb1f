//! Webhook endpoints that fail or are disabled: a box each on the operators' page, and `GET /ops/endpoints/{endpoint}` with
//! the events that one missed.

use domain::{EndpointId, Product, SaturatingTime as _, WebhookEndpoint};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use pages::{
    MissedEvent, Names, OpsEndpointPage, Page,
    ops::{Incident, WORDS, say},
    rich,
};
use store::{EndpointHealth, EventRecord, StoreError};
use web::{
    Query, Request, Response, error_pages,
    respond::{self, Forms, page},
};

use crate::{
    Ops, csv,
    format::clock_time,
    query::DashboardQuery,
    visit::{Format, Refused, Visit},
};

/// Maximum number of events on the page of an endpoint.
const MAX_MISSED: usize = 50;

/// How long before an endpoint fails or is disabled an event may be recorded that it misses for it: an event is repeated
/// for so long.
const BEFORE: SignedDuration = SignedDuration::from_hours(81);

/// Since when an endpoint gets no events; `None`: it works.
fn missing_since(health: &EndpointHealth) -> Option<Timestamp> {
    health.failing_since.or(health.disabled.map(|(at, _)| at))
}

impl Ops {
    /// The product's endpoints that fail or are disabled.
    pub(crate) async fn endpoint_incidents(
        &self,
        product: &Product,
        selected: &DashboardQuery,
    ) -> Result<Vec<Incident>, StoreError> {
        let mut found = Vec::new();
        for endpoint in &product.webhooks {
            let health = self.platform.store.endpoint_health(&product.id, &endpoint.id).await?;
            let Some(since) = missing_since(&health) else { continue };
            let oldest = self.missed(product, &endpoint.id, since, 1, selected.now).await?.0;
            found.push(incident(product, endpoint, &health, since, oldest.first(), selected));
        }
        Ok(found)
    }

    async fn missed(
        &self,
        product: &Product,
        endpoint: &EndpointId,
        since: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<EventRecord>, bool), StoreError> {
        let since = since.earlier_by(BEFORE);
        self.platform.store.undelivered(&product.id, endpoint, since, limit, now).await
    }

    pub(crate) async fn endpoint_page(
        &self,
        request: &Request,
        endpoint: &str,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response, Refused> {
        // The page of an endpoint has all that it missed: nothing else is selected.
        let field = |name: &str| matches!(name, "product" | "format").then(|| query.get(name)).flatten();
        let visit = self.visit_with(request, field, now).await?;
        let Visit { product, selected, .. } = &visit;
        let configured = product.webhooks.iter().find(|known| known.id.as_str() == endpoint);
        let Some(configured) = configured else { return Ok(error_pages::not_found()) };
        let health = self.platform.store.endpoint_health(&product.id, &configured.id).await?;
        let (missed, is_cut) = match missing_since(&health) {
            Some(since) => self.missed(product, &configured.id, since, MAX_MISSED, now).await?,
            None => (Vec::new(), false),
        };
        let view = OpsEndpointPage {
            frame: visit.frame(&selected.endpoint(&configured.id)),
            endpoint: configured.id.to_string(),
            missed: missed.iter().map(|record| missed_event(record, &configured.id)).collect(),
            is_cut,
        };
        Ok(match visit.format {
            Format::Page => page(StatusCode::OK, Forms::Ours, |nonce| view.with_nonce(nonce).html()),
            Format::Csv => respond::csv("latchkey-missed-events.csv", csv::text(&csv::missed(&view.missed))),
        })
    }
}

fn incident(
    product: &Product,
    endpoint: &WebhookEndpoint,
    health: &EndpointHealth,
    since: Timestamp,
    oldest: Option<&EventRecord>,
    selected: &DashboardQuery,
) -> Incident {
    let title = if health.disabled.is_some() { WORDS.endpoint_disabled } else { WORDS.endpoint_failing };
    let oldest = oldest.map_or(WORDS.endpoint_none.to_owned(), |record| clock_time(record.event.at));
    let names = Names::of(&product.brand);
    let enable = say(WORDS.endpoint_enable, &[("product", &product.id), ("endpoint", &endpoint.id)]);
    Incident {
        title: say(title, &[("endpoint", &endpoint.id)]),
        href: selected.endpoint(&endpoint.id),
        facts: say(WORDS.endpoint_facts, &[("since", &clock_time(since)), ("oldest", &oldest)]),
        goal: Some(rich(WORDS.endpoint_goal, &names)),
        fix: vec![rich(WORDS.endpoint_fix, &names), rich(&enable, &names)],
        guide: None,
    }
}

fn missed_event(record: &EventRecord, endpoint: &EndpointId) -> MissedEvent {
    let delivery = record.deliveries.get(endpoint);
    let attempts = delivery.map(|delivery| delivery.attempts.as_slice()).unwrap_or_default();
    let last = attempts.last();
    let status = last.and_then(|attempt| attempt.status).map(|status| status.to_string());
    let error = last.and_then(|attempt| attempt.error.clone());
    MissedEvent {
        at: clock_time(record.event.at),
        kind: record.event.kind.as_str(),
        id: record.event.id.to_string(),
        attempts: attempts.len(),
        answer: [status, error].into_iter().flatten().collect::<Vec<_>>().join(" "),
        state: delivery.map_or("", |delivery| delivery.state.as_str()),
    }
}
