//! A callback is killed after it has claimed its attempt: the fault is ours, it is on record as that, and the user can try
//! again at once.

use runtime::HttpFunction as _;
use std::time::Duration;

use callback::Callback;
use jiff::SignedDuration;
use journeys::{Story, approve, says};
use lambda_http::RequestExt as _;
use local::{Swept, stack::Body};
use serde_json::{Value, json};
use store::SendWrite as _;
use url::Url;
use world::browser::{Browser, Page};

const INTERRUPTED: &str = "We were interrupted while we connected your Salesforce. Connect once more.";

/// Longer than a callback can be at work after its claim.
const OVER: SignedDuration = SignedDuration::from_secs(31);

/// Longer than a trip to Salesforce may take.
const GONE: SignedDuration = SignedDuration::from_mins(31);

/// A user who is about to come back from Salesforce.
struct Traveler {
    browser: Browser,
    link: String,
    session: String,
    answer: Url,
}

impl Traveler {
    async fn of(story: &Story) -> Self {
        let browser = story.signed_in("Alice").await;
        let wish = story.wish(json!({ "expires_in": 86400 })).await;
        let (link, session) = (wish.text("connect_url").to_owned(), wish.text("id").to_owned());
        let answer = story.about_to_return(&browser, &link).await.location().expect("a redirect");
        browser.stop_before("nothing");
        Self { browser, link, session, answer }
    }

    /// Goes to Salesforce once more, in another tab of the same browser.
    async fn second_answer(&self, story: &Story) -> Url {
        let answer = story.about_to_return(&self.browser, &self.link).await.location().expect("a redirect");
        self.browser.stop_before("nothing");
        answer
    }

    /// Starts again on the connect page.
    async fn continues(&self, connect: Page) -> Page {
        approve(connect.choose("Production").click("Continue to Salesforce").await).await
    }

    async fn session(&self, story: &Story) -> Value {
        story.call("GET", &format!("/v1/connect-sessions/{}", self.session), None).await.body
    }
}

/// How many requests functions have made of the table and of Salesforce.
fn requests(story: &Story) -> usize {
    story.stack.dynamodb.requests().len() + story.stack.salesforce.calls().len()
}

/// The request with which a browser comes back.
fn callback_request(browser: &Browser, answer: &Url) -> http::Request<Body> {
    let query = answer.query().expect("an answer");
    http::Request::get(format!("/oauth/callback?{query}"))
        .header("cookie", browser.cookie_header(answer.as_str()).expect("the attempt's cookie"))
        .body(Body::Empty)
        .expect("a request")
}

