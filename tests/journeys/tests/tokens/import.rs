//! A product brings the tokens that it holds already.

use runtime::HttpFunction as _;
use std::time::Duration;

use jiff::SignedDuration;
use journeys::{Answer, Story};
use lambda_http::{Context, RequestExt};
use local::stack::TABLE;
use serde_json::{Value, json};
use store::AppAt;
use world::{
    dynamodb::{Fault as TableFault, Which},
    salesforce::Fault,
};

/// A refresh token that the product got before it used Latchkey.
fn held(story: &Story) -> String {
    let key = &story.stack.app("fernway", "sync").consumer_key;
    let granted = story.stack.salesforce.granted("acme", "uma@acme.example", key);
    granted["refresh_token"].as_str().expect("a refresh token").to_owned()
}

fn rotate(story: &Story, rotation: bool) {
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|app| app.consumer_key == key).expect("the app");
        app.refresh_token_rotation = rotation;
    });
}

async fn import(story: &Story, token: &str, more: Value) -> Answer {
    let mut call = json!({
        "app": "sync",
        "customer": { "id": "c-acme", "name": "Acme Corporation" },
        "user": "u-alice",
        "environment": "production",
        "refresh_token": token,
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        call[name] = value;
    }
    story.call("POST", "/v1/connections", Some(call)).await
}

#[tokio::test]
async fn a_token_becomes_a_connection_once_and_its_own_copy_is_spent() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.forget_calls();

    let imported = import(&story, &token, json!({})).await;

    assert_eq!((imported.status, &imported.body["rotated"]), (201, &json!(true)), "{}", imported.body);
    assert_eq!(imported.text("username"), "uma@acme.example", "Salesforce's word");
    assert_eq!(imported.text("state"), "active");
    let connection = imported.text("id").to_owned();
    let access = story.token(&connection).await;
    assert_eq!(story.salesforce_says(&access).await, 200, "it works");
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "proved by one refresh");
    assert_eq!(story.stack.dynamodb.find(TABLE, &token), Vec::<String>::new(), "kept nowhere in the clear");

    let again = import(&story, &token, json!({})).await;
    assert_eq!((again.status, again.text("id")), (200, connection.as_str()), "{}", again.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "and nothing was sent");

    // It is a connection like any other: it refreshes, and is listed for its customer.
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.status, 200);
    let listed = story.call("GET", "/v1/connections?customer=c-acme", None).await;
    assert_eq!(listed.body["connections"][0]["id"], connection.as_str());
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_proves_nothing_away() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.forget_calls();

    let dry = import(&story, &token, json!({ "dry_run": true })).await;
    assert_eq!((dry.status, dry.text("would")), (200, "import"), "{}", dry.body);
    assert_eq!(story.stack.salesforce.calls().len(), 0);
    assert_eq!(story.connections().await.len(), 0);

    assert_eq!(import(&story, &token, json!({})).await.status, 201);
    let dry = import(&story, &token, json!({ "dry_run": true })).await;
    assert_eq!(dry.text("would"), "already-imported");
}

#[tokio::test]
async fn a_token_that_salesforce_refuses_is_named_with_its_diagnosis() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");

    let refused = import(&story, &token, json!({})).await;

    assert_eq!((refused.status, refused.problem()), (422, "import-refused"), "{}", refused.body);
    assert_eq!((refused.text("cause"), refused.text("actor")), ("grant_expired_or_revoked", "end_user"));
    let help = story.stack.browser().get(refused.text("help_url")).await;
    assert_eq!(help.status, 200);
    assert_eq!(story.connections().await.len(), 0);

    story.stack.salesforce.forget_calls();
    let again = import(&story, &token, json!({})).await;
    assert_eq!(again.text("reference"), refused.text("reference"), "the same answer");
    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "and nothing was sent for it");
}

