//! The attacker signs in with a login of their own on a victim's link, and makes the victim follow the way back.
//!
//! Latchkey cannot tell this from a user who has two browsers: the product redeems, for its own user. What Latchkey does is
//! to give the receipt to the attacker's browser alone, and to name the org and the user before and when the product
//! redeems. docs/api.md says what a product does with that.

use journeys::{Answer, Returning, Story, says};
use serde_json::{Value, json};
use world::browser::{Browser, Page};

use crate::attacker::scene::{ADA, GIL, UMA, comes_back_as, part};

const CAME_BACK_FIRST: &str = "Another browser came back first";

/// The attacker, with an org of their own in which the app is installed.
async fn mallory(story: &Story) -> Browser {
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.install("globex", &key).expect("the app can be installed");
    story.signed_in("Mallory").await
}

/// The victim's browser opens the link: it is not led on with a receipt.
async fn gets_no_receipt(again: &Returning, link: &str) {
    again.alice.stop_before("/salesforce/return");
    let page = again.alice.get(link).await;
    let leads = page.location().map(|to| to.to_string()).unwrap_or_default();
    assert!(!leads.contains("receipt=") && !page.body.contains("receipt="), "{page:?}");
    assert!(!page.has(GIL) && !page.has("globex"), "nor is it told who signed in: {page:?}");
}

/// Who the victims are at Salesforce stands nowhere on the page.
fn names_no_victim(story: &Story, page: &Page) {
    let org = story.stack.salesforce.org("acme");
    let ids = org.users.iter().map(|user| user.id[..15].to_owned()).chain([org.id[..15].to_owned()]);
    let names =
        org.users.iter().map(|user| user.username.clone()).chain(["acme.my.salesforce.localhost".to_owned()]);
    for text in ids.chain(names) {
        assert!(!page.body.contains(&text), "{} names {text}: {}", page.url, page.text());
    }
}

#[tokio::test]
async fn own_login_on_a_victims_link_is_named_to_the_product() {
    let again = Returning::begin().await;
    let story = &again.story;
    let mallory = mallory(story).await;
    let wish = story.wish(json!({})).await;
    let link = wish.text("connect_url");
    let back = comes_back_as(&mallory, link, GIL, "/salesforce/return").await;
    let back = back.location().expect("the receipt is in the attacker's browser");
    gets_no_receipt(&again, link).await;

    // The victim is made to open the attacker's way back; the product redeems for the victim, who made the session.
    let path = format!("/v1/connect-sessions/{}/redeem", part(&back, "connect_session"));
    let call = json!({ "receipt": part(&back, "receipt"), "user": "u-alice" });
    let redeemed = story.call("POST", &path, Some(call)).await;

    // The answer names the org and the user: a product that shows them, or compares them, takes it back.
    assert_eq!((redeemed.status, redeemed.text("username")), (200, GIL), "{}", redeemed.body);
    let globex = story.stack.salesforce.org("globex").id;
    assert_eq!(redeemed.text("org_id")[..15], globex[..15]);
    assert_ne!(redeemed.text("id"), again.earlier, "the victim's connection is not touched");
    let path = format!("/v1/connections/{}", redeemed.text("id"));
    assert_eq!(story.call("DELETE", &path, None).await.status, 204);
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
    again.works(&again.earlier).await;
}

#[tokio::test]
async fn own_login_on_a_victims_reconnect_is_named_before_it_is_redeemed() {
    let again = Returning::begin().await;
    let story = &again.story;
    let mallory = mallory(story).await;
    let wish = story.wish(json!({ "connection_id": again.earlier })).await;
    let link = wish.text("connect_url");
    let parked = comes_back_as(&mallory, link, GIL, "/salesforce/return").await;
    assert!(parked.url.path().ends_with("/confirm"), "{parked:?}");
    names_no_victim(story, &parked);
    let switched = mallory_switches(&mallory, &parked).await;
    gets_no_receipt(&again, link).await;

    // The session names both before anything is redeemed, so the product does not redeem.
    assert_eq!(part(&switched, "connect_session"), wish.text("id"));
    let session = story.call("GET", &format!("/v1/connect-sessions/{}", wish.text("id")), None).await;
    let change = &session.body["identity_change"];
    assert_eq!(change["before"]["username"], UMA, "{}", session.body);
    assert_eq!(change["after"]["username"], GIL, "{}", session.body);
    story.pass(jiff::SignedDuration::from_mins(11));
    story.stack.sweep().await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "the attacker's grant is revoked");
    again.works(&again.earlier).await;
}

/// The link and a login of the attacker's own, all the way: the question, the refusal, and another try.
#[tokio::test]
async fn own_login_on_a_victims_reconnect_shows_nothing_of_the_victim() {
    let again = Returning::begin().await;
    let story = &again.story;
    let mallory = mallory(story).await;
    let wish = story.wish(json!({ "connection_id": again.earlier })).await;
    let parked = comes_back_as(&mallory, wish.text("connect_url"), GIL, "/salesforce/return").await;

    assert_eq!(parked.heading(), "You signed in to a different Salesforce org");
    assert!(parked.has(GIL) && parked.has("globex.my.salesforce.localhost"), "their own: {}", parked.text());
    let help = parked.click("Keep the current connection").await;
    assert!(help.url.path().starts_with("/help/fl_") && help.has("Nothing was changed"), "{}", help.text());
    let connect = help.click("Try again").await;
    assert!(connect.has("This renews an existing connection"), "{}", connect.text());

    for page in [&parked, &help, &connect] {
        names_no_victim(story, page);
    }
    again.works(&again.earlier).await;
}

