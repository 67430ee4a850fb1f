//! Another org or user comes back: parked, until the browser that went to Salesforce decides.

use jiff::SignedDuration;
use journeys::{Returning, Story, says};
use serde_json::{Value, json};
use world::salesforce::Ending;

use crate::reconnect::{
    ADA, ANOTHER_USER, Receipt, UMA, comes_back_as, comes_back_as_ada, endings, holds_ada,
    holds_the_newest_grant, is_untouched, session, shown, status,
};

#[tokio::test]
async fn another_user_is_parked_until_the_user_who_sees_both_confirms() {
    let again = Returning::begin().await;
    let story = &again.story;

    let (page, session) = comes_back_as_ada(&again).await;

    assert!(page.has(UMA) && page.has(ADA), "both are shown: {}", page.text());
    assert!(page.has("acme.my.salesforce.localhost") && page.has("30 minutes"), "{}", page.text());
    let parked = status(story, &session).await;
    assert_eq!(parked["status"], "parked");
    let change = &parked["identity_change"];
    assert_eq!((&change["before"]["username"], &change["after"]["username"]), (&json!(UMA), &json!(ADA)));
    assert_eq!(change["sandbox_refreshed"], false);
    assert_eq!(shown(story, &again.earlier).await["username"], UMA, "nothing has changed");
    again.works(&again.earlier).await;

    again.alice.stop_before("/salesforce/return");
    let receipt = Receipt::on(&page.click("Switch to ada@acme.example").await);
    assert_eq!(status(story, &session).await["status"], "returned");
    assert_eq!(shown(story, &again.earlier).await["username"], UMA, "nor has it before the product redeems");
    let redeemed = receipt.redeemed(story).await;

    assert_eq!((redeemed.text("id"), redeemed.text("username")), (again.earlier.as_str(), ADA));
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], true);
    assert_eq!(redeemed.body["reconnected"]["previous"]["username"], UMA);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(status(story, &session).await["identity_change"]["after"]["username"], ADA);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn another_user_who_is_refused_is_revoked_and_the_right_one_can_try_at_once() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (page, session) = comes_back_as_ada(&again).await;

    let help = page.click("Keep uma@acme.example").await;

    assert!(help.url.path().starts_with("/help/fl_"), "{}", help.url);
    assert!(help.has("Nothing was changed") && help.has("Ask me to sign in again"), "{}", help.text());
    assert_eq!(endings(story), [None, Some(Ending::Revoked)]);
    let failed = status(story, &session).await;
    assert_eq!(
        (&failed["status"], &failed["failure"]["cause"]),
        (&json!("failed"), &json!("other_identity"))
    );
    is_untouched(&again).await;
    // To decide once more is to be told what was decided.
    assert_eq!(again.alice.get(page.url.as_str()).await.url, help.url);

    let connect = help.click("Try again").await;
    assert!(connect.has("This renews an existing connection"), "{}", connect.text());
    let back = comes_back_as(&again.alice, connect.url.as_str(), "Production", UMA).await;
    Receipt::on(&back).redeemed(story).await;
    assert_eq!(status(story, &session).await["identity_change"], Value::Null, "what was refused is past");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn another_user_whom_nobody_confirms_is_revoked_by_the_sweep() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (page, session) = comes_back_as_ada(&again).await;
    story.pass(SignedDuration::from_mins(29));
    assert_eq!(story.stack.sweep().await, local::Swept::default(), "not yet");

    story.pass(SignedDuration::from_mins(2));
    assert_eq!(again.alice.get(page.url.as_str()).await.status, 410, "too late to confirm");
    let swept = story.stack.sweep().await;

    assert_eq!((swept.unconfirmed, swept.revoked, swept.put_off), (1, 1, 0));
    let failed = status(story, &session).await;
    assert_eq!(
        (&failed["status"], &failed["failure"]["cause"]),
        (&json!("failed"), &json!("other_identity"))
    );
    again.alice.stop_before("/salesforce/return");
    let late = page.click("Switch to ada@acme.example").await;
    assert!(late.url.path().starts_with("/help/fl_") && late.has("Nothing was changed"), "{}", late.text());
    assert_eq!(story.stack.sweep().await, local::Swept::default(), "a second run finds nothing");
    is_untouched(&again).await;
}

