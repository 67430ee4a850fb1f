//! Events: changes that a product can subscribe to, and their public form.
//!
//! An event holds ids, causes and links. It never holds a token, a secret or the name of a Salesforce user.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AppId, ConnectionId, Customer, Environment, EventId, FailureId, IncidentId, OrgId, ProductId, SessionId,
};

/// The version of the public form. It is raised when a field changes its meaning or goes away.
pub const EVENT_VERSION: u8 = 1;

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The type of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl EventType {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in the API, in webhooks and in the table.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

event_types! {
    /// The product redeemed or imported a new connection.
    ConnectionCreated = "connection.created",
    /// A connection has a new grant.
    ConnectionReconnected = "connection.reconnected",
    /// Refreshes fail; Latchkey retries them.
    ConnectionRefreshFailing = "connection.refresh_failing",
    /// A connection works again after refreshes failed.
    ConnectionRecovered = "connection.recovered",
    /// Only a new authorization by the user helps.
    ConnectionReauthorizationNeeded = "connection.reauthorization_needed",
    /// Salesforce refuses the connection until an admin acts.
    ConnectionBlocked = "connection.blocked",
    /// The grant ends soon because it could not be used.
    ConnectionExpiring = "connection.expiring",
    /// The connection gives no token anymore; its grant is revoked.
    ConnectionDeleted = "connection.deleted",
    /// The connection changed while events could not be recorded; `state` says what it is now.
    ConnectionStateChanged = "connection.state_changed",
    /// A connect session ended with a connection.
    SessionConnected = "session.connected",
    /// An attempt of a connect session failed.
    SessionFailed = "session.failed",
    /// A browser went to Salesforce and did not return in time.
    SessionLost = "session.lost",
    /// A reconnect returned as another org or user, and waits for confirmation.
    SessionParked = "session.parked",
    /// The customer succeeded after a failure.
    FailureResolved = "failure.resolved",
    /// Many connections stopped for the same cause.
    IncidentStarted = "incident.started",
    /// An incident is over.
    IncidentEnded = "incident.ended",
    /// Something fails that only the vendor can fix.
    AppIncident = "app.incident",
    /// An answer of Salesforce failed a check and is kept in quarantine.
    QuarantineAdded = "quarantine.added",
    /// An endpoint gets no webhooks anymore.
    EndpointDisabled = "endpoint.disabled",
    /// A test that an operator or engineer asked for.
    WebhookTest = "webhook.test",
}

/// A text that is no event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event type")]
pub struct EventTypeError;

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = EventTypeError;

    fn from_str(text: &str) -> Result<Self, EventTypeError> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(EventTypeError)
    }
}

/// An event as it is recorded. [`Event::payload`] is what a product gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Derived from what happened: the same change always makes the same id.
    pub id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Which product is told.
    pub product: ProductId,
    /// When it happened, not when it was recorded.
    pub at: Timestamp,
    /// Of `connection.*`: the connection's revision. A consumer drops an event with a lower number than it has seen.
    pub sequence: Option<u64>,
    /// What it is about.
    #[serde(flatten)]
    pub data: EventData,
}

/// What an event is about. Every field that is not known, or says nothing about this type, is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventData {
    /// The app.
    pub app: Option<AppId>,
    /// The product's customer.
    pub customer: Option<Customer>,
    /// Which kind of login host.
    pub environment: Option<Environment>,
    /// The org.
    pub org: Option<OrgId>,
    /// The connection.
    pub connection: Option<ConnectionId>,
    /// The connection's state after the change.
    pub state: Option<String>,
    /// The connect session.
    pub session: Option<SessionId>,
    /// The failure that explains it.
    pub failure: Option<FailureId>,
    /// The incident.
    pub incident: Option<IncidentId>,
    /// The id of the cause in the catalogue, or the check that an answer in quarantine failed.
    pub cause: Option<String>,
    /// Who acts: `end_user`, `admin`, `vendor` or `wait`.
    pub actor: Option<String>,
    /// The failure's help page.
    pub help: Option<String>,
    /// Of `connection.expiring`: when the grant ends.
    pub expires_at: Option<Timestamp>,
    /// Of `endpoint.disabled` and `webhook.test`: the endpoint.
    pub endpoint: Option<String>,
    /// What happened, in a sentence for a chat or a mail.
    #[serde(default)]
    pub message: Option<String>,
}

