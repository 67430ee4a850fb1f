//! The help page between two people: what it claims follows the record, whoever holds the link can say more, and the admin
//! reads who asks and how to check it.

use jiff::SignedDuration;
use journeys::{Story, approve};
use serde_json::{Value, json};
use world::{browser::Page, salesforce::Fault};

/// Longer than a trip to Salesforce may take.
const GONE: SignedDuration = SignedDuration::from_mins(31);

/// Salesforce's own page, when the app is not installed.
const NOT_INSTALLED: &str = "error=invalid_client&error_description=app+must+be+installed+into+org";

/// The page's state, as its script asks for it.
async fn state(story: &Story, help: &Page) -> String {
    let path = format!("{}/status", help.url.path());
    story.call("GET", &path, None).await.text("state").to_owned()
}

/// The failure of a help page, as the product's backend sees it.
async fn failure(story: &Story, help: &Page) -> Value {
    let id = help.url.path().rsplit('/').next().expect("an id").to_owned();
    let listed = story.call("GET", "/v1/failures?limit=100", None).await;
    let failures = listed.body["failures"].as_array().expect("a list").clone();
    failures.into_iter().find(|failure| failure["id"] == id.as_str()).expect("it is on record")
}

async fn pastes(help: &Page, text: &str) -> Page {
    help.fill("pasted", text).click("Look again").await
}

#[tokio::test]
async fn page_turns_green_when_another_session_connects() {
    let story = Story::begin().await;
    let wish = story.wish(json!({})).await;
    let help = story.tell(&wish, NOT_INSTALLED).await;
    assert_eq!(state(&story, &help).await, "open");

    // The admin installs the app, and the user starts again in the product: a new session.
    story.install("sync");
    story.pass(SignedDuration::from_mins(5));
    story.connected().await;
    story.stack.tally().await;

    let records = story.call("GET", "/v1/failures", None).await;
    assert_eq!(state(&story, &help).await, "resolved", "{}", records.body);
    let admin = story.stack.browser().get(help.url.as_str()).await;
    assert!(admin.has("Connected. Nothing more to do."), "{}", admin.text());
}

#[tokio::test]
async fn page_of_a_lost_answer_turns_green_after_the_reconnect() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.queue_token_fault(Fault::CommitThenDrop);
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.status, 503);
    // The host answers something harmless first; ten minutes later comes the one recovery, with a spent token.
    story.pass(SignedDuration::from_mins(2));
    assert_eq!(story.token(&connection).await.status, 503);
    story.pass(SignedDuration::from_secs(610));
    let ended = story.token(&connection).await.body;
    assert_eq!(ended["cause"], "answer_lost", "{ended}");
    let help = story.stack.browser().get(ended["help_url"].as_str().expect("a page")).await;
    story.stack.tally().await;
    assert_eq!(state(&story, &help).await, "open");

    story.pass(SignedDuration::from_mins(5));
    let browser = story.signed_in("Alice").await;
    let again = story.wish(json!({ "connection_id": connection })).await;
    let connect = browser.get(again.text("connect_url")).await.choose("Production");
    let home = approve(connect.click("Continue to Salesforce").await.click("uma@acme.example").await).await;
    assert!(home.has("Your Salesforce accounts"), "{}", home.text());
    story.stack.tally().await;

    assert_eq!(state(&story, &help).await, "resolved");
}

#[tokio::test]
async fn admin_who_pastes_a_status_gets_its_steps() {
    let story = Story::begin().await;
    let wish = story.wish(json!({})).await;
    let help = story.tell(&wish, "We can't authorize you because of an OAuth error.").await;

    let admin = story.stack.browser().get(help.url.as_str()).await;
    let refined = pastes(&admin, "Failed: Not approved for access").await;

    assert_ne!(refined.url, help.url, "a page of its own");
    let refined_failure = failure(&story, &refined).await;
    assert_eq!(refined_failure["cause"], "user_not_approved", "{refined_failure}");
    assert_eq!(refined_failure["provenance"], "reported");
    assert!(refined.has("Permitted Users") && refined.has("Based on what you pasted or chose."));
    // A link goes from hand to hand: what its holder says changes neither the session nor the page before it.
    let session = story.call("GET", &format!("/v1/connect-sessions/{}", wish.text("id")), None).await;
    assert_eq!(session.body["failure"]["help_url"], help.url.as_str());
    assert_eq!(story.stack.browser().get(help.url.as_str()).await.title(), help.title());

    story.install("sync");
    story.pass(SignedDuration::from_mins(5));
    story.connected().await;
    story.stack.tally().await;
    assert_eq!(state(&story, &refined).await, "resolved", "both pages turn green");
    assert_eq!(state(&story, &help).await, "resolved");
}

#[tokio::test]
async fn text_that_nobody_knows_is_kept_and_the_steps_stay() {
    let story = Story::begin().await;
    let help = story.tell(&story.wish(json!({})).await, NOT_INSTALLED).await;
    let steps = help.text().contains("Connected Apps OAuth Usage");

    story.pass(SignedDuration::from_mins(1));
    let again = pastes(&help, "the page was blue \u{FFFD} 日本語").await;

    assert_eq!((again.status, again.url.path()), (422, help.url.path()), "{}", again.heading());
    assert!(steps && again.has("Connected Apps OAuth Usage") && again.has("We don’t know this text yet"));
    let kept = story.latest_failure().await;
    assert_eq!((kept.cause.as_str(), kept.refines.is_some()), ("unknown", true));
    assert!(kept.evidence.description.expect("the text").contains("the page was blue"));

    let nothing = pastes(&help, "  ").await;
    assert_eq!(nothing.status, 422);
    assert!(nothing.has("Paste an address, a text or a status first."), "{}", nothing.text());
}

