//! Who goes to Salesforce and never comes back is counted, and the product can ask for the page that helps.

use jiff::SignedDuration;
use journeys::Story;
use local::Swept;
use serde_json::json;

/// Longer than a trip to Salesforce may take.
const GONE: SignedDuration = SignedDuration::from_mins(31);

#[tokio::test]
async fn a_session_that_stays_out_is_lost_with_its_likely_cause_and_can_still_succeed() {
    let story = Story::begin().await;
    let wish = story.wish(json!({ "my_domain": "acme.my.salesforce.localhost", "expires_in": 86400 })).await;
    let path = format!("/v1/connect-sessions/{}", wish.text("id"));
    let browser = story.signed_in("Alice").await;
    let connect = browser.get(wish.text("connect_url")).await;
    assert!(
        connect.links().iter().any(|(_, to)| to.ends_with("/guides/fernway/sync")),
        "{:?}",
        connect.links()
    );
    let stuck = connect.click("Continue to Salesforce").await.click("uma@acme.example").await;
    assert!(stuck.has("OAUTH_APPROVAL_ERROR_GENERIC"), "{}", stuck.text());

    story.pass(SignedDuration::from_mins(29));
    assert_eq!(story.stack.sweep().await, Swept::default(), "it may still come back");
    story.pass(SignedDuration::from_mins(2));
    assert_eq!(story.stack.sweep().await, Swept { lost: 1, ..Swept::default() });
    assert_eq!(story.stack.sweep().await, Swept::default(), "and is counted once");

    let asked = story.call("GET", &path, None).await;
    assert_eq!(asked.text("status"), "lost");
    assert_eq!(
        asked.body["failure"]["cause"], "app_not_installed",
        "never connected from that org: {}",
        asked.body
    );
    let help = story.stack.browser().get(asked.body["failure"]["help_url"].as_str().unwrap()).await;
    assert!(help.heading().contains("An admin has to install it once"), "{}", help.text());
    assert!(story.logs.text().contains("lost: app_not_installed"));

    story.install("sync");
    let connect = browser.get(wish.text("connect_url")).await;
    let home = connect.click("Continue to Salesforce").await.click("Allow").await;
    assert!(home.has("Your Salesforce accounts"), "{}", home.text());
    assert_eq!(story.call("GET", &path, None).await.text("status"), "connected");
}

#[tokio::test]
async fn who_has_connected_that_org_before_was_most_likely_just_interrupted() {
    let story = Story::installed().await;
    story.connected().await;
    let wish = story.wish(json!({ "my_domain": "acme", "expires_in": 86400 })).await;
    let browser = story.stack.browser();
    let connect = browser.get(wish.text("connect_url")).await;
    assert!(!connect.links().iter().any(|(_, to)| to.contains("/guides/")), "no need to install first");
    connect.click("Continue to Salesforce").await;

    story.pass(GONE);
    story.stack.sweep().await;

    let asked = story.call("GET", &format!("/v1/connect-sessions/{}", wish.text("id")), None).await;
    assert_eq!(asked.body["failure"]["cause"], "no_answer", "{}", asked.body);
}

#[tokio::test]
async fn who_comes_back_is_never_lost() {
    let story = Story::installed().await;
    story.connected().await;
    let denied = story.signed_in("Mallory").await;
    let connect = denied.get(&story.stack.product).await.click("Connect Salesforce").await;
    let login = connect.choose("Production").click("Continue to Salesforce").await;
    login.click("sam@acme.example").await.click("Deny").await;

    story.pass(GONE);

    assert_eq!(story.stack.sweep().await.lost, 0);
}

#[tokio::test]
async fn an_answer_that_comes_after_all_is_told_that_it_is_too_late() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    let wish = story.wish(json!({ "expires_in": 86400 })).await;
    let connect = browser.get(wish.text("connect_url")).await.choose("Production");
    let consent = connect.click("Continue to Salesforce").await.click("uma@acme.example").await;
    browser.stop_before("/oauth/callback");
    let late = consent.click("Allow").await.location().expect("on the way back").clone();
    story.pass(GONE);
    story.stack.sweep().await;

    let page = browser.get(late.as_str()).await;

    assert!(page.url.path().starts_with("/help/fl_"), "{} {}", page.url, page.text());
    assert!(page.has("took too long"), "{}", page.text());
    assert!(story.connections().await.is_empty());
}
