//! A reconnect, and at the same time a refresh, a deletion, a table that fails.

use std::time::Duration;

use jiff::SignedDuration;
use journeys::Returning;
use serde_json::{Value, json};
use world::{
    dynamodb::{Fault as TableFault, Which},
    salesforce::{Ending, Fault},
};

use crate::reconnect::{
    Receipt, UMA, comes_back_as, comes_back_as_ada, endings, holds_the_newest_grant, session, status,
};

#[tokio::test]
async fn a_refresh_before_the_redemption_is_seen_and_its_token_is_the_one_revoked() {
    let again = Returning::begin().await;
    let receipt = Receipt::of(&again).await;
    again.story.pass(SignedDuration::from_mins(5));
    let path = format!("/v1/connections/{}/token", again.earlier);
    let rotated = again.story.call("POST", &path, Some(json!({ "minimum_lifetime": 800 }))).await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    assert_eq!(again.story.stack.salesforce.grants()[0].spent.len(), 1, "the refresh token was rotated");

    receipt.redeemed(&again.story).await;

    assert_eq!(endings(&again.story), [Some(Ending::Revoked), None], "not replayed: the newest was revoked");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_refresh_that_ends_after_the_reconnect_overwrites_nothing_and_is_revoked() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    again.story.pass(SignedDuration::from_mins(5));
    let path = format!("/v1/connections/{}/token", again.earlier);
    // Lease and began go through; then the table refuses to save the rotated token for a while.
    let refuse = TableFault::refuse("InternalServerError").on(Which::Operation("UpdateItem"));
    story.stack.dynamodb.inject(refuse.after(2).times(8));

    let late = story.call("POST", &path, Some(json!({ "minimum_lifetime": 800 })));
    let redemption = async {
        while story.stack.salesforce.grants()[0].spent.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        receipt.redeemed(story).await
    };
    let (late, redeemed) = tokio::join!(late, redemption);

    assert_eq!(redeemed.text("state"), "active");
    assert_eq!(late.status, 200, "{}", late.body);
    assert_eq!(
        late.body["fingerprint"],
        story.token(&again.earlier).await.body["fingerprint"],
        "the new grant's token"
    );
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_refresh_that_finds_the_old_grant_revoked_gets_the_new_ones_token() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.pass(SignedDuration::from_mins(5));
    story.stack.salesforce.queue_token_fault(Fault::Slow(Duration::from_millis(900)));
    let path = format!("/v1/connections/{}/token", again.earlier);

    let late = story.call("POST", &path, Some(json!({ "minimum_lifetime": 800 })));
    let redemption = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        receipt.redeemed(story).await
    };
    let (late, redeemed) = tokio::join!(late, redemption);

    assert_eq!(redeemed.text("state"), "active");
    assert_eq!(late.status, 200, "nobody has to connect again: {}", late.body);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    holds_the_newest_grant(&again).await;
}

/// The product's request and its retry arrive together: whichever comes second finds the connection taken over by the
/// first, and is told the same.
#[tokio::test]
async fn redemptions_of_one_receipt_at_once_have_the_same_answer() {
    for switches in [false, true] {
        let again = Returning::begin().await;
        let story = &again.story;
        let receipt = if switches {
            let (page, _) = comes_back_as_ada(&again).await;
            again.alice.stop_before("/salesforce/return");
            Receipt::on(&page.click("Switch to ada@acme.example").await)
        } else {
            Receipt::of(&again).await
        };

        let redeemed = || receipt.redeemed_by(story, "u-alice");
        let (one, two, three, four) = tokio::join!(redeemed(), redeemed(), redeemed(), redeemed());
        let later = redeemed().await;

        for answer in [one, two, three, four, later] {
            assert_eq!(answer.status, 200, "switches: {switches}: {}", answer.body);
            assert_eq!(answer.text("id"), again.earlier);
            assert_eq!(answer.body["reconnected"]["identity_changed"], switches, "{}", answer.body);
            assert_eq!(answer.body["reconnected"]["previous"]["username"], UMA, "{}", answer.body);
        }
        // Another user learns nothing, and changes nothing.
        assert_eq!(receipt.redeemed_by(story, "u-mallory").await.problem(), "receipt-used");
        assert_eq!(endings(story), [Some(Ending::Revoked), None]);
        holds_the_newest_grant(&again).await;
    }
}

/// The first redemption is carried out between the second one's reading of the new grant and of the connection.
#[tokio::test]
async fn redemption_overtaken_by_its_own_retry_repeats_the_answer() {
    for attempt in 0..6 {
        let again = Returning::begin().await;
        let story = &again.story;
        let (page, _) = comes_back_as_ada(&again).await;
        again.alice.stop_before("/salesforce/return");
        let receipt = Receipt::on(&page.click("Switch to ada@acme.example").await);
        // The second request's try of a read is refused, and repeated once the first one is done.
        let refuse = TableFault::refuse("InternalServerError").on(Which::Reads);
        story.stack.dynamodb.inject(refuse.after(attempt).times(1));

        let (one, two) =
            tokio::join!(receipt.redeemed_by(story, "u-alice"), receipt.redeemed_by(story, "u-alice"));

        for answer in [one, two] {
            assert_eq!(answer.status, 200, "read {attempt} is late: {}", answer.body);
            assert_eq!(answer.body["reconnected"]["identity_changed"], true);
        }
        assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    }
}

#[tokio::test]
async fn a_connection_that_is_deleted_meanwhile_is_not_brought_back() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (before, session) = (Receipt::of(&again).await, session(&again, json!({})).await);
    let (page, parked) = comes_back_as_ada(&again).await;
    let one = format!("/v1/connections/{}", again.earlier);
    assert_eq!(story.call("DELETE", &one, None).await.status, 204);

    // At the redemption, at the callback, and at the confirmed one's redemption.
    let redeemed = before.redeemed_by(story, "u-alice").await;
    assert_eq!((redeemed.status, redeemed.problem()), (409, "reconnect-overtaken"), "{}", redeemed.body);
    assert_eq!(status(story, &before.session).await["failure"]["cause"], "reconnect_overtaken");
    let help = comes_back_as(&again.alice, session.text("connect_url"), "Production", UMA).await;
    assert!(help.has("The connection was changed or removed while you were signing in"), "{}", help.text());
    again.alice.stop_before("/salesforce/return");
    let confirmed = Receipt::on(&page.click("Switch to ada@acme.example").await);
    assert_eq!(confirmed.redeemed_by(story, "u-mallory").await.problem(), "other-user");
    assert_eq!(status(story, &parked).await["failure"]["cause"], "receipt_refused");

    assert_eq!(story.connections().await, Vec::<Value>::new());
    assert_eq!(story.stack.salesforce.live_grants().len(), 0, "{:?}", endings(story));
}

#[tokio::test]
async fn a_table_that_fails_in_the_exchange_of_the_grants_loses_nothing() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    let transactions = Which::Operation("TransactWriteItems");

    story.stack.dynamodb.inject(TableFault::refuse("AccessDeniedException").on(transactions).times(99));
    let refused = receipt.redeemed_by(story, "u-alice").await;
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"), "{}", refused.body);
    story.stack.dynamodb.mend();
    again.works(&again.earlier).await;
    assert_eq!(endings(story), [None, None], "both grants are there, and known");

    // Carried out, and every answer of the SDK's three tries lost: it is found to be carried out.
    story.stack.dynamodb.inject(TableFault::lose_answer().on(transactions).times(3));
    let redeemed = receipt.redeemed(story).await;
    assert_eq!(redeemed.body["reconnected"]["previous"]["username"], UMA);
    holds_the_newest_grant(&again).await;
}
