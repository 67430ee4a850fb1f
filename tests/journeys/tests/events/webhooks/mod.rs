//! Webhooks: signed, repeated until they are accepted, and never at the cost of another endpoint.

mod by_hand;
mod crashes;
mod event_bus;
mod failing;
mod figures;
mod ops;
mod scene;
mod story;

use std::time::{Duration, Instant};

use deliver::Delivered;
use jiff::SignedDuration;
use journeys::Story;
use local::stack::signing_secret;
use runtime::QueueFunction as _;
use store::{DeliveryState, DisabledBecause};
use webhooks::SigningSecret;
use world::dynamodb::Kind;

use scene::{Behavior, Endpoint, days_pass, deliveries, happens, state, with_endpoints};

#[tokio::test]
async fn event_is_delivered_signed_with_two_writes() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    story.stack.dynamodb.reset_counts();
    let id = happens(&story, 1, &[&backend]).await;
    assert_eq!(story.stack.deliver().await, [Delivered::Accepted]);
    let requests = story.stack.dynamodb.requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.kind == Kind::Write).collect();
    assert_eq!(writes.len(), 2, "the event and its delivery: {writes:?}");
    let [got] = &backend.got()[..] else { panic!("one delivery") };
    assert_eq!(got.id, id.as_str());
    assert_eq!(got.at, story.stack.clock.now().as_second());
    assert!(got.is_signed_with(&signing_secret(&backend.secret())));
    assert!(!got.is_signed_with(&signing_secret("another")));
    let body: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
    assert_eq!((&body["type"], &body["id"]), (&"connection.blocked".into(), &id.as_str().into()));
    assert!(story.stack.queue().is_empty());
    let delivery = &deliveries(&story, &id).await["backend"];
    assert_eq!((delivery.state, delivery.attempts.len()), (DeliveryState::Delivered, 1));
    assert_eq!((delivery.attempts[0].status, &delivery.attempts[0].error), (Some(204), &None));
    story.stack.sweep().await;
    assert!(story.stack.queue().is_empty(), "nothing is due");
}

#[tokio::test]
async fn product_receives_its_events_and_ignores_repeats() {
    let story = Story::begin().await;
    let product =
        story.stack.products.iter().find(|product| product.id.as_str() == "fernway").expect("fernway");
    let endpoint = product.webhooks[0].clone();
    let event = scene::event(1, story.stack.clock.now());
    story.stack.store.put_event(&event, story.stack.clock.now()).await.expect("recorded");
    let message = platform::DueDelivery {
        product: product.id.clone(),
        endpoint: endpoint.id,
        event: event.id.clone(),
        due_at: None,
    };
    story
        .stack
        .platform()
        .deliveries()
        .expect("a queue")
        .send(std::slice::from_ref(&message))
        .await
        .expect("queued");
    assert_eq!(story.stack.deliver().await, [Delivered::Accepted]);
    assert_eq!(story.stack.inbox.events().len(), 1);
    // The same message again: the item says that it was delivered.
    story.stack.clock.pass(SignedDuration::from_mins(6));
    story.stack.platform().deliveries().expect("a queue").send(&[message]).await.expect("queued");
    assert_eq!(story.stack.deliver().await, [Delivered::Nothing]);
    assert_eq!((story.stack.inbox.events().len(), story.stack.inbox.rejected()), (1, 0));
}

#[tokio::test]
async fn failed_delivery_is_repeated_until_it_is_accepted() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Answer(500));
    let id = happens(&story, 1, &[&backend]).await;
    assert_eq!(story.stack.deliver().await, [Delivered::Postponed]);
    assert_eq!(story.stack.deliver().await, [], "not before 5 seconds are over");
    story.stack.clock.pass(SignedDuration::from_secs(6));
    assert_eq!(story.stack.deliver().await, [Delivered::Failed]);
    story.stack.sweep().await;
    assert!(story.stack.queue().is_empty(), "the third attempt waits in the table, not in the queue");
    story.stack.clock.pass(SignedDuration::from_mins(6));
    assert_eq!(story.stack.sweep().await.queued, 1);
    backend.behaves(Behavior::Answer(200));
    assert_eq!(story.stack.deliver().await, [Delivered::Accepted]);
    let got = backend.got();
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|got| got.id == id.as_str()), "one id on every attempt");
    assert!(got.windows(2).all(|two| two[0].at < two[1].at && two[0].body == two[1].body));
    let delivery = &deliveries(&story, &id).await["backend"];
    let statuses: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(200)]);
}

