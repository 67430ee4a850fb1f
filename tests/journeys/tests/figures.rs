//! Exact counts: what a connect and a token read cost. Timings are printed, never asserted.

#![expect(clippy::print_stdout, reason = "figures are printed for whoever reads them")]

use journeys::Story;
use world::dynamodb::{DynamoRequest, Fault, Kind};

/// Prints what was asked of DynamoDB, one line a request.
fn print(what: &str, requests: &[DynamoRequest]) {
    println!("{what}: {} requests", requests.len());
    for request in requests {
        println!(
            "  {:<20} {:>4} read units {:>4} write units, {} bytes back",
            request.operation, request.read_units, request.write_units, request.response_bytes
        );
    }
    let (read, written): (f64, f64) = (
        requests.iter().map(|request| request.read_units).sum(),
        requests.iter().map(|request| request.write_units).sum(),
    );
    println!("  {read} read units and {written} write units in all");
}

#[tokio::test]
async fn a_whole_connect_costs_at_most_six_writes_and_five_reads_and_one_token_call() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    story.stack.dynamodb.reset_counts();
    story.stack.salesforce.forget_calls();

    // Cold functions: nothing is remembered yet. The redemption ends it; the records come after.
    let consent = story.leave(&browser).await.click("uma@acme.example").await;
    browser.stop_before("/salesforce/return");
    let stopped = consent.click("Allow").await;
    let back = stopped.location().expect("on the way to the product").clone();
    let query: Vec<(String, String)> = back.query_pairs().into_owned().collect();
    let (session, receipt) = (&query[0].1, &query[1].1);
    let redeemed = story
        .call(
            "POST",
            &format!("/v1/connect-sessions/{session}/redeem"),
            Some(serde_json::json!({ "receipt": receipt, "user": "u-alice" })),
        )
        .await;
    assert_eq!(redeemed.status, 200, "{}", redeemed.body);
    assert_eq!(redeemed.text("state"), "active");

    let requests = story.stack.dynamodb.requests();
    print("connect, from session to redeemed connection, cold", &requests);
    let of = |kind: Kind| requests.iter().filter(|request| request.kind == kind).count();
    assert!(of(Kind::Write) <= 6, "{} writes", of(Kind::Write));
    // One of them is the connect page's look at the customer's connections: a warning of Salesforce's limit of five
    // grants has to come before the redirect.
    assert!(of(Kind::Read) <= 5, "{} reads", of(Kind::Read));
    assert_eq!(story.stack.salesforce.token_calls().len(), 1);
}

#[tokio::test]
async fn a_fresh_token_costs_one_read_of_at_most_4_kb_and_nothing_else() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    assert_eq!(story.token(&connection).await.status, 200);
    story.stack.dynamodb.reset_counts();
    story.stack.secrets.reset_calls();
    story.stack.salesforce.forget_calls();

    let token = story.token(&connection).await;

    assert_eq!(token.status, 200, "{}", token.body);
    let requests = story.stack.dynamodb.requests();
    print("fresh token, warm", &requests);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].operation, "GetItem");
    assert!(requests[0].read_units <= 1.0, "one strongly consistent read of at most 4 KB is one unit");
    assert!(story.stack.secrets.calls().is_empty(), "{:?}", story.stack.secrets.calls());
    assert!(story.stack.salesforce.calls().is_empty());
}

#[tokio::test]
async fn where_the_product_must_be_read_it_comes_with_what_the_call_is_about() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let session = story.wish(serde_json::json!({})).await.text("id").to_owned();
    let paths = [format!("/v1/connections/{connection}/token"), format!("/v1/connect-sessions/{session}")];
    for path in paths {
        story.pass(jiff::SignedDuration::from_secs(61));
        for operation in ["BatchGetItem", "GetItem"] {
            story.stack.dynamodb.reset_counts();

            let answer = story.call("GET", &path, None).await;

            assert_eq!(answer.status, 200, "{}", answer.body);
            let requests = story.stack.dynamodb.requests();
            print(&path, &requests);
            assert_eq!(requests.len(), 1, "{path}");
            assert_eq!(requests[0].operation, operation, "{path}");
            assert!(requests[0].read_units <= 2.0, "{path}");
        }
    }
}

