//! One change of one item → the events that it makes. Nothing is read here but the record.

use domain::{
    Customer, EndpointId, Environment, Event, EventId, EventType, Failure, FailureId, Incident, OrgId,
    ProductId, Provenance, SaturatingTime as _, SessionId, event::EventData,
};
use jiff::{Timestamp, tz::TimeZone};
use runtime::records::{Image, Record};
use serde::de::DeserializeOwned;
use store::{events::EVENT_OVERDUE, keys, waves::incident_event};

/// An event whose cause and incident may still have to be read from its failure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) event: Event,
    /// The failure that has them.
    pub(crate) explained_by: Option<FailureId>,
}

/// What follows from a record.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Consequences {
    /// Events to be recorded.
    pub(crate) drafts: Vec<Draft>,
    /// The event that was recorded.
    pub(crate) recorded: Option<Event>,
}

/// A record that says that something happened, and not to whom or what.
#[derive(Debug, thiserror::Error)]
#[error("the item says that something happened, and has no usable {0}")]
pub(crate) struct RecordError(&'static str);

/// What follows from a record. `now` is the time of changes that say none.
pub(crate) fn consequences(record: &Record, now: Timestamp) -> Result<Consequences, RecordError> {
    if record.is_expiry() {
        return Ok(Consequences::default());
    }
    let change = &record.change;
    let (old, new) = (change.old.as_ref().map(Image), change.new.as_ref().map(Image));
    let at = change.at().unwrap_or(now);
    let drafts = match (change.pk().split('#').next().unwrap_or_default(), new) {
        ("EVENT", Some(new)) if old.is_none() => {
            let recorded = serde_json::from_value(new.plain()).map_err(|_| RecordError("event"))?;
            return Ok(Consequences { recorded: Some(recorded), ..Consequences::default() });
        }
        ("CONNECTION", Some(new)) => connection(change.pk(), old, new, at)?.into_iter().collect(),
        ("SESSION", Some(new)) => session(change.pk(), old, new, at)?.into_iter().collect(),
        ("FAILURE", Some(new)) => failure(old, new, at)?.into_iter().collect(),
        ("ENDPOINT", Some(new)) => endpoint(old, new, at)?.into_iter().collect(),
        ("WAVE", Some(new)) => wave(change.pk(), change.sk(), old, new, at)?,
        _ => Vec::new(),
    };
    Ok(Consequences { drafts, recorded: None })
}

fn need<T: DeserializeOwned>(image: Image<'_>, name: &'static str) -> Result<T, RecordError> {
    image.read(name).ok_or(RecordError(name))
}

fn customer(image: Image<'_>) -> Option<Customer> {
    let customer = image.map("customer")?;
    Some(Customer { id: customer.text("id")?.to_owned(), name: customer.text("name").map(str::to_owned) })
}

/// A connection changed, and the write that changed it raised its revision and said which event that is.
fn connection(
    pk: &str,
    old: Option<Image<'_>>,
    new: Image<'_>,
    at: Timestamp,
) -> Result<Option<Draft>, RecordError> {
    let number = |image: Image<'_>| image.number("revision").unwrap_or_default();
    // Skip staged reconnect grants: they are not connections yet, or not anymore.
    if new.has("reconnect") || number(new) <= old.map_or(0, number) {
        return Ok(None);
    }
    let kind: EventType = need(new, "revision_event")?;
    let state_before = old.and_then(|old| old.text("state"));
    // A grant that no product redeemed was never a connection, and one that is being revoked is deleted already.
    let was_told = matches!(state_before, Some("active" | "blocked" | "refresh_unknown" | "needs_reauth"));
    if kind == EventType::ConnectionDeleted && !was_told {
        return Ok(None);
    }
    let id = keys::connection_of(pk).ok_or(RecordError("id"))?;
    let sequence = u64::try_from(number(new)).map_err(|_| RecordError("revision"))?;
    let changed = |name: &str| old.is_none_or(|old| old.0.get(name) != new.0.get(name));
    let failure: Option<FailureId> = match kind {
        EventType::ConnectionBlocked | EventType::ConnectionReauthorizationNeeded => new.read("failure"),
        // A restore brings back connections that had stopped.
        EventType::ConnectionStateChanged
            if matches!(new.text("state"), Some("blocked" | "needs_reauth")) =>
        {
            new.read("failure")
        }
        EventType::ConnectionRefreshFailing if changed("paused_for") && new.has("paused_for") => {
            new.read("paused_for")
        }
        EventType::ConnectionRefreshFailing if changed("retry_failure") => new.read("retry_failure"),
        _ => None,
    };
    let event = Event {
        id: EventId::of_connection(&id, sequence),
        kind,
        product: need(new, "product")?,
        at: new.time("revised_at").unwrap_or(at),
        sequence: Some(sequence),
        data: EventData {
            app: Some(need(new, "app")?),
            customer: customer(new),
            environment: new.read::<Environment>("environment"),
            org: new.read::<OrgId>("org_id"),
            connection: Some(id),
            state: new.text("state").map(str::to_owned),
            session: new.read::<SessionId>("session"),
            failure: failure.clone(),
            ..EventData::default()
        },
    };
    Ok(Some(Draft { event, explained_by: failure }))
}

/// A connect session reached an end, or waits for a person.
fn session(
    pk: &str,
    old: Option<Image<'_>>,
    new: Image<'_>,
    at: Timestamp,
) -> Result<Option<Draft>, RecordError> {
    let failure_of =
        |image: Image<'_>| image.map("last_failure").and_then(|last| last.read::<FailureId>("id"));
    let state = new.text("state").unwrap_or_default();
    let entered = old.and_then(|old| old.text("state")) != Some(state);
    let failure = failure_of(new);
    let failed_anew = failure.is_some() && failure != old.and_then(failure_of);
    let kind = match state {
        "connected" if entered => EventType::SessionConnected,
        "parked" if entered => EventType::SessionParked,
        "lost" if entered => EventType::SessionLost,
        "failed" if entered || failed_anew => EventType::SessionFailed,
        _ => return Ok(None),
    };
    let id = keys::session_of(pk).ok_or(RecordError("id"))?;
    // A session may fail, or be parked, several times.
    let (connection, point) = match kind {
        EventType::SessionConnected => (new.read("connection"), String::new()),
        // A parked grant is no connection: the product knows the one that is reconnected.
        EventType::SessionParked => {
            (new.read("reconnects"), new.text("connection").unwrap_or_default().to_owned())
        }
        _ => (new.read("reconnects"), failure.as_ref().map(ToString::to_string).unwrap_or_default()),
    };
    let failure = failure.filter(|_| matches!(kind, EventType::SessionFailed | EventType::SessionLost));
    let cause = new.map("last_failure").and_then(|last| last.text("cause")).filter(|_| failure.is_some());
    let event = Event {
        id: EventId::of(kind, id.as_str(), &point),
        kind,
        product: need(new, "product")?,
        at,
        sequence: None,
        data: EventData {
            app: Some(need(new, "app")?),
            customer: customer(new),
            environment: new.read::<Environment>("environment"),
            connection,
            session: Some(id),
            cause: cause.map(str::to_owned),
            failure,
            ..EventData::default()
        },
    };
    Ok(Some(Draft { event, explained_by: None }))
}

/// A failure that only the vendor can fix in an app of its own, or one that is over.
fn failure(old: Option<Image<'_>>, new: Image<'_>, at: Timestamp) -> Result<Option<Draft>, RecordError> {
    let is_new = old.is_none();
    let is_resolved = new.has("resolved") && old.is_some_and(|old| !old.has("resolved"));
    if !is_new && !is_resolved {
        return Ok(None);
    }
    let failure: Failure = serde_json::from_value(new.plain()).map_err(|_| RecordError("failure"))?;
    let (kind, subject, point) = if is_resolved {
        (EventType::FailureResolved, failure.id.to_string(), String::new())
    } else {
        let vendor_acts = diagnosis::cause(&failure.cause)
            .is_some_and(|cause| matches!(cause.actor, diagnosis::Actor::Vendor));
        // A restore brings failures of months back as new items. They were told when they happened.
        let was_brought = at > failure.at.later_by(EVENT_OVERDUE);
        if !vendor_acts || was_brought || failure.evidence.provenance != Provenance::Observed {
            return Ok(None);
        }
        // One a day for each app and cause, however many customers meet it.
        let day = failure.at.to_zoned(TimeZone::UTC).date();
        let subject = format!("{}/{}/{}", failure.product, failure.app, failure.cause);
        (EventType::AppIncident, subject, day.to_string())
    };
    let success = failure.resolved.as_ref();
    let event = Event {
        id: EventId::of(kind, &subject, &point),
        kind,
        product: failure.product.clone(),
        at: success.map_or(failure.at, |success| success.at),
        sequence: None,
        data: EventData {
            app: Some(failure.app.clone()),
            customer: Some(failure.customer.clone()),
            environment: failure.environment,
            org: failure.org.clone(),
            connection: success.and_then(|success| success.connection.clone()).or(failure.connection),
            session: success.and_then(|success| success.session.clone()).or(failure.session),
            cause: Some(failure.cause),
            incident: failure.incident.map(|incident| incident.id),
            failure: Some(failure.id),
            ..EventData::default()
        },
    };
    Ok(Some(Draft { event, explained_by: None }))
}

/// A webhook endpoint was disabled.
fn endpoint(old: Option<Image<'_>>, new: Image<'_>, at: Timestamp) -> Result<Option<Draft>, RecordError> {
    if !new.has("disabled_at") || old.is_some_and(|old| old.has("disabled_at")) {
        return Ok(None);
    }
    let product: ProductId = need(new, "product")?;
    let endpoint: EndpointId = need(new, "endpoint")?;
    let disabled_at = new.time("disabled_at").unwrap_or(at);
    let point = disabled_at.as_millisecond().to_string();
    let event = Event {
        id: EventId::of(EventType::EndpointDisabled, &format!("{product}/{endpoint}"), &point),
        kind: EventType::EndpointDisabled,
        product,
        at: disabled_at,
        sequence: None,
        data: EventData {
            state: new.text("disabled_because").map(str::to_owned),
            endpoint: Some(endpoint.to_string()),
            ..EventData::default()
        },
    };
    Ok(Some(Draft { event, explained_by: None }))
}

/// A wave of stops became an incident, or the next hour's stops are none.
fn wave(
    pk: &str,
    sk: &str,
    old: Option<Image<'_>>,
    new: Image<'_>,
    at: Timestamp,
) -> Result<Vec<Draft>, RecordError> {
    let incident = |image: Image<'_>| -> Option<Incident> {
        serde_json::from_value(image.map("incident")?.plain()).ok()
    };
    let (before, after) = (old.and_then(incident), incident(new));
    if before.as_ref().map(|before| &before.id) == after.as_ref().map(|after| &after.id) {
        return Ok(Vec::new());
    }
    let product: ProductId = keys::wave_of(pk).ok_or(RecordError("product"))?;
    let mut drafts = Vec::new();
    if let Some(ended) = before {
        let cause = old.and_then(|old| old.text("cause")).unwrap_or_default();
        let event = incident_event(EventType::IncidentEnded, &product, sk, cause, ended, at);
        drafts.push(Draft { event, explained_by: None });
    }
    if let Some(started) = after {
        let (cause, since) = (new.text("cause").unwrap_or_default(), started.since);
        let event = incident_event(EventType::IncidentStarted, &product, sk, cause, started, since);
        drafts.push(Draft { event, explained_by: None });
    }
    Ok(drafts)
}
