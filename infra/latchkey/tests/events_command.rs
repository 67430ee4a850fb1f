//! `latchkey events` and `latchkey webhook`, as an operator uses them.

use std::{
    process::{Command, Output},
    time::Duration,
};

use domain::{EndpointId, Event, EventId, EventType, Product, ProductId, event::EventData};
use jiff::SignedDuration;
use journeys::Story;
use latchkey::{deployment::SecretsManager, events, report::Report};
use platform::Aws;
use serde_json::Value;
use store::{Delivery, DeliveryState, DisabledBecause, Store};
use world::dynamodb::DynamoDb;

fn fernway() -> ProductId {
    "fernway".parse().expect("an id")
}

fn backend() -> EndpointId {
    "backend".parse().expect("an id")
}

/// Events of Fernway, as `notify` records them.
async fn happen(story: &Story, from: usize, to: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for number in from..to {
        let event = Event {
            id: EventId::of(EventType::SessionLost, "cs_story", &number.to_string()),
            kind: EventType::SessionLost,
            product: fernway(),
            at: story.stack.clock.now(),
            sequence: None,
            data: EventData::default(),
        };
        story.stack.store.put_event(&event, story.stack.clock.now()).await.expect("recorded");
        ids.push(event.id);
    }
    ids
}

/// Brings what was recorded to the endpoints.
async fn pass_on(story: &Story) {
    story.stack.notify().await;
    story.stack.deliver().await;
}

async fn endpoints(story: &Story) -> Report {
    events::endpoints(&story.stack.store, &fernway()).await.expect("read")
}

async fn enable(story: &Story, dry_run: bool) -> Report {
    let now = story.stack.clock.now();
    let store = &story.stack.store;
    events::enable(store, &fernway(), &backend(), now, Duration::ZERO, dry_run).await.expect("enabled")
}

#[tokio::test]
async fn tail_shows_events_with_what_became_of_them() {
    let story = Story::begin().await;
    happen(&story, 0, 3).await;
    pass_on(&story).await;
    story.pass(SignedDuration::from_secs(11));
    let now = story.stack.clock.now();
    let tail = events::tail(&story.stack.store, &fernway(), 24, 2, now).await.expect("read");
    assert_eq!(tail.text.lines().count(), 2, "only the latest: {}", tail.text);
    assert!(
        tail.text.contains("session.lost") && tail.text.contains("backend: delivered 2"),
        "{}",
        tail.text
    );
    assert_eq!(tail.json["events"][0]["deliveries"][0]["state"], "delivered");
    story.pass(SignedDuration::from_hours(25));
    let later =
        events::tail(&story.stack.store, &fernway(), 24, 2, story.stack.clock.now()).await.expect("read");
    assert_eq!(later.text, "No event in the last 24 h.");
}

#[tokio::test]
async fn redelivery_is_tried_first_and_then_sent_once() {
    let story = Story::begin().await;
    let ids = happen(&story, 0, 1).await;
    pass_on(&story).await;
    story.pass(SignedDuration::from_mins(1));
    let redeliver = async |endpoint: Option<EndpointId>, dry_run: bool| {
        let now = story.stack.clock.now();
        events::redeliver(&story.stack.store, &ids[0], endpoint, now, dry_run).await
    };
    let writes = || story.stack.dynamodb.requests().len();
    story.stack.dynamodb.reset_counts();
    let tried = redeliver(None, true).await.expect("read");
    assert!(tried.text.contains("would be sent to backend") && writes() == 1, "{}", tried.text);
    for _ in 0..2 {
        let sent = redeliver(None, false).await.expect("written");
        assert!(sent.text.contains("is sent within five minutes to backend"), "{}", sent.text);
    }
    story.pass(SignedDuration::from_mins(5));
    assert_eq!(story.stack.sweep().await.queued, 1);
    story.stack.deliver().await;
    let again = redeliver(None, false).await.expect("read");
    assert!(again.text.contains("delivered a moment ago"), "{}", again.text);
    let record = story.stack.store.event_record(&ids[0]).await.expect("read").expect("the event");
    assert_eq!(record.deliveries[&backend()].attempts.len(), 2);
    let unknown = EventId::of(EventType::SessionLost, "cs_story", "nothing");
    let now = story.stack.clock.now();
    let error = events::redeliver(&story.stack.store, &unknown, None, now, false).await;
    assert!(error.expect_err("there is none").to_string().contains("there is no event"));
}