#[tokio::test]
async fn what_dynamodb_leaves_of_a_batch_is_asked_for_alone() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(jiff::SignedDuration::from_secs(61));
    story.stack.dynamodb.reset_counts();
    story.stack.dynamodb.inject(Fault::leave_unprocessed());

    assert_eq!(story.token(&connection).await.status, 200);

    let operations: Vec<_> = story.stack.dynamodb.requests().into_iter().map(|r| r.operation).collect();
    assert_eq!(operations, ["BatchGetItem", "GetItem", "GetItem"]);
}

#[tokio::test]
async fn warm_functions_ask_secrets_manager_for_nothing() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.token(&connection).await;
    story.stack.secrets.reset_calls();

    // A second connect, and a refresh: keyring and consumer secret are remembered.
    let browser = story.signed_in("Mallory").await;
    // The Salesforce user has approved the app before: no consent is asked for.
    story.leave(&browser).await.click("uma@acme.example").await;
    story.pass(jiff::SignedDuration::from_mins(16));
    let token = story.token(&connection).await;

    assert_eq!(token.status, 200, "{}", token.body);
    let calls = story.stack.secrets.calls();
    let consumer = calls.iter().filter(|(_, name)| name.contains("apps/")).count();
    assert_eq!(
        calls.len(),
        consumer,
        "only the token function's first use of the consumer secret: {calls:?}"
    );
    assert!(consumer <= 1, "{calls:?}");
    story.stack.secrets.reset_calls();
    story.pass(jiff::SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.status, 200);
    assert!(story.stack.secrets.calls().is_empty(), "{:?}", story.stack.secrets.calls());
}

#[tokio::test]
async fn a_refresh_costs_three_writes() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.token(&connection).await;
    story.pass(jiff::SignedDuration::from_mins(16));
    story.stack.dynamodb.reset_counts();
    story.stack.salesforce.forget_calls();

    assert_eq!(story.token(&connection).await.status, 200);

    let requests = story.stack.dynamodb.requests();
    print("refresh", &requests);
    let writes = requests.iter().filter(|request| request.kind == Kind::Write).count();
    assert_eq!(writes, 3, "lease, began, save");
    assert_eq!(story.stack.salesforce.token_calls().len(), 1);
}

#[tokio::test]
async fn a_refresh_by_the_sweep_costs_one_read_and_three_writes() {
    let story = Story::installed().await;
    story.connected().await;
    story.stack.sweep().await;
    story.pass(jiff::SignedDuration::from_hours(24 * 15 + 1));
    let idle = {
        story.stack.dynamodb.reset_counts();
        story.stack.sweep().await;
        let requests = story.stack.dynamodb.requests();
        print("an idle connection is kept alive", &requests);
        requests
    };
    let of_connection = |request: &&DynamoRequest| matches!(request.operation.as_str(), "UpdateItem");
    assert_eq!(idle.iter().filter(of_connection).count(), 3, "lease, began, answer");
    let written: f64 = idle.iter().map(|request| request.write_units).sum();
    // docs/costs.md reckons with these.
    assert!(written <= 8.0, "{written} write units");
    let read: f64 = idle.iter().filter(|request| request.operation == "GetItem").map(|r| r.read_units).sum();
    assert!(read <= 3.0, "{read} read units: the connection, the product");
}

#[tokio::test]
async fn the_first_hand_out_of_a_token_that_the_sweep_fetched_costs_one_write_and_the_second_none() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(jiff::SignedDuration::from_hours(24 * 15 + 1));
    story.stack.sweep().await;
    // The product's configuration is remembered for a minute: it is read now.
    story.connections().await;
    for (which, writes) in [("first", 1), ("second", 0), ("third", 0)] {
        story.stack.dynamodb.reset_counts();
        story.stack.salesforce.forget_calls();
        assert_eq!(story.token(&connection).await.status, 200);
        let requests = story.stack.dynamodb.requests();
        print(which, &requests);
        let of = |kind: Kind| requests.iter().filter(|request| request.kind == kind).count();
        assert_eq!((of(Kind::Read), of(Kind::Write)), (1, writes), "{which}");
        assert_eq!(story.stack.salesforce.calls().len(), 0, "it was fetched before");
    }
}
