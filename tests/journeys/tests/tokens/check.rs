//! A connection is proved, and what the product met at API time is explained.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use journeys::{Answer, Story};
use local::stack::TABLE;
use serde_json::{Value, json};
use world::salesforce::{Fault, Permission, PermittedUsers};

async fn check(story: &Story, connection: &str) -> Answer {
    story.call("POST", &format!("/v1/connections/{connection}/check"), None).await
}

async fn report(story: &Story, connection: &str, what: Value) -> Answer {
    story.call("POST", &format!("/v1/connections/{connection}/failures"), Some(what)).await
}

fn causes(checked: &Answer) -> Vec<&str> {
    let findings = checked.body["findings"].as_array().expect("findings");
    findings.iter().map(|finding| finding["cause"].as_str().expect("a cause")).collect()
}

fn failures(story: &Story) -> usize {
    let items = story.stack.dynamodb.dump(TABLE);
    items.iter().filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("FAILURE#"))).count()
}

async fn state(story: &Story, connection: &str) -> String {
    story.call("GET", &format!("/v1/connections/{connection}"), None).await.text("state").to_owned()
}

#[tokio::test]
async fn a_healthy_connection_is_proved_and_left_as_it_is() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let before = story.token(&connection).await;

    let checked = check(&story, &connection).await;

    assert_eq!((checked.status, &checked.body["ok"]), (200, &json!(true)), "{}", checked.body);
    assert_eq!(checked.body["api"]["enabled"], true);
    assert_eq!(checked.body["identity"]["username"], "uma@acme.example");
    assert_eq!(checked.body["scopes"]["missing"], json!([]));
    assert_eq!(causes(&checked), Vec::<&str>::new(), "{}", checked.body);
    let idle_ends = checked.body["refresh"]["idle_ends_at"].as_str().expect("a time");
    assert_eq!(idle_ends, "2026-12-22T09:00:00Z", "30 days after the last refresh");
    assert_eq!(failures(&story), 0);
    assert_eq!(story.token(&connection).await.text("fingerprint"), before.text("fingerprint"));
}

#[tokio::test]
async fn a_user_who_may_not_use_the_api_is_found() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.change_org("acme", |org| {
        for profile in &mut org.profiles {
            profile.permissions.remove(&Permission::ApiEnabled);
        }
    });

    let checked = check(&story, &connection).await;

    assert_eq!((checked.status, &checked.body["ok"]), (200, &json!(false)), "{}", checked.body);
    assert_eq!(causes(&checked), ["api_disabled"], "{}", checked.body);
    let finding = &checked.body["findings"][0];
    assert_eq!((&finding["actor"], &finding["soon"]), (&json!("admin"), &json!(false)));
    let help = story.stack.browser().get(finding["help_url"].as_str().expect("a page")).await;
    assert_eq!(help.status, 200);
    assert_eq!(failures(&story), 1, "on record");
    assert_eq!(state(&story, &connection).await, "active", "it was proved, not changed");

    let again = check(&story, &connection).await;
    assert_eq!(again.body["findings"][0]["reference"], finding["reference"], "the same record");
    assert_eq!(failures(&story), 1);
}

#[tokio::test]
async fn a_check_finds_why_there_is_no_token() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.pass(SignedDuration::from_mins(16));

    let checked = check(&story, &connection).await;

    assert_eq!((checked.status, &checked.body["ok"]), (200, &json!(false)), "{}", checked.body);
    assert_eq!(causes(&checked), ["grant_expired_or_revoked"]);
    assert_eq!(checked.body["state"], "needs_reauth");
}

#[tokio::test]
async fn a_salesforce_that_is_away_is_no_finding_about_the_customer() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.set_unreachable(true);

    let checked = check(&story, &connection).await;

    assert_eq!((checked.status, checked.problem()), (503, "salesforce-unavailable"), "{}", checked.body);
    assert!(checked.headers.contains_key("retry-after"));
    assert_eq!(failures(&story), 0);
    story.stack.salesforce.set_unreachable(false);
    assert_eq!(check(&story, &connection).await.body["ok"], true);
}

/// A connection of one of Acme's users, by the token that Fernway held, with what its app is registered for.
async fn held_by(story: &Story, username: &str) -> String {
    let key = &story.stack.app("fernway", "sync").consumer_key;
    let granted = story.stack.salesforce.granted("acme", username, key);
    let call = json!({
        "app": "sync", "customer": { "id": "c-acme" }, "user": "u", "environment": "production",
        "refresh_token": granted["refresh_token"],
    });
    let imported = story.call("POST", "/v1/connections", Some(call)).await;
    assert_eq!(imported.status, 201, "{}", imported.body);
    imported.text("id").to_owned()
}

