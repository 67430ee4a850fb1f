//! The same Salesforce user comes back: the connection keeps its id, and only who began it may redeem.

use jiff::SignedDuration;
use journeys::Returning;
use serde_json::{Value, json};
use world::salesforce::Ending;

use crate::reconnect::{
    Receipt, UMA, asked, endings, holds_the_newest_grant, is_untouched, shown, status, the_other,
};

#[tokio::test]
async fn the_same_user_comes_back_and_the_connection_keeps_its_id() {
    let again = Returning::begin().await;
    let (story, created) = (&again.story, shown(&again.story, &again.earlier).await["created_at"].clone());
    story.stack.salesforce.forget_calls();

    let receipt = Receipt::of(&again).await;

    // Until the product redeems, nothing has changed.
    again.works(&again.earlier).await;
    assert_eq!(status(story, &receipt.session).await["status"], "returned");
    assert_eq!(asked(story), ["token"]);

    let redeemed = receipt.redeemed(story).await;

    assert_eq!((redeemed.text("id"), redeemed.text("state")), (again.earlier.as_str(), "active"));
    assert_eq!(redeemed.body["created_at"], created, "it is as old as it was");
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], false);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(asked(story), ["token", "revoke", "userinfo"], "the old one revoked, then the new one tried");
    let connected = status(story, &receipt.session).await;
    assert_eq!(
        (&connected["status"], &connected["connection_id"]),
        (&json!("connected"), &json!(again.earlier))
    );
    assert_eq!(receipt.redeemed(story).await.body, redeemed.body, "the product may have lost the answer");
    assert_eq!(receipt.redeemed_by(story, "u-mallory").await.problem(), "receipt-used");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_connection_that_salesforce_ended_works_again_under_its_id() {
    let again = Returning::begin().await;
    again.story.stack.salesforce.revoke_grants("acme", UMA);
    again.story.pass(SignedDuration::from_mins(16));
    assert_eq!(again.story.token(&again.earlier).await.problem(), "reauthorization-needed");

    let redeemed = Receipt::of(&again).await.redeemed(&again.story).await;

    assert_eq!(redeemed.text("state"), "active");
    assert_eq!(redeemed.body["failure"], Value::Null);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_reconnect_that_another_user_redeems_leaves_the_connection_untouched() {
    let again = Returning::begin().await;
    let receipt = Receipt::of(&again).await;

    let refused = receipt.redeemed_by(&again.story, "u-mallory").await;

    assert_eq!((refused.status, refused.problem()), (409, "other-user"));
    assert_eq!(endings(&again.story), [None, Some(Ending::Revoked)]);
    assert_eq!(receipt.redeemed_by(&again.story, "u-alice").await.problem(), "receipt-refused");
    is_untouched(&again).await;
}

#[tokio::test]
async fn a_reconnect_that_is_never_redeemed_is_revoked_and_leaves_the_connection_untouched() {
    let again = Returning::begin().await;
    let receipt = Receipt::of(&again).await;
    again.story.pass(SignedDuration::from_mins(11));

    let swept = again.story.stack.sweep().await;

    assert_eq!((swept.unredeemed, swept.revoked), (1, 1));
    assert_eq!(receipt.redeemed_by(&again.story, "u-alice").await.problem(), "receipt-refused");
    is_untouched(&again).await;
}

#[tokio::test]
async fn two_reconnects_at_once_both_succeed_and_one_grant_is_left() {
    let again = Returning::begin().await;
    let (one, other) = (Receipt::of(&again).await, Receipt::of(&again).await);

    tokio::join!(one.redeemed(&again.story), other.redeemed(&again.story));

    assert_eq!(again.story.stack.salesforce.live_grants().len(), 1, "{:?}", endings(&again.story));
    assert_eq!(again.story.connections().await.len(), 1);
    again.works(&again.earlier).await;
    again.story.pass(SignedDuration::from_mins(16));
    again.ends_well().await;
}

#[tokio::test]
async fn only_a_connection_of_the_products_own_can_be_authorized_anew() {
    let again = Returning::begin().await;
    let story = &again.story;
    let tidewater = story.stack.api_key("tidewater").expose().to_owned();
    let wish = json!({
        "connection_id": again.earlier, "user": "u-1", "return_to": story.stack.products[1].return_addresses[0],
    });
    let path = "/v1/connect-sessions";

    let other = story.call_with(&tidewater, &[], "POST", path, Some(wish.to_string())).await;
    assert_eq!((other.status, other.problem()), (404, "not-found"), "{}", other.body);
    for unknown in ["con_00000000000000000000000000", "x"] {
        let answer = story.wish(json!({ "connection_id": unknown })).await;
        assert_eq!((answer.status, answer.problem()), (404, "not-found"), "{unknown}");
    }
    let customer = json!({ "connection_id": again.earlier, "customer": { "id": "c-other" } });
    let answer = story.wish(customer).await;
    assert_eq!((answer.status, answer.problem()), (400, "bad-request"), "{}", answer.body);
    assert!(answer.text("detail").contains("customer"), "{}", answer.body);

    // Customer and app are the connection's where they are not given.
    let short = json!({
        "connection_id": again.earlier, "user": "u-alice", "return_to": story.stack.products[0].return_addresses[0],
    });
    let answer = story.call("POST", path, Some(short)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(
        (answer.text("app"), answer.body["customer"]["name"].as_str()),
        ("sync", Some("Acme Corporation"))
    );

    // One that waits to be redeemed has a receipt to be brought; one on its way out is gone.
    let receipt = Receipt::of(&again).await;
    let pending = the_other(&again, "pending").await;
    let answer = story.wish(json!({ "connection_id": pending })).await;
    assert_eq!((answer.status, answer.problem()), (409, "not-redeemed"), "{}", answer.body);
    assert_eq!(story.token(&pending).await.problem(), "not-redeemed");
    receipt.redeemed_by(story, "u-mallory").await;
    is_untouched(&again).await;
}
