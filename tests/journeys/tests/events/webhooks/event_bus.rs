//! Events on an EventBridge bus: a server in its place takes what `notify` puts there, all, some or none of it.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, http::HeaderMap, http::StatusCode, response::IntoResponse};
use jiff::SignedDuration;
use journeys::Story;
use notify::{Batch, Notify};
use platform::{Aws, Platform};
use salesforce::{Hosts, Http, Salesforce};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::scene;

/// How the bus answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// It takes everything.
    All,
    /// 200, and every second entry failed.
    EverySecond,
    /// 200, and every entry failed.
    Busy,
    /// It is gone.
    Gone,
}

#[derive(Debug, Clone)]
struct Bus {
    endpoint: String,
    calls: Arc<Mutex<Vec<Vec<Value>>>>,
    answers: Arc<Mutex<Answers>>,
}

impl Bus {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let bus = Self { endpoint, calls: Arc::default(), answers: Arc::new(Mutex::new(Answers::All)) };
        let router = Router::new().fallback(put_events).with_state(bus.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bus
    }

    fn answers(&self, answers: Answers) {
        *self.answers.lock().expect("no panic") = answers;
    }

    /// The entries of each call so far.
    fn calls(&self) -> Vec<Vec<Value>> {
        self.calls.lock().expect("no panic").clone()
    }

    /// A function that has the bus as its only outbox.
    fn notify(&self, story: &Story) -> Notify {
        let platform = story.stack.platform();
        let mut settings = platform.settings.clone();
        settings.event_bus = Some("latchkey-test".into());
        let aws = Aws {
            region: "eu-central-1".into(),
            credentials: platform_credentials(),
            dynamodb: Some(story.stack.dynamodb.endpoint().to_owned()),
            secrets_manager: None,
            sqs: None,
            eventbridge: Some(self.endpoint.clone()),
        };
        let with_bus = Platform::new(settings, &aws, Salesforce::new(Http::new(), Hosts::salesforce()));
        let bus = with_bus.event_bus().expect("the setting names one");
        Notify::new(platform.store, platform.settings.public_url).with_outbox(Arc::new(bus))
    }
}

fn platform_credentials() -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new("local", "local", None, None, "test")
}

async fn put_events(State(bus): State<Bus>, headers: HeaderMap, body: String) -> impl IntoResponse {
    assert_eq!(headers["x-amz-target"], "AWSEvents.PutEvents");
    assert!(headers["authorization"].to_str().expect("text").contains("/events/aws4_request"));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let entries = body["Entries"].as_array().expect("entries").clone();
    bus.calls.lock().expect("no panic").push(entries.clone());
    let answers = *bus.answers.lock().expect("no panic");
    if answers == Answers::Gone {
        let refusal = json!({ "__type": "ResourceNotFoundException", "message": "no such bus" });
        return (StatusCode::BAD_REQUEST, Json(refusal));
    }
    let fails = |index: usize| answers == Answers::Busy || answers == Answers::EverySecond && index % 2 == 1;
    let results: Vec<Value> = (0..entries.len())
        .map(|index| {
            if fails(index) {
                json!({ "ErrorCode": "ThrottlingException", "ErrorMessage": "slow down" })
            } else {
                json!({ "EventId": format!("id-{index}") })
            }
        })
        .collect();
    let failed = (0..entries.len()).filter(|index| fails(*index)).count();
    (StatusCode::OK, Json(json!({ "FailedEntryCount": failed, "Entries": results })))
}

/// The stream records of so many new events.
async fn recorded(story: &Story, count: usize) -> Vec<Value> {
    let (_, place) = all_records(story, None);
    for number in 0..count {
        let event = scene::event(number, story.stack.clock.now());
        story.stack.store.put_event(&event, story.stack.clock.now()).await.expect("recorded");
    }
    all_records(story, place.as_deref()).0
}

