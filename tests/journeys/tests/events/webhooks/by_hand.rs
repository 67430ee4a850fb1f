//! What an engineer asks for: an event with its deliveries, a delivery sent again, a test.

use domain::WebhookEndpoint;
use jiff::SignedDuration;
use journeys::{Answer, Story};
use serde_json::{Value, json};
use store::DisabledBecause;

use super::scene::{Behavior, Endpoint, happens, with_endpoints, with_endpoints_as};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

async fn redeliver(story: &Story, id: &domain::EventId, body: Value) -> Answer {
    story.call("POST", &format!("/v1/events/{id}/redeliver"), Some(body)).await
}

async fn shown(story: &Story, id: &domain::EventId) -> Value {
    let answer = story.call("GET", &format!("/v1/events/{id}"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn event_shows_every_attempt() {
    let story = Story::begin().await;
    let (down, up) = (Endpoint::start("down").await, Endpoint::start("up").await);
    with_endpoints(&story, &[&down, &up]).await;
    let id = happens(&story, 1, &[&down, &up]).await;
    assert_eq!(shown(&story, &id).await["deliveries"], json!([]), "nothing was sent yet");
    down.behaves(Behavior::Answer(500));
    story.stack.deliver().await;
    let event = shown(&story, &id).await;
    let [failed, delivered] = &event["deliveries"].as_array().expect("a list")[..] else { panic!("{event}") };
    assert_eq!((&failed["endpoint"], &failed["state"]), (&json!("down"), &json!("due")));
    assert_eq!(failed["attempts"][0]["status"], 500);
    assert_eq!(failed["attempts"][0]["error"], "error page", "the first bytes of the answer");
    assert!(failed["attempts"][0]["took_ms"].is_u64() && failed["attempts"][0]["at"].is_string(), "{event}");
    assert!(failed["next_attempt_at"].is_string(), "{event}");
    assert_eq!((&delivered["endpoint"], &delivered["state"]), (&json!("up"), &json!("delivered")));
    assert_eq!(delivered["attempts"][0]["status"], 204);
    assert!(delivered.get("next_attempt_at").is_none() && delivered["attempts"][0].get("error").is_none());
}

#[tokio::test]
async fn redelivery_pressed_twice_sends_once() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    assert_eq!(redeliver(&story, &id, json!({})).await.status, 202);
    story.stack.deliver().await;
    assert_eq!(backend.got().len(), 1, "it was accepted a moment ago");

    story.pass(seconds(11));
    for _ in 0..2 {
        let again = redeliver(&story, &id, json!({ "endpoint": "backend" })).await;
        assert_eq!((again.status, &again.body["deliveries"][0]["state"]), (202, &json!("due")));
    }
    story.stack.deliver().await;
    story.stack.sweep().await;
    story.stack.deliver().await;
    let got = backend.got();
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|got| got.id == id.as_str()), "one id");
    assert_eq!(shown(&story, &id).await["deliveries"][0]["state"], "delivered");
    assert!(story.stack.queue().is_empty());
}

#[tokio::test]
async fn redelivery_of_an_event_that_waits_sends_it_now() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Answer(503));
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    story.pass(seconds(6));
    story.stack.deliver().await;
    backend.behaves(Behavior::Answer(204));
    story.pass(seconds(20));
    assert_eq!(redeliver(&story, &id, json!({})).await.status, 202);
    story.stack.deliver().await;
    assert_eq!(backend.got().len(), 3);
    assert_eq!(shown(&story, &id).await["deliveries"][0]["state"], "delivered");
}

#[tokio::test]
async fn redelivery_survives_a_queue_that_lost_the_message() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    story.pass(seconds(11));
    redeliver(&story, &id, json!({})).await;
    let lost = story.stack.queue().receive().expect("queued at once");
    story.stack.queue().delete(&lost.receipt);
    story.pass(SignedDuration::from_mins(6));
    story.stack.sweep().await;
    story.stack.deliver().await;
    assert_eq!(backend.got().len(), 2);
}

#[tokio::test]
async fn redelivery_refuses_what_no_endpoint_gets() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    story.pass(seconds(11));
    let path = format!("/v1/events/{id}/redeliver");
    let other = story.stack.api_key("tidewater").expose().to_owned();
    let foreign = story.call_with(&other, &[], "POST", &path, Some("{}".into())).await;
    let unknown = story.call("POST", "/v1/events/evt_x/redeliver", Some(json!({}))).await;
    assert_eq!((foreign.status, unknown.status), (404, 404), "another product's is not found");
    assert_eq!(foreign.body["detail"], unknown.body["detail"]);
    assert_eq!(redeliver(&story, &id, json!({ "endpoint": "other" })).await.status, 404);
    assert_eq!(redeliver(&story, &id, json!({ "endpoints": ["backend"] })).await.status, 400);

    let now = story.stack.clock.now();
    let fernway = "fernway".parse().expect("an id");
    let store = &story.stack.store;
    store.disable_endpoint(&fernway, &backend.id, DisabledBecause::Gone, now).await.expect("disabled");
    let refused = redeliver(&story, &id, json!({})).await;
    assert_eq!((refused.status, refused.problem()), (409, "no-endpoint"), "{}", refused.body);
    story.stack.deliver().await;
    assert_eq!(backend.got().len(), 1);
}

#[tokio::test]
async fn test_event_reaches_the_named_endpoint_alone_once() {
    let story = Story::begin().await;
    let (one, two) = (Endpoint::start("one").await, Endpoint::start("two").await);
    // Neither wants tests: whoever asks for one gets it.
    let no_tests = |endpoint| WebhookEndpoint { events: vec!["session.*".into()], ..endpoint };
    with_endpoints_as(&story, &[&one, &two], no_tests).await;
    let test = async |body: Value| story.call("POST", "/v1/webhooks/test", Some(body)).await;
    let first = test(json!({ "endpoint": "one" })).await;
    assert_eq!((first.status, &first.body["type"]), (202, &json!("webhook.test")), "{}", first.body);
    assert_eq!(test(json!({ "endpoint": "one" })).await.body["id"], first.body["id"], "pressed twice");
    story.stack.notify().await;
    story.stack.deliver().await;
    assert_eq!((one.got().len(), two.got().len()), (1, 0));

    story.pass(seconds(11));
    let all = test(json!({})).await;
    assert_ne!(all.body["id"], first.body["id"]);
    story.stack.notify().await;
    story.stack.deliver().await;
    assert_eq!((one.got().len(), two.got().len()), (2, 1), "without a name it goes to all");
    let shown = story.call("GET", &format!("/v1/events/{}", all.text("id")), None).await;
    assert_eq!(shown.body["deliveries"].as_array().map(Vec::len), Some(2), "{}", shown.body);
    assert_eq!(test(json!({ "endpoint": "three" })).await.status, 404);
}
