//! A reconnect asks for what is missing, and not again for what is known.

use domain::App;
use jiff::SignedDuration;
use journeys::{Story, returning::approve};
use serde_json::{Value, json};
use world::browser::{Browser, Page};

/// Fernway's file with these scopes for its app, as every function knows it a minute later.
async fn app_asks(story: &Story, scopes: &[&str]) {
    let mut product = story
        .stack
        .products
        .iter()
        .find(|product| product.id.as_str() == "fernway")
        .expect("it is there")
        .clone();
    let app: &mut App = &mut product.apps[0];
    app.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    story.stack.store.put_product(&product).await.expect("it is stored");
    story.pass(SignedDuration::from_secs(61));
}

/// Uma signs in and allows; the product redeems: the connection.
async fn finish(story: &Story, browser: &Browser, left: Page) -> String {
    browser.stop_before("/salesforce/return");
    let back = approve(left).await;
    let back =
        back.location().unwrap_or_else(|| panic!("on the way to the product: {} {}", back.url, back.text()));
    let query: Vec<String> = back.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let redeem = json!({ "receipt": query[1], "user": "u-alice" });
    let redeemed =
        story.call("POST", &format!("/v1/connect-sessions/{}/redeem", query[0]), Some(redeem)).await;
    assert_eq!(redeemed.status, 200, "{}", redeemed.body);
    redeemed.text("id").to_owned()
}

async fn open(story: &Story, wish: Value) -> (Browser, Page) {
    let wish = story.wish(wish).await;
    assert_eq!(wish.status, 201, "{}", wish.body);
    let browser = story.stack.browser();
    let page = browser.get(wish.text("connect_url")).await;
    (browser, page)
}

fn asked_scopes(browser: &Browser) -> String {
    let visited = browser.history();
    let authorize = visited
        .iter()
        .rev()
        .find(|url| url.path().ends_with("/oauth2/authorize"))
        .expect("an authorize address");
    authorize.query_pairs().find(|(name, _)| name == "scope").expect("scopes").1.into_owned()
}

#[tokio::test]
async fn session_asks_for_exactly_the_missing_scopes() {
    let story = Story::installed().await;
    app_asks(&story, &["refresh_token", "openid"]).await;
    let (browser, page) = open(&story, json!({})).await;
    let connection =
        finish(&story, &browser, page.choose("Production").click("Continue to Salesforce").await).await;
    app_asks(&story, &["api", "refresh_token", "openid", "web"]).await;
    let token = story.token(&connection).await;
    assert_eq!(token.body["scopes_missing"], json!(["api", "web"]), "{}", token.body);

    let (browser, page) = open(&story, json!({ "connection_id": connection, "scopes": ["api"] })).await;
    let left = page.choose("Production").click("Continue to Salesforce").await;

    assert_eq!(asked_scopes(&browser), "api refresh_token openid", "not web");
    assert_eq!(finish(&story, &browser, left).await, connection, "it keeps its id");
    let token = story.token(&connection).await;
    assert_eq!(token.body["scopes_missing"], json!(["web"]), "{}", token.body);
    for (wish, what) in [
        (json!({ "scopes": ["api"] }), "send connection_id too"),
        (json!({ "connection_id": connection, "scopes": [] }), "scopes is empty"),
        (json!({ "connection_id": connection, "scopes": ["full"] }), "among the app's scopes"),
        (json!({ "connection_id": connection, "scopes": ["api refresh_token"] }), "among the app's scopes"),
    ] {
        let refused = story.wish(wish.clone()).await;
        assert_eq!(refused.status, 400, "{wish}: {}", refused.body);
        assert!(refused.text("detail").contains(what), "{wish}: {}", refused.body);
    }
}

#[tokio::test]
async fn reconnect_has_its_my_domain_filled_in() {
    let story = Story::installed().await;
    let (browser, page) = open(&story, json!({ "my_domain": "acme" })).await;
    let first = page.click("Continue to Salesforce").await;
    let host = first.url.host_str().expect("a host").to_owned();
    let connection = finish(&story, &browser, first).await;

    story.stack.dynamodb.reset_counts();
    let (browser, page) = open(&story, json!({ "connection_id": connection })).await;
    let requests = story.stack.dynamodb.requests();
    let gets = requests.iter().filter(|request| request.operation == "GetItem").count();
    assert!(gets <= 2, "one read of the connection, and of the product now and then: {requests:?}");

    assert!(
        host.starts_with(&page.value("my_domain")) || page.value("my_domain").starts_with("acme"),
        "{}",
        page.text()
    );
    assert!(!page.value("my_domain").is_empty());
    let left = page.click("Continue to Salesforce").await;
    assert_eq!(left.url.host_str(), Some(host.as_str()), "nothing was typed: {}", left.text());
    assert_eq!(finish(&story, &browser, left).await, connection);

    // What the call says goes first; a connection at the common host has nothing to fill in.
    let (_, page) = open(&story, json!({ "connection_id": connection, "environment": "production" })).await;
    assert!(
        page.has("Continue to Salesforce") && page.all("input[name=my_domain]").is_empty(),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn no_identity_is_sent_ahead() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let (browser, page) = open(&story, json!({ "connection_id": connection })).await;
    page.choose("Production").click("Continue to Salesforce").await;
    for url in browser.history() {
        let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        assert!(!names.iter().any(|name| name == "login_hint"), "{url}");
        assert!(!url.as_str().contains("uma"), "{url}");
    }
    assert!(!page.body.contains("uma@"), "{}", page.text());
}