#[tokio::test]
async fn a_sandbox_that_was_refreshed_is_recognised_and_said_so() {
    let story = Story::installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.install("acme--uat", &key).expect("installed");
    let alice = story.signed_in("Alice").await;
    let link = story.invite().await;
    let back = comes_back_as(&alice, &link, "Sandbox", "uma@acme.example.uat").await;
    let earlier = Receipt::on(&back).redeemed(&story).await.text("id").to_owned();
    let again = Returning { story, alice, earlier };
    let story = &again.story;

    story.stack.salesforce.refresh_sandbox("acme--uat");
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&again.earlier).await.problem(), "reauthorization-needed");
    let session = session(&again, json!({})).await;
    let link = session.text("connect_url");
    let page = comes_back_as(&again.alice, link, "Sandbox", "uma@acme.example.uat").await;

    says(&page, 200, "This sandbox was probably refreshed");
    let change = status(story, session.text("id")).await["identity_change"].clone();
    assert_eq!(change["sandbox_refreshed"], true);
    assert_eq!(change["before"]["username"], change["after"]["username"]);
    assert_ne!(change["before"]["org_id"], change["after"]["org_id"]);

    again.alice.stop_before("/salesforce/return");
    let redeemed = Receipt::on(&page.click("Use the refreshed sandbox").await).redeemed(story).await;
    assert_eq!(redeemed.text("org_id"), change["after"]["org_id"].as_str().expect("an org id"));
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], true);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn only_the_browser_that_went_to_salesforce_decides_and_looking_changes_nothing() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (page, session) = comes_back_as_ada(&again).await;
    let (link, yes) = (page.url.to_string(), [("confirm", "yes")]);

    let mallory = story.signed_in("Mallory").await;
    says(&mallory.get(&link).await, 403, "This isn't the browser you started in");
    says(&mallory.post_form(&link, &yes).await, 403, "This isn't the browser you started in");
    let evil = again.alice.at("http://evil.localhost:1/").post_form(&link, &yes).await;
    says(&evil, 400, "This form didn't come from our page");
    says(&again.alice.post_form(&link, &[("confirm", "perhaps")]).await, 400, "We could not read that");
    let unknown = link.replace("/connect/ck_", "/connect/ck_x");
    says(&again.alice.get(&unknown).await, 404, "This link does not work");
    says(&again.alice.get(&link).await, 200, ANOTHER_USER);
    let connect = link.strip_suffix("/confirm").expect("the connect link");
    says(&again.alice.get(connect).await, 200, ANOTHER_USER);
    assert_eq!(status(story, &session).await["status"], "parked");
    assert_eq!(endings(story), [None, None]);

    // A double click: both answers have the same receipt.
    again.alice.stop_before("/salesforce/return");
    let first = Receipt::on(&page.click("Switch to ada@acme.example").await);
    again.alice.stop_before("/salesforce/return");
    let second = Receipt::on(&page.click("Switch to ada@acme.example").await);
    assert_eq!((&first.session, &first.receipt), (&second.session, &second.receipt));
    second.redeemed(story).await;
    says(&again.alice.get(&link).await, 200, "Already connected");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn who_agreed_to_one_change_has_not_agreed_to_the_next() {
    let again = Returning::begin().await;
    let story = &again.story;
    let same = Receipt::of(&again).await;
    let (page, _) = comes_back_as_ada(&again).await;
    again.alice.stop_before("/salesforce/return");
    Receipt::on(&page.click("Switch to ada@acme.example").await).redeemed(story).await;

    // It was the same user when it came back. By now the connection is Ada's.
    let overtaken = same.redeemed_by(story, "u-alice").await;

    assert_eq!((overtaken.status, overtaken.problem()), (409, "reconnect-overtaken"), "{}", overtaken.body);
    assert_eq!(shown(story, &again.earlier).await["username"], ADA);
    holds_ada(&again).await;
}
