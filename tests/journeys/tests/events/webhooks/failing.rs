//! Endpoints and deployments that go wrong: late answers, missing secrets, wrong clocks, two functions at once.

use std::time::Duration;

use deliver::Delivered;
use domain::Product;
use jiff::SignedDuration;
use journeys::Story;
use platform::Deadline;
use serde_json::{Value, json};
use store::DeliveryState;

use super::scene::{Behavior, Endpoint, days_pass, deliveries, happens, state, with_endpoints};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_after_the_timeout_is_a_failure_and_the_id_stays() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Late);
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    let attempts = deliveries(&story, &id).await["backend"].attempts.clone();
    assert_eq!(attempts[0].status, None);
    assert_eq!(attempts[0].error.as_deref(), Some("no whole answer within 10 seconds"));
    assert!((9_900..12_000).contains(&attempts[0].took), "{attempts:?}");
    backend.behaves(Behavior::Answer(200));
    story.pass(seconds(61));
    story.stack.sweep().await;
    story.stack.deliver().await;
    story.pass(SignedDuration::from_mins(6));
    story.stack.sweep().await;
    story.stack.deliver().await;
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Delivered);
    assert!(
        backend.got().iter().all(|got| got.id == id.as_str()),
        "the endpoint can tell that it is the same"
    );
}

#[tokio::test]
async fn missing_secret_is_a_failed_attempt_and_blocks_nothing() {
    let story = Story::begin().await;
    let (bare, other) = (Endpoint::start("bare").await, Endpoint::start("other").await);
    with_endpoints(&story, &[&bare, &other]).await;
    story.stack.secrets.remove(&bare.secret());
    let ids = [happens(&story, 1, &[&bare, &other]).await, happens(&story, 2, &[&bare, &other]).await];
    // Both may be in the same lane, where the second waits for the retry of the first.
    for _ in 0..4 {
        story.stack.deliver().await;
        story.pass(seconds(6));
    }
    for id in &ids {
        let bare = &deliveries(&story, id).await["bare"];
        assert_eq!(bare.state, DeliveryState::Due);
        let why = bare.attempts[0].error.as_deref();
        assert_eq!(why, Some("not sent: the signing secret is missing or has the wrong form"));
        assert_eq!(state(&story, id, &other).await, DeliveryState::Delivered);
    }
    assert!(bare.got().is_empty(), "nothing is sent without a signature");
    for text in ["", "{}", r#"{"current":"whsec_short"}"#, r#"{"current":7}"#] {
        story.stack.secrets.put(&bare.secret(), text);
        story.pass(seconds(6));
        story.stack.deliver().await;
    }
    assert!(bare.got().is_empty());
    with_endpoints(&story, &[&bare, &other]).await;
    story.pass(SignedDuration::from_mins(40));
    story.stack.sweep().await;
    story.stack.deliver().await;
    let mut got: Vec<String> = bare.got().into_iter().map(|got| got.id).collect();
    got.sort();
    let mut all: Vec<String> = ids.iter().map(ToString::to_string).collect();
    all.sort();
    assert_eq!(got, all, "both arrive once the secret is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_functions_with_one_message_send_one_id_and_record_it() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let id = happens(&story, 1, &[&backend]).await;
    let received = story.stack.queue().receive().expect("a message");
    let time = Deadline::until(0, story.stack.clock.now());
    let (one, two) = (story.stack.cold_deliver(), story.stack.cold_deliver());
    let (one, two) = tokio::join!(
        one.deliver(&received.message, &received.receipt, &time),
        two.deliver(&received.message, &received.receipt, &time),
    );
    let done = [one.expect("handled"), two.expect("handled")];
    assert!(done.contains(&Delivered::Accepted), "{done:?}");
    let got = backend.got();
    assert!((1..=2).contains(&got.len()) && got.iter().all(|got| got.id == id.as_str()));
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn function_with_a_wrong_clock_loses_nothing() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Answer(500));
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    story.pass(seconds(6));
    story.stack.deliver().await;
    // The next attempt is due in five minutes. A function whose clock is an hour slow leaves it alone, and one whose clock
    // is an hour fast makes it early.
    story.pass(SignedDuration::from_mins(6));
    story.stack.sweep().await;
    let received = story.stack.queue().receive().expect("the attempt is due");
    let slow = Deadline::until(0, story.stack.clock.now() - SignedDuration::from_hours(1));
    let done = story.stack.cold_deliver().deliver(&received.message, &received.receipt, &slow).await;
    assert_eq!(done.expect("handled"), Delivered::Nothing);
    story.stack.queue().delete(&received.receipt);
    assert_eq!((state(&story, &id, &backend).await, backend.got().len()), (DeliveryState::Due, 2));

    backend.behaves(Behavior::Answer(200));
    story.pass(SignedDuration::from_mins(11));
    story.stack.sweep().await;
    story.stack.deliver().await;
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Delivered, "the sweep queues it again");

    let fast = Deadline::until(0, story.stack.clock.now() + SignedDuration::from_hours(1));
    let id = happens(&story, 2, &[&backend]).await;
    let received = story.stack.queue().receive().expect("a message");
    story.stack.cold_deliver().deliver(&received.message, &received.receipt, &fast).await.expect("handled");
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn endpoint_that_leaves_the_product_file_is_called_no_more() {
    let story = Story::begin().await;
    let (leaves, stays) = (Endpoint::start("leaves").await, Endpoint::start("stays").await);
    with_endpoints(&story, &[&leaves, &stays]).await;
    for endpoint in [&leaves, &stays] {
        endpoint.behaves(Behavior::Answer(500));
    }
    let id = happens(&story, 1, &[&leaves, &stays]).await;
    story.stack.deliver().await;
    let calls = leaves.got().len();
    let product = story.stack.products.iter().find(|product| product.id.as_str() == "fernway");
    with_endpoints(&story, &[&stays]).await;
    story.pass(seconds(61)); // a product is remembered for a minute
    stays.behaves(Behavior::Answer(204));
    story.stack.deliver().await;
    story.pass(SignedDuration::from_mins(6));
    story.stack.sweep().await;
    story.stack.deliver().await;
    assert_eq!(leaves.got().len(), calls, "its attempts end with it");
    assert_eq!(state(&story, &id, &leaves).await, DeliveryState::Removed);
    assert_eq!(state(&story, &id, &stays).await, DeliveryState::Delivered);
    story.stack.sweep().await;
    assert!(story.stack.queue().is_empty());

    // The whole product is gone, and an event of it is still in the queue.
    let id = happens(&story, 2, &[&stays]).await;
    let emptied = Product { webhooks: Vec::new(), ..product.expect("fernway").clone() };
    story.stack.store.put_product(&emptied).await.expect("the table can be written");
    story.pass(seconds(61));
    story.stack.deliver().await;
    assert_eq!(state(&story, &id, &stays).await, DeliveryState::Removed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempt_from_before_the_enabling_does_not_disable_again() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let (store, fernway) = (&story.stack.store, "fernway".parse().expect("an id"));
    store.note_failing_endpoint(&fernway, &backend.id, story.stack.clock.now()).await.expect("noted");
    story.pass(SignedDuration::from_hours(73));
    backend.behaves(Behavior::Slow(500));
    let id = happens(&story, 1, &[&backend]).await;
    let deliveries = story.stack.deliveries();
    let working = tokio::spawn(async move { deliveries.run().await });
    while backend.got().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The attempt has read that the endpoint fails for three days, and waits for its answer.
    store.enable_endpoint(&fernway, &backend.id).await.expect("enabled");
    working.await.expect("no panic");
    let health = store.endpoint_health(&fernway, &backend.id).await.expect("read");
    assert_eq!(health.disabled, None);
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Due, "it is sent again");
}