#[tokio::test]
async fn a_salesforce_that_is_down_costs_nothing() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.queue_token_fault(Fault::Html(503));

    let later = import(&story, &token, json!({})).await;
    assert_eq!((later.status, later.problem()), (503, "salesforce-unavailable"), "{}", later.body);
    let calls = story.stack.salesforce.token_calls().len();
    assert_eq!(import(&story, &token, json!({})).await.problem(), "salesforce-unavailable");
    assert_eq!(
        story.stack.salesforce.token_calls().len(),
        calls,
        "nothing is sent before Retry-After is over"
    );
    story.pass(SignedDuration::from_secs(31));
    assert_eq!(import(&story, &token, json!({})).await.status, 201, "the next call succeeds");
}

/// Time passes until the token may be sent again: the host has answered a harmless request ten minutes ago.
async fn until_the_host_answers(story: &Story, token: &str) {
    story.pass(SignedDuration::from_mins(2));
    let waits = import(story, token, json!({})).await;
    assert_eq!(waits.problem(), "import-under-way", "{}", waits.body);
    story.pass(SignedDuration::from_mins(10) + SignedDuration::from_secs(10));
}

#[tokio::test]
async fn an_answer_that_was_lost_is_tried_once_more_where_nothing_rotates() {
    let story = Story::installed().await;
    rotate(&story, false);
    let token = held(&story);
    story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);

    let unknown = import(&story, &token, json!({})).await;
    assert_eq!((unknown.status, unknown.problem()), (409, "import-under-way"), "{}", unknown.body);
    story.stack.salesforce.forget_calls();
    assert_eq!(import(&story, &token, json!({})).await.status, 409, "not yet");
    assert_eq!(story.stack.salesforce.token_calls().len(), 0);

    until_the_host_answers(&story, &token).await;
    let imported = import(&story, &token, json!({})).await;
    assert_eq!((imported.status, &imported.body["rotated"]), (201, &json!(false)), "{}", imported.body);
}

#[tokio::test]
async fn an_answer_that_was_lost_with_rotation_ends_after_one_more_try() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);
    assert_eq!(import(&story, &token, json!({})).await.problem(), "import-under-way");

    until_the_host_answers(&story, &token).await;
    let lost = import(&story, &token, json!({})).await;
    assert_eq!((lost.status, lost.problem()), (422, "import-refused"), "{}", lost.body);
    assert_eq!(lost.text("cause"), "answer_lost");
    story.stack.salesforce.forget_calls();
    assert_eq!(import(&story, &token, json!({})).await.text("reference"), lost.text("reference"));
    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "there is no third");
}

#[tokio::test]
async fn two_imports_of_one_token_at_once_send_it_once() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.forget_calls();
    story.stack.salesforce.set_token_latency(Duration::from_millis(300));

    let (one, other) = tokio::join!(import(&story, &token, json!({})), import(&story, &token, json!({})));

    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{} {}", one.body, other.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1);
    assert_eq!(story.connections().await.len(), 1);
}

#[tokio::test]
async fn a_customer_who_is_connected_already_is_not_connected_twice_by_mistake() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let token = held(&story);
    story.stack.salesforce.forget_calls();

    let refused = import(&story, &token, json!({})).await;
    assert_eq!((refused.status, refused.problem()), (409, "already-connected"), "{}", refused.body);
    assert!(refused.body.to_string().contains(&connection), "{}", refused.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "nothing was sent");

    let another = import(&story, &token, json!({ "another": true })).await;
    assert_eq!(another.status, 201, "{}", another.body);
}

