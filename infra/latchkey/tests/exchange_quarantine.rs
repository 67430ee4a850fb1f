//! The answer of an exchange whose form is doubtful is kept, released by an operator or revoked after 24 hours. One that
//! may be another's is revoked at once.

use jiff::SignedDuration;
use journeys::{Story, approve, says};
use latchkey::{quarantine, report::Report};
use local::stack::{FALLBACK, consumer_secret};
use serde_json::{Value, json};
use store::{Decision, Fallback};
use world::{
    browser::{Browser, Page},
    dynamodb::{Fault as TableFault, Which},
    salesforce::{Fault, forge::IdToken},
};

const OUR_FAULT: &str = "Something went wrong on our side";

/// What is made of an answer: its status and its body.
type Rewrite = fn(Value) -> (u16, Vec<u8>);

/// Alice, her link, and her session.
struct Alice {
    browser: Browser,
    link: String,
    session: String,
}

impl Alice {
    async fn of(story: &Story) -> Self {
        Self::with(story, json!({ "expires_in": 3600 })).await
    }

    async fn with(story: &Story, wish: Value) -> Self {
        let browser = story.signed_in("Alice").await;
        let wish = story.wish(wish).await;
        let (link, session) = (wish.text("connect_url").to_owned(), wish.text("id").to_owned());
        Self { browser, link, session }
    }

    /// Alice comes back from Salesforce: the page that she ends on.
    async fn comes_back(&self, story: &Story) -> Page {
        let away = story.about_to_return(&self.browser, &self.link).await;
        self.browser.stop_before("nothing");
        away.follow().await
    }

    async fn session(&self, story: &Story) -> Value {
        story.call("GET", &format!("/v1/connect-sessions/{}", self.session), None).await.body
    }
}

fn fallback(story: &Story) -> Fallback {
    Fallback::new(story.stack.store.client().clone(), FALLBACK)
}

async fn list(story: &Story) -> Report {
    quarantine::list(&fallback(story), story.stack.clock.now()).await.expect("the list")
}

/// The id of the one answer in quarantine.
async fn kept(story: &Story) -> String {
    let listed = list(story).await;
    let all = listed.json["quarantined"].as_array().expect("a list");
    assert_eq!(all.len(), 1, "{}", listed.text);
    assert_eq!(all[0]["origin"], "exchange");
    all[0]["connection"].as_str().expect("an id").to_owned()
}

/// An operator decides, and the sweep runs: what `show` says then.
async fn decide(story: &Story, id: &str, decision: Decision) -> String {
    quarantine::decide(&fallback(story), id, decision, None, false).await.expect("it is in quarantine");
    story.stack.sweep().await;
    let shown = quarantine::show(&fallback(story), id).await;
    shown.map_or_else(|gone| gone.to_string(), |report| report.text)
}

async fn is_empty(story: &Story) {
    assert_eq!(list(story).await.text, "Nothing is in quarantine.");
}

/// The secret that [`Fault::WrongSignature`] signs with becomes the app's staged one.
fn stage_the_other_secret(story: &Story) {
    let app = story.stack.app("fernway", "sync").clone();
    let both = json!({ "current": consumer_secret(&app), "next": "another secret" });
    story.secrets.keep("consumer secret", "another secret");
    story.stack.secrets.put(&app.secret, &both.to_string());
}

/// A story in which Alice's exchange met this fault.
async fn exchange_meets(fault: Fault) -> (Story, Alice, Page) {
    let story = Story::installed().await;
    let alice = Alice::of(&story).await;
    story.stack.salesforce.queue_token_fault(fault);
    let page = alice.comes_back(&story).await;
    (story, alice, page)
}

async fn works(story: &Story) {
    let connections = story.connections().await;
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(connections[0]["state"], "active");
    let token = story.token(connections[0]["id"].as_str().expect("an id")).await;
    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(story.salesforce_says(&token).await, 200);
}

