//! A connection is proved, and what the product met at API time is explained.

use jiff::SignedDuration;
use journeys::{Answer, Story};
use local::stack::TABLE;
use serde_json::{Value, json};
use world::salesforce::Permission;

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