#[tokio::test]
async fn a_token_that_speaks_for_another_org_is_found() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.change_org("acme", |org| org.id = "00DgK0000000077UAA".into());

    let checked = check(&story, &connection).await;

    assert_eq!((checked.status, &checked.body["ok"]), (200, &json!(false)), "{}", checked.body);
    assert_eq!(causes(&checked), ["signature_mismatch"]);
    assert_eq!(checked.body["findings"][0]["confidence"], "sure");
    assert_eq!(checked.body["identity"]["org_id"], "00DgK0000000077UAA", "Salesforce's word");
    assert_eq!(failures(&story), 1);
}

#[tokio::test]
async fn scopes_that_were_not_granted_are_found() {
    let story = Story::installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|app| app.consumer_key == key).expect("the app");
        app.scopes.retain(|scope| scope != "api");
    });
    let connection = held_by(&story, "uma@acme.example").await;

    let checked = check(&story, &connection).await;

    assert_eq!((checked.status, &checked.body["ok"]), (200, &json!(false)), "{}", checked.body);
    assert_eq!(checked.body["scopes"]["missing"], json!(["api"]));
    assert_eq!(causes(&checked), ["refresh_token_missing"], "the app grants less than is asked for");
    let api = &checked.body["api"];
    assert_eq!((&api["enabled"], &api["why"]), (&Value::Null, &json!("the scope api was not granted")));
    assert_eq!(checked.body["identity"]["username"], "uma@acme.example", "userinfo needs no api");
}

#[tokio::test]
async fn whether_the_app_is_installed_and_for_whom_is_told_where_the_token_may_ask() {
    let story = Story::begin().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let ada = held_by(&story, "ada@acme.example").await;

    let checked = check(&story, &ada).await;
    assert_eq!(checked.body["app"]["installed"], false, "{}", checked.body);
    assert_eq!(causes(&checked), ["app_not_installed"]);
    let finding = &checked.body["findings"][0];
    assert_eq!((&finding["soon"], &checked.body["ok"]), (&json!(true), &json!(true)), "it still works");
    assert_eq!(checked.body["app"]["admin_approved_only"], Value::Null);
    let guide = story.stack.browser().get(finding["help_url"].as_str().expect("a page")).await;
    assert_eq!(guide.status, 200);

    story.install("sync");
    let checked = check(&story, &ada).await;
    assert_eq!(causes(&checked), Vec::<&str>::new(), "{}", checked.body);
    let app = &checked.body["app"];
    assert_eq!((&app["installed"], &app["admin_approved_only"]), (&json!(true), &json!(false)));

    story.stack.salesforce.set_policy("acme", &key, |policy| {
        policy.permitted_users = PermittedUsers::AdminApprovedPreAuthorized;
    });
    assert_eq!(check(&story, &ada).await.body["app"]["admin_approved_only"], true);
}

#[tokio::test]
async fn what_the_tokens_user_may_not_ask_is_said_to_be_unknown() {
    let story = Story::installed().await;
    let connection = story.connected().await;

    let app = &check(&story, &connection).await.body["app"];

    assert_eq!(app["installed"], true, "by the user's own token");
    assert_eq!(app["admin_approved_only"], Value::Null);
    let why = app["admin_approved_only_why"].as_str().expect("why");
    assert!(why.contains("may not read this"), "{why}");
}

#[tokio::test]
async fn a_grant_that_will_idle_out_because_nothing_refreshes_it_is_foreseen() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(SignedDuration::from_hours(25 * 24));
    for _ in 0..2 {
        story.stack.salesforce.queue_token_fault(Fault::Answer {
            status: 400,
            error: "invalid_client".into(),
            description: "invalid client credentials".into(),
        });
    }

    let checked = check(&story, &connection).await;

    assert_eq!((checked.status, &checked.body["ok"]), (200, &json!(false)), "{}", checked.body);
    assert_eq!(causes(&checked), ["client_credentials_invalid", "refresh_policy"]);
    let soon = &checked.body["findings"][1];
    assert_eq!((&soon["soon"], &checked.body["state"]), (&json!(true), &json!("active")));
    assert_eq!(checked.body["refresh"]["idle_ends_at"], "2026-12-22T09:00:00Z", "in five days");

    // The vendor has put the secret right; a minute after the refusal it is tried again.
    story.stack.salesforce.change(|state| state.token_faults.clear());
    story.pass(SignedDuration::from_secs(70));
    let checked = check(&story, &connection).await;
    assert_eq!(causes(&checked), Vec::<&str>::new(), "{}", checked.body);
}

