//! A live token, whatever happens: refresh, rotation, rejection, two at once, answers that never came.

use std::{collections::BTreeSet, time::Duration};

use domain::ConnectionState;
use jiff::SignedDuration;
use journeys::{Returning, Story};
use local::stack::FALLBACK;
use serde_json::json;
use world::{
    dynamodb::{Fault as TableFault, Which},
    salesforce::Fault,
};

/// Longer than the 15 minutes for which an access token is taken to live.
const STALE: SignedDuration = SignedDuration::from_mins(16);

#[tokio::test]
async fn a_stale_token_is_refreshed_once_and_the_rotated_refresh_token_is_kept() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let first = story.token(&connection).await;

    let mut seen = vec![first.text("fingerprint").to_owned()];
    for _ in 0..3 {
        story.pass(STALE);
        story.stack.salesforce.forget_calls();
        let token = story.token(&connection).await;
        assert_eq!(token.status, 200, "{}", token.body);
        assert_eq!(story.salesforce_says(&token).await, 200, "the token works");
        assert_eq!(story.stack.salesforce.token_calls().len(), 1);
        let again = story.token(&connection).await;
        assert_eq!(again.text("fingerprint"), token.text("fingerprint"), "fresh now");
        assert!(!seen.contains(&token.text("fingerprint").to_owned()), "a new token");
        seen.push(token.text("fingerprint").to_owned());
    }
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
}

#[tokio::test]
async fn a_rejected_token_causes_one_refresh_however_many_report_it() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let dead = story.token(&connection).await;
    story.stack.salesforce.expire_access_tokens();
    assert_eq!(story.salesforce_says(&dead).await, 401);
    story.stack.salesforce.forget_calls();
    story.stack.salesforce.set_token_latency(Duration::from_millis(300));

    let path = format!("/v1/connections/{connection}/token");
    let report = json!({ "rejected": dead.text("fingerprint") });
    let callers = (0..20).map(|_| story.call("POST", &path, Some(report.clone())));
    let answers = futures(callers).await;

    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "one exchange for all");
    let newer = answers[0].text("fingerprint").to_owned();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.text("fingerprint"), newer, "everybody gets the new token");
    }
    assert_eq!(story.salesforce_says(&answers[0]).await, 200);

    // A straggler with the old fingerprint gets the newer token, and causes nothing.
    let late = story.call("POST", &path, Some(report)).await;
    assert_eq!(late.text("fingerprint"), newer);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1);
}

async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        all.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn while_somebody_refreshes_the_others_use_the_token_that_still_works() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.queue_token_fault(Fault::Slow(Duration::from_millis(700)));
    // Of 15 minutes, less than the caller's minimum is left.
    story.pass(SignedDuration::from_mins(5));
    let path = format!("/v1/connections/{connection}/token");
    let wants = json!({ "minimum_lifetime": 800 });

    let holder = story.call("POST", &path, Some(wants.clone()));
    let other = async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let asked = std::time::Instant::now();
        let answer = story.call("POST", &path, Some(wants.clone())).await;
        (answer, asked.elapsed())
    };
    let (held, (waited, took)) = tokio::join!(holder, other);

    assert_eq!((held.status, waited.status), (200, 200), "{} {}", held.body, waited.body);
    assert!(took < Duration::from_millis(400), "answered at once: {took:?}");
    assert!(waited.text("warning").contains("under way"));
    assert_eq!(
        story
            .stack
            .salesforce
            .token_calls()
            .iter()
            .filter(|call| call.grant_type.as_deref() == Some("refresh_token"))
            .count(),
        1
    );
}

fn busy(error: &str, description: &str) -> Fault {
    Fault::Answer { status: 400, error: error.into(), description: description.into() }
}

/// What Salesforce answers when the same request may succeed in a moment.
fn passing() -> [Fault; 5] {
    [
        busy("invalid_grant", "token request is already being processed"),
        busy("invalid_grant", "expired authorization code"),
        busy("unknown_error", "retry your request"),
        Fault::Html(429),
        Fault::Html(503),
    ]
}

/// What the answer says: ask again after so long. The story's clock stands still during a call, so a second more.
fn retry_after(answer: &journeys::Answer) -> SignedDuration {
    let after = answer.headers.get("retry-after").and_then(|after| after.to_str().ok()).expect("Retry-After");
    SignedDuration::from_secs(after.parse::<i64>().expect("seconds") + 1)
}

