//! Salesforce's token endpoint answers badly, or somebody answers in its place: a clear page, the exact cause in
//! the log, nothing kept of it, nothing lost.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use journeys::{Returning, Story, says};
use local::stack::consumer_secret;
use serde_json::json;
use world::{browser::Page, salesforce::Fault};

const UNREADABLE: &str = "Salesforce answered with something that we could not read.";
const UNTRUSTED: &str = "We could not be sure that the answer came from Salesforce, so we did not use it.";
const PASSING: &str = "Salesforce did not answer as it should. Wait a little.";

/// Alice comes back with a good code, and the exchange meets this fault.
async fn exchange_meets(fault: Fault, heading: &str, log: &str) -> (Returning, Page) {
    let again = Returning::begin().await;
    let back = again.about_to_return().await;
    again.story.stack.salesforce.forget_calls();
    again.story.stack.salesforce.queue_token_fault(fault);

    let page = back.follow().await;

    says(&page, 200, heading);
    assert!(page.url.path().starts_with("/help/fl_"), "{}", page.url);
    assert!(page.has("Fernway") && page.has("LK-"), "{page:?}");
    assert!(again.story.logs.text().contains(log), "the log tells {log:?}");
    assert!(again.story.stack.salesforce.token_calls().len() <= 1, "a code is sent once");
    assert_eq!(again.story.connections().await.len(), 1, "nothing was connected");
    (again, page)
}

/// Its tokens died with its answer: nobody can give that grant back, and the user's next one takes its place.
async fn ends_well_but_for_one_grant(again: &Returning) {
    again.works(&again.earlier).await;
    again.story.connects(&again.alice).await;
    again.works(&again.earlier).await;
    again.story.nothing_leaked().await;
}

#[tokio::test]
async fn an_html_page_in_place_of_tokens() {
    let (again, page) =
        exchange_meets(Fault::Html(200), UNREADABLE, "Salesforce answered 200 with HTML").await;
    assert!(!page.has("Sorry to interrupt"), "the answer's body is not repeated");
    again.ends_well().await;
}

#[tokio::test]
async fn a_maintenance_page() {
    let (again, _) = exchange_meets(Fault::Html(503), PASSING, "Salesforce answered 503 with HTML").await;
    again.ends_well().await;
}

#[tokio::test]
async fn an_empty_answer() {
    let (again, _) =
        exchange_meets(Fault::Empty, UNREADABLE, "Salesforce answered 200 with an empty body").await;
    again.ends_well().await;
}

#[tokio::test]
async fn an_answer_of_five_megabytes() {
    let fault = Fault::Huge(5_000_000);
    let (again, _) = exchange_meets(fault, UNREADABLE, "an answer of more than 262144 bytes").await;
    again.ends_well().await;
}

#[tokio::test]
async fn half_an_answer() {
    let (again, _) = exchange_meets(Fault::Half, PASSING, "no answer from Salesforce").await;
    ends_well_but_for_one_grant(&again).await;
}