#[tokio::test]
async fn doubtful_answer_becomes_pending_once_it_is_released() {
    let (story, alice, page) = exchange_meets(Fault::WrongSignature).await;
    assert!(page.url.path().starts_with("/help/fl_"), "{page:?}");
    assert_eq!(alice.session(&story).await["status"], "failed", "the product sees why");
    assert!(story.connections().await.is_empty());
    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "the grant is kept");
    let id = kept(&story).await;
    story.pass(SignedDuration::from_hours(5));
    assert!(
        decide(&story, &id, Decision::Release).await.contains("not done     its signature does not match")
    );

    stage_the_other_secret(&story);
    assert!(decide(&story, &id, Decision::Release).await.contains("nothing of"));

    is_empty(&story).await;
    assert_eq!(alice.session(&story).await["status"], "returned", "also after the link's hour");
    assert_eq!(story.connections().await[0]["state"], "pending", "nobody uses it unseen");
    // Another browser with the link gets no receipt.
    let other = story.stack.browser().get(&alice.link).await;
    assert!(!other.url.as_str().starts_with(&story.stack.product), "{other:?}");
    let home = alice.browser.get(&alice.link).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    works(&story).await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
    story.nothing_leaked().await;
}

#[tokio::test]
async fn doubtful_answer_is_revoked_within_24_hours() {
    for released in [false, true] {
        let (story, _, _) = exchange_meets(Fault::WrongSignature).await;
        let id = kept(&story).await;
        if released {
            decide(&story, &id, Decision::Release).await;
        }
        story.pass(SignedDuration::from_hours(23));
        story.stack.sweep().await;
        assert_eq!(kept(&story).await, id);
        assert_eq!(story.stack.salesforce.live_grants().len(), 1);

        story.pass(SignedDuration::from_mins(55));
        story.stack.sweep().await;

        is_empty(&story).await;
        assert!(story.stack.salesforce.live_grants().is_empty(), "it is revoked");
        story.nothing_leaked().await;
    }
}

#[tokio::test]
async fn released_grant_that_nobody_redeems_is_revoked() {
    let (story, alice, _) = exchange_meets(Fault::WrongSignature).await;
    let id = kept(&story).await;
    stage_the_other_secret(&story);
    decide(&story, &id, Decision::Release).await;
    story.pass(SignedDuration::from_hours(25));
    story.stack.sweep().await;
    assert!(story.connections().await.is_empty());
    assert!(story.stack.salesforce.live_grants().is_empty());
    let page = alice.browser.get(&alice.link).await;
    assert!(!page.url.as_str().starts_with(&story.stack.product), "{page:?}");
}

/// A session with `"another": true`: its grant never takes the place of the connection that exists.
#[tokio::test]
async fn released_answer_for_one_more_connection_stays_one_more() {
    let story = Story::installed().await;
    let first = story.connected().await;
    let alice = Alice::with(&story, json!({ "expires_in": 3600, "another": true })).await;
    story.stack.salesforce.queue_token_fault(Fault::WrongSignature);
    alice.comes_back(&story).await;
    let id = kept(&story).await;
    stage_the_other_secret(&story);

    assert!(decide(&story, &id, Decision::Release).await.contains("nothing of"));

    let home = alice.browser.get(&alice.link).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    let connections = story.connections().await;
    assert_eq!(connections.len(), 2, "{connections:?}");
    assert_eq!(story.stack.salesforce.live_grants().len(), 2, "no grant is revoked");
    for connection in connections {
        assert_eq!(connection["state"], "active");
        let token = story.token(connection["id"].as_str().expect("an id")).await;
        assert_eq!((token.status, story.salesforce_says(&token).await), (200, 200), "{}", token.body);
    }
    assert_eq!(story.token(&first).await.status, 200);
    story.nothing_leaked().await;
}