#[tokio::test]
async fn a_busy_salesforce_is_no_finding_and_is_waited_for_five_seconds() {
    let story = Story::installed().await;
    let connection = story.connected().await;

    story.stack.salesforce.set_api_busy(true);
    let checked = check(&story, &connection).await;
    assert_eq!((checked.status, checked.problem()), (503, "salesforce-unavailable"), "{}", checked.body);

    story.stack.salesforce.set_api_busy(false);
    story.stack.salesforce.set_api_latency(Duration::from_secs(7));
    let began = Instant::now();
    let checked = check(&story, &connection).await;
    assert_eq!((checked.status, checked.problem()), (503, "salesforce-unavailable"), "{}", checked.body);
    let took = began.elapsed().as_millis();
    assert!((4_900..6_900).contains(&took), "{took} ms");
    assert_eq!((failures(&story), state(&story, &connection).await.as_str()), (0, "active"));

    story.stack.salesforce.set_api_latency(Duration::ZERO);
    assert_eq!(check(&story, &connection).await.body["ok"], true);
}

#[tokio::test]
async fn what_salesforce_says_of_a_tokens_end_is_told() {
    let story = Story::installed().await;
    let mut product = story
        .stack
        .products
        .iter()
        .find(|product| product.id.as_str() == "fernway")
        .expect("Fernway")
        .clone();
    product.apps.iter_mut().for_each(|app| app.introspect = true);
    story.stack.store.put_product(&product).await.expect("the table takes it");
    let connection = story.connected().await;
    story.pass(SignedDuration::from_mins(16));

    let token = &check(&story, &connection).await.body["token"];

    assert_eq!(token["expires_at_basis"], "introspection");
    assert_eq!(token["expires_at"], "2026-11-22T11:16:00Z", "the org's session time-out is two hours");

    // No session lives longer than a day, whatever is said.
    story.stack.salesforce.change_org("acme", |org| org.session_timeout = SignedDuration::from_hours(90_000));
    story.pass(SignedDuration::from_hours(3));
    let token = &check(&story, &connection).await.body["token"];
    assert_eq!(token["expires_at"], "2026-11-23T12:16:00Z");
}

#[tokio::test]
async fn what_the_product_met_is_explained_and_changes_nothing() {
    let story = Story::installed().await;
    let connection = story.connected().await;

    for (what, cause, next) in [
        (json!({ "code": "INVALID_SESSION_ID", "http_status": 401 }), "session_invalid", "retry"),
        (
            json!({ "http_status": 403, "body": [{
                "errorCode": "API_DISABLED_FOR_ORG",
                "message": "The REST API is not enabled for this Organization.",
            }] }),
            "api_disabled",
            "send_to_admin",
        ),
    ] {
        let told = report(&story, &connection, what.clone()).await;
        assert_eq!((told.status, told.text("cause"), told.text("next")), (201, cause, next), "{}", told.body);
        let help = story.stack.browser().get(told.text("help_url")).await;
        assert_eq!(help.status, 200, "its page opens");

        let again = report(&story, &connection, what).await;
        assert_eq!((again.status, again.text("id")), (200, told.text("id")), "once is enough");
    }
    assert_eq!(failures(&story), 2);
    assert_eq!(state(&story, &connection).await, "active");
}

#[tokio::test]
async fn nothing_secret_that_was_reported_along_is_kept() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let token = story.token(&connection).await.text("access_token").to_owned();

    let raw = format!("GET /limits\nAuthorization: Bearer {token}\n401 INVALID_SESSION_ID");
    let told = report(&story, &connection, json!({ "raw": raw })).await;

    assert_eq!(told.status, 201, "{}", told.body);
    assert_eq!(story.stack.dynamodb.find(TABLE, &token), Vec::<String>::new());
    assert!(!story.logs.text().contains(&token));
}

#[tokio::test]
async fn another_products_connection_is_not_found_and_bad_reports_are_refused() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let others = story.stack.products.iter().find(|product| product.id.as_str() != "fernway");
    let key = story.stack.api_key(others.expect("another product").id.as_str()).expose().to_owned();
    for call in ["check", "failures"] {
        let path = format!("/v1/connections/{connection}/{call}");
        let body = Some(json!({ "code": "INVALID_SESSION_ID" }).to_string());
        let answer = story.call_with(&key, &[], "POST", &path, body).await;
        assert_eq!((answer.status, answer.problem()), (404, "not-found"), "{call}: {}", answer.body);
    }
    for bad in [json!({}), json!({ "code": "two words" }), json!({ "http_status": 7 }), json!({ "x": 1 })] {
        let answer = report(&story, &connection, bad.clone()).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-request"), "{bad}: {}", answer.body);
    }
    assert_eq!(failures(&story), 0);
}
