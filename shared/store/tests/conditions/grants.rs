//! Whose grant it is: revoking one must not end another connection's.

use serde_json::Value;
use store::Reconnect;

use crate::{Stage, TABLE};

/// DynamoDB's index follows a write within moments: a connection that it does not list yet is looked at by its id.
#[tokio::test]
async fn grant_is_held_elsewhere_though_the_index_does_not_list_it_yet() {
    let stage = Stage::start().await;
    let (held, mut beside) = (stage.connection().await, stage.connection().await);
    beside.reconnect = Some(Reconnect::Old { of: held.connection.id.clone() });
    assert!(
        stage.store.is_held_elsewhere(&beside).await.expect("the table answers"),
        "as the index lists it"
    );

    let items: Vec<Value> = stage.dynamo.dump(TABLE);
    let pk = format!("CONNECTION#{}", held.connection.id);
    let mut item = items.into_iter().find(|item| item["pk"]["S"] == pk.as_str()).expect("the connection");
    item.as_object_mut().expect("an item").remove("grants_pk");
    stage.dynamo.seed(TABLE, std::iter::once(item));

    assert!(stage.store.is_held_elsewhere(&beside).await.expect("the table answers"), "by its id");
    beside.reconnect = None;
    assert!(
        !stage.store.is_held_elsewhere(&beside).await.expect("the table answers"),
        "nobody else is known"
    );
}
