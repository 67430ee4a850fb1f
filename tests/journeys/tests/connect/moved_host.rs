//! A token endpoint that redirects, or takes its time: nothing is spent or thrown away, and secrets go to Salesforce's
//! login hosts alone.

use std::time::Duration;

use jiff::SignedDuration;
use journeys::{Returning, Story, says};
use serde_json::json;
use world::salesforce::Fault;

/// Longer than the 15 minutes for which an access token is taken to live.
const STALE: SignedDuration = SignedDuration::from_mins(16);

const TOKEN: &str = "/services/oauth2/token";

/// The hosts of the refreshes that reached Salesforce, in their order.
fn asked(story: &Story) -> Vec<String> {
    let calls = story.stack.salesforce.token_calls();
    calls.into_iter().map(|call| call.host).collect()
}

/// A connection that was made at the org's My Domain.
async fn connected_at_my_domain(story: &Story) -> String {
    let browser = story.signed_in("Alice").await;
    let wish = story.wish(json!({ "my_domain": "acme" })).await;
    let page = browser.get(wish.text("connect_url")).await.click("Continue to Salesforce").await;
    let home = page.click("uma@acme.example").await.click("Allow").await;
    story.secrets.keep_browser(&browser);
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    story.connections().await[0]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn redirect_to_a_salesforce_host_is_followed_and_kept() {
    for status in [301, 302, 303, 307, 308] {
        let story = Story::installed().await;
        let connection = story.connected().await;
        story.pass(STALE);
        story.stack.salesforce.forget_calls();
        let to = format!("{}{TOKEN}", story.stack.salesforce.my_domain("acme"));
        story.stack.salesforce.queue_token_fault(Fault::Redirect(status, to));

        let token = story.token(&connection).await;

        assert_eq!(
            (token.status, story.salesforce_says(&token).await),
            (200, 200),
            "{status}: {}",
            token.body
        );
        assert_eq!(asked(&story), ["login.salesforce.localhost", "acme.my.salesforce.localhost"]);
        story.pass(STALE);
        story.stack.salesforce.forget_calls();
        assert_eq!(story.token(&connection).await.status, 200);
        assert_eq!(asked(&story), ["acme.my.salesforce.localhost"], "the connection has moved with it");
        story.nothing_leaked().await;
    }
}

#[tokio::test]
async fn generic_login_host_serves_an_org_whose_my_domain_moved() {
    for to in [
        "https://evil.example/services/oauth2/token",
        "/services/oauth2/token",
        "https://acme.my.site.com",
        "",
    ] {
        let story = Story::installed().await;
        let connection = connected_at_my_domain(&story).await;
        story.pass(STALE);
        story.stack.salesforce.forget_calls();
        story.stack.salesforce.queue_token_fault(Fault::Redirect(302, to.into()));

        let token = story.token(&connection).await;

        assert_eq!((token.status, story.salesforce_says(&token).await), (200, 200), "{to}: {}", token.body);
        assert_eq!(asked(&story), ["acme.my.salesforce.localhost", "login.salesforce.localhost"], "{to}");
    }
}

#[tokio::test]
async fn connection_waits_while_no_known_host_serves_it() {
    let story = Story::installed().await;
    let connection = connected_at_my_domain(&story).await;
    story.pass(STALE);
    for hours in 0..3 {
        story.stack.salesforce.forget_calls();
        for _ in 0..2 {
            let to = "https://acme.my.newsalesforce.example/services/oauth2/token";
            story.stack.salesforce.queue_token_fault(Fault::Redirect(302, to.into()));
        }

        let waits = story.token(&connection).await;

        assert_eq!((waits.status, waits.problem()), (503, "token-not-ready"), "{hours} {}", waits.body);
        assert_eq!(waits.text("cause"), "host_moved");
        assert_eq!(asked(&story).len(), 2, "the org's host and the generic one");
        let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
        assert_eq!(shown.text("state"), "active", "nothing was spent");
        assert!(
            story.logs.text().contains("named acme.my.newsalesforce.example"),
            "the operators read where to"
        );
        story.pass(SignedDuration::from_hours(1));
    }
    let token = story.token(&connection).await;
    assert_eq!((token.status, story.salesforce_says(&token).await), (200, 200), "{}", token.body);
    story.nothing_leaked().await;
}

#[tokio::test]
async fn refusal_by_the_generic_host_does_not_end_the_connection() {
    // Whether or not the redirect names it: it may not serve the org.
    for names_it in [false, true] {
        for description in ["expired access/refresh token", "inactive user", "inactive organization"] {
            let story = Story::installed().await;
            let connection = connected_at_my_domain(&story).await;
            story.pass(STALE);
            let generic = format!("{}/?ec=302", story.stack.salesforce.login_origin());
            let to = if names_it { generic } else { "https://evil.example/".into() };
            story.stack.salesforce.queue_token_fault(Fault::Redirect(302, to));
            let refusal =
                Fault::Answer { status: 400, error: "invalid_grant".into(), description: description.into() };
            story.stack.salesforce.queue_token_fault(refusal);
            story.stack.salesforce.forget_calls();

            let waits = story.token(&connection).await;

            assert_eq!(waits.text("cause"), "host_moved", "{names_it} {description}: {}", waits.body);
            assert_eq!(asked(&story), ["acme.my.salesforce.localhost", "login.salesforce.localhost"]);
            story.pass(SignedDuration::from_mins(6));
            let token = story.token(&connection).await;
            assert_eq!((token.status, story.salesforce_says(&token).await), (200, 200), "{}", token.body);
        }
    }
}

#[tokio::test]
async fn exchange_follows_a_redirect_to_salesforce_alone() {
    let again = Returning::begin().await;
    let back = again.about_to_return().await;
    let to = format!("{}{TOKEN}", again.story.stack.salesforce.my_domain("acme"));
    again.story.stack.salesforce.queue_token_fault(Fault::Redirect(307, to));
    let home = back.follow().await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");

    let back = again.about_to_return().await;
    let evil = Fault::Redirect(307, "https://evil.example/services/oauth2/token".into());
    again.story.stack.salesforce.queue_token_fault(evil);
    says(&back.follow().await, 200, "Salesforce moved this org to an address that we don't know yet.");
    again.ends_well().await;
}

#[tokio::test]
async fn import_follows_a_redirect_to_salesforce_alone() {
    let story = Story::installed().await;
    let key = &story.stack.app("fernway", "sync").consumer_key;
    let granted = story.stack.salesforce.granted("acme", "uma@acme.example", key);
    let held = granted["refresh_token"].as_str().expect("a refresh token").to_owned();
    let call = json!({
        "app": "sync", "customer": { "id": "c-other", "name": "Other" }, "user": "u-alice",
        "refresh_token": held, "environment": "production",
    });
    story.secrets.keep("refresh token", &held);
    let evil = Fault::Redirect(302, "https://evil.example/services/oauth2/token".into());
    story.stack.salesforce.queue_token_fault(evil);

    let refused = story.call("POST", "/v1/connections", Some(call.clone())).await;

    assert_eq!((refused.status, refused.text("cause")), (422, "host_moved"), "{}", refused.body);
    // The refusal holds back other imports for a while.
    story.pass(STALE);
    let to = format!("{}{TOKEN}", story.stack.salesforce.my_domain("acme"));
    story.stack.salesforce.queue_token_fault(Fault::Redirect(302, to));
    let imported = story.call("POST", "/v1/connections", Some(call)).await;
    assert_eq!(imported.status, 201, "{}", imported.body);
}

#[tokio::test]
async fn answer_after_nine_seconds_is_used() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(Fault::Slow(Duration::from_secs(9)));
    let token = story.token(&connection).await;
    assert_eq!((token.status, story.salesforce_says(&token).await), (200, 200), "{}", token.body);
}