#[tokio::test]
async fn endpoint_that_answers_410_is_disabled() {
    let story = Story::begin().await;
    let (gone, other) = (Endpoint::start("gone").await, Endpoint::start("other").await);
    with_endpoints(&story, &[&gone, &other]).await;
    gone.behaves(Behavior::Answer(410));
    let id = happens(&story, 1, &[&gone, &other]).await;
    story.stack.deliver().await;
    let health = story.stack.store.endpoint_health(&"fernway".parse().expect("an id"), &gone.id).await;
    assert_eq!(health.expect("read").disabled.map(|(_, because)| because), Some(DisabledBecause::Gone));
    assert_eq!(state(&story, &id, &gone).await, DeliveryState::Disabled);
    assert_eq!(state(&story, &id, &other).await, DeliveryState::Delivered);
    happens(&story, 2, &[&gone, &other]).await;
    story.stack.deliver().await;
    assert_eq!((gone.got().len(), other.got().len()), (1, 2), "a disabled endpoint is not called");
}

#[tokio::test]
async fn three_days_of_failures_disable_an_endpoint() {
    let story = Story::begin().await;
    let (down, other) = (Endpoint::start("down").await, Endpoint::start("other").await);
    with_endpoints(&story, &[&down, &other]).await;
    down.behaves(Behavior::Answer(503));
    let first = happens(&story, 1, &[&down, &other]).await;
    story.stack.deliver().await;
    days_pass(&story, SignedDuration::from_hours(1), SignedDuration::from_mins(10)).await;
    days_pass(&story, SignedDuration::from_hours(59), SignedDuration::from_hours(3)).await;
    let second = happens(&story, 2, &[&down, &other]).await;
    story.stack.deliver().await;
    assert_eq!(state(&story, &first, &down).await, DeliveryState::Due, "two and a half days are not three");
    days_pass(&story, SignedDuration::from_hours(33), SignedDuration::from_hours(3)).await;
    let fernway = "fernway".parse().expect("an id");
    let health = story.stack.store.endpoint_health(&fernway, &down.id).await.expect("read");
    assert_eq!(health.disabled.map(|(_, because)| because), Some(DisabledBecause::Failing));
    for id in [&first, &second] {
        assert_eq!(state(&story, id, &down).await, DeliveryState::Disabled);
        assert_eq!(state(&story, id, &other).await, DeliveryState::Delivered);
    }
    assert!(down.got().len() < 20, "{} attempts in three days", down.got().len());
    story.stack.sweep().await;
    assert!(story.stack.queue().is_empty());
}

#[tokio::test]
async fn one_success_restarts_the_three_days() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Answer(500));
    happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    days_pass(&story, SignedDuration::from_hours(48), SignedDuration::from_hours(4)).await;
    backend.behaves(Behavior::Answer(200));
    happens(&story, 2, &[&backend]).await;
    story.stack.deliver().await;
    backend.behaves(Behavior::Answer(500));
    happens(&story, 3, &[&backend]).await;
    story.stack.deliver().await;
    days_pass(&story, SignedDuration::from_hours(48), SignedDuration::from_hours(4)).await;
    let health = story.stack.store.endpoint_health(&"fernway".parse().expect("an id"), &backend.id).await;
    let health = health.expect("read");
    assert!(health.disabled.is_none() && health.failing_since.is_some(), "{health:?}");
}