#[tokio::test]
async fn a_transient_refusal_is_retried_after_its_backoff() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    for fault in passing() {
        story.pass(STALE);
        story.stack.salesforce.forget_calls();
        story.stack.salesforce.queue_token_fault(fault.clone());
        let later = story.token(&connection).await;
        assert_eq!((later.status, later.problem()), (503, "token-not-ready"), "{fault:?}: {}", later.body);
        assert!(later.body["cause"].is_string(), "{fault:?}: {}", later.body);
        let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
        assert_eq!(shown.text("state"), "active", "{fault:?}");
        assert_eq!(shown.body["retrying"]["cause"], later.body["cause"], "{fault:?}: {}", shown.body);
        assert_eq!(story.token(&connection).await.status, 503, "{fault:?}");
        assert_eq!(story.stack.salesforce.token_calls().len(), 1, "{fault:?}: it is sent once");

        story.pass(retry_after(&later));
        let token = story.token(&connection).await;
        assert_eq!(token.status, 200, "{fault:?}: {}", token.body);
        assert_eq!(story.stack.salesforce.token_calls().len(), 2, "{fault:?}");
        assert_eq!(story.salesforce_says(&token).await, 200);
        let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
        assert!(shown.body["retrying"].is_null(), "{fault:?}: {}", shown.body);
    }
}

/// Time passes until the one recovery may be sent: the host has answered a harmless request ten minutes ago.
async fn until_the_host_answers(story: &Story, connection: &str) {
    story.pass(SignedDuration::from_mins(2));
    assert_eq!(story.token(connection).await.status, 503, "the host is asked something harmless first");
    story.pass(SignedDuration::from_mins(10) + SignedDuration::from_secs(10));
}

#[tokio::test]
async fn an_answer_that_never_came_is_recovered_once() {
    let story = Story::installed().await;
    // Without rotation nothing is spent, so the recovery succeeds.
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|app| app.consumer_key == key).expect("the app");
        app.refresh_token_rotation = false;
    });
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);

    let unknown = story.token(&connection).await;
    assert_eq!((unknown.status, unknown.problem()), (503, "token-not-ready"), "{}", unknown.body);
    story.stack.salesforce.forget_calls();
    assert_eq!(story.token(&connection).await.status, 503, "nobody sends in the ordinary way");
    assert_eq!(story.stack.salesforce.token_calls().len(), 0);

    until_the_host_answers(&story, &connection).await;
    assert_eq!(story.stack.salesforce.token_calls().len(), 0);
    let recovered = story.token(&connection).await;
    assert_eq!(recovered.status, 200, "{}", recovered.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "one recovery send");
    assert_eq!(recovered.text("state"), "active");
}

#[tokio::test]
async fn a_rotated_token_whose_answer_was_lost_ends_in_a_request_to_connect_again() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);
    assert_eq!(story.token(&connection).await.status, 503);

    until_the_host_answers(&story, &connection).await;
    let over = story.token(&connection).await;

    assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);
    assert_eq!(over.text("cause"), "answer_lost");
    let help = story.stack.browser().get(over.text("help_url")).await;
    assert_eq!(help.status, 200);
    assert!(help.has(over.text("reference")), "{}", help.text());
}

#[tokio::test]
async fn a_save_that_fails_is_tried_again_and_the_rotated_token_is_not_lost() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    // Lease and began go through; then the table refuses until after the SDK has given up once.
    story.stack.dynamodb.inject(
        TableFault::refuse("InternalServerError").on(Which::Operation("UpdateItem")).after(2).times(4),
    );

    let token = story.token(&connection).await;

    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(story.salesforce_says(&token).await, 200);
    story.pass(STALE);
    assert_eq!(story.token(&connection).await.status, 200, "the rotated refresh token was kept");
}

