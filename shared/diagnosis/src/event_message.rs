//! What happened, in a sentence that a chat or a mail shows next to the help link.

use domain::{App, Customer, Event, EventType, Product};

use crate::{Actor, cause};

/// Who acts on the cause of an event. `product`: the event's, if it still exists. An event without an app, such as a wave
/// in one org, may be about any of the product's apps: their owners decide if they are all the same.
pub fn event_actor(event: &Event, product: Option<&Product>) -> Option<Actor> {
    let cause = event.data.cause.as_deref().and_then(cause)?;
    let apps = product.map(|product| product.apps.as_slice()).unwrap_or_default();
    let is_meant = |app: &&App| event.data.app.as_ref().is_none_or(|id| app.id == *id);
    let mut actors = apps.iter().filter(is_meant).map(|app| cause.actor_in(Some(app)));
    match actors.next() {
        Some(first) if actors.all(|actor| actor == first) => Some(first),
        _ => Some(cause.actor),
    }
}

/// The sentence of an event, with the catalogue's name of its cause. It names the customer as the product does, and no
/// Salesforce user.
pub fn event_message(event: &Event) -> String {
    let data = &event.data;
    let name = |customer: &Customer| customer.name.clone().unwrap_or_else(|| customer.id.clone());
    let who = data.customer.as_ref().map_or_else(|| "a customer".to_owned(), name);
    let endpoint = data.endpoint.as_deref().unwrap_or("all");
    let sentence = match event.kind {
        EventType::ConnectionCreated => format!("Salesforce is connected for {who}"),
        EventType::ConnectionReconnected => format!("Salesforce is connected again for {who}"),
        EventType::ConnectionRefreshFailing => {
            format!("Salesforce does not renew the access for {who}; Latchkey retries")
        }
        EventType::ConnectionRecovered => format!("Salesforce works again for {who}"),
        EventType::ConnectionReauthorizationNeeded => {
            format!("A user has to connect Salesforce again for {who}")
        }
        EventType::ConnectionBlocked => {
            format!("Salesforce blocks the connection for {who} until their Salesforce admin acts")
        }
        EventType::ConnectionExpiring => format!("Access to Salesforce ends soon for {who}"),
        EventType::ConnectionDeleted => format!("The Salesforce connection was deleted for {who}"),
        EventType::ConnectionStateChanged => {
            let state = data.state.as_deref().unwrap_or("unknown");
            format!("The Salesforce connection changed for {who}; its state is {state}")
        }
        EventType::SessionConnected => format!("A user finished connecting Salesforce for {who}"),
        EventType::SessionFailed => format!("A user could not connect Salesforce for {who}"),
        EventType::SessionLost => format!("A user did not return from Salesforce for {who}"),
        EventType::SessionParked => {
            format!("A user returned with another Salesforce org or user for {who}, and has to confirm it")
        }
        EventType::FailureResolved => format!("A Salesforce problem is solved for {who}"),
        EventType::IncidentStarted => "Many Salesforce connections stopped for the same cause".to_owned(),
        EventType::IncidentEnded => "No more Salesforce connections stop for the same cause".to_owned(),
        EventType::AppIncident => {
            "Your Salesforce app has a problem that only your engineers can fix".to_owned()
        }
        EventType::QuarantineAdded => {
            format!("An answer of Salesforce failed a check for {who}; Latchkey's operators look at it")
        }
        EventType::EndpointDisabled => format!("The webhook endpoint {endpoint} was disabled"),
        EventType::WebhookTest => "This is a test of your webhook endpoint".to_owned(),
    };
    match data.cause.as_deref().and_then(cause) {
        Some(cause) => format!("{sentence}. Cause: {}.", cause.label),
        None => format!("{sentence}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{EventId, event::EventData};
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    #[test]
    fn owner_of_the_app_acts_on_its_settings() {
        let app = |id: &str, owner: &str| {
            serde_json::json!({
                "id": id, "kind": "connected_app", "consumer_key": "3MVG9", "secret": "s", "scopes": ["api"], "names": ["Sync"],
                "packages": {}, "login_hosts": ["production"], "access_token_minutes": 15, "about": { "owner": owner },
            })
        };
        let product = |apps: &[serde_json::Value]| -> Product {
            let product = serde_json::json!({
                "id": "fernway", "return_addresses": [], "api_keys": [], "redeem": true, "apps": apps,
                "brand": { "name": "Fernway", "customer_word": "workspace", "support": {} },
            });
            serde_json::from_value(product).expect("a product")
        };
        let mixed = product(&[app("sync", "vendor"), app("own", "customer")]);
        let customers = product(&[app("own", "customer"), app("other", "customer")]);
        let settings = "client_credentials_invalid";
        for (cause, app, product, actor) in [
            (settings, Some("own"), Some(&mixed), Some(Actor::Admin)),
            (settings, Some("sync"), Some(&mixed), Some(Actor::Vendor)),
            (settings, Some("deleted"), Some(&mixed), Some(Actor::Vendor)),
            (settings, Some("own"), None, Some(Actor::Vendor)),
            (settings, None, Some(&mixed), Some(Actor::Vendor)),
            (settings, None, Some(&customers), Some(Actor::Admin)),
            ("user_denied", Some("own"), Some(&mixed), Some(Actor::EndUser)),
            ("not_in_the_catalogue", Some("own"), Some(&mixed), None),
        ] {
            let app = app.map(|app| app.parse().expect("an app id"));
            let data = EventData { cause: Some(cause.into()), app, ..EventData::default() };
            let event = Event {
                id: EventId::of(EventType::IncidentStarted, "x", ""),
                kind: EventType::IncidentStarted,
                product: "fernway".parse().expect("a product id"),
                at: "2026-11-30T15:00:00Z".parse().expect("a time"),
                sequence: None,
                data,
            };
            assert_eq!(event_actor(&event, product), actor, "{cause} {:?}", event.data.app);
        }
    }

    #[test]
    fn every_type_has_one_line_with_customer_and_cause() {
        for kind in EventType::ALL {
            let data = EventData {
                customer: Some(Customer { id: "c-acme".into(), name: Some("Acme Corporation".into()) }),
                cause: Some("app_not_installed".into()),
                ..EventData::default()
            };
            let mut event = Event {
                id: EventId::of(*kind, "x", ""),
                kind: *kind,
                product: "fernway".parse().expect("a product id"),
                at: "2026-11-30T15:00:00Z".parse().expect("a time"),
                sequence: None,
                data,
            };
            let told = event_message(&event);
            assert!(told.ends_with(". Cause: App not installed.") && !told.contains('\n'), "{told}");
            let subject = kind.as_str().split('.').next();
            assert!(
                told.contains("for Acme Corporation") || !matches!(subject, Some("connection" | "session"))
            );
            event.data = EventData::default();
            assert!(!event_message(&event).contains("Cause"), "{kind}");
        }
    }

    fn read<T: DeserializeOwned>(object: &Value, name: &str) -> Option<T> {
        let value = object.get(name)?.clone();
        Some(serde_json::from_value(value).unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    /// Each block of JSON, read into an event and sent again, is the same.
    #[test]
    fn examples_in_the_docs_are_events_as_they_are_sent() {
        let text = include_str!("../../../docs/events.md");
        let blocks = text.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
        let mut kinds = Vec::new();
        for block in blocks {
            let example: Value = serde_json::from_str(block).expect("JSON");
            let data = &example["data"];
            let mut event = Event {
                id: read(&example, "id").expect("an id"),
                kind: read(&example, "type").expect("a type"),
                product: read(data, "product").expect("a product"),
                at: read(&example, "timestamp").expect("a time"),
                sequence: read(data, "sequence"),
                data: EventData {
                    app: read(data, "app"),
                    customer: read(data, "customer"),
                    environment: read(data, "environment"),
                    org: read(data, "org_id"),
                    connection: read(data, "connection_id"),
                    state: read(data, "state"),
                    session: read(data, "session_id"),
                    failure: read(data, "failure_id"),
                    incident: read(data, "incident_id"),
                    cause: read(data, "cause"),
                    actor: read(data, "actor"),
                    help: read(data, "help_url"),
                    expires_at: read(data, "expires_at"),
                    endpoint: read(data, "endpoint"),
                    message: None,
                },
            };
            event.data.message = Some(event_message(&event));
            assert_eq!(serde_json::to_value(event.payload()).expect("JSON"), example, "{block}");
            let cause = event.data.cause.as_deref().map(|id| cause(id).expect("a cause of the catalogue"));
            assert_eq!(event.data.actor.as_deref(), cause.map(|cause| cause.actor.word()), "{block}");
            assert_eq!(event.sequence.is_some(), event.kind.as_str().starts_with("connection."), "{block}");
            kinds.push(event.kind);
        }
        kinds.sort();
        assert_eq!(kinds, EventType::ALL, "one example of each type");
    }
}