#[tokio::test]
async fn answer_of_another_issuer_is_rejected() {
    let again = Returning::begin().await;
    for (iss, is_taken) in [
        ("https://evil.example".to_owned(), false),
        (again.story.stack.salesforce.test_origin(), false),
        (format!("{}///", again.story.stack.salesforce.login_origin()), false),
        (again.story.stack.salesforce.login_origin(), true),
        (again.story.stack.salesforce.my_domain("acme"), true),
        // Another org's My Domain: the generic login host may hand over to any, the exchange tells which it was.
        (again.story.stack.salesforce.my_domain("globex"), false),
    ] {
        let mut answer = again.answer().await;
        answer.query_pairs_mut().append_pair("iss", &iss);
        let page = again.alice.get(answer.as_str()).await;
        assert_eq!(page.has("Your Salesforce accounts"), is_taken, "{iss}: {page:?}");
    }
    let failures = again.story.call("GET", "/v1/failures", None).await.body;
    let recorded = failures["failures"].as_array().expect("a list");
    assert_eq!(recorded.iter().filter(|one| one["code"] == "identity_mismatch").count(), 4, "{failures}");
    again.ends_well().await;
}

/// An error that another issuer brings, or two issuers, is on record, and not as Salesforce's word.
#[tokio::test]
async fn error_of_another_issuer_is_recorded_as_such() {
    let again = Returning::begin().await;
    let evil = "https://evil.example".to_owned();
    let login = again.story.stack.salesforce.login_origin();
    for issuers in [vec![evil.clone()], vec![login.clone(), evil], vec![login.clone(), login.clone()]] {
        let mut answer = again.answer().await;
        let state = answer.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        answer.query_pairs_mut().clear().extend_pairs([
            ("state", state.as_str()),
            ("error", "OAUTH_APP_BLOCKED"),
            ("error_description", "this app is blocked by admin"),
        ]);
        for iss in &issuers {
            answer.query_pairs_mut().append_pair("iss", iss);
        }
        let page = again.alice.get(answer.as_str()).await;
        assert!(page.url.path().starts_with("/help/fl_"), "{issuers:?}: {page:?}");
        let latest = again.story.call("GET", "/v1/failures", None).await.body["failures"][0].clone();
        assert_eq!(latest["code"], "identity_mismatch", "{issuers:?}: {latest}");
        assert_ne!(latest["cause"], "app_blocked", "{issuers:?}: {latest}");
        assert!(latest.to_string().contains("OAUTH_APP_BLOCKED"), "what it said is kept: {latest}");
    }
    let mut answer = again.answer().await;
    answer.query_pairs_mut().append_pair("iss", &login);
    assert!(again.alice.get(answer.as_str()).await.has("Your Salesforce accounts"), "the right one is taken");
    again.ends_well().await;
}

