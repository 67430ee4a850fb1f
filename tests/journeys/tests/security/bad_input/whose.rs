//! An answer of Salesforce's that is nobody's, another's, too late, or here again.

use jiff::SignedDuration;
use journeys::{Returning, approve, says};
use serde_json::json;
use world::browser::Page;

const STRAY: &str = "We cannot finish this sign-in";
const OTHER_BROWSER: &str = "This isn't the browser you started in";

/// The address with another value for one of its parameters.
fn with(url: &url::Url, name: &str, value: &str) -> String {
    let mut changed = url.clone();
    let pairs =
        url.query_pairs().map(|(key, old)| (key.to_string(), if key == name { value.into() } else { old }));
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    changed.into()
}

fn parameter(url: &url::Url, name: &str) -> String {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .expect("the parameter")
}

#[tokio::test]
async fn a_state_that_nobody_gave_out_ends_on_a_page_without_a_brand() {
    let again = Returning::begin().await;
    let answer = again.answer().await;

    let page = again.alice.get(&with(&answer, "state", "a-state-that-nobody-gave-out")).await;

    says(&page, 400, STRAY);
    assert!(!page.has("Fernway"), "strangers are not told whose door it is: {page:?}");
    assert!(again.story.logs.text().contains("no attempt has this state"));
    assert_eq!(again.story.stack.salesforce.token_calls().len(), 1, "the code was not sent");

    let home = again.alice.get(answer.as_str()).await;
    assert!(home.has("Your Salesforce accounts"), "the true answer still counts: {home:?}");
    again.ends_well().await;
}

#[tokio::test]
async fn nothing_in_the_query_hides_an_error_of_a_known_attempt() {
    let again = Returning::begin().await;
    let long = "x".repeat(20_000);
    for around in [
        "extra=%E9",
        "error_description=utilisateur%20refus%E9",
        "error_description=a&error_description=b",
        "error=OAUTH_APP_BLOCKED",
        "error=",
        "code=c",
        "code=%ff",
        "state=",
        "state=another",
        "state=%ff",
        "utm_source=mail&utm_source=mail",
        &format!("extra={long}"),
    ] {
        let connect = again.alice.get(&again.story.invite().await).await.choose("Production");
        again.alice.stop_before("/services/oauth2/authorize");
        let leaving = connect.click("Continue to Salesforce").await.location().expect("a redirect");
        let (state, url) = (parameter(&leaving, "state"), &again.story.stack.latchkey);
        let query = format!("{around}&error=OAUTH_APP_BLOCKED&state={state}");
        let page = again.alice.get(&format!("{url}/oauth/callback?{query}")).await;
        assert!(page.url.path().starts_with("/help/"), "{around:.40}: {page:?}");
        let reference = page.url.path().trim_start_matches("/help/").to_owned();
        let listed = again.story.call("GET", "/v1/failures?cause=app_blocked&limit=100", None).await;
        let failures = listed.body["failures"].as_array().expect("a list");
        assert!(
            failures.iter().any(|failure| failure["id"] == json!(reference)),
            "{around:.40}: {}",
            listed.body
        );
    }
    again.ends_well().await;
}

#[tokio::test]
async fn an_answer_in_another_browser_connects_nothing_and_does_not_spend_the_attempt() {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    let thief = again.story.stack.browser();

    says(&thief.get(answer.as_str()).await, 403, OTHER_BROWSER);

    // With a cookie of the right name and the wrong value.
    let cookies = again.alice.cookies();
    let held = cookies.iter().rev().find(|cookie| cookie.name.starts_with("__Host-lk-"));
    let forged = format!("{}=forged; Path=/; Secure; HttpOnly", held.expect("the attempt's cookie").name);
    thief.set_cookie(&again.story.stack.latchkey, &forged);
    says(&thief.get(answer.as_str()).await, 403, OTHER_BROWSER);
    assert!(again.story.logs.text().contains("the attempt belongs to another browser"));

    let home = again.alice.get(answer.as_str()).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    again.ends_well().await;
}