#[tokio::test]
async fn enabled_endpoint_gets_what_it_missed_and_nothing_else() {
    const MISSED: usize = 120;
    let story = Story::begin().await;
    happen(&story, 0, 2).await;
    pass_on(&story).await;
    assert_eq!((endpoints(&story).await.wrong, story.stack.inbox.events().len()), (false, 2));
    // Recorded hours before the endpoint counts as failing, and still not sent when it is disabled.
    happen(&story, 1000, 1001).await;
    story.pass(SignedDuration::from_hours(70));
    let (store, now) = (&story.stack.store, story.stack.clock.now());
    store.note_failing_endpoint(&fernway(), &backend(), now).await.expect("noted");
    assert!(endpoints(&story).await.text.contains("failing since"));
    store.disable_endpoint(&fernway(), &backend(), DisabledBecause::Failing, now).await.expect("disabled");
    let told = endpoints(&story).await;
    assert!(
        told.wrong && told.text.contains("disabled at") && told.text.contains(": failing"),
        "{}",
        told.text
    );

    happen(&story, 2, 2 + MISSED).await;
    pass_on(&story).await;
    assert_eq!(story.stack.inbox.events().len(), 2, "a disabled endpoint is not called");
    // At once: what was missed a moment ago is not on a page of the feed yet.
    let tried = enable(&story, true).await;
    assert_eq!(tried.json["missed"], MISSED + 1, "{}", tried.text);
    assert!(endpoints(&story).await.wrong, "a dry run changes nothing");
    assert_eq!(enable(&story, false).await.json["missed"], MISSED + 1);
    assert!(!endpoints(&story).await.wrong);
    // On a busy machine a run of the sweep ends before it is through, and the next one goes on.
    for _ in 0..5 {
        story.stack.sweep().await;
        story.stack.deliver().await;
        story.pass(SignedDuration::from_mins(6));
    }
    assert_eq!(story.stack.inbox.events().len(), 2 + MISSED + 1);
    assert_eq!(enable(&story, false).await.json["missed"], 0, "it misses nothing anymore");
}

/// An attempt of before the enabling ends behind the look at what was missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enabling_looks_again_at_what_ended_meanwhile() {
    const WAIT: Duration = Duration::from_secs(2);
    let story = Story::begin().await;
    let (store, now) = (&story.stack.store, story.stack.clock.now());
    store.disable_endpoint(&fernway(), &backend(), DisabledBecause::Gone, now).await.expect("disabled");
    let [id] = &happen(&story, 0, 1).await[..] else { panic!("one event") };
    let before = store.event_record(id).await.expect("read").expect("the event");
    story.stack.dynamodb.reset_counts();
    let ends = async {
        // The first look has read the event, which then has no delivery.
        let is_read = || {
            let requests = story.stack.dynamodb.requests();
            let query = requests.iter().position(|request| request.operation == "Query");
            query.is_some_and(|at| requests[at..].iter().any(|request| request.operation == "GetItem"))
        };
        while !is_read() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let ended = Delivery::due(now).after(None, DeliveryState::Disabled, None, 0);
        assert!(store.put_delivery(&before, &backend(), ended, now).await.expect("written"));
    };
    let (product, endpoint) = (fernway(), backend());
    let enabling = events::enable(store, &product, &endpoint, now, WAIT, false);
    let (enabled, ()) = tokio::join!(enabling, ends);
    assert_eq!(enabled.expect("enabled").json["missed"], 1, "only the second look can find it");
    assert_eq!(story.stack.sweep().await.queued, 1);
    story.stack.deliver().await;
    assert_eq!(story.stack.inbox.events().len(), 1);
}

/// The command as a process, with a table of the products that we ship and a Secrets Manager.
struct Shell {
    dynamodb: DynamoDb,
    secrets: world::secrets::SecretsManager,
}

impl Shell {
    async fn start() -> Self {
        let shell = Self {
            dynamodb: DynamoDb::start(None).await,
            secrets: world::secrets::SecretsManager::start().await,
        };
        let store = Store::new(shell.aws().dynamodb_client(), "latchkey-dev");
        store.create_table().await.expect("a table");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../products");
        for product in latchkey::read_products(folder.as_ref()).expect("good files") {
            store.put_product(&product).await.expect("the table can be written");
        }
        shell
    }