#[tokio::test]
async fn no_answer_at_all() {
    let (again, _) = exchange_meets(Fault::CommitThenDrop, PASSING, "no answer from Salesforce").await;
    ends_well_but_for_one_grant(&again).await;
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_we_wait() {
    let began = Instant::now();
    let fault = Fault::Slow(Duration::from_secs(20));
    let (again, _) = exchange_meets(fault, PASSING, "no whole answer in time").await;
    assert!(
        began.elapsed() < Duration::from_secs(19),
        "the token endpoint's 15 s end it: {:?}",
        began.elapsed()
    );
    ends_well_but_for_one_grant(&again).await;
}

#[tokio::test]
async fn an_answer_signed_by_somebody_else() {
    let (again, _) = exchange_meets(Fault::WrongSignature, UNTRUSTED, "its signature does not match").await;
    // It is kept for the operators, for a day at most.
    again.story.pass(SignedDuration::from_hours(24));
    again.story.stack.sweep().await;
    again.ends_well().await;
}

#[tokio::test]
async fn an_answer_for_another_user() {
    let log = "its id_token fails the check of subject";
    let (again, _) = exchange_meets(Fault::AnotherUser, UNTRUSTED, log).await;
    again.ends_well().await;
}

#[tokio::test]
async fn an_instance_url_elsewhere() {
    let evil = "https://evil.example";
    for address in
        [evil, "https://acme.my.salesforce.com.evil.example", "ftp://acme.my.salesforce.localhost", "x"]
    {
        let again = Returning::begin().await;
        let back = again.about_to_return().await;
        again.story.stack.salesforce.queue_token_fault(Fault::InstanceUrl(address.to_owned()));

        let home = back.follow().await;

        // Where the org's API answers, its identity address says; the operators learn what the answer named.
        assert!(home.has("Your Salesforce accounts"), "{home:?}");
        assert!(again.story.logs.text().contains("the answer's instance_url names "));
        for connection in again.story.connections().await {
            let token = again.story.token(connection["id"].as_str().expect("an id")).await;
            assert_eq!(token.text("instance_url"), again.story.stack.salesforce.my_domain("acme"));
        }
        again.ends_well().await;
    }
}

#[tokio::test]
async fn an_id_token_with_a_nonce_that_nobody_sent() {
    let log = "its id_token fails the check of nonce";
    let (again, _) = exchange_meets(Fault::WrongNonce, UNTRUSTED, log).await;
    again.ends_well().await;
}

#[tokio::test]
async fn a_grant_without_the_refresh_token_that_was_asked_for() {
    let log = "the answer has no refresh token, though the app asks for one";
    let less = "Salesforce gave Fernway less than it asked for.";
    let (again, _) = exchange_meets(Fault::MissingRefreshToken, less, log).await;
    // Its access token was given back; the grant at Salesforce has a refresh token that never left it.
    let revoked = again.story.stack.salesforce.calls();
    assert_eq!(revoked.iter().filter(|call| call.path == "/services/oauth2/revoke").count(), 1);
    again.story.stack.salesforce.read(|state| {
        let newest = state.grants.iter().map(|grant| grant.id).max().expect("a grant");
        assert!(state.access_tokens.values().all(|token| token.grant != newest), "the access token is dead");
    });
    ends_well_but_for_one_grant(&again).await;
}

#[tokio::test]
async fn an_error_in_salesforces_own_words() {
    let refusal = |error: &str, description: &str| Fault::Answer {
        status: 400,
        error: error.to_owned(),
        description: description.to_owned(),
    };
    for (error, description, heading) in [
        ("unknown_error", "retry your request", PASSING),
        ("never_seen_before", "<script>alert(1)</script>", ""),
    ] {
        let again = Returning::begin().await;
        let back = again.about_to_return().await;
        again.story.stack.salesforce.queue_token_fault(refusal(error, description));

        let page = back.follow().await;

        assert_eq!(page.status, 200, "{page:?}");
        assert!(heading.is_empty() || page.heading() == heading, "{page:?}");
        assert!(page.has("LK-") && page.has(error), "an unknown cause has a page, too: {page:?}");
        assert!(!page.body.contains("<script>alert"), "shown as text");
        assert!(again.story.logs.text().contains(&format!("Salesforce answered 400 {error}: {description}")));
        again.ends_well().await;
    }
}

#[tokio::test]
async fn nobody_answers_at_salesforces_address() {
    let again = Returning::begin().await;
    let back = again.about_to_return().await;
    let salesforce = &again.story.stack.salesforce;
    salesforce.set_unreachable(true);

    let page = back.follow().await;

    says(&page, 200, PASSING);
    assert!(again.story.logs.text().contains("no answer from Salesforce"));
    let token = again.story.token(&again.earlier).await;
    assert_eq!(token.status, 200, "a fresh token needs no Salesforce");
    salesforce.set_unreachable(false);
    again.ends_well().await;
}

/// A new consumer secret at Salesforce, and what Secrets Manager holds from now on.
fn rotate(story: &Story, stored: &serde_json::Value) {
    let app = story.stack.app("fernway", "sync");
    story.secrets.keep("consumer secret", "the-new-secret-of-fernway-sync");
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|known| known.consumer_key == app.consumer_key);
        app.expect("registered").consumer_secret = "the-new-secret-of-fernway-sync".into();
    });
    story.stack.secrets.put(&app.secret, &stored.to_string());
    story.stack.secrets.reset_calls();
}

#[tokio::test]
async fn a_consumer_secret_rotated_under_warm_functions_costs_one_fetch() {
    let again = Returning::begin().await;
    let back = again.about_to_return().await;
    rotate(&again.story, &json!({ "current": "the-new-secret-of-fernway-sync" }));

    let home = back.follow().await;
    assert!(home.has("Your Salesforce accounts"), "no restart, no second try: {home:?}");
    assert_eq!(again.story.stack.secrets.calls().len(), 1, "{:?}", again.story.stack.secrets.calls());

    let home = again.about_to_return().await.follow().await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    assert_eq!(again.story.stack.secrets.calls().len(), 1, "held from now on");
    again.ends_well().await;
}

#[tokio::test]
async fn a_consumer_secret_rotated_between_two_refreshes_costs_one_fetch() {
    let again = Returning::begin().await;
    again.story.pass(SignedDuration::from_mins(16));
    again.works(&again.earlier).await;
    rotate(&again.story, &json!({ "current": "the-new-secret-of-fernway-sync" }));

    for _ in 0..2 {
        again.story.pass(SignedDuration::from_mins(16));
        again.works(&again.earlier).await;
        assert_eq!(again.story.stack.secrets.calls().len(), 1, "{:?}", again.story.stack.secrets.calls());
    }
    again.ends_well().await;
}

#[tokio::test]
async fn a_consumer_secret_staged_beside_the_old_one_works_before_and_after() {
    let again = Returning::begin().await;
    let app = again.story.stack.app("fernway", "sync").clone();
    let staged = json!({ "current": consumer_secret(&app), "next": "the-new-secret-of-fernway-sync" });
    again.story.stack.secrets.put(&app.secret, &staged.to_string());
    again.story.connects(&again.alice).await;

    rotate(&again.story, &staged);

    again.story.connects(&again.alice).await;
    again.ends_well().await;
}

#[tokio::test]
async fn a_consumer_secret_that_salesforce_refuses_is_the_vendors_incident() {
    let again = Returning::begin().await;
    let back = again.about_to_return().await;
    let app = again.story.stack.app("fernway", "sync").clone();
    rotate(&again.story, &json!({ "current": consumer_secret(&app) }));

    let page = back.follow().await;

    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.has("LK-") && page.has("The team of Fernway needs to fix this"), "{page:?}");
    assert!(
        again
            .story
            .logs
            .text()
            .contains("Salesforce answered 400 invalid_client: invalid client credentials")
    );
    assert!(again.story.logs.text().contains("exchange: client_credentials_invalid"));

    let right = json!({ "current": "the-new-secret-of-fernway-sync" });
    again.story.stack.secrets.put(&app.secret, &right.to_string());
    again.ends_well().await;
}
