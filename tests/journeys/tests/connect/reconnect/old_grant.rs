//! What becomes of the grant from before.

use jiff::SignedDuration;
use journeys::Returning;
use serde_json::json;
use store::AppAt;
use world::salesforce::{Ending, Endpoint};

use crate::reconnect::{
    Receipt, UMA, asked, comes_back_as, endings, holds_the_newest_grant, session, shown, the_other,
};

#[tokio::test]
async fn a_revocation_that_fails_is_tried_again_by_the_sweep() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.set_unreachable(true);

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(redeemed.text("state"), "active", "Salesforce being away stops no reconnect");
    assert_eq!(endings(story), [None, None]);
    assert_eq!(story.token(&the_other(&again, "revoking").await).await.status, 404);
    assert_eq!(story.stack.sweep().await.put_off, 1);

    story.stack.salesforce.set_unreachable(false);
    story.stack.salesforce.forget_calls();
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.stack.sweep().await.revoked, 1);
    assert_eq!(asked(story), ["revoke", "userinfo"], "and the new one is tried then");
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn where_revoking_the_old_grant_ends_the_new_one_too_latchkey_notices_and_says_so() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    let product = "fernway".parse().expect("an id");
    let app = story.stack.app("fernway", "sync");
    let app = AppAt { product: &product, app: &app.id, consumer_key: &app.consumer_key };
    story.stack.store.note_introspects(app).await.expect("the table takes it");
    story.stack.salesforce.set_revoking_ends_all(true);
    story.stack.salesforce.forget_calls();

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(asked(story), ["revoke", "userinfo", "introspect"], "asked, and no refresh token sent");
    assert_eq!(endings(story), [Some(Ending::Revoked), Some(Ending::Revoked)]);
    assert_eq!(redeemed.text("state"), "needs_reauth");
    let over = story.token(&again.earlier).await;
    assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);
    assert_eq!(over.text("cause"), "ended_by_revoke");
    assert!(over.text("help_url").ends_with(redeemed.text("failure")));
    let help = again.alice.get(over.text("help_url")).await;
    assert!(help.has("Salesforce ended the new access together with the old one"), "{}", help.text());

    // Once more, and there is nothing old left that could end it.
    Receipt::of(&again).await.redeemed(story).await;
    holds_the_newest_grant(&again).await;
}

/// RFC 7662 gives `active: false` to an app that may not ask as well.
#[tokio::test]
async fn inactive_ends_nothing_if_the_app_may_not_be_allowed_to_ask() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.expire_access_tokens();
    story.stack.salesforce.misbehave(Endpoint::Introspect, "inactive", None);
    story.stack.salesforce.forget_calls();

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(asked(story), ["revoke", "userinfo", "introspect"]);
    assert_eq!(redeemed.text("state"), "active", "nobody knows whether the app may ask");
    story.stack.salesforce.behave();
    story.pass(SignedDuration::from_mins(16));
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_new_grant_whose_token_is_refused_but_whose_refresh_token_is_known_stays() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.expire_access_tokens();
    story.stack.salesforce.forget_calls();

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(asked(story), ["revoke", "userinfo", "introspect"]);
    assert_eq!(redeemed.text("state"), "active", "a session may end early; the grant stands");
    story.pass(SignedDuration::from_mins(16));
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_is_replaced_and_never_revoked_by_its_access_token() {
    let again = Returning::begin().await;
    // The product's file demands the scope; what was imported or made before may have come without.
    for attribute in ["refresh_token", "refresh_fingerprint"] {
        again.story.remove_attribute(&again.earlier, attribute).await;
    }
    again.story.stack.salesforce.forget_calls();

    Receipt::of(&again).await.redeemed(&again.story).await;

    assert_eq!(asked(&again.story), ["token"], "nothing is revoked");
    assert_eq!(endings(&again.story), [None, None]);
    assert_eq!(again.story.connections().await.len(), 1, "and nothing is left beside the connection");
    again.works(&again.earlier).await;
    again.story.pass(SignedDuration::from_mins(16));
    again.works(&again.earlier).await;
}

#[tokio::test]
async fn a_refresh_token_that_another_connection_holds_too_is_not_revoked() {
    let again = Returning::begin().await;
    let story = &again.story;
    // Another connection of the same app and user that holds the same grant, as an import can make one.
    story.connects(&again.alice).await;
    let other = the_other(&again, "active").await;
    story.copy_attribute(&again.earlier, &other, "refresh_fingerprint").await;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.forget_calls();

    receipt.redeemed(story).await;

    assert_eq!(asked(story), Vec::<String>::new());
    assert_eq!(endings(story), [None, None, None]);
    let left = story.connections().await;
    assert_eq!(left.len(), 2, "what was beside the connection is gone all the same: {left:?}");
    again.works(&again.earlier).await;
    again.works(&other).await;
}

#[tokio::test]
async fn a_connection_moves_to_an_external_client_app_and_refreshes_with_the_old_one_until_then() {
    let again = Returning::begin().await;
    let story = &again.story;
    story.install("insights");
    let insights = story.stack.app("fernway", "insights").consumer_key.clone();
    let session = session(&again, json!({ "app": "insights" })).await;
    let back = comes_back_as(&again.alice, session.text("connect_url"), "Production", UMA).await;
    story.pass(SignedDuration::from_mins(5));
    let path = format!("/v1/connections/{}/token", again.earlier);
    let refreshed = story.call("POST", &path, Some(json!({ "minimum_lifetime": 800 }))).await;
    assert_eq!(refreshed.status, 200, "the old app refreshes: {}", refreshed.body);
    assert_eq!(shown(story, &again.earlier).await["app"], "sync");

    let redeemed = Receipt::on(&back).redeemed(story).await;

    assert_eq!((redeemed.text("id"), redeemed.text("app")), (again.earlier.as_str(), "insights"));
    assert_eq!(redeemed.body["reconnected"]["previous"]["app"], "sync");
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], false);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(story.stack.salesforce.grants()[1].consumer_key, insights);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn old_grant_that_cannot_be_opened_is_replaced_all_the_same() {
    let again = Returning::begin().await;
    let story = &again.story;
    story.connects(&again.alice).await;
    let other = the_other(&again, "active").await;
    // Sealed for another connection, as after a keyring was lost: nobody can open it.
    for attribute in ["refresh_token", "access_token"] {
        story.copy_attribute(&other, &again.earlier, attribute).await;
    }
    let receipt = Receipt::of(&again).await;

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(redeemed.text("state"), "active", "a reconnect is the cure");
    assert_eq!(endings(story), [None, None, None], "what nobody can open, nobody can revoke");
    again.works(&again.earlier).await;
}

#[tokio::test]
async fn reconnect_whose_answer_names_no_instance_keeps_the_one_that_was() {
    let again = Returning::begin().await;
    let story = &again.story;
    let before = story.token(&again.earlier).await.text("instance_url").to_owned();
    story
        .stack
        .salesforce
        .queue_token_fault(world::salesforce::Fault::InstanceUrl("https://evil.example".into()));
    story.stack.salesforce.forget_calls();

    let redeemed = Receipt::of(&again).await.redeemed(story).await;

    assert_eq!(redeemed.text("state"), "active");
    assert_eq!(story.token(&again.earlier).await.text("instance_url"), before);
    let failures = story.call("GET", "/v1/failures?cause=instance_unknown", None).await;
    assert_eq!(failures.body["failures"].as_array().expect("a list").len(), 1, "{}", failures.body);
    holds_the_newest_grant(&again).await;
}