#[tokio::test]
async fn released_answer_of_a_user_who_has_connected_since_is_revoked() {
    let (story, alice, help) = exchange_meets(Fault::WrongSignature).await;
    let connect = help.click("Try again").await;
    let home = approve(connect.choose("Production").click("Continue to Salesforce").await).await;
    assert!(home.has("Your Salesforce accounts"), "the user need not wait: {home:?}");
    assert_eq!(story.stack.salesforce.live_grants().len(), 2);
    let id = kept(&story).await;
    stage_the_other_secret(&story);

    decide(&story, &id, Decision::Release).await;

    is_empty(&story).await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "the second connection is not replaced");
    assert_eq!(alice.session(&story).await["status"], "connected");
    works(&story).await;
}

#[tokio::test]
async fn answer_of_any_doubtful_form_is_kept_and_can_be_discarded() {
    let rewritten: [Rewrite; 5] = [
        |mut answer| {
            answer["token_type"] = json!("mac");
            (200, answer.to_string().into_bytes())
        },
        |mut answer| {
            answer["id"] = json!(["x"]);
            (200, answer.to_string().into_bytes())
        },
        |mut answer| {
            answer["access_token"] = json!("");
            (200, answer.to_string().into_bytes())
        },
        |answer| (502, answer.to_string().into_bytes()),
        |answer| {
            let whole = answer.to_string();
            (200, whole.as_bytes()[..whole.len() - 20].to_vec())
        },
    ];
    for fault in rewritten {
        let (story, _, page) = exchange_meets(Fault::Rewritten(fault)).await;
        says(&page, 200, "Salesforce's answer had a form that we could not use.");
        let id = kept(&story).await;
        assert_eq!(story.stack.salesforce.live_grants().len(), 1, "the grant lives");
        decide(&story, &id, Decision::Discard).await;
        is_empty(&story).await;
        assert!(story.stack.salesforce.live_grants().is_empty(), "what it held is revoked");
        story.nothing_leaked().await;
    }
}

#[tokio::test]
async fn doubtful_form_does_not_hide_a_failed_identity_check() {
    let forged: [Rewrite; 4] = [
        |mut answer| {
            let mut token = IdToken::of(&answer);
            token.claims["nonce"] = "another".into();
            answer["id_token"] = token.signed().into();
            answer["token_type"] = json!("mac");
            (200, answer.to_string().into_bytes())
        },
        |mut answer| {
            let mut token = IdToken::of(&answer);
            token.claims["aud"] = "another".into();
            answer["id_token"] = token.signed().into();
            answer.as_object_mut().expect("an object").remove("signature");
            (500, answer.to_string().into_bytes())
        },
        |mut answer| {
            let mut token = IdToken::of(&answer);
            let other = format!("{}AAA", &token.claims["sub"].as_str().expect("a subject")[..52]);
            token.claims["sub"] = other.into();
            answer["id_token"] = token.signed().into();
            (503, answer.to_string().into_bytes())
        },
        |mut answer| {
            let mut token = IdToken::of(&answer);
            token.claims["nonce"] = "another".into();
            answer["id_token"] = token.signed().into();
            let whole = answer.to_string();
            (200, whole.as_bytes()[..whole.len() - 1].to_vec())
        },
    ];
    for fault in forged {
        let (story, _, page) = exchange_meets(Fault::Rewritten(fault)).await;
        assert!(page.url.path().starts_with("/help/fl_"), "{page:?}");
        is_empty(&story).await;
        assert!(story.stack.salesforce.live_grants().is_empty(), "revoked at once");
    }
}

#[tokio::test]
async fn grant_that_the_table_does_not_take_is_the_users_after_the_next_sweep() {
    let story = Story::installed().await;
    let alice = Alice::of(&story).await;
    let away = story.about_to_return(&alice.browser, &alice.link).await;
    alice.browser.stop_before("nothing");
    let refuse = TableFault::refuse("AccessDeniedException").on(Which::Operation("TransactWriteItems"));
    story.stack.dynamodb.inject(refuse.times(99));

    says(&away.follow().await, 503, OUR_FAULT);

    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "it is not given back");
    kept(&story).await;
    story.stack.dynamodb.mend();
    story.stack.sweep().await;
    is_empty(&story).await;
    let home = alice.browser.get(&alice.link).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    works(&story).await;
    story.pass(SignedDuration::from_mins(31));
    assert_eq!(story.stack.sweep().await.interrupted, 0, "it came to its end");
    story.nothing_leaked().await;
}

