//! A backup brought back with `latchkey restore`, told as stories: what it holds may have been spent since.

use std::collections::HashMap;

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use jiff::SignedDuration;
use journeys::Story;
use latchkey::restore::{self, Restore};
use local::stack::TABLE;
use store::Store;

const COPY: &str = "latchkey-restored";

/// Longer than an access token lives.
const STALE: SignedDuration = SignedDuration::from_mins(20);

fn client(story: &Story) -> Client {
    story.stack.store.client().clone()
}

/// What the table holds.
async fn items(client: &Client) -> Vec<HashMap<String, AttributeValue>> {
    let read = client.scan().table_name(TABLE).send().await.expect("the table can be read");
    read.items.unwrap_or_default()
}

/// The table as a backup of now holds it.
async fn back_up(story: &Story) {
    let client = client(story);
    Store::new(client.clone(), COPY).create_table().await.expect("a table");
    for item in items(&client).await {
        client
            .put_item()
            .table_name(COPY)
            .set_item(Some(item))
            .send()
            .await
            .expect("the copy can be written");
    }
}

/// The connections of the live table are lost; the backup is brought back.
async fn lose_and_restore(story: &Story) {
    let client = client(story);
    for mut item in
        items(&client).await.into_iter().filter(|item| item["sk"].as_s().is_ok_and(|sk| sk == "CONNECTION"))
    {
        let (pk, sk) = (item.remove("pk"), item.remove("sk"));
        let gone = client
            .delete_item()
            .table_name(TABLE)
            .set_key(Some([("pk".into(), pk.expect("a key")), ("sk".into(), sk.expect("a key"))].into()));
        gone.send().await.expect("the table can be written");
    }
    let restore =
        Restore { from: COPY, into: TABLE, fallback_from: None, fallback_into: None, per_minute: 50 };
    let done = restore::run(&client, &restore, story.stack.clock.now(), false).await.expect("restored");
    assert!(done.text.contains("1  refresh_unknown  CONNECTION"), "{}", done.text);
}

#[tokio::test]
async fn a_connection_that_was_not_refreshed_since_is_served_and_then_recovered() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let before = story.token(&connection).await;
    back_up(&story).await;
    lose_and_restore(&story).await;
    story.stack.salesforce.forget_calls();

    let served = story.token(&connection).await;
    assert_eq!(served.status, 200, "{}", served.body);
    assert_eq!(served.text("access_token"), before.text("access_token"), "the old token while it works");
    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "nothing is sent in the ordinary way");

    story.pass(STALE);
    let recovered = story.token(&connection).await;
    assert_eq!(recovered.status, 200, "{}", recovered.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "one recovery send");
    assert_eq!(story.salesforce_says(&recovered).await, 200);
    assert_eq!(story.connections().await[0]["state"], "active");
}

#[tokio::test]
async fn a_connection_whose_token_was_spent_since_asks_to_be_authorized_anew_after_one_send() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    back_up(&story).await;
    story.pass(STALE);
    assert_eq!(story.token(&connection).await.status, 200, "rotated since the backup");
    lose_and_restore(&story).await;
    story.stack.salesforce.forget_calls();

    story.pass(STALE);
    story.stack.sweep().await;
    let over = story.token(&connection).await;

    assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);
    assert_eq!(over.text("cause"), "answer_lost");
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "a spent token is sent once, not again");
}

#[tokio::test]
async fn what_the_live_table_has_is_newer_and_stays() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    back_up(&story).await;
    story.pass(STALE);
    let newer = story.token(&connection).await;

    let restore =
        Restore { from: COPY, into: TABLE, fallback_from: None, fallback_into: None, per_minute: 50 };
    let done =
        restore::run(&client(&story), &restore, story.stack.clock.now(), false).await.expect("restored");

    assert!(done.text.contains("kept             CONNECTION"), "{}", done.text);
    assert_eq!(story.token(&connection).await.text("access_token"), newer.text("access_token"));
}
