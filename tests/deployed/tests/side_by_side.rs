//! While a deployment is shifted, two versions serve the same table. `tests/deployed/run` sets the shares, and looks that
//! both versions have answered.

use std::{collections::BTreeSet, sync::Arc};

use deployed::Deployed;
use serde_json::json;
use tokio::task::JoinSet;

/// With half of the traffic each, one version is left out of so many with a chance of 1 in 2^30.
const OFTEN: usize = 30;

/// Those that report one token at once.
const CALLERS: usize = 6;

/// The customers; each has a connection of its own, for a second rejection in a row is no matter of refreshing.
const CUSTOMERS: [&str; 3] = ["c-shift", "c-shift-2", "c-shift-3"];

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn both_connect_and_refresh_and_each_token_is_refreshed_once() {
    let here = Arc::new(Deployed::here());
    let mut connections = Vec::new();
    for customer in CUSTOMERS {
        let connection = here.connected("sync", customer).await;
        connections.push((here.token(&connection).await, connection));
    }
    here.salesforce("expire-access-tokens", "sync").await;

    let mut callers = JoinSet::new();
    for (before, connection) in &connections {
        for _ in 0..CALLERS {
            let (here, path) = (Arc::clone(&here), format!("/v1/connections/{connection}/token"));
            let rejected = json!({ "rejected": before.text("fingerprint") });
            callers.spawn(async move {
                let answer = here.call("POST", &path, Some(rejected)).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                answer.text("fingerprint").to_owned()
            });
        }
    }
    let handed: BTreeSet<String> = callers.join_all().await.into_iter().collect();

    assert_eq!(handed.len(), CUSTOMERS.len(), "one refresh for all callers of both versions");
    for (before, connection) in &connections {
        let after = here.token(connection).await;
        assert!(handed.contains(after.text("fingerprint")) && !handed.contains(before.text("fingerprint")));
        assert_eq!(here.salesforce_says(&after).await, 200);
    }
}

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn both_read_the_tokens_and_open_the_pages_of_either() {
    let here = Deployed::here();
    let connection = here.connection_of(CUSTOMERS[0]).await;
    let mut tokens = BTreeSet::new();
    for _ in 0..OFTEN {
        let token = here.token(&connection).await;
        assert_eq!(token.status, 200, "{}", token.body);
        tokens.insert(token.text("access_token").to_owned());

        let session = here.wish("sync", CUSTOMERS[0]).await;
        let page = here.browser().get(session.text("connect_url")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.has("Fernway"), "{}", page.text());
    }
    assert_eq!(tokens.len(), 1, "either opens what the other has sealed");
}
