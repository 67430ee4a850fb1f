//! What is known of hosts.

use domain::{AppId, ProductId};
use jiff::Timestamp;
use store::AppAt;

use crate::{Stage, minutes};

const HOST: &str = "https://login.salesforce.com";

async fn reachable_at(stage: &Stage) -> Option<Timestamp> {
    let (product, app): (ProductId, AppId) =
        ("fernway".parse().expect("an id"), "sync".parse().expect("an id"));
    let app = AppAt { product: &product, app: &app, consumer_key: "3MVG9.key" };
    stage.store.health(app, HOST).await.expect("the table answers").host.reachable_at
}

#[tokio::test]
async fn first_answer_after_an_unanswered_refresh_counts() {
    let stage = Stage::start().await;
    let at = |after: i64| stage.now + minutes(after);
    let note =
        async |since, now| stage.store.note_reachable(HOST, at(since), at(now)).await.expect("an answer");
    note(0, 1).await;
    assert_eq!(reachable_at(&stage).await, Some(at(1)));
    note(0, 5).await;
    assert_eq!(reachable_at(&stage).await, Some(at(1)), "the first one after that refresh");
    // An answer from before says nothing of a refresh that was not answered since.
    note(20, 21).await;
    assert_eq!(reachable_at(&stage).await, Some(at(21)));
    note(2, 4).await;
    assert_eq!(reachable_at(&stage).await, Some(at(4)), "a time to come was written by a wrong clock");
}