#[tokio::test]
async fn secret_in_an_observed_error_is_not_kept() {
    let again = Returning::begin().await;
    let session = "00D5g0000008abcE!AQEAQNb0tAsessionThatMustNotStay.x_y";
    again.story.secrets.keep("session id", session);
    let error = |error: &str| Fault::Answer {
        status: 400,
        error: error.into(),
        description: format!("refused for session {session}, my password is hunter"),
    };
    again.story.pass(STALE);
    again.story.stack.salesforce.queue_token_fault(error("invalid_request"));
    again.story.token(&again.earlier).await;

    let back = again.about_to_return().await;
    again.story.stack.salesforce.queue_token_fault(error("never_seen_before"));
    let page = back.follow().await;

    assert!(page.has("[removed]") && !page.has("AQEAQNb0tA") && !page.has("hunter"), "{page:?}");

    // The same in the query of the callback.
    let mut answer = again.answer().await;
    let state = answer.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let said = format!("refused for session {session}, my password is hunter");
    answer.query_pairs_mut().clear().extend_pairs([
        ("state", state.as_str()),
        ("error", "never_seen_before"),
        ("error_description", &said),
    ]);
    let page = again.alice.get(answer.as_str()).await;
    assert!(page.has("[removed]") && !page.has("AQEAQNb0tA") && !page.has("hunter"), "{page:?}");

    let logs = again.story.logs.text();
    assert!(!logs.contains("AQEAQNb0tA") && !logs.contains("hunter"), "nor in the log");
    again.story.nothing_leaked().await;
}