/// The public form of an event: the payload that [Standard Webhooks](https://www.standardwebhooks.com) describes, with
/// the id that the header `webhook-id` carries.
#[derive(Debug, Serialize)]
pub struct Payload<'a> {
    id: &'a EventId,
    #[serde(rename = "type")]
    kind: EventType,
    version: u8,
    timestamp: Timestamp,
    data: PayloadData<'a>,
}

#[derive(Debug, Serialize)]
struct PayloadData<'a> {
    product: &'a ProductId,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<&'a AppId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<&'a Customer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<&'a OrgId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<&'a ConnectionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_id: Option<&'a FailureId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_id: Option<&'a IncidentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Event {
    /// The public form. Serialized again it has the same bytes.
    pub fn payload(&self) -> Payload<'_> {
        let data = &self.data;
        Payload {
            id: &self.id,
            kind: self.kind,
            version: EVENT_VERSION,
            timestamp: self.at,
            data: PayloadData {
                product: &self.product,
                sequence: self.sequence,
                app: data.app.as_ref(),
                customer: data.customer.as_ref(),
                environment: data.environment,
                org_id: data.org.as_ref(),
                connection_id: data.connection.as_ref(),
                state: data.state.as_deref(),
                session_id: data.session.as_ref(),
                failure_id: data.failure.as_ref(),
                reference: data.failure.as_ref().map(FailureId::reference),
                incident_id: data.incident.as_ref(),
                cause: data.cause.as_deref(),
                actor: data.actor.as_deref(),
                help_url: data.help.as_deref(),
                expires_at: data.expires_at,
                endpoint: data.endpoint.as_deref(),
                message: data.message.as_deref(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_written() {
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            let json = serde_json::to_value(kind).expect("a text");
            assert_eq!(json, kind.as_str(), "the table and the API use the same name");
        }
        assert_eq!("connection.exploded".parse::<EventType>(), Err(EventTypeError));
    }

    #[test]
    fn an_id_names_one_change() {
        let connection = ConnectionId::mint(Timestamp::UNIX_EPOCH);
        let id = EventId::of_connection(&connection, 3);
        assert_eq!(id, EventId::of_connection(&connection, 3));
        assert_ne!(id, EventId::of_connection(&connection, 4));
        assert!(id.as_str().parse::<EventId>().is_ok());
        let of = |kind, point| EventId::of(kind, connection.as_str(), point);
        assert_ne!(of(EventType::SessionLost, "a"), of(EventType::SessionFailed, "a"));
        assert_ne!(of(EventType::SessionLost, "a"), of(EventType::SessionLost, "b"));
    }

    #[test]
    fn payload_is_that_of_standard_webhooks() {
        let event = Event {
            id: EventId::of(EventType::ConnectionBlocked, "con_x", "7"),
            kind: EventType::ConnectionBlocked,
            product: "fernway".parse().expect("a product"),
            at: "2026-11-30T15:00:00Z".parse().expect("a time"),
            sequence: Some(7),
            data: EventData {
                customer: Some(Customer { id: "acme".into(), name: None }),
                cause: Some("app_not_installed".into()),
                actor: Some("admin".into()),
                ..EventData::default()
            },
        };
        let json = serde_json::to_value(event.payload()).expect("JSON");
        assert_eq!(json["type"], "connection.blocked");
        assert_eq!(json["timestamp"], "2026-11-30T15:00:00Z");
        assert_eq!(json["data"]["sequence"], 7);
        assert!(json["data"].get("help_url").is_none(), "what is not known is absent");
        let stored = serde_json::to_value(&event).expect("JSON");
        assert_eq!(serde_json::from_value::<Event>(stored).expect("an event"), event);
    }
}