#[tokio::test]
async fn token_imported_for_another_user_is_not_answered_with_their_connection() {
    let story = Story::installed().await;
    let token = held(&story);
    let first = import(&story, &token, json!({})).await;
    assert_eq!(first.status, 201, "{}", first.body);
    story.stack.salesforce.forget_calls();

    for dry_run in [false, true] {
        let other = import(&story, &token, json!({ "user": "u-bob", "dry_run": dry_run })).await;
        assert_eq!((other.status, other.problem()), (409, "already-connected"), "{}", other.body);
        assert!(other.text("detail").contains("user"), "{}", other.body);
        assert_eq!(import(&story, &token, json!({ "dry_run": dry_run })).await.status, 200, "hers");
    }
    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "nothing was sent");

    let mut product = fernway(&story);
    product.apps[0].connections = domain::product::Sharing::Shared;
    story.stack.store.put_product(&product).await.expect("the table takes it");
    story.pass(SignedDuration::from_secs(91));
    let other = import(&story, &token, json!({ "user": "u-bob" })).await;
    assert_eq!((other.status, other.text("id")), (200, first.text("id")), "a shared app: {}", other.body);
}

#[tokio::test]
async fn bad_calls_are_refused_before_anything_is_sent() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.forget_calls();
    for bad in [
        json!({ "app": "none" }),
        json!({ "environment": null }),
        json!({ "my_domain": "https://evil.example", "environment": null }),
        json!({ "refresh_token": "short" }),
        json!({ "customer": { "id": "" } }),
        json!({ "surplus": 1 }),
    ] {
        let answer = import(&story, &token, bad.clone()).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.body);
        assert!(!answer.body.to_string().contains(&token));
    }
    assert_eq!(story.stack.salesforce.calls().len(), 0);
}

#[tokio::test]
async fn a_refusal_that_says_nothing_of_the_token_leaves_it_its_second_try() {
    for refused in [
        Fault::Html(503),
        Fault::Answer { status: 400, error: "invalid_grant".into(), description: "ip restricted".into() },
        // Nobody knows these words to be final: Salesforce refuses limits, locks and challenges so as well.
        Fault::Answer { status: 400, error: "invalid_grant".into(), description: "never seen before".into() },
    ] {
        let story = Story::installed().await;
        rotate(&story, false);
        let token = held(&story);
        story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);
        assert_eq!(import(&story, &token, json!({})).await.problem(), "import-under-way");
        until_the_host_answers(&story, &token).await;

        story.stack.salesforce.queue_token_fault(refused);
        let answer = import(&story, &token, json!({})).await;
        assert!(matches!(answer.problem(), "salesforce-unavailable" | "import-refused"), "{}", answer.body);
        assert_ne!(answer.body["cause"], "answer_lost", "{}", answer.body);

        // Longer than a refusal that needs the user is cached.
        story.pass(SignedDuration::from_mins(11));
        let imported = import(&story, &token, json!({})).await;
        assert_eq!(imported.status, 201, "{}", imported.body);
    }
}

