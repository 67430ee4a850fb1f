//! The EventBridge bus that gets every event, where a deployment names one (docs/decisions/event-bus.md).

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use aws_sdk_eventbridge::{Client, error::ProvideErrorMetadata as _, types::PutEventsRequestEntry};
use aws_smithy_types::DateTime;
use domain::{Event, EventId};

use crate::log::internal;

/// The `source` of every event on the bus. A rule matches it and `detail-type`, which is the event's type.
pub const EVENT_SOURCE: &str = "latchkey";

/// Maximum number of entries in one call of EventBridge.
const MAX_ENTRIES: usize = 10;

/// Maximum bytes of the entries in one call: EventBridge takes 256 kB, and counts the other members of an entry too.
const MAX_BYTES: usize = 240 * 1024;

/// What EventBridge refuses in the same way until somebody changes the bus, its policy, or ours.
const FINAL: [&str; 10] = [
    "AccessDenied",
    "AccessDeniedException",
    "InvalidAccountIdException",
    "InvalidArgument",
    "MalformedDetail",
    "NoDetails",
    "NotAuthorizedForDetailTypeException",
    "NotAuthorizedForSourceException",
    "ResourceNotFoundException",
    "ValidationException",
];

/// Events could not be put on the bus.
#[derive(Debug, thiserror::Error)]
#[error("EventBridge PutEvents: {code}")]
pub struct BusError {
    /// AWS's error code, `NoAnswer`, or `TooLarge`.
    pub code: String,
}

/// What became of events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// These may be taken if they are sent again.
    pub refused: Vec<EventId>,
    /// These are never taken: larger than one call may be, or refused for a reason that stays.
    pub never: Vec<EventId>,
}

/// The bus. Cheap to clone.
#[derive(Clone)]
pub struct EventBus {
    client: Arc<LazyLock<Client, Build>>,
    name: String,
}

/// Builds the client when the bus is first used.
type Build = Box<dyn FnOnce() -> Client + Send>;

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus").field("name", &self.name).finish_non_exhaustive()
    }
}

impl EventBus {
    /// The bus of that name, or ARN.
    pub fn new(name: String, build: impl FnOnce() -> Client + Send + 'static) -> Self {
        Self { client: Arc::new(LazyLock::new(Box::new(build))), name }
    }

    /// Puts events on the bus. An event that is put twice has the same `detail.id`.
    pub async fn put(&self, events: &[Event]) -> Put {
        let mut put = Put::default();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for event in events {
            let detail = serde_json::to_string(&event.payload()).unwrap_or_default();
            if detail.len() > MAX_BYTES {
                internal(&BusError { code: "TooLarge".to_owned() });
                put.never.push(event.id.clone());
                continue;
            }
            if batch.len() == MAX_ENTRIES || bytes + detail.len() > MAX_BYTES {
                self.put_batch(std::mem::take(&mut batch), &mut put).await;
                bytes = 0;
            }
            bytes += detail.len();
            batch.push((event, detail));
        }
        self.put_batch(batch, &mut put).await;
        put
    }

    /// Puts events that fit into one call, and notes those that were not taken. A call can be answered 200 and take only some
    /// of them.
    async fn put_batch(&self, batch: Vec<(&Event, String)>, put: &mut Put) {
        if batch.is_empty() {
            return;
        }
        let mut request = self.client.put_events();
        let (events, details): (Vec<&Event>, Vec<String>) = batch.into_iter().unzip();
        for (event, detail) in events.iter().zip(details) {
            let entry = PutEventsRequestEntry::builder()
                .event_bus_name(&self.name)
                .source(EVENT_SOURCE)
                .detail_type(event.kind.as_str())
                .time(DateTime::from_secs(event.at.as_second()))
                .detail(detail);
            request = request.entries(entry.build());
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let code = error.as_service_error().and_then(|refusal| refusal.code()).unwrap_or("NoAnswer");
                return put.refuse(&events, code);
            }
        };
        if answer.failed_entry_count() == 0 {
            return;
        }
        let results = answer.entries();
        if results.len() != events.len() {
            return put.refuse(&events, "Unknown");
        }
        for (event, result) in events.into_iter().zip(results) {
            if result.event_id().is_none() {
                put.refuse(&[event], result.error_code().unwrap_or("Unknown"));
            }
        }
    }
}

impl Put {
    /// Notes events that were refused with this code.
    fn refuse(&mut self, events: &[&Event], code: &str) {
        internal(&BusError { code: code.to_owned() });
        let ids = events.iter().map(|event| event.id.clone());
        if FINAL.contains(&code) { self.never.extend(ids) } else { self.refused.extend(ids) }
    }
}