#[tokio::test]
async fn a_revoked_grant_asks_for_the_user_again_and_connecting_again_mends_it() {
    let again = Returning::begin().await;
    let (story, connection) = (&again.story, &again.earlier);
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.pass(STALE);

    let over = story.token(connection).await;

    assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);
    story.stack.salesforce.forget_calls();
    let same = story.token(connection).await;
    assert_eq!(same.text("help_url"), over.text("help_url"), "the same answer, the same page");
    assert!(story.stack.salesforce.token_calls().is_empty(), "and Salesforce is not asked again");
    let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(shown.text("state"), "needs_reauth");
    let help = story.stack.browser().get(over.text("help_url")).await;
    assert_eq!(help.status, 200, "{}", help.text());

    let home = again.about_to_return().await.follow().await;

    assert!(home.has("Your Salesforce accounts"), "{} {}", home.url, home.text());
    assert_eq!(story.connections().await.len(), 1, "the same connection");
    again.works(connection).await;
    // With its new refresh token as well.
    story.pass(STALE);
    again.works(connection).await;
}

#[tokio::test]
async fn the_call_that_makes_the_link_again_works_as_it_stands() {
    for more in [&[][..], &["https://app.fernway.example/other"]] {
        let story = Story::installed().await;
        let connection = story.connected().await;
        let id = "fernway".parse().expect("an id");
        let mut product = story.stack.store.product(&id).await.expect("it answers").expect("Fernway");
        product.return_addresses.extend(more.iter().map(|address| address.parse().expect("an address")));
        story.stack.store.put_product(&product).await.expect("it is written");
        story.pass(STALE);
        story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
        let over = story.token(&connection).await;
        assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);

        let call = &over.body["reconnect"];
        let text = |member: &str| call[member].as_str().expect("text");
        let link = story.call(text("method"), text("path"), Some(call["body"].clone())).await;

        assert_eq!(link.status, 201, "{}", link.body);
        assert_eq!(call["body"]["user"], "u-alice");
    }
}

#[tokio::test]
async fn a_blocked_connection_works_again_when_the_admin_has_acted() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::Answer {
        status: 400,
        error: "invalid_grant".into(),
        description: "ip restricted".into(),
    });

    let blocked = story.token(&connection).await;

    assert_eq!((blocked.status, blocked.problem()), (409, "blocked-by-org"), "{}", blocked.body);
    assert_eq!(blocked.text("cause"), "ip_restricted");
    assert_eq!(story.token(&connection).await.problem(), "blocked-by-org", "not asked again at once");
    story.pass(SignedDuration::from_mins(2));
    let token = story.token(&connection).await;
    assert_eq!(token.status, 200, "{}", token.body);
    let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(shown.text("state"), "active");
}

#[tokio::test]
async fn the_vendors_own_incident_does_not_touch_the_customers_connection() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::Answer {
        status: 400,
        error: "invalid_grant".into(),
        description: "ip restricted by app developer".into(),
    });

    let incident = story.token(&connection).await;

    assert_eq!((incident.status, incident.problem()), (409, "vendor-incident"), "{}", incident.body);
    assert_eq!(incident.text("cause"), "ip_restricted_by_developer");
    let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(shown.text("state"), "active");
    story.pass(retry_after(&incident));
    assert_eq!(story.token(&connection).await.status, 200);
}