#[tokio::test]
async fn after_two_lost_answers_the_token_is_sent_again_only_if_salesforce_knows_it() {
    // Whether the token is spent, and whether Salesforce has ever said *yes* to the app: its *no* counts only then.
    for (rotates, introspects) in [(false, false), (true, true), (true, false)] {
        let story = Story::installed().await;
        rotate(&story, rotates);
        if introspects {
            let product = "fernway".parse().expect("an id");
            let app = story.stack.app("fernway", "sync");
            let app = AppAt { product: &product, app: &app.id, consumer_key: &app.consumer_key };
            story.stack.store.note_introspects(app).await.expect("the table takes it");
        }
        let token = held(&story);
        story.stack.salesforce.queue_token_fault(Fault::Html(502));
        assert_eq!(import(&story, &token, json!({})).await.problem(), "import-under-way");
        until_the_host_answers(&story, &token).await;
        story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);
        assert_eq!(import(&story, &token, json!({})).await.problem(), "import-under-way");
        story.stack.salesforce.forget_calls();
        until_the_host_answers(&story, &token).await;

        let mut last = import(&story, &token, json!({})).await;
        if rotates && !introspects {
            assert_eq!((last.status, last.problem()), (409, "import-under-way"), "{}", last.body);
            story.pass(SignedDuration::from_hours(25));
            last = import(&story, &token, json!({})).await;
        }

        if rotates {
            assert_eq!((last.status, last.text("cause")), (422, "answer_lost"), "{}", last.body);
            assert_eq!(story.stack.salesforce.token_calls().len(), 0, "a spent token is not sent again");
        } else {
            assert_eq!(last.status, 201, "{}", last.body);
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_without_time_to_store_the_answer() {
    let story = Story::installed().await;
    let token = held(&story);
    story.stack.salesforce.forget_calls();
    let now = story.stack.clock.now();
    let body = json!({
        "app": "sync", "customer": { "id": "c-acme" }, "user": "u-alice", "environment": "production",
        "refresh_token": token,
    });
    let mut context = Context::default();
    context.deadline = u64::try_from(now.as_millisecond()).expect("after 1970") + 15_000;
    let request = http::Request::post("/v1/connections")
        .header("authorization", format!("Bearer {}", story.stack.api_key("fernway").expose()))
        .body(lambda_http::Body::Text(body.to_string()))
        .expect("a request")
        .with_lambda_context(context);

    let answer = story.stack.functions.token.respond(request, now).await;

    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(String::from_utf8_lossy(answer.body().as_ref()).contains("urn:latchkey:problem:not-sent"));
    assert_eq!(story.stack.salesforce.token_calls().len(), 0);
    assert_eq!(import(&story, &token, json!({})).await.status, 201, "the next invocation has the time");
}

#[tokio::test]
async fn a_table_that_does_not_take_the_connection_is_tried_to_the_end_of_the_invocation() {
    let story = Story::installed().await;
    let token = held(&story);
    let writes = Which::Operation("TransactWriteItems");
    story.stack.dynamodb.inject(TableFault::refuse("AccessDeniedException").on(writes).times(7));

    let imported = import(&story, &token, json!({})).await;

    assert_eq!((imported.status, &imported.body["rotated"]), (201, &json!(true)), "{}", imported.body);
    let access = story.token(imported.text("id")).await;
    assert_eq!(story.salesforce_says(&access).await, 200);
}

#[tokio::test]
async fn answer_that_the_table_never_takes_waits_in_the_fallback_and_the_sweep_stores_it() {
    let story = Story::installed().await;
    let token = held(&story);
    let writes = Which::Operation("TransactWriteItems");
    story.stack.dynamodb.inject(TableFault::refuse("AccessDeniedException").on(writes).times(1000));

    let imported = import(&story, &token, json!({})).await;
    assert_eq!((imported.status, imported.problem()), (409, "import-under-way"), "{}", imported.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1);
    story.stack.dynamodb.mend();
    story.pass(SignedDuration::from_mins(6));
    story.stack.sweep().await;

    let again = import(&story, &token, json!({})).await;
    assert_eq!(again.status, 200, "{}", again.body);
    let access = story.token(again.text("id")).await;
    assert_eq!(story.salesforce_says(&access).await, 200);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "the product's token was sent once");
}

#[tokio::test]
async fn a_token_that_was_refused_is_tried_again_when_that_may_have_been_put_right() {
    let story = Story::installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let token = held(&story);
    story.stack.salesforce.block("acme", &key);
    let refused = import(&story, &token, json!({})).await;
    assert_eq!(
        refused.text("cause"),
        "grant_expired_or_revoked",
        "Salesforce does not say that it is blocked"
    );
    story.stack.salesforce.unblock("acme", &key);

    assert_eq!(import(&story, &token, json!({})).await.text("reference"), refused.text("reference"));
    story.pass(SignedDuration::from_mins(11));
    assert_eq!(import(&story, &token, json!({})).await.status, 201);
}

/// Fernway as the table has it.
fn fernway(story: &Story) -> domain::Product {
    let found = story.stack.products.iter().find(|product| product.id.as_str() == "fernway");
    found.expect("the product").clone()
}
