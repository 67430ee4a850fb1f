//! Products that redeem nothing.

use journeys::says;
use serde_json::json;
use world::{
    dynamodb::{Fault as TableFault, Which},
    salesforce::Ending,
};

use crate::{
    ADA, UMA, comes_back_as, comes_back_as_ada, endings, holds_the_newest_grant, is_untouched, part, session,
    shown, status, without_receipts,
};

#[tokio::test]
async fn without_receipts_the_same_user_is_taken_at_once_and_another_when_confirmed() {
    let again = without_receipts("reconnect-without-receipts").await;
    let story = &again.story;

    let same = session(&again, json!({})).await;
    let back = comes_back_as(&again.alice, same.text("connect_url"), "Production", UMA).await;
    assert_eq!(part(&back.location().expect("on the way"), "connection"), again.earlier);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(status(story, same.text("id")).await["connection_id"], again.earlier.as_str());
    again.works(&again.earlier).await;

    let (page, session) = comes_back_as_ada(&again).await;
    assert_eq!(shown(story, &again.earlier).await["username"], UMA);
    again.alice.stop_before("/salesforce/return");
    let back = page.click("Change it").await;
    assert_eq!(part(&back.location().expect("on the way"), "connection"), again.earlier);
    assert_eq!(status(story, &session).await["status"], "connected");
    assert_eq!(shown(story, &again.earlier).await["username"], ADA);
    assert_eq!(endings(story), [Some(Ending::Revoked), Some(Ending::Revoked), None]);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn without_receipts_a_table_that_fails_leaves_no_grant_that_nobody_holds() {
    let again = without_receipts("reconnect-without-receipts-or-table").await;
    let story = &again.story;
    let transactions = Which::Operation("TransactWriteItems");
    let away = async || {
        let session = session(&again, json!({})).await;
        let connect = again.alice.get(session.text("connect_url")).await.choose("Production");
        again.alice.stop_before("/oauth/callback");
        connect.click("Continue to Salesforce").await
    };

    let back = away().await;
    story.stack.dynamodb.inject(TableFault::refuse("AccessDeniedException").on(transactions).times(99));
    says(&back.follow().await, 503, "Something went wrong on our side");
    story.stack.dynamodb.mend();
    assert_eq!(endings(story), [None, Some(Ending::Revoked)]);
    is_untouched(&again).await;

    // Every answer lost, though it was carried out.
    let back = away().await;
    story.stack.dynamodb.inject(TableFault::lose_answer().on(transactions).times(3));
    again.alice.stop_before("/salesforce/return");
    let on = back.follow().await;
    assert_eq!(part(&on.location().expect("on the way"), "connection"), again.earlier);
    holds_the_newest_grant(&again).await;
}