#[tokio::test]
async fn endpoint_that_was_just_added_gets_its_events() {
    let story = Story::begin().await;
    let (old, new) = (Endpoint::start("old").await, Endpoint::start("new").await);
    with_endpoints(&story, &[&old]).await;
    let test = async || story.call("POST", "/v1/webhooks/test", Some(json!({}))).await;
    let pass_on = async || {
        story.stack.notify().await;
        story.stack.deliver().await
    };
    // Each function has read the product file once, and caches it for a minute.
    assert_eq!(test().await.status, 202);
    pass_on().await;
    assert_eq!(old.got().len(), 1);

    with_endpoints(&story, &[&old, &new]).await;
    story.pass(seconds(11));
    let event = test().await;
    assert_eq!(event.status, 202);
    pass_on().await;
    assert_eq!((old.got().len(), new.got().len()), (2, 1), "a test is the first thing that one does");
    let id = happens(&story, 1, &[&old, &new]).await;
    story.stack.deliver().await;
    assert_eq!(state(&story, &id, &new).await, DeliveryState::Delivered);

    // The same the other way round: an endpoint that leaves is not called once its product file is read again.
    with_endpoints(&story, &[&old]).await;
    story.pass(seconds(61));
    let id = happens(&story, 2, &[&old, &new]).await;
    story.stack.deliver().await;
    assert_eq!(state(&story, &id, &new).await, DeliveryState::Removed);
}

#[tokio::test]
async fn endpoint_that_fails_at_once_does_not_pile_up_its_events() {
    const EVENTS: usize = 20;
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let (store, fernway) = (&story.stack.store, "fernway".parse().expect("an id"));
    store.note_failing_endpoint(&fernway, &backend.id, story.stack.clock.now()).await.expect("noted");
    backend.behaves(Behavior::Answer(500));
    let mut ids = Vec::new();
    for number in 0..EVENTS {
        ids.push(happens(&story, number, &[&backend]).await);
    }
    assert_eq!(story.stack.deliver().await, [Delivered::Failed; EVENTS]);
    assert!(story.stack.queue().is_empty(), "every event waits in the table");
    backend.behaves(Behavior::Answer(200));
    story.pass(SignedDuration::from_mins(6));
    story.stack.sweep().await;
    story.stack.deliver().await;
    for id in &ids {
        assert_eq!(state(&story, id, &backend).await, DeliveryState::Delivered);
    }
    let health = store.endpoint_health(&fernway, &backend.id).await.expect("read");
    assert_eq!(health.failing_since, None);
}

/// An alarm is on a day and more before the endpoint is disabled.
#[tokio::test]
async fn age_of_an_undelivered_event_is_measured() {
    const DAY: f64 = 86_400.0;
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Answer(500));
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    let oldest = || {
        let lines = story.stack.functions.lines.all();
        let age = |line: &String| serde_json::from_str::<Value>(line).ok()?["OldestUndelivered"].as_f64();
        lines.iter().filter_map(age).fold(0.0, f64::max)
    };
    let (hours, step) = (SignedDuration::from_hours(20), SignedDuration::from_hours(2));
    days_pass(&story, hours, step).await;
    assert!((3_600.0..DAY).contains(&oldest()), "{} s on the first day", oldest());
    days_pass(&story, hours, step).await;
    assert!(oldest() > DAY, "{} s on the second", oldest());
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Due, "the endpoint is not disabled yet");
}