#[tokio::test]
async fn an_answer_that_comes_again_leads_back_to_the_product() {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    assert!(again.alice.get(answer.as_str()).await.has("Your Salesforce accounts"));
    again.story.stack.salesforce.forget_calls();

    says(&again.alice.get(answer.as_str()).await, 200, "Already connected");

    assert!(again.story.stack.salesforce.token_calls().is_empty(), "a code is sent once");
    again.ends_well().await;
}

#[tokio::test]
async fn of_one_answer_opened_ten_times_at_once_one_counts() {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    again.story.stack.salesforce.forget_calls();

    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (alice, answer) = (again.alice.clone(), answer.clone());
        visits.spawn(async move { alice.get(answer.as_str()).await });
    }
    let pages = visits.join_all().await;

    // Who comes while the receipt is not redeemed yet gets the same one, and its redemption is repeated.
    assert!(pages.iter().any(|page| page.has("Your Salesforce accounts")), "{pages:?}");
    for page in pages.iter().filter(|page| !page.has("Your Salesforce accounts")) {
        let known =
            ["This link has been used", "Already connected", STRAY].contains(&page.heading().as_str());
        assert!(known, "{page:?}");
    }
    assert_eq!(again.story.stack.salesforce.token_calls().len(), 1, "a code is sent once");
    assert_eq!(again.story.connections().await.len(), 1, "one connection, renewed once");
    again.ends_well().await;
}

#[tokio::test]
async fn a_code_from_one_attempt_does_nothing_in_the_next() {
    let again = Returning::begin().await;
    let first = again.answer().await;
    assert!(again.alice.get(first.as_str()).await.has("Your Salesforce accounts"));
    let second = again.answer().await;

    let page = again.alice.get(&with(&second, "code", &parameter(&first, "code"))).await;

    says(&page, 200, "Salesforce's answer was too old, or it came twice.");
    assert!(
        again.story.logs.text().contains("Salesforce answered 400 invalid_grant: expired authorization code")
    );
    assert!(again.story.logs.text().contains("exchange: code_expired_or_reused"));
    again.ends_well().await;
}

/// PKCE (RFC 7636): a code that nobody has spent yet is worth nothing with the verifier of another attempt.
#[tokio::test]
async fn unspent_code_fails_at_another_attempts_verifier() {
    let again = Returning::begin().await;
    let (first, second) = (again.answer().await, again.answer().await);
    let visited = again.alice.history();
    let asked: Vec<_> = visited.iter().filter(|url| url.path() == "/services/oauth2/authorize").collect();
    assert!(asked.iter().all(|url| parameter(url, "code_challenge_method") == "S256"), "{asked:?}");
    assert!(asked.len() >= 3 && asked.iter().all(|url| parameter(url, "code_challenge").len() == 43));

    let page = again.alice.get(&with(&second, "code", &parameter(&first, "code"))).await;

    assert!(page.url.path().starts_with("/help/fl_"), "{page:?}");
    let logs = again.story.logs.text();
    assert!(logs.contains("Salesforce answered 400 invalid_grant: invalid code verifier"));
    again.ends_well().await;
}

#[tokio::test]
async fn whoever_stays_too_long_at_salesforce_is_told_so_and_goes_on() {
    let again = Returning::begin().await;
    let answer = again.answer().await;
    again.story.pass(SignedDuration::from_mins(31));

    let page = again.alice.get(answer.as_str()).await;

    says(&page, 200, "This attempt took too long, so we ended it.");
    assert!(page.has("Fernway"), "the attempt is known, so the page is branded: {page:?}");
    assert!(again.story.logs.text().contains("callback: attempt_expired"));
    let connect = page.click("Try again").await;
    let home = approve(connect.choose("Production").click("Continue to Salesforce").await).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    again.ends_well().await;
}