/// One endpoint of ten hangs while each gets three events: the nine get theirs without a delay, and the one is never
/// called more than twice at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_endpoint_delays_no_other() {
    const EVENTS: usize = 3;
    let story = Story::begin().await;
    let mut endpoints = Vec::new();
    for number in 0..10 {
        endpoints.push(Endpoint::start(&format!("endpoint-{number}")).await);
    }
    endpoints[0].behaves(Behavior::Hang);
    let all: Vec<&Endpoint> = endpoints.iter().collect();
    with_endpoints(&story, &all).await;
    let mut ids = Vec::new();
    for number in 0..EVENTS {
        ids.push(happens(&story, number, &all).await);
    }
    let began = Instant::now();
    let working = tokio::spawn({
        let deliveries = story.stack.deliveries();
        async move { deliveries.run().await }
    });
    while endpoints[1..].iter().any(|endpoint| endpoint.got().len() < EVENTS) {
        assert!(began.elapsed() < Duration::from_secs(9), "the nine wait for the one");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(endpoints[0].got().len() <= 2, "the one hangs");
    working.await.expect("no panic");
    assert_eq!(endpoints[0].most_at_once(), 2);
    assert!(endpoints.iter().all(|endpoint| endpoint.most_at_once() <= 2));
    assert!(endpoints[0].got().len() <= 4, "a silent endpoint is left alone for a while");
    endpoints[0].behaves(Behavior::Answer(204));
    days_pass(&story, SignedDuration::from_mins(30), SignedDuration::from_mins(6)).await;
    for id in &ids {
        assert_eq!(
            state(&story, id, &endpoints[0]).await,
            DeliveryState::Delivered,
            "{id} arrives in the end"
        );
    }
}

#[tokio::test]
async fn both_secrets_sign_while_one_is_rotated() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let (old, new) = (signing_secret(&backend.secret()), SigningSecret::encode(&[9; 32]));
    happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    story.stack.secrets.put(&backend.secret(), &format!(r#"{{"current":"{old}","next":"{new}"}}"#));
    story.stack.clock.pass(SignedDuration::from_secs(61));
    happens(&story, 2, &[&backend]).await;
    story.stack.deliver().await;
    story.stack.secrets.put(&backend.secret(), &format!(r#"{{"current":"{new}"}}"#));
    story.stack.clock.pass(SignedDuration::from_secs(61));
    happens(&story, 3, &[&backend]).await;
    story.stack.deliver().await;
    let signed: Vec<(bool, bool)> =
        backend.got().iter().map(|got| (got.is_signed_with(&old), got.is_signed_with(&new))).collect();
    assert_eq!(signed, [(true, false), (true, true), (false, true)]);
}

#[tokio::test]
async fn deployed_function_calls_no_address_of_this_machine() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    let (mut literal, mut named) = (Endpoint::start("literal").await, Endpoint::start("named").await);
    literal.url = "https://127.0.0.1/hook".to_owned();
    named.url = "https://localhost/hook".to_owned();
    let endpoints = [&backend, &literal, &named];
    with_endpoints(&story, &endpoints).await;
    let id = happens(&story, 1, &endpoints).await;

    // Built as the deployed function builds itself.
    let deployed = deliver::Deliver::new(story.stack.platform()).expect("complete settings");
    for _ in endpoints {
        let received = story.stack.queue().receive().expect("a message");
        let time = platform::Deadline::until(0, story.stack.clock.now());
        deployed.deliver(&received.message, &received.receipt, &time).await.expect("recorded");
    }

    assert_eq!(backend.got().len(), 0);
    let delivered = deliveries(&story, &id).await;
    for (endpoint, error) in [
        ("backend", "the URL must begin with https://"),
        ("literal", "the host has an address that is not public"),
        ("named", "the host has an address that is not public"),
    ] {
        assert_eq!(delivered[endpoint].attempts[0].error.as_deref(), Some(error), "{endpoint}");
    }
}

/// From the change of the table to the product's endpoint, and from a disabled endpoint to the others.
#[tokio::test]
async fn disabled_endpoint_is_told_to_the_others_by_the_stream() {
    let story = Story::begin().await;
    let (gone, other) = (Endpoint::start("gone").await, Endpoint::start("other").await);
    with_endpoints(&story, &[&gone, &other]).await;
    gone.behaves(Behavior::Answer(410));
    let event = scene::event(1, story.stack.clock.now());
    story.stack.store.put_event(&event, story.stack.clock.now()).await.expect("recorded");
    story.stack.notify().await;
    story.stack.deliver().await;
    assert_eq!((gone.got().len(), other.got().len()), (1, 1), "the recorded event is passed on to both");
    story.stack.notify().await;
    story.stack.notify().await;
    story.stack.deliver().await;
    let told: Vec<serde_json::Value> =
        other.got().iter().map(|got| serde_json::from_slice(&got.body).expect("JSON")).collect();
    assert_eq!(told[1]["type"], "endpoint.disabled");
    assert_eq!((&told[1]["data"]["endpoint"], told.len()), (&"gone".into(), 2));
    assert_eq!(gone.got().len(), 1, "a disabled endpoint is not called");
}
