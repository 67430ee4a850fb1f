//! What the stories of webhooks have in common: endpoints that do as they are told, and events to send.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use domain::{EndpointId, Event, EventId, EventType, Product, WebhookEndpoint, event::EventData};
use jiff::{SignedDuration, Timestamp};
use journeys::Story;
use local::stack::signing_secret;
use platform::DueDelivery;
use standardwebhooks::Webhook;
use store::{Delivery, DeliveryState};
use tokio::net::TcpListener;

/// What an endpoint does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behavior {
    /// Accepts and answers with this status.
    Answer(u16),
    /// Answers with this status after a second.
    Slow(u16),
    /// Accepts, and never answers.
    Hang,
    /// Accepts, and answers 200 after the sender has given up.
    Late,
}

/// A delivery as an endpoint got it.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) signature: String,
    pub(crate) body: Vec<u8>,
    pub(crate) arrived: Instant,
}

/// An endpoint that does as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) id: EndpointId,
    state: Arc<Mutex<Vec<Got>>>,
    behavior: Arc<Mutex<Behavior>>,
    in_flight: Arc<Mutex<(usize, usize)>>,
}

impl Endpoint {
    /// An endpoint on this machine that accepts everything.
    pub(crate) async fn start(id: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let endpoint = Self {
            url,
            id: id.parse().expect("an endpoint id"),
            state: Arc::default(),
            behavior: Arc::new(Mutex::new(Behavior::Answer(204))),
            in_flight: Arc::default(),
        };
        let router = Router::new().fallback(receive).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    pub(crate) fn behaves(&self, behavior: Behavior) {
        *self.behavior.lock().expect("no panic") = behavior;
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.state.lock().expect("no panic").clone()
    }

    /// How many requests it had at once, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.in_flight.lock().expect("no panic").1
    }

    /// The name of its secret.
    pub(crate) fn secret(&self) -> String {
        format!("latchkey/local/webhooks/{}", self.id)
    }

    fn configured(&self) -> WebhookEndpoint {
        WebhookEndpoint {
            id: self.id.clone(),
            url: self.url.parse().expect("a URL"),
            events: vec!["*".into()],
            secret: self.secret(),
        }
    }
}

/// A request under way; it ends also when its caller gives up.
struct InFlight(Endpoint);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.lock().expect("no panic").0 -= 1;
    }
}

async fn receive(
    State(endpoint): State<Endpoint>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let _counted = {
        let mut in_flight = endpoint.in_flight.lock().expect("no panic");
        in_flight.0 += 1;
        in_flight.1 = in_flight.1.max(in_flight.0);
        InFlight(endpoint.clone())
    };
    let text = |name: &str| headers[name].to_str().expect("text").to_owned();
    endpoint.state.lock().expect("no panic").push(Got {
        id: text("webhook-id"),
        at: text("webhook-timestamp").parse().expect("seconds"),
        signature: text("webhook-signature"),
        body: body.to_vec(),
        arrived: Instant::now(),
    });
    let behavior = *endpoint.behavior.lock().expect("no panic");
    match behavior {
        Behavior::Answer(status) => (StatusCode::from_u16(status).expect("a status"), "error page"),
        Behavior::Slow(status) => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (StatusCode::from_u16(status).expect("a status"), "error page")
        }
        Behavior::Late => {
            tokio::time::sleep(Duration::from_secs(11)).await;
            (StatusCode::OK, "")
        }
        Behavior::Hang => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            (StatusCode::OK, "")
        }
    }
}

impl Got {
    /// Whether the library makes the same signature with this secret: its `verify` knows the machine's clock alone.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let signed =
            Webhook::new(secret).expect("a secret").sign(&self.id, self.at, &self.body).expect("a signature");
        self.signature.split(' ').any(|given| given == signed)
    }
}

/// Fernway with these endpoints and no other.
pub(crate) async fn with_endpoints(story: &Story, endpoints: &[&Endpoint]) {
    with_endpoints_as(story, endpoints, |endpoint| endpoint).await;
}

/// The same, each configured as this makes of it.
pub(crate) async fn with_endpoints_as(
    story: &Story,
    endpoints: &[&Endpoint],
    change: impl Fn(WebhookEndpoint) -> WebhookEndpoint,
) {
    let found = story.stack.products.iter().find(|product| product.id.as_str() == "fernway");
    let webhooks = endpoints.iter().map(|endpoint| change(endpoint.configured())).collect();
    let product = Product { webhooks, ..found.expect("fernway").clone() };
    for endpoint in endpoints {
        let secret = format!(r#"{{"current":"{}"}}"#, signing_secret(&endpoint.secret()));
        story.stack.secrets.put(&endpoint.secret(), &secret);
    }
    story.stack.store.put_product(&product).await.expect("the table can be written");
}

/// An event of Fernway, as `notify` records and queues it.
pub(crate) async fn happens(story: &Story, number: usize, endpoints: &[&Endpoint]) -> EventId {
    let event = event(number, story.stack.clock.now());
    record(story, &event, endpoints).await;
    event.id
}

pub(crate) fn event(number: usize, at: Timestamp) -> Event {
    Event {
        id: EventId::of(EventType::ConnectionBlocked, "con_story", &number.to_string()),
        kind: EventType::ConnectionBlocked,
        product: "fernway".parse().expect("a product id"),
        at,
        sequence: Some(u64::try_from(number).expect("a number")),
        data: EventData::default(),
    }
}

pub(crate) async fn record(story: &Story, event: &Event, endpoints: &[&Endpoint]) {
    let now = story.stack.clock.now();
    story.stack.store.put_event(event, now).await.expect("the table can be written");
    queue(story, &event.id, endpoints).await;
}

/// Queues an event of Fernway for these endpoints.
pub(crate) async fn queue(story: &Story, id: &EventId, endpoints: &[&Endpoint]) {
    let message = |endpoint: &&Endpoint| DueDelivery {
        product: "fernway".parse().expect("a product id"),
        endpoint: endpoint.id.clone(),
        event: id.clone(),
        due_at: None,
    };
    let messages: Vec<DueDelivery> = endpoints.iter().map(message).collect();
    let platform = story.stack.platform();
    platform.deliveries().expect("a queue").send(&messages).await.expect("the queue takes it");
}

/// The deliveries of an event.
pub(crate) async fn deliveries(story: &Story, id: &EventId) -> HashMap<String, Delivery> {
    let record = story.stack.store.event_record(id).await.expect("the table can be read").expect("the event");
    record.deliveries.into_iter().map(|(endpoint, delivery)| (endpoint.to_string(), delivery)).collect()
}

pub(crate) async fn state(story: &Story, id: &EventId, endpoint: &Endpoint) -> DeliveryState {
    deliveries(story, id).await[endpoint.id.as_str()].state
}

/// Lets time pass in steps, with the sweep and the queue at work.
pub(crate) async fn days_pass(story: &Story, time: SignedDuration, step: SignedDuration) {
    let end = story.stack.clock.now() + time;
    while story.stack.clock.now() < end {
        story.stack.clock.pass(step);
        story.stack.sweep().await;
        story.stack.deliver().await;
    }
}
