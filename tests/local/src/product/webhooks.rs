//! The example product's webhook endpoint: it verifies each delivery with the public library, ignores an event that it has
//! seen, and lets its page know.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use world::Clock;

/// Maximum age of a delivery, in seconds.
const MAX_AGE: i64 = 5 * 60;

/// What the product has been told. Clones share it.
#[derive(Debug, Clone)]
pub struct Inbox {
    secret: String,
    clock: Clock,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    seen: HashSet<String>,
    events: Vec<Value>,
    /// By connection: the highest sequence.
    sequences: HashMap<String, u64>,
    /// By customer: what its page shows.
    standing: HashMap<String, Standing>,
    rejected: usize,
}

/// What a customer's page shows of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The type of the latest event.
    pub event: String,
    /// The page that helps, if somebody has to act.
    pub help: Option<String>,
}

impl Inbox {
    /// An empty inbox of the endpoint with this secret.
    pub fn new(secret: &str, clock: &Clock) -> Self {
        Self { secret: secret.to_owned(), clock: clock.clone(), told: Arc::default() }
    }

    /// The events that were accepted, each once, in the order in which they came.
    pub fn events(&self) -> Vec<Value> {
        self.lock().events.clone()
    }

    /// How many deliveries were refused.
    pub fn rejected(&self) -> usize {
        self.lock().rejected
    }

    /// What a customer's page shows.
    pub fn standing(&self, customer: &str) -> Option<Standing> {
        self.lock().standing.get(customer).cloned()
    }

    /// Its endpoint, and what its page asks every second.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/webhooks/latchkey", post(receive))
            .route("/state", get(state))
            .with_state(self.clone())
    }

    /// Whether a delivery is Latchkey's. The library's `verify` does the same with the machine's clock, which a journey
    /// cannot move.
    fn verifies(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(id), Some(at), Some(given)) =
            (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"))
        else {
            return false;
        };
        let Some(at) =
            at.parse().ok().filter(|at: &i64| (self.clock.now().as_second() - at).abs() <= MAX_AGE)
        else {
            return false;
        };
        let signed = Webhook::new(&self.secret).and_then(|library| library.sign(id, at, body));
        signed.is_ok_and(|signed| given.split(' ').any(|signature| signature == signed))
    }

    fn accept(&self, id: &str, event: Value) {
        let mut told = self.lock();
        // The id is the same on every attempt: an event that was handled is answered and ignored.
        if !told.seen.insert(id.to_owned()) {
            return;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let data = &event["data"];
        // Events may come out of order. A connection's sequence tells which is the newest.
        if let (Some(connection), Some(sequence)) = (text(&data["connection_id"]), data["sequence"].as_u64())
        {
            let newest = told.sequences.entry(connection).or_default();
            // An equal one is not older: a warning that the connection expires changes nothing.
            let is_newer = sequence >= *newest;
            *newest = sequence.max(*newest);
            if let (true, Some(customer), Some(kind)) =
                (is_newer, text(&data["customer"]["id"]), text(&event["type"]))
            {
                let standing = Standing { event: kind, help: text(&data["help_url"]) };
                told.standing.insert(customer, standing);
            }
        }
        told.events.push(event);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// What the page says while somebody has to act.
    pub fn notice(&self) -> Option<&'static str> {
        match self.event.as_str() {
            "connection.blocked" => Some("Salesforce stopped the sync. An admin of your org can fix it."),
            "connection.reauthorization_needed" => Some("Connect Salesforce again to resume the sync."),
            "connection.expiring" => Some("The access to Salesforce ends soon unless somebody acts."),
            _ => None,
        }
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let event = serde_json::from_slice(&body).ok().filter(|_| inbox.verifies(&headers, &body));
    let Some(event) = event else {
        inbox.lock().rejected += 1;
        return StatusCode::UNAUTHORIZED;
    };
    inbox.accept(&id, event);
    StatusCode::NO_CONTENT
}

/// How many events there were: the page fetches itself again when it grows.
async fn state(State(inbox): State<Inbox>) -> Json<Value> {
    Json(json!({ "events": inbox.lock().events.len() }))
}