#[tokio::test]
async fn grant_that_may_be_stored_is_not_stored_twice_nor_revoked() {
    let story = Story::installed().await;
    let alice = Alice::of(&story).await;
    let away = story.about_to_return(&alice.browser, &alice.link).await;
    alice.browser.stop_before("nothing");
    // Carried out, and nobody hears of it: the function's three tries, of three tries each of the SDK's.
    let lose = TableFault::lose_answer().on(Which::Operation("TransactWriteItems"));
    story.stack.dynamodb.inject(lose.times(99));

    says(&away.follow().await, 503, OUR_FAULT);

    story.stack.dynamodb.mend();
    let home = alice.browser.get(&alice.link).await;
    assert!(home.has("Your Salesforce accounts"), "it was stored: {home:?}");
    for hours in [0, 24] {
        story.pass(SignedDuration::from_hours(hours));
        story.stack.sweep().await;
    }
    is_empty(&story).await;
    works(&story).await;
    story.nothing_leaked().await;
}

#[tokio::test]
async fn unknown_instance_is_asked_for_and_told_to_the_operators() {
    let without: Rewrite = |mut answer| {
        answer.as_object_mut().expect("an object").remove("instance_url");
        (200, answer.to_string().into_bytes())
    };
    for fault in [
        Fault::InstanceUrl("https://evil.example".into()),
        Fault::InstanceUrl("https://acme.my.site.com".into()),
        Fault::Rewritten(without),
    ] {
        let (story, _, home) = exchange_meets(fault).await;
        assert!(home.has("Your Salesforce accounts"), "{home:?}");
        works(&story).await;
        is_empty(&story).await;
        let failures = story.call("GET", "/v1/failures?cause=instance_unknown", None).await;
        assert_eq!(failures.body["failures"][0]["actor"], "vendor", "{}", failures.body);
        story.nothing_leaked().await;
    }
}

#[tokio::test]
async fn instance_that_salesforce_does_not_tell_is_told_by_the_operator() {
    // The identity address takes another access token than the answer's, so it says nothing.
    let spoiled: Rewrite = |mut answer| {
        answer.as_object_mut().expect("an object").remove("instance_url");
        answer["access_token"] = json!("00Dspoiled!token");
        let mut token = IdToken::of(&answer);
        token.claims.as_object_mut().expect("claims").remove("at_hash");
        answer["id_token"] = token.signed().into();
        (200, answer.to_string().into_bytes())
    };
    let (story, alice, page) = exchange_meets(Fault::Rewritten(spoiled)).await;
    says(&page, 200, "Salesforce named an address for this org's API that we don't know.");
    let id = kept(&story).await;
    assert!(decide(&story, &id, Decision::Release).await.contains("not done     "));

    for (told, then) in [
        ("https://evil.example", "not done     "),
        (&*story.stack.salesforce.my_domain("acme"), "nothing of"),
    ] {
        let release = Decision::Release;
        quarantine::decide(&fallback(&story), &id, release, Some(told), false).await.expect("kept");
        story.stack.sweep().await;
        let shown = quarantine::show(&fallback(&story), &id).await;
        let shown = shown.map_or_else(|gone| gone.to_string(), |report| report.text);
        assert!(shown.contains(then), "{told}: {shown}");
    }

    assert!(alice.browser.get(&alice.link).await.has("Your Salesforce accounts"));
    // Its access token never worked; the refresh token does.
    story.pass(SignedDuration::from_mins(16));
    works(&story).await;
}