/// The references of every failure on record.
async fn on_record(story: &Story) -> BTreeSet<String> {
    let found = story.call("GET", "/v1/failures?limit=100", None).await;
    let failures = found.body["failures"].as_array().expect("a list");
    failures.iter().map(|failure| failure["reference"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn who_polls_through_an_incident_or_a_block_fills_nothing() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let refuse = |description: &str| {
        // While the connection waits, nothing is sent that could meet the one before.
        story.stack.salesforce.change(|state| state.token_faults.clear());
        story.stack.salesforce.queue_token_fault(busy("invalid_grant", description));
    };
    // Of a refusal that is on record already, as docs/costs.md has it.
    let costs_no_record = async |description: &str| {
        refuse(description);
        story.connections().await;
        story.stack.dynamodb.reset_counts();
        story.token(&connection).await;
        let requests = story.stack.dynamodb.requests();
        let operations: Vec<&str> = requests.iter().map(|request| request.operation.as_str()).collect();
        assert_eq!(
            operations.iter().filter(|operation| **operation == "GetItem").count(),
            2,
            "{operations:?}"
        );
        assert_eq!(
            operations.iter().filter(|operation| **operation == "UpdateItem").count(),
            3,
            "{operations:?}"
        );
        assert_eq!(operations.len(), 6, "and what is known of app and host: {operations:?}");
    };

    // Our own incident: an hour of it, a call a minute.
    story.pass(SignedDuration::from_hours(3));
    let mut references = BTreeSet::new();
    for _ in 0..60 {
        refuse("ip restricted by app developer");
        let answer = story.token(&connection).await;
        assert_eq!(answer.problem(), "vendor-incident", "{}", answer.body);
        references.insert(answer.text("reference").to_owned());
        story.pass(SignedDuration::from_mins(1));
    }
    let failures = on_record(&story).await;
    assert!((4..=6).contains(&failures.len()), "the same within ten minutes is one: {failures:?}");
    assert_eq!(references, failures);
    let before = failures.len() + 1;
    story.pass(SignedDuration::from_mins(11));
    refuse("ip restricted by app developer");
    let recorded = story.token(&connection).await;
    story.pass(retry_after(&recorded));
    costs_no_record("ip restricted by app developer").await;
    story.pass(SignedDuration::from_mins(6));

    // An admin's block, tried each minute: the first refusal tells since when, and its page stays the customer's.
    let mut pages = BTreeSet::new();
    let blocked_from = story.stack.clock.now();
    for minute in 0..30 {
        refuse("ip restricted");
        let answer = story.token(&connection).await;
        assert_eq!(answer.problem(), "blocked-by-org", "{minute}: {}", answer.body);
        pages.insert(answer.text("help_url").to_owned());
        story.pass(SignedDuration::from_secs(61));
    }
    assert_eq!((on_record(&story).await.len(), pages.len()), (before + 1, 1));
    let record =
        story.stack.store.connection(&connection.parse().unwrap()).await.unwrap().expect("it is there");
    let ConnectionState::Blocked { since, .. } = record.connection.state else { panic!("{record:?}") };
    assert!(since < blocked_from + SignedDuration::from_secs(30), "since the first refusal: {since}");

    costs_no_record("ip restricted").await;
    story.pass(SignedDuration::from_secs(61));

    // Another cause is another failure.
    refuse("user is inactive");
    story.token(&connection).await;
    assert_eq!(on_record(&story).await.len(), before + 2);
}

#[tokio::test]
async fn an_answer_for_another_user_is_never_accepted() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::AnotherUser);

    let refused = story.token(&connection).await;

    // The answer is in quarantine: it may be the only copy of a live grant (infra/latchkey/tests/quarantine.rs).
    assert_eq!((refused.status, refused.problem()), (409, "vendor-incident"), "{}", refused.body);
    let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(shown.text("username"), "uma@acme.example");
    // At Salesforce: the grant lives on with the new refresh token, which nobody uses, and the old one is not sent again.
    let [grant] = &story.stack.salesforce.live_grants()[..] else { panic!("one live grant") };
    let new = grant.refresh_token.clone().expect("a refresh token");
    for _ in 0..6 {
        story.pass(SignedDuration::from_hours(5));
        assert_eq!(story.token(&connection).await.status, 409);
        story.stack.sweep().await;
    }
    let salesforce = &story.stack.salesforce;
    assert_eq!(salesforce.live_grants().len(), 1, "nobody has revoked it");
    assert!(salesforce.refresh_token_uses().iter().all(|(token, uses)| *token != new && *uses == 1));
    assert_eq!(story.stack.dynamodb.dump(FALLBACK).len(), 1, "its answer is kept, sealed");
}

#[tokio::test]
async fn a_deleted_connection_is_revoked_at_salesforce_and_gone() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let token = story.token(&connection).await;

    let deleted = story.call("DELETE", &format!("/v1/connections/{connection}"), None).await;

    assert_eq!(deleted.status, 204);
    assert!(story.stack.salesforce.live_grants().is_empty());
    assert_eq!(story.salesforce_says(&token).await, 401, "its access tokens died with it");
    assert_eq!(story.token(&connection).await.status, 404);
    assert!(story.connections().await.is_empty());
    let again = story.call("DELETE", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(again.status, 404);
}

#[tokio::test]
async fn a_key_of_one_product_never_sees_the_other() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let other = story.stack.api_key("tidewater").expose().to_owned();
    let one = format!("/v1/connections/{connection}");

    for (method, path) in [
        ("GET", one.clone()),
        ("DELETE", one.clone()),
        ("GET", format!("{one}/token")),
        ("POST", format!("{one}/token")),
    ] {
        let answer = story.call_with(&other, &[], method, &path, None).await;
        assert_eq!((answer.status, answer.problem()), (404, "not-found"), "{method} {path}");
    }
    let listed = story.call_with(&other, &[], "GET", "/v1/connections", None).await;
    assert_eq!(listed.body["connections"], json!([]));
    assert_eq!(story.token(&connection).await.status, 200, "and nothing was done to it");
}

