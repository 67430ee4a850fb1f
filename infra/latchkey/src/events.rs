//! Events and their deliveries, for an operator: what was sent, what was not, and endpoints that are disabled.

use std::time::Duration;

use domain::{EndpointId, EventId, ProductId, SaturatingTime as _, WebhookEndpoint};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::{Delivery, DeliveryState, EventQuery, FeedPlace, Store, events::EVENT_KEPT};

use crate::{
    apply,
    report::{CommandError, Report},
    scan::progress,
};

/// How many events one request reads.
const PAGE: u8 = 100;

/// How long the index of events may lag behind the table.
pub const INDEX_LAG: Duration = Duration::from_secs(5);

/// What may have been recorded or ended just before an endpoint was enabled, and is looked at again after [`INDEX_LAG`].
const LATEST: SignedDuration = SignedDuration::from_mins(10);

/// A product's endpoints: whether each works, since when it fails, why it is disabled.
pub async fn endpoints(store: &Store, product: &ProductId) -> Result<Report, CommandError> {
    let stored = apply::stored(store, product).await?;
    let (mut lines, mut rows, mut wrong) = (Vec::new(), Vec::new(), false);
    for endpoint in &stored.webhooks {
        let health = store.endpoint_health(product, &endpoint.id).await?;
        let state = match (health.disabled, health.failing_since) {
            (Some((at, because)), _) => format!("disabled at {at}: {}", because.as_str()),
            (None, Some(since)) => format!("failing since {since}"),
            (None, None) => "works".to_owned(),
        };
        wrong |= health.disabled.is_some();
        lines.push(format!("{:<16} {state}  {}", endpoint.id.as_str(), endpoint.url));
        rows.push(json!({
            "endpoint": endpoint.id, "url": endpoint.url, "events": endpoint.events,
            "failing_since": health.failing_since,
            "disabled_at": health.disabled.map(|(at, _)| at),
            "disabled_because": health.disabled.map(|(_, because)| because.as_str()),
        }));
    }
    if lines.is_empty() {
        lines.push(format!("{product} has no webhook endpoint."));
    }
    Ok(Report { text: lines.join("\n"), json: json!({ "endpoints": rows }), wrong })
}

/// Enables an endpoint. The sweep then sends what it missed: everything that is kept, since an event may have failed alone
/// long before the endpoint did. `wait`: how long the index may lag; what was recorded last is looked at again after it.
pub async fn enable(
    store: &Store,
    product: &ProductId,
    endpoint: &EndpointId,
    now: Timestamp,
    wait: Duration,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let stored = apply::stored(store, product).await?;
    let configured = stored.endpoint(endpoint);
    let configured =
        configured.ok_or_else(|| format!("{product} has no endpoint {endpoint}: latchkey apply"))?;
    if !dry_run {
        // First: an event that is recorded meanwhile is sent by itself.
        store.enable_endpoint(product, endpoint).await?;
    }
    let mut missed = resend(store, product, configured, now.earlier_by(EVENT_KEPT), now, dry_run).await?;
    if !dry_run {
        tokio::time::sleep(wait).await;
        missed += resend(store, product, configured, now.earlier_by(LATEST), now, dry_run).await?;
    }
    let done = if dry_run { "would be enabled; nothing was written: a dry run" } else { "is enabled" };
    let text = format!(
        "{product}/{endpoint} {done}. It missed {missed} events; the sweep sends them within five minutes."
    );
    Ok(Report::good(text, json!({ "enabled": !dry_run, "missed": missed })))
}