/// A callback runs in a process of its own, which is killed once it has made so many requests. `false`: it ended before.
async fn killed_after(story: &Story, browser: &Browser, answer: &Url, steps: usize) -> bool {
    let callback = Callback::new(story.stack.platform()).expect("the settings are complete");
    let request = callback_request(browser, answer);
    story.stack.dynamodb.reset_counts();
    story.stack.salesforce.forget_calls();
    story.stack.dynamodb.slow(Duration::from_millis(20));
    story.stack.salesforce.set_token_latency(Duration::from_millis(20));
    let killer = async {
        while requests(story) < steps {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let killed = tokio::select! {
        biased;
        () = killer => true,
        _ = Box::pin(callback.respond(request, story.stack.clock.now())) => false,
    };
    story.stack.dynamodb.mend();
    story.stack.salesforce.set_token_latency(Duration::ZERO);
    killed
}

/// A story in which the callback was killed once it had claimed the attempt, and before it sent the code.
async fn interrupted() -> (Story, Traveler) {
    let story = Story::installed().await;
    let traveler = Traveler::of(&story).await;
    assert!(killed_after(&story, &traveler.browser, &traveler.answer, 2).await);
    (story, traveler)
}

/// The failures that are on record, by their causes.
async fn causes(story: &Story) -> Vec<String> {
    let listed = story.call("GET", "/v1/failures?limit=100", None).await;
    let failures = listed.body["failures"].as_array().expect("a list");
    failures.iter().map(|failure| failure["cause"].as_str().expect("a cause").to_owned()).collect()
}

#[tokio::test]
async fn callback_killed_at_any_step_can_be_tried_again_at_once() {
    let (mut kills, mut interrupted, mut stored) = (0, 0, 0);
    for steps in 1.. {
        let story = Story::installed().await;
        let traveler = Traveler::of(&story).await;
        if !killed_after(&story, &traveler.browser, &traveler.answer, steps).await {
            break;
        }
        kills += 1;
        story.pass(OVER);

        let page = traveler.browser.get(traveler.answer.as_str()).await;

        if page.has("Your Salesforce accounts") {
            stored += 1;
        } else {
            interrupted += 1;
            says(&page, 200, INTERRUPTED);
            assert_eq!(traveler.session(&story).await["status"], "failed", "step {steps}");
            let home = traveler.continues(page.click("Try again").await).await;
            assert!(home.has("Your Salesforce accounts"), "step {steps}: {home:?}");
            assert_eq!(causes(&story).await, ["callback_interrupted"], "step {steps}");
        }
        assert_eq!(story.connections().await.len(), 1, "step {steps}");
        story.pass(GONE);
        assert_eq!(story.stack.sweep().await.interrupted, 0, "step {steps}: it is on record once");
        story.nothing_leaked().await;
    }

    assert!(
        kills >= 5 && interrupted >= 3 && stored >= 1,
        "{kills} kills: {interrupted} interrupted, {stored} stored"
    );
}

#[tokio::test]
async fn sweep_tells_a_killed_callback_from_a_browser_that_never_came_back() {
    let (story, traveler) = interrupted().await;
    let other = story.wish(json!({ "my_domain": "acme", "expires_in": 86400 })).await;
    story.stack.browser().get(other.text("connect_url")).await.click("Continue to Salesforce").await;
    story.pass(GONE);

    assert_eq!(story.stack.sweep().await, Swept { lost: 1, interrupted: 1, ..Swept::default() });

    let session = traveler.session(&story).await;
    assert_eq!(
        (session["status"].as_str(), session["failure"]["cause"].as_str()),
        (Some("failed"), Some("callback_interrupted")),
        "{session}"
    );
    let help = traveler.browser.get(session["failure"]["help_url"].as_str().expect("a page")).await;
    says(&help, 200, INTERRUPTED);
    assert!(!help.has("Install") || !help.has("Your Salesforce admin has to"), "{help:?}");
    let failures = story.call("GET", "/v1/failures?cause=callback_interrupted", None).await;
    assert_eq!(failures.body["failures"][0]["actor"], "vendor", "{}", failures.body);
    assert_eq!(failures.body["failures"][0]["stage"], "callback");
    assert_eq!(story.stack.sweep().await, Swept::default(), "it is counted once");
    let home = traveler.continues(help.click("Try again").await).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
}

#[tokio::test]
async fn success_of_the_next_attempt_does_not_hide_the_interrupted_one() {
    let (story, traveler) = interrupted().await;

    // At once, by the link, without waiting for anything.
    let home = traveler.continues(traveler.browser.get(&traveler.link).await).await;

    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    assert_eq!(causes(&story).await, [""; 0], "nobody has looked yet");
    story.pass(GONE);
    assert_eq!(story.stack.sweep().await.interrupted, 1);
    assert_eq!(causes(&story).await, ["callback_interrupted"]);
    assert_eq!(traveler.session(&story).await["status"], "connected", "the session stays as it is");
    assert_eq!(story.stack.sweep().await.interrupted, 0);
}

#[tokio::test]
async fn failure_of_another_tab_and_a_report_do_not_hide_the_interrupted_attempt() {
    let (story, traveler) = interrupted().await;
    let denied = traveler.second_answer(&story).await;
    let (state, issuer) =
        (denied.query_pairs().find(|(name, _)| name == "state").expect("a state").1, denied.clone());
    let denied =
        format!("{}/oauth/callback?error=access_denied&state={state}", issuer.origin().ascii_serialization());
    let help = traveler.browser.get(&denied).await;
    assert!(help.url.path().starts_with("/help/fl_"), "{help:?}");
    let trouble = traveler.browser.get(&format!("{}/trouble", traveler.link)).await;
    trouble.fill("pasted", "error=invalid_scope").click("Show me what to do").await;

    story.pass(GONE);
    assert_eq!(story.stack.sweep().await.interrupted, 1);

    let mut causes = causes(&story).await;
    causes.sort();
    assert_eq!(causes, ["callback_interrupted", "scope_not_allowed", "user_denied"]);
}

#[tokio::test]
async fn callback_that_may_be_at_work_is_not_taken_for_interrupted() {
    let story = Story::installed().await;
    let traveler = Traveler::of(&story).await;
    story.pass(SignedDuration::from_secs(29 * 60 + 50));
    assert!(killed_after(&story, &traveler.browser, &traveler.answer, 2).await);

    story.pass(SignedDuration::from_secs(15));
    assert_eq!(story.stack.sweep().await, Swept::default(), "25 s after its claim it may still be at work");
    story.pass(OVER);
    assert_eq!(story.stack.sweep().await, Swept { interrupted: 1, ..Swept::default() });
}

#[tokio::test]
async fn visit_right_after_the_kill_leads_to_another_attempt() {
    let (story, traveler) = interrupted().await;

    // Whether the first visit is still at work is not known: no page says so, and no failure is recorded.
    let connect = traveler.browser.get(traveler.answer.as_str()).await;

    assert!(connect.url.path().starts_with("/connect/ck_"), "{connect:?}");
    assert!(traveler.continues(connect).await.has("Your Salesforce accounts"));
    story.pass(GONE);
    assert_eq!(story.stack.sweep().await.interrupted, 1);
}

/// Deletes an item, as its TTL or an operator does.
async fn delete(story: &Story, pk: &str, sk: &str) {
    let key = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let client = story.stack.store.client();
    let deleted = client.delete_item().table_name(local::stack::TABLE);
    deleted.key("pk", key(pk)).key("sk", key(sk)).send_write().await.expect("it is deleted");
}

#[tokio::test]
async fn visit_of_a_session_that_is_gone_ends_on_a_page() {
    let story = Story::installed().await;
    let traveler = Traveler::of(&story).await;
    assert!(traveler.browser.get(traveler.answer.as_str()).await.has("Your Salesforce accounts"));
    delete(&story, &format!("SESSION#{}", traveler.session), "SESSION").await;
    says(&traveler.browser.get(traveler.answer.as_str()).await, 404, "This link does not work");
}

#[tokio::test]
async fn visits_of_a_product_that_is_gone_end_on_a_page() {
    let story = Story::installed().await;
    let traveler = Traveler::of(&story).await;
    let second = traveler.second_answer(&story).await;
    assert!(traveler.browser.get(traveler.answer.as_str()).await.has("Your Salesforce accounts"));
    delete(&story, "PRODUCT#fernway", "PRODUCT").await;
    story.pass(SignedDuration::from_secs(61));
    // The attempt is another browser's; it was used, and its receipt was redeemed; it was never used.
    says(&story.stack.browser().get(second.as_str()).await, 404, "This link does not work");
    says(&traveler.browser.get(traveler.answer.as_str()).await, 404, "This link does not work");
    says(&traveler.browser.get(second.as_str()).await, 503, "Something went wrong on our side");
    assert!(story.logs.text().contains("is not configured"));
}

#[tokio::test]
async fn code_is_not_sent_where_its_answer_might_not_be_stored_in_time() {
    let story = Story::installed().await;
    let traveler = Traveler::of(&story).await;
    story.stack.salesforce.forget_calls();
    let mut context = lambda_http::Context::default();
    let deadline = story.stack.clock.now() + SignedDuration::from_secs(21);
    context.deadline = deadline.as_millisecond().try_into().expect("after 1970");
    let callback = Callback::new(story.stack.platform()).expect("the settings are complete");
    let request = callback_request(&traveler.browser, &traveler.answer).with_lambda_context(context);

    let answer = Box::pin(callback.respond(request, story.stack.clock.now())).await;

    assert_eq!(answer.status(), 303);
    assert_eq!(story.stack.salesforce.token_calls(), [], "the code is not spent");
    assert_eq!(causes(&story).await, ["callback_interrupted"]);
    let home = traveler.continues(traveler.browser.get(&traveler.link).await).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
}