pub(crate) fn all_records(story: &Story, after: Option<&str>) -> (Vec<Value>, Option<String>) {
    let (mut all, mut place) = (Vec::new(), after.map(str::to_owned));
    loop {
        let (records, next) =
            story.stack.dynamodb.changes(local::stack::TABLE, place.as_deref(), 100).expect("the stream");
        place = next;
        if records.is_empty() {
            return (all, place);
        }
        all.extend(records);
    }
}

#[tokio::test]
async fn bus_gets_each_event_as_the_webhook_has_it() {
    let story = Story::begin().await;
    let bus = Bus::start().await;
    let records = recorded(&story, 23).await;
    let done = bus.notify(&story).run(Batch { records }, story.stack.clock.now()).await;
    assert_eq!((done.passed_on, done.failed.len()), (23, 0), "{done:?}");
    let sizes: Vec<usize> = bus.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 3], "as few calls as EventBridge allows");
    let entry = &bus.calls()[0][0];
    assert_eq!((&entry["Source"], &entry["DetailType"]), (&json!("latchkey"), &json!("connection.blocked")));
    assert_eq!(entry["EventBusName"], "latchkey-test");
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().expect("text")).expect("JSON");
    let id = detail["id"].as_str().expect("an id");
    story.pass(SignedDuration::from_secs(11));
    let shown = story.call("GET", &format!("/v1/events/{id}"), None).await;
    assert_eq!((shown.status, &shown.body["data"]), (200, &detail["data"]), "the same payload");
}

#[tokio::test]
async fn entries_that_failed_come_again_and_the_others_are_done() {
    let story = Story::begin().await;
    let bus = Bus::start().await;
    let notify = bus.notify(&story);
    let records = recorded(&story, 12).await;
    let now = story.stack.clock.now();
    bus.answers(Answers::EverySecond);
    let done = notify.run(Batch { records: records.clone() }, now).await;
    assert_eq!((done.passed_on, done.failed.len()), (6, 6), "{done:?}");
    bus.answers(Answers::Busy);
    let done = notify.run(Batch { records: records.clone() }, now).await;
    assert_eq!((done.passed_on, done.failed.len()), (0, 12), "a bus that is busy loses nothing: {done:?}");
    bus.answers(Answers::All);
    let again = records.into_iter().filter(|record| {
        let sequence = record["dynamodb"]["SequenceNumber"].as_str().expect("a number").to_owned();
        done.failed.contains(&sequence)
    });
    let done = notify.run(Batch { records: again.collect() }, now).await;
    assert_eq!((done.passed_on, done.failed.len()), (12, 0), "{done:?}");
}

/// The same records, so long after their changes.
fn minutes_later(mut records: Vec<Value>, story: &Story, minutes: i64) -> Vec<Value> {
    let at = story.stack.clock.now() - SignedDuration::from_mins(minutes);
    for record in &mut records {
        record["dynamodb"]["ApproximateCreationDateTime"] = at.as_second().into();
    }
    records
}

#[tokio::test]
async fn bus_that_never_takes_an_event_does_not_stop_the_shard() {
    let story = Story::begin().await;
    let bus = Bus::start().await;
    let notify = bus.notify(&story);
    let (records, now) = (recorded(&story, 12).await, story.stack.clock.now());
    bus.answers(Answers::Gone);
    let done = notify.run(Batch { records: records.clone() }, now).await;
    assert_eq!(done.failed.len(), 0, "a bus that is gone stays gone: {done:?}");

    bus.answers(Answers::Busy);
    let young = minutes_later(records.clone(), &story, 14);
    let done = notify.run(Batch { records: young }, now).await;
    assert_eq!(done.failed.len(), 12, "it may take them a minute later: {done:?}");
    let old = minutes_later(records, &story, 16);
    let done = notify.run(Batch { records: old }, now).await;
    assert_eq!(done.failed.len(), 0, "everything behind them has waited for a quarter of an hour: {done:?}");
}