#[tokio::test]
async fn long_japanese_text_is_read() {
    let story = Story::begin().await;
    let help = story.tell(&story.wish(json!({})).await, NOT_INSTALLED).await;

    let again = pastes(&help, &format!("{} error=invalid_scope", "日".repeat(7_950))).await;

    assert_eq!(failure(&story, &again).await["cause"], "scope_not_allowed", "{}", again.url);
}

#[tokio::test]
async fn pasted_texts_are_bounded_and_their_secrets_removed() {
    let story = Story::begin().await;
    let help = story.tell(&story.wish(json!({})).await, NOT_INSTALLED).await;
    let secret = "5Aep861TSESvWeug_w5Oil7mXqYqYDVVTTvp6AFDGd3LFyvZDuaZPQGuJyyVf3sdfqGkGbdxvpRTUk8yf4hJdxC";

    let mut statuses = Vec::new();
    for nth in 0..12 {
        let page = pastes(&help, &format!("error {nth} of mine password={secret}")).await;
        assert!(!page.has(secret));
        statuses.push(page.status);
    }

    assert_eq!(statuses[..10], [422; 10]);
    assert_eq!(statuses[10..], [429; 2], "ten a day");
    let kept = story.latest_failure().await.evidence.description.expect("the text");
    assert!(!kept.contains(secret), "{kept}");
    story.pass(SignedDuration::from_hours(25));
    assert_eq!(pastes(&help, "another day, another text").await.status, 422);
}

#[tokio::test]
async fn admin_reads_who_asks_for_what_and_how_to_check_it() {
    let story = Story::begin().await;
    let asked = json!({ "user_name": "Uma Okafor https://evil.example/login", "my_domain": "acme.my.salesforce.localhost" });
    let wish = story.wish(asked).await;
    assert_eq!(wish.status, 201, "{}", wish.body);
    let browser = story.signed_in("Alice").await;
    let connect = browser.get(wish.text("connect_url")).await;
    connect.click("Continue to Salesforce").await.click("uma@acme.example").await;
    story.pass(GONE);
    story.stack.sweep().await;
    let session = story.call("GET", &format!("/v1/connect-sessions/{}", wish.text("id")), None).await;
    let address = session.body["failure"]["help_url"].as_str().expect("a page").to_owned();

    let admin = story.stack.browser().get(&address).await;

    for said in [
        "What you are asked to allow",
        "Fernway (Fernway Software, Inc.)",
        "Fernway says: “Acme Corporation”, asked by “Uma Okafor”.",
        "acme.my.salesforce.localhost",
        "it can also appear as Fernway",
        "3MVG9FernwaySyncCons…",
        "Manage user data via APIs",
        "Perform requests at any time",
        "/oauth/callback",
        "127.0.0.1",
        "security@fernway.example",
        "leave it blocked",
    ] {
        assert!(admin.has(said), "{said} is not on {}", admin.text());
    }
    let key = &story.stack.app("fernway", "sync").consumer_key;
    assert!(!admin.has(key), "never the whole key");
    assert!(!admin.has("evil.example"), "what users write makes no link: {}", admin.text());
    assert!(!admin.title().contains("Uma") && !admin.title().contains("Acme"), "{}", admin.title());
}

#[tokio::test]
async fn user_names_that_deceive_are_rejected() {
    let story = Story::begin().await;
    for bad in [
        "",
        "   ",
        "Uma\u{202E}Okafor",
        "Uma\nOkafor",
        "Uma\u{200B}",
        "Uma\u{200D}",
        "\u{2800}",
        &"x".repeat(61),
    ] {
        let answer = story.wish(json!({ "user_name": bad })).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-request"), "{bad:?}: {}", answer.body);
        assert!(answer.text("detail").starts_with("user_name"), "{}", answer.body);
    }
    assert_eq!(story.wish(json!({ "user_name": "ウマ・オカフォー" })).await.status, 201);
}

#[tokio::test]
async fn something_else_leads_to_the_install_path_where_the_app_was_never_connected() {
    let story = Story::begin().await;
    let wish = story.wish(json!({ "my_domain": "acme" })).await;
    let trouble = story.stack.browser().get(&format!("{}/trouble", wish.text("connect_url"))).await;

    let help = trouble.choose("Something else").click("Show me what to do").await;

    assert_eq!(failure(&story, &help).await["cause"], "app_not_installed");
    assert!(help.has("What did you see last"), "and the question that separates the rest: {}", help.text());
}

#[tokio::test]
async fn lost_session_knows_the_my_domain_that_the_user_chose() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    let wish = story.wish(json!({ "expires_in": 86400 })).await;
    let go = |page: Page| async move {
        let page = page.choose("My Domain").fill("my_domain", "acme.my.salesforce.localhost");
        page.click("Continue to Salesforce").await
    };
    let consent = go(browser.get(wish.text("connect_url")).await).await.click("uma@acme.example").await;
    consent.click("Allow").await;
    let wish = story.wish(json!({ "expires_in": 86400 })).await;
    go(story.stack.browser().get(wish.text("connect_url")).await).await;

    story.pass(GONE);
    story.stack.sweep().await;

    let asked = story.call("GET", &format!("/v1/connect-sessions/{}", wish.text("id")), None).await;
    assert_eq!(asked.body["failure"]["cause"], "no_answer", "connected minutes before: {}", asked.body);
}

#[tokio::test]
async fn unknown_error_claims_nothing_of_who_acts() {
    let story = Story::begin().await;
    let help = story.tell(&story.wish(json!({})).await, "error=flux_capacitor_missing").await;

    assert_eq!(failure(&story, &help).await["cause"], "unknown");
    assert!(help.has("We don’t know this error yet") && help.has("Login History"), "{}", help.text());
    assert!(!help.has("needs to fix this"), "{}", help.text());
}