#[tokio::test]
async fn connections_are_listed_by_customer_and_page_by_page() {
    let story = Story::installed().await;
    story.connected().await;
    for user in ["Mallory", "Alice", "Mallory"] {
        let browser = story.signed_in(user).await;
        // The product keeps one connection a customer; Latchkey keeps every grant until it is deleted.
        let wish = json!({ "customer": { "id": format!("c-{user}") }, "user": "u-1" });
        let link = story.wish(wish).await.text("connect_url").to_owned();
        browser.stop_before("/salesforce/return");
        let connect = browser.get(&link).await.choose("Production");
        connect.click("Continue to Salesforce").await.click("uma@acme.example").await;
        story.pass(SignedDuration::from_secs(1));
    }

    let all = story.connections().await;
    assert_eq!(all.len(), 4);
    let of = story.call("GET", "/v1/connections?customer=c-Mallory", None).await;
    assert_eq!(of.body["connections"].as_array().unwrap().len(), 2);
    let mut paged = Vec::new();
    let mut path = "/v1/connections?limit=3".to_owned();
    loop {
        let page = story.call("GET", &path, None).await;
        paged.extend(page.body["connections"].as_array().unwrap().clone());
        match page.body["next"].as_str() {
            Some(next) => path = format!("/v1/connections?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    assert_eq!(story.call("GET", "/v1/connections?limit=0", None).await.status, 400);
    assert_eq!(story.call("GET", "/v1/connections?after=x", None).await.status, 400);
}

#[tokio::test]
async fn a_recovery_that_dies_leaves_nobody_waiting_for_ever() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    // The app is known to be allowed to ask about its tokens.
    let (product, app) = ("fernway".parse().expect("an id"), story.stack.app("fernway", "sync"));
    let at = store::AppAt { product: &product, app: &app.id, consumer_key: &app.consumer_key };
    story.stack.store.note_introspects(at).await.expect("the table takes it");
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);
    assert_eq!(story.token(&connection).await.status, 503);
    until_the_host_answers(&story, &connection).await;

    // Without the consumer secret nothing is marked and nothing is sent: the recovery is still to be had.
    let name = story.stack.app("fernway", "sync").secret.clone();
    let cold = story.restarted_token_function();
    story.stack.secrets.remove(&name);
    story.stack.salesforce.forget_calls();
    assert_eq!(cold.ask(&story, &connection).await, 503);
    assert!(story.stack.salesforce.token_calls().is_empty());

    // A recovery whose mark is set and whose result cannot be stored: its process is as good as dead.
    story
        .stack
        .dynamodb
        .inject(TableFault::refuse("InternalServerError").on(Which::Writes).after(1).times(40));
    assert_eq!(story.token(&connection).await.status, 503);
    story.stack.dynamodb.mend();
    assert_eq!(story.token(&connection).await.status, 503, "it may still be alive");
    story.pass(SignedDuration::from_secs(30));
    // Nobody knows whether it was sent: Salesforce is asked, once the host is known to answer.
    until_the_host_answers(&story, &connection).await;
    let over = story.token(&connection).await;
    assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);
    assert_eq!(over.text("cause"), "answer_lost");
}

#[tokio::test]
async fn a_blocked_connection_whose_next_refresh_was_never_answered_is_recovered_too() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::Answer {
        status: 400,
        error: "invalid_grant".into(),
        description: "ip restricted".into(),
    });
    assert_eq!(story.token(&connection).await.problem(), "blocked-by-org");
    story.pass(SignedDuration::from_mins(2));

    // The next try dies after *began*: nothing that it learns is written any more.
    story.stack.salesforce.queue_token_fault(busy("unknown_error", "retry your request"));
    story
        .stack
        .dynamodb
        .inject(TableFault::refuse("InternalServerError").on(Which::Writes).after(2).times(40));
    assert_eq!(story.token(&connection).await.status, 503);
    story.stack.dynamodb.mend();
    story.stack.salesforce.change(|state| state.token_faults.clear());

    until_the_host_answers(&story, &connection).await;
    let token = story.token(&connection).await;
    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(story.salesforce_says(&token).await, 200);
}