/// The link's session, and an answer of Salesforce for the attacker's own org that waits in the attacker's browser.
async fn kept_answer(mallory: &Browser, wish: &Answer) -> Page {
    let kept = comes_back_as(mallory, wish.text("connect_url"), GIL, "/oauth/callback").await;
    assert!(kept.location().is_some_and(|to| to.path() == "/oauth/callback"), "{kept:?}");
    kept
}

/// The attacker set out on the link before the victim came back, and comes back after: the victim's receipt stands.
#[tokio::test]
async fn attempt_begun_before_does_not_replace_a_receipt() {
    let again = Returning::begin().await;
    let story = &again.story;
    let mallory = mallory(story).await;
    let wish = story.wish(json!({})).await;
    let kept = [kept_answer(&mallory, &wish).await, kept_answer(&mallory, &wish).await];
    let back = comes_back_as(&again.alice, wish.text("connect_url"), UMA, "/salesforce/return").await;
    let back = back.location().expect("on the way to the product");

    for kept in kept {
        let page = kept.follow().await;
        says(&page, 409, CAME_BACK_FIRST);
        names_no_victim(story, &page);
    }

    assert_eq!(story.stack.salesforce.live_grants().len(), 2, "the victim's two; the attacker's are revoked");
    let path = format!("/v1/connect-sessions/{}/redeem", part(&back, "connect_session"));
    let call = json!({ "receipt": part(&back, "receipt"), "user": "u-alice" });
    let redeemed = story.call("POST", &path, Some(call)).await;
    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
    assert_eq!(redeemed.text("username"), UMA);
    again.works(&again.earlier).await;
    assert_eq!(later_failures(story).await, Vec::<Value>::new(), "nothing of it is our fault");
}

/// The same while the victim reads the confirm page: it is still the victim's to answer.
#[tokio::test]
async fn attempt_begun_before_does_not_replace_a_parked_grant() {
    let again = Returning::begin().await;
    let story = &again.story;
    let mallory = mallory(story).await;
    let wish = story.wish(json!({ "connection_id": again.earlier })).await;
    let kept = kept_answer(&mallory, &wish).await;
    let asked = comes_back_as(&again.alice, wish.text("connect_url"), ADA, "/salesforce/return").await;
    assert!(asked.url.path().ends_with("/confirm"), "{asked:?}");

    let page = kept.follow().await;
    says(&page, 409, CAME_BACK_FIRST);
    names_no_victim(story, &page);

    assert_eq!(again.alice.get(asked.url.as_str()).await.status, 200, "the victim is still asked");
    again.alice.stop_before("/salesforce/return");
    let back = asked.click("Switch to ada@acme.example").await.location().expect("the victim decides");
    let path = format!("/v1/connect-sessions/{}/redeem", wish.text("id"));
    let call = json!({ "receipt": part(&back, "receipt"), "user": "u-alice" });
    let redeemed = story.call("POST", &path, Some(call)).await;
    assert_eq!((redeemed.status, redeemed.text("username")), (200, ADA), "{}", redeemed.body);
    again.works(&again.earlier).await;
}

/// What a browser brings as an error of Salesforce is the browser's word (RFC 6749 4.1.2.1). It is on record as observed,
/// and however often it is brought, one event a day tells the product of it.
#[tokio::test]
async fn invented_errors_make_one_event_a_day() {
    let again = Returning::begin().await;
    let story = &again.story;
    let mallory = story.stack.browser();
    for customer in ["c-one", "c-two"] {
        let wish = story.wish(json!({ "customer": { "id": customer } })).await;
        for _ in 0..2 {
            let connect = mallory.get(wish.text("connect_url")).await.choose("Production");
            connect.click("Continue to Salesforce").await;
            let visited = mallory.history();
            let sent = visited.iter().rev().find(|url| url.query_pairs().any(|(name, _)| name == "state"));
            let state = part(sent.expect("an authorize address"), "state");
            let error = format!("state={state}&error=redirect_uri_mismatch&error_description=invented");
            let help = mallory.get(&format!("{}/oauth/callback?{error}", story.stack.latchkey)).await;
            assert!(help.url.path().starts_with("/help/fl_"), "{}", help.url);
        }
    }

    story.stack.notify().await;
    story.pass(jiff::SignedDuration::from_secs(11));
    let told = story.call("GET", "/v1/events?types=app.incident", None).await;
    assert_eq!(told.body["events"].as_array().expect("a list").len(), 1, "{}", told.body);
    assert_eq!(told.body["events"][0]["data"]["cause"], "redirect_uri_mismatch", "{}", told.body);
    again.works(&again.earlier).await;
}

/// What is on record as failed once every attempt has expired and the sweep has been by.
async fn later_failures(story: &Story) -> Vec<Value> {
    story.pass(jiff::SignedDuration::from_mins(31));
    story.stack.sweep().await;
    let listed = story.call("GET", "/v1/failures", None).await;
    listed.body["failures"].as_array().expect("a list").clone()
}

async fn mallory_switches(browser: &Browser, parked: &Page) -> url::Url {
    browser.stop_before("/salesforce/return");
    parked
        .click("Switch to globex.my.salesforce.localhost")
        .await
        .location()
        .expect("the attacker's own browser decides")
}