/// Makes the events since then due that an endpoint missed, and says how many they are.
async fn resend(
    store: &Store,
    product: &ProductId,
    endpoint: &WebhookEndpoint,
    since: Timestamp,
    now: Timestamp,
    dry_run: bool,
) -> Result<u64, CommandError> {
    let (mut seen, mut missed) = (0_u64, 0_u64);
    let mut after = Some(FeedPlace::floor(since));
    while let Some(place) = after {
        let (records, next) = store.event_records(product, &place).await?;
        for record in records {
            seen += 1;
            let is_settled =
                record.deliveries.get(&endpoint.id).is_some_and(|delivery| !delivery.is_missed());
            if is_settled || !endpoint.takes(&record.event) {
                continue;
            }
            // The index may be a second old.
            let id = &record.event.id;
            let Some(record) = store.event_record(id).await? else { continue };
            let state = record.deliveries.get(&endpoint.id).map(|delivery| delivery.state);
            if matches!(state, Some(DeliveryState::Disabled | DeliveryState::GaveUp)) {
                missed += 1;
                if !dry_run {
                    store.make_due(id, std::slice::from_ref(&endpoint.id), now).await?;
                }
            }
        }
        progress(&format!("{seen} events read"), false);
        after = next;
    }
    progress(&format!("{seen} events read"), true);
    Ok(missed)
}

/// Sends an event again, to one endpoint or to all that it went to.
pub async fn redeliver(
    store: &Store,
    event: &EventId,
    endpoint: Option<EndpointId>,
    now: Timestamp,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let record = store.event_record(event).await?.ok_or_else(|| format!("there is no event {event}"))?;
    let endpoints: Vec<EndpointId> = match endpoint {
        Some(endpoint) => vec![endpoint],
        None => record.deliveries.into_keys().collect(),
    };
    if endpoints.is_empty() {
        return Err(format!("{event} went to no endpoint. Name one with --endpoint").into());
    }
    let due =
        if dry_run { endpoints } else { store.make_due(event, &endpoints, now).await?.into_keys().collect() };
    if due.is_empty() {
        let text = format!("{event} was delivered a moment ago, and is not sent again");
        return Ok(Report::good(text, json!({ "event": event, "endpoints": due, "written": false })));
    }
    let names: Vec<&str> = due.iter().map(EndpointId::as_str).collect();
    let done = if dry_run { "would be sent" } else { "is sent within five minutes" };
    let text = format!("{event} {done} to {}", names.join(", "));
    Ok(Report::good(text, json!({ "event": event, "endpoints": due, "written": !dry_run })))
}

/// A product's latest events and what became of them at each endpoint.
pub async fn tail(
    store: &Store,
    product: &ProductId,
    hours: u32,
    most: usize,
    now: Timestamp,
) -> Result<Report, CommandError> {
    let since = now.earlier_by(SignedDuration::from_hours(i64::from(hours)));
    let mut query = EventQuery { after: Some(FeedPlace::floor(since)), limit: PAGE, ..EventQuery::default() };
    let mut events = Vec::new();
    loop {
        let page = store.events(product, &query, now).await?;
        events.extend(page.events);
        // Only the latest are shown.
        events.drain(..events.len().saturating_sub(most));
        query.after = Some(page.next);
        if !page.has_more {
            break;
        }
    }
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for event in events {
        let deliveries =
            store.event_record(&event.id).await?.map(|record| record.deliveries).unwrap_or_default();
        let told = |(endpoint, delivery): (&EndpointId, &Delivery)| {
            let attempt = delivery.attempts.last();
            let status = attempt.and_then(|attempt| attempt.status);
            let what =
                status.map(|status| status.to_string()).or(attempt.and_then(|attempt| attempt.error.clone()));
            format!("{endpoint}: {} {}", delivery.state.as_str(), what.unwrap_or_default())
        };
        let states: Vec<String> = deliveries.iter().map(told).collect();
        lines.push(format!("{}  {}  {:<36} {}", event.at, event.id, event.kind.as_str(), states.join(", ")));
        let deliveries: Vec<Value> = deliveries
            .iter()
            .map(|(endpoint, delivery)| {
                json!({ "endpoint": endpoint, "state": delivery.state, "attempts": delivery.attempts, "due_at": delivery.due_at() })
            })
            .collect();
        rows.push(json!({ "event": event.payload(), "deliveries": deliveries }));
    }
    if lines.is_empty() {
        lines.push(format!("No event in the last {hours} h."));
    }
    Ok(Report::good(lines.join("\n"), json!({ "events": rows })))
}
