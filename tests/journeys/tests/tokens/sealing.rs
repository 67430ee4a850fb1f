//! Tokens at rest: sealed, bound to their connection, and readable after the keyring was rotated.

use journeys::Story;
use local::stack::{KEYRING, TABLE};
use serde_json::json;

const V1: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789AB";
const V2: &str = "ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210zyxwvutsrqpo";

#[tokio::test]
async fn the_table_holds_no_token_secret_or_key_in_plain_text() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let token = story.token(&connection).await;

    let mut secrets = vec![token.text("access_token").to_owned()];
    secrets.extend(story.stack.salesforce.grants().into_iter().filter_map(|grant| grant.refresh_token));
    secrets.extend(story.stack.api_keys.values().map(|key| key.expose().to_owned()));
    secrets.push(local::stack::consumer_secret(story.stack.app("fernway", "sync")));

    assert!(!story.stack.dynamodb.find(TABLE, &connection).is_empty(), "the search finds what is there");
    for secret in secrets {
        assert_eq!(story.stack.dynamodb.find(TABLE, &secret), Vec::<String>::new());
        assert!(!story.logs.text().contains(&secret), "nor do the logs");
    }
}

#[tokio::test]
async fn after_a_rotation_new_tokens_use_the_new_key_and_old_ones_still_open() {
    let story = Story::installed().await;
    story.stack.secrets.put(KEYRING, &json!({ "current": "v1", "v1": V1 }).to_string());
    let connection = story.connected().await;
    assert_eq!(story.token(&connection).await.status, 200);
    let version = |story: &Story| {
        let rows = story.stack.dynamodb.dump(TABLE);
        let row = rows.iter().find(|row| row.to_string().contains(&format!("CONNECTION#{connection}")));
        let row = row.expect("the connection's item").to_string();
        if row.contains("\"v2.") { "v2" } else { "v1" }
    };
    assert_eq!(version(&story), "v1");

    // The operator adds a key. The callback, warm, does not know yet; a new sandbox does.
    story.stack.secrets.put(KEYRING, &json!({ "current": "v2", "v1": V1, "v2": V2 }).to_string());
    let fresh = story.restarted_token_function();
    story.pass(jiff::SignedDuration::from_mins(16));
    let renewed = fresh.ask(&story, &connection).await;
    assert_eq!(renewed, 200);
    assert_eq!(version(&story), "v2");

    // The warm token function meets a version that it does not hold: it asks once, and opens.
    story.stack.secrets.reset_calls();
    let token = story.token(&connection).await;
    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(story.stack.secrets.calls().len(), 1, "{:?}", story.stack.secrets.calls());
    assert_eq!(story.salesforce_says(&token).await, 200);
}

#[tokio::test]
async fn a_sealed_token_that_was_copied_to_another_connection_does_not_open_there() {
    let story = Story::installed().await;
    let one = story.connected().await;
    let browser = story.signed_in("Mallory").await;
    story.leave(&browser).await.click("uma@acme.example").await;
    let connections = story.connections().await;
    let two = connections.iter().map(|c| c["id"].as_str().unwrap()).find(|id| *id != one).unwrap().to_owned();
    assert_eq!(story.token(&two).await.status, 200);

    story.copy_attribute(&one, &two, "access_token").await;

    let answer = story.token(&two).await;
    assert_eq!((answer.status, answer.problem()), (503, "unavailable"));
    assert!(story.logs.text().contains("sealed for something else"), "the log says why");
    assert_eq!(story.token(&one).await.status, 200);
}
