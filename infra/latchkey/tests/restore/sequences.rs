//! Sequences after a restore: the product has seen numbers that the backup does not know, and would drop every event below
//! them.

use jiff::SignedDuration;
use journeys::Story;
use serde_json::Value;

use super::{STALE, back_up, lose_and_restore, until_the_host_answers};

/// The events of the connection that have a sequence: id, type, sequence.
async fn told(story: &Story, connection: &str) -> Vec<(Value, Value, Option<u64>)> {
    story.stack.notify().await;
    story.pass(SignedDuration::from_secs(11));
    let page = story.call("GET", &format!("/v1/events?connection={connection}"), None).await;
    let events = page.body["events"].as_array().expect("a list").iter();
    let told = events.filter(|event| event["data"]["sequence"].is_u64());
    told.map(|event| (event["id"].clone(), event["type"].clone(), event["data"]["sequence"].as_u64()))
        .collect()
}

#[tokio::test]
async fn restored_connection_is_told_with_a_sequence_above_all_before() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.notify().await;
    back_up(&story).await;
    story.pass(SignedDuration::from_mins(1));
    let before = story.stack.clock.now();
    lose_and_restore(&story).await;
    let events = told(&story, &connection).await;
    assert_eq!(events.iter().filter(|(_, kind, _)| kind == "connection.created").count(), 1, "{events:?}");
    let (_, kind, restored) = events.last().expect("an event").clone();
    assert_eq!(kind, "connection.state_changed");
    // A restore in a later second has a higher one, whatever its backup knows.
    assert!(restored >= u64::try_from(before.as_second()).ok(), "{restored:?}");

    story.pass(STALE);
    until_the_host_answers(&story, &connection).await;
    assert_eq!(story.token(&connection).await.status, 200);
    let (_, kind, sequence) = told(&story, &connection).await.last().expect("an event").clone();
    assert_eq!((kind, sequence), ("connection.recovered".into(), restored.map(|number| number + 1)));
}

/// The number in the backup is the same both times, and the product has seen events in between.
#[tokio::test]
async fn second_restore_from_an_older_backup_goes_on_with_the_sequence() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.notify().await;
    back_up(&story).await;
    story.pass(SignedDuration::from_mins(1));
    lose_and_restore(&story).await;
    story.pass(STALE);
    until_the_host_answers(&story, &connection).await;
    assert_eq!(story.token(&connection).await.status, 200);
    let before = told(&story, &connection).await;
    assert_eq!(before.last().expect("an event").1, "connection.recovered");

    lose_and_restore(&story).await;
    let after = told(&story, &connection).await;
    let [earlier @ .., (id, kind, sequence)] = &after[..] else { panic!("no event") };
    assert_eq!(earlier, before, "one event more");
    assert_eq!(kind, "connection.state_changed");
    assert!(before.iter().all(|(other, _, number)| other != id && number < sequence), "{after:?}");
}