    fn aws(&self) -> Aws {
        Aws {
            region: "eu-central-1".into(),
            credentials: aws_credential_types::Credentials::new("local", "local", None, None, "test"),
            dynamodb: Some(self.dynamodb.endpoint().to_owned()),
            secrets_manager: Some(self.secrets.endpoint().to_owned()),
            sqs: None,
            eventbridge: None,
        }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.args(arguments).args(["--table", "latchkey-dev"]).env_clear().envs([
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.endpoint()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint()),
        ]);
        tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic")
    }

    /// Exit code, and what was printed.
    async fn said(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let done = self.run(arguments).await;
        let text = String::from_utf8_lossy(&[&done.stdout[..], &done.stderr[..]].concat()).into_owned();
        (done.status.code(), text)
    }

    /// The stored signing secrets of the endpoint.
    async fn stored(&self) -> Value {
        let text = SecretsManager::of(&self.aws()).read("latchkey/dev/webhooks/fernway-backend").await;
        text.expect("it answers").map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_secret_is_made_once_and_rotated_without_a_gap() {
    let shell = Shell::start().await;
    let webhook = async |arguments: &[&str]| {
        shell.said(&[&["webhook"], arguments, &["fernway", "backend"]].concat()).await
    };
    let (code, text) = shell.said(&["--dry-run", "webhook", "create-secret", "fernway", "backend"]).await;
    assert!(code == Some(0) && !text.contains("whsec_") && shell.stored().await.is_null(), "{text}");
    assert_eq!(webhook(&["rotate-secret", "stage"]).await.0, Some(1), "there is nothing to rotate");

    let (code, text) = webhook(&["create-secret"]).await;
    let first = shell.stored().await["current"].as_str().expect("a secret").to_owned();
    assert!(code == Some(0) && text.contains(&first) && first.starts_with("whsec_"), "shown once: {text}");
    let (code, text) = webhook(&["create-secret"]).await;
    assert!(code == Some(1) && text.contains("is there already") && !text.contains(&first), "{text}");
    assert_eq!(webhook(&["rotate-secret", "finish"]).await.0, Some(1), "nothing is staged");

    let (code, text) = webhook(&["rotate-secret", "stage"]).await;
    let stored = shell.stored().await;
    let next = stored["next"].as_str().expect("a secret").to_owned();
    assert!(code == Some(0) && text.contains(&next) && !text.contains(&first), "{text}");
    assert!(stored["current"] == first.as_str() && next != first, "both sign");
    assert_eq!(webhook(&["rotate-secret", "stage"]).await.0, Some(1), "one at a time");
    assert_eq!(webhook(&["rotate-secret", "back-out"]).await.0, Some(0));
    assert_eq!(shell.stored().await, serde_json::json!({ "current": first }));

    webhook(&["rotate-secret", "stage"]).await;
    let next = shell.stored().await["next"].clone();
    let (code, text) = webhook(&["rotate-secret", "finish"]).await;
    assert!(code == Some(0) && !text.contains("whsec_"), "{text}");
    assert_eq!(shell.stored().await, serde_json::json!({ "current": next }));
    let (code, text) = shell.said(&["webhook", "create-secret", "fernway", "frontend"]).await;
    assert!(code == Some(1) && text.contains("fernway has no endpoint frontend"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_commands_answer_people_and_machines() {
    let shell = Shell::start().await;
    let (code, text) = shell.said(&["events", "endpoints", "fernway"]).await;
    assert!(code == Some(0) && text.contains("backend") && text.contains("works"), "{text}");
    let (code, text) = shell.said(&["--json", "events", "endpoints", "tidewater"]).await;
    assert_eq!((code, text.trim()), (Some(0), r#"{"endpoints":[]}"#));
    let (code, text) = shell.said(&["events", "tail", "fernway"]).await;
    assert!(code == Some(0) && text.contains("No event in the last 24 h."), "{text}");
    let (code, text) = shell.said(&["events", "enable", "fernway", "backend", "--dry-run"]).await;
    assert!(code == Some(0) && text.contains("would be enabled"), "{text}");
    let event = EventId::of(EventType::WebhookTest, "nothing", "");
    let (code, text) = shell.said(&["events", "redeliver", event.as_str()]).await;
    assert!(code == Some(1) && text.contains("there is no event"), "{text}");
    let (code, text) = shell.said(&["events", "redeliver", "con_x"]).await;
    assert!(code == Some(2) && text.contains("con_x"), "not an event's id: {text}");
}

#[tokio::test]
async fn endpoint_that_is_added_again_is_not_disabled_for_its_past() {
    let shell = Shell::start().await;
    let store = Store::new(shell.aws().dynamodb_client(), "latchkey-dev");
    let product = store.product(&fernway()).await.expect("read").expect("fernway");
    store.put_product(&Product { webhooks: Vec::new(), ..product }).await.expect("written");
    let now = platform::clock::now();
    let is_failing = async || {
        let health = store.endpoint_health(&fernway(), &backend()).await.expect("read");
        health.failing_since.is_some()
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../products");
    for is_known in [false, true] {
        store.note_failing_endpoint(&fernway(), &backend(), now).await.expect("noted");
        latchkey::apply::run(folder.as_ref(), &store, false, false).await.expect("applied");
        assert_eq!(is_failing().await, is_known, "an endpoint that stays in the file is not forgiven");
    }
}