#[tokio::test]
async fn a_link_whose_time_is_over_leads_back_to_the_product() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let open = again.alice.get(&link).await;
    again.story.pass(SignedDuration::from_mins(61));

    says(&again.alice.get(&link).await, 410, "This link has expired");
    says(&open.choose("Production").click("Continue to Salesforce").await, 410, "This link has expired");
    says(&again.alice.get(&format!("{link}/trouble")).await, 410, "This link has expired");

    assert!(again.story.logs.text().contains("the connect session is over"));
    again.ends_well().await;
}

#[tokio::test]
async fn a_link_that_nobody_gave_out_leads_nowhere() {
    let again = Returning::begin().await;
    let origin = &again.story.stack.latchkey;
    let invented = "ck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    for path in [format!("/connect/{invented}"), format!("/connect/{invented}/trouble"), "/help/fl_x".into()]
    {
        says(&again.alice.get(&format!("{origin}{path}")).await, 404, "This link does not work");
    }
    let posted =
        again.alice.post_form(&format!("{origin}/connect/{invented}"), &[("host", "production")]).await;
    says(&posted, 404, "This link does not work");

    assert!(again.story.logs.text().contains("no session has this link"));
    assert!(again.story.logs.text().contains("nothing is behind this link"));
    again.story.secrets.keep("connect key", invented);
    again.ends_well().await;
}

#[tokio::test]
async fn two_tabs_of_two_sessions_both_connect() {
    let again = Returning::begin().await;
    let (one, two) = (again.about_to_return().await, again.about_to_return().await);

    let (two, one) = (two.follow().await, one.follow().await);

    assert!(one.has("Your Salesforce accounts"), "{one:?}");
    assert!(two.has("Your Salesforce accounts"), "{two:?}");
    let states: Vec<_> = again.story.connections().await.iter().map(|found| found["state"].clone()).collect();
    assert_eq!(states, [json!("active")], "the one from before was renewed twice");
    again.ends_well().await;
}

#[tokio::test]
async fn two_tabs_of_one_session_connect_once_and_both_end_well() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let one = again.story.about_to_return(&again.alice, &link).await;
    let two = again.story.about_to_return(&again.alice, &link).await;

    let (two, one) = (two.follow().await, one.follow().await);

    assert!(two.has("Your Salesforce accounts"), "{two:?}");
    says(&one, 200, "Already connected");
    assert_eq!(one.links()[0].0, "Go back to Fernway");
    assert!(again.story.logs.text().contains("the session is connected already"));
    assert_eq!(again.story.connections().await.len(), 1, "the one from before was renewed");
    again.ends_well().await;
}

#[tokio::test]
async fn two_tabs_of_one_session_at_once_connect_once() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let one = again.story.about_to_return(&again.alice, &link).await;
    let two = again.story.about_to_return(&again.alice, &link).await;

    let (one, two) = tokio::join!(one.follow(), two.follow());

    let is_home = |page: &Page| page.status == 200 && page.url.path() == "/";
    let (won, lost) = if is_home(&one) { (one, two) } else { (two, one) };
    assert!(is_home(&won) && won.has("Your Salesforce accounts"), "{won:?}");
    // The winner's product may not have redeemed yet: then nothing is connected. Or the winner's return took the place of
    // this one before its product had redeemed it.
    let ours = ["Already connected", "Finish in Fernway"].contains(&lost.heading().as_str());
    assert!(ours || lost.status == 409, "{lost:?}");
    again.ends_well().await;
}

#[tokio::test]
async fn a_failure_in_one_tab_does_not_undo_the_other() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let one = again.story.about_to_return(&again.alice, &link).await;
    let two = again.story.about_to_return(&again.alice, &link).await;
    let denied = with(&two.location().expect("a redirect"), "code", "a-code-of-nobody");

    assert!(one.follow().await.has("Your Salesforce accounts"));
    let page = again.alice.get(&denied).await;

    says(&page, 200, "Connected. Nothing more to do.");
    again.ends_well().await;
}
