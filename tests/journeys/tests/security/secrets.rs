//! Nothing secret gets out, whatever is done and however much is logged. Every story ends in the search of every log,
//! line, page, header and item for every secret that was ever issued, in each of its forms; this one has all of them.
//! That the search finds what it looks for is shown in `journeys::leaks`.

use jiff::SignedDuration;
use journeys::{Story, approve};
use serde_json::{Value, json};
use world::{browser::Page, salesforce::Fault};

const UMA: &str = "uma@acme.example";
const ADA: &str = "ada@acme.example";

async fn post(story: &Story, path: &str, body: Value) -> u16 {
    story.call("POST", path, Some(body)).await.status
}

/// Salesforce keeps the user of an app that is not installed; what its page's address says is pasted, and so is what
/// nobody should have pasted.
async fn fails_and_tells(story: &Story) {
    let browser = story.signed_in("Alice").await;
    let stuck = story.leave(&browser).await.click(UMA).await;
    let link = story.wish(json!({})).await.text("connect_url").to_owned();
    let secret = "5Aep861TSESvWeug_w5Oil7mXqYqYDVVTTvp6AFDGd3LFyvZDuaZPQGuJyyVf3sdfqGkGbdxvpRTUk8yf4hJdxC";
    story.secrets.keep("pasted token", secret);
    for pasted in
        [stuck.url.to_string(), format!("refresh_token={secret}&client_secret={secret} it said error")]
    {
        let trouble = browser.get(&format!("{link}/trouble")).await;
        let help = trouble.fill("pasted", &pasted).click("Show me what to do").await;
        assert!(help.url.path().starts_with("/help/"), "{help:?}");
    }
    for stranger in
        ["/oauth/callback?state=made-up&code=aPrx.made.up", "/oauth/callback", "/connect/ck_nobody"]
    {
        browser.get(&format!("{}{stranger}", story.stack.latchkey)).await;
    }
}

/// A connection's life: refreshed, rotated, rejected, checked, reported on; Salesforce fails in each of its ways.
async fn lives(story: &Story, connection: &str) {
    let path = format!("/v1/connections/{connection}");
    let token = story.token(connection).await;
    let rejected = json!({ "rejected": token.text("fingerprint") });
    assert_eq!(post(story, &format!("{path}/token"), rejected).await, 200);
    // Whoever sends the token itself in place of its fingerprint is refused without an echo.
    let misplaced = json!({ "rejected": token.text("access_token") });
    assert_eq!(post(story, &format!("{path}/token"), misplaced).await, 400);
    let raw = format!("401 INVALID_SESSION_ID, Authorization: Bearer {}", token.text("access_token"));
    assert_eq!(post(story, &format!("{path}/failures"), json!({ "raw": raw })).await, 201);
    assert_eq!(post(story, &format!("{path}/check"), json!({})).await, 200);
    for fault in [Fault::Html(503), Fault::WrongSignature, Fault::Half, Fault::CommitThenDrop] {
        story.pass(SignedDuration::from_hours(3));
        story.stack.salesforce.queue_token_fault(fault);
        story.token(connection).await;
        story.pass(SignedDuration::from_mins(2));
        story.token(connection).await;
    }
    // What the connection's end has left over.
    story.stack.salesforce.change(|state| state.token_faults.clear());
}

async fn leaves_as(story: &Story, link: &str, username: &str, again: bool) -> Page {
    let browser = story.signed_in("Alice").await;
    let connect = browser.get(link).await.choose("Production");
    let connect = if again { connect.choose("Ask me to sign in again") } else { connect };
    let page = connect.click("Continue to Salesforce").await;
    let page = if page.has("Allow Access?") { page } else { page.click(username).await };
    story.secrets.keep_browser(&browser);
    page
}

/// What has changed is tallied, and an operator looks at it.
async fn is_operated(story: &Story) {
    story.stack.tally().await;
    let link = story.call("POST", "/v1/ops-links", None).await;
    let page = story.stack.browser().get(link.text("url")).await.click("Sign in").await;
    assert!(page.has("Sign out"), "{page:?}");
    let reference = page.all(".ref").first().expect("a failure").clone();
    let found = page.fill("q", &reference).click("Find").await;
    assert!(found.has("Classified"), "{found:?}");
}

#[tokio::test]
async fn every_secret_ever_issued_is_found_nowhere_at_the_most_verbose_level() {
    let story = Story::begin().await;
    fails_and_tells(&story).await;
    story.install("sync");
    let connection = story.connected().await;
    is_operated(&story).await;
    lives(&story, &connection).await;

    // Denied; never redeemed; another user, asked about and confirmed; imported; deleted.
    let link = story.invite().await;
    leaves_as(&story, &link, ADA, true).await.click("Deny").await;
    let unredeemed = story.stack.browser();
    unredeemed.stop_before("/salesforce/return");
    let link = story.invite().await;
    let page = unredeemed.get(&link).await.choose("Production").click("Continue to Salesforce").await;
    approve(page).await;
    story.secrets.keep_browser(&unredeemed);
    story.pass(SignedDuration::from_mins(11));
    story.stack.sweep().await;
    let link = story.invite().await;
    let page = leaves_as(&story, &link, UMA, true).await;
    let home = if page.has("Allow Access?") { page.click("Allow").await } else { page };
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    let connections = story.connections().await;
    let fresh = connections.iter().rev().find(|one| one["state"] == "active").expect("a connection");
    let fresh = fresh["id"].as_str().expect("an id").to_owned();
    let link = story.wish(json!({ "connection_id": fresh })).await.text("connect_url").to_owned();
    let page = leaves_as(&story, &link, ADA, true).await;
    let page = if page.has("Allow Access?") { page.click("Allow").await } else { page };
    assert!(page.has("You signed in as a different Salesforce user"), "{page:?}");
    let key = &story.stack.app("fernway", "sync").consumer_key;
    let held = story.stack.salesforce.granted("acme", UMA, key);
    let import = json!({
        "app": "sync", "customer": { "id": "c-other" }, "user": "u-bob", "environment": "production",
        "refresh_token": held["refresh_token"],
    });
    assert_eq!(post(&story, "/v1/connections", import).await, 201);
    let deleted = story.call("DELETE", &format!("/v1/connections/{fresh}"), None).await;
    assert!(deleted.status < 300, "{}", deleted.status);
    story.stack.salesforce.revoke_grants("acme", UMA);
    story.pass(SignedDuration::from_hours(40));
    story.stack.sweep().await;

    let kinds = story.kinds_of_secrets();
    for what in [
        "API key",
        "PKCE verifier",
        "access token",
        "code",
        "connect key",
        "consumer secret",
        "cookie",
        "id_token",
        "keyring",
        "nonce",
        "ops link",
        "ops session",
        "pasted token",
        "receipt",
        "refresh token",
        "state",
    ] {
        assert!(kinds.contains_key(what), "no {what} was ever issued: {kinds:?}");
    }
    let places = story.places();
    assert!(places.log.contains("\"level\":\"TRACE\""), "the log is as verbose as can be");
    assert!(places.answers.len() > 30 && places.lines.len() > 40 && places.items.len() > 10, "all is there");
}
