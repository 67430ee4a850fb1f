//! Exact counts: what a connect and a token read cost. Timings are printed, never asserted.

#![expect(clippy::print_stdout, reason = "figures are printed for whoever reads them")]

use journeys::{Story, flows};
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
    let (read, written) = units(requests);
    println!("  {read} read units and {written} write units in all");
}

/// Read and write units.
fn units(requests: &[DynamoRequest]) -> (f64, f64) {
    requests.iter().fold((0.0, 0.0), |(read, written), request| {
        (read + request.read_units, written + request.write_units)
    })
}

#[tokio::test]
async fn every_flow_costs_what_it_costs() {
    let flows: Vec<String> = flows::all().await.iter().map(ToString::to_string).collect();
    let flows = flows.join("\n");
    println!("{flows}");
    assert_eq!(flows, COSTS.trim());
}

/// Each flow's requests to DynamoDB, its units, and its calls of Secrets Manager and Salesforce. docs/costs.md reckons
/// with these.
const COSTS: &str = "
a connect session, cold: 1 GetItem, 1 PutItem; 0.5 read, 2 write; 0 secrets, 0 Salesforce
its link is opened: 1 Query, 1 UpdateItem; 0.5 read, 1 write; 0 secrets, 0 Salesforce
off to Salesforce: 1 GetItem, 1 TransactWriteItems; 1 read, 6 write; 0 secrets, 0 Salesforce
back, cold: claim, exchange, seal, store, name: 1 BatchGetItem, 1 GetItem, 1 Query, 1 TransactWriteItems, 2 UpdateItem; 2 read, 19 write; 2 secrets, 3 Salesforce
redeemed: 1 GetItem, 1 Query, 1 TransactWriteItems; 1.5 read, 14 write; 0 secrets, 0 Salesforce
a fresh token, cold: 1 BatchGetItem; 2 read, 0 write; 1 secrets, 0 Salesforce
a fresh token: 1 GetItem; 1 read, 0 write; 0 secrets, 0 Salesforce
a fresh token, a minute after the product was last read: 1 BatchGetItem; 2 read, 0 write; 0 secrets, 0 Salesforce
a list, a minute after the product was last read: 1 GetItem, 1 Query; 1 read, 0 write; 0 secrets, 0 Salesforce
a list: 1 Query; 0.5 read, 0 write; 0 secrets, 0 Salesforce
a refresh, the consumer secret read for the first time: 1 BatchGetItem, 1 GetItem, 4 UpdateItem; 2 read, 9 write; 1 secrets, 1 Salesforce
a refresh: 1 BatchGetItem, 1 GetItem, 3 UpdateItem; 2 read, 8 write; 0 secrets, 1 Salesforce
a check: 1 GetItem; 1 read, 0 write; 0 secrets, 3 Salesforce
the trouble page: 2 GetItem; 1.5 read, 0 write; 0 secrets, 0 Salesforce
a report is diagnosed and recorded: 1 GetItem, 1 TransactWriteItems; 1 read, 8 write; 0 secrets, 0 Salesforce
its help page: 2 GetItem; 1.5 read, 0 write; 0 secrets, 0 Salesforce
the page asks whether it is resolved: 2 GetItem; 1.5 read, 0 write; 0 secrets, 0 Salesforce
a guide: nothing; 0 read, 0 write; 0 secrets, 0 Salesforce
a sweep that finds a session lost, and closes a reported one: 6 GetItem, 16 Query, 1 Scan, 1 TransactWriteItems, 1 UpdateItem; 14 read, 11 write; 0 secrets, 0 Salesforce
a sweep, nothing due: 16 Query, 1 Scan; 9 read, 0 write; 0 secrets, 0 Salesforce
all of this is tallied, in one batch: 6 GetItem, 2 PutItem, 1 Query, 1 TransactWriteItems, 3 UpdateItem; 7 read, 15 write; 0 secrets, 0 Salesforce
a summary of 30 days, the product read anew: 1 GetItem, 2 Query; 1.5 read, 0 write; 0 secrets, 0 Salesforce
an operator signs in and sees the page: 4 GetItem, 1 PutItem, 16 Query, 1 TransactWriteItems; 11.5 read, 6 write; 0 secrets, 0 Salesforce
the operators' page: 2 GetItem, 16 Query; 9.5 read, 0 write; 0 secrets, 0 Salesforce
a sweep that keeps one connection alive: 1 BatchGetItem, 2 GetItem, 16 Query, 1 Scan, 3 UpdateItem; 11.5 read, 8 write; 0 secrets, 1 Salesforce
the first hand-out of the token that it fetched: 1 GetItem, 1 UpdateItem; 1 read, 4 write; 0 secrets, 0 Salesforce
a reconnect is back: 1 BatchGetItem, 2 GetItem, 1 Query, 1 TransactWriteItems, 2 UpdateItem; 3 read, 19 write; 0 secrets, 3 Salesforce
it is redeemed, and the old grant revoked: 1 DeleteItem, 5 GetItem, 1 Query, 1 TransactWriteItems; 5.5 read, 26 write; 0 secrets, 1 Salesforce
a connection is revoked and deleted: 2 DeleteItem, 2 GetItem, 1 Query, 1 UpdateItem; 2.5 read, 14 write; 0 secrets, 1 Salesforce
an import: 1 BatchGetItem, 1 GetItem, 1 PutItem, 1 Query, 1 TransactWriteItems, 1 UpdateItem; 3.5 read, 19 write; 0 secrets, 2 Salesforce
";

#[tokio::test]
async fn whole_connect_costs_seven_writes_and_eight_reads() {
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
    // The last one is the user's name: for people to read, and asked for once the grant is stored.
    assert_eq!(of(Kind::Write), 7);
    // One of them is the connect page's look at the customer's connections: a warning of Salesforce's limit of five
    // grants has to come before the redirect. The callback looks whether grants that nobody redeemed are too many, and
    // the redemption whether the Salesforce user has a connection.
    // One tells whether anything may be sent for the app and to the host.
    assert_eq!(of(Kind::Read), 8);
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
    assert_eq!(units(&requests), (1.0, 0.0), "one strongly consistent read of at most 4 KB");
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
        for (operation, read) in [("BatchGetItem", 2.0), ("GetItem", 1.0)] {
            story.stack.dynamodb.reset_counts();

            let answer = story.call("GET", &path, None).await;

            assert_eq!(answer.status, 200, "{}", answer.body);
            let requests = story.stack.dynamodb.requests();
            print(&path, &requests);
            assert_eq!(requests.len(), 1, "{path}");
            assert_eq!(requests[0].operation, operation, "{path}");
            assert_eq!(units(&requests), (read, 0.0), "{path}: {operation}");
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
    assert_eq!(consumer, 1, "{calls:?}");
    story.stack.secrets.reset_calls();
    story.pass(jiff::SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.status, 200);
    assert!(story.stack.secrets.calls().is_empty(), "{:?}", story.stack.secrets.calls());
}

#[tokio::test]
async fn a_refresh_costs_three_writes() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    // The app's first refresh ever notes whether it rotates refresh tokens.
    for _ in 0..2 {
        story.pass(jiff::SignedDuration::from_mins(16));
        story.connections().await;
        story.stack.dynamodb.reset_counts();
        story.stack.salesforce.forget_calls();
        assert_eq!(story.token(&connection).await.status, 200);
    }

    let requests = story.stack.dynamodb.requests();
    print("refresh", &requests);
    let writes = requests.iter().filter(|request| request.kind == Kind::Write).count();
    assert_eq!(writes, 3, "lease, began, save");
    assert_eq!(units(&requests), (2.0, 8.0), "the connection; what is known of app and host");
    assert_eq!(story.stack.salesforce.token_calls().len(), 1);
}

#[tokio::test]
async fn a_refresh_by_the_sweep_costs_two_reads_and_three_writes() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    // The app's first refresh ever notes whether it rotates refresh tokens.
    story.pass(jiff::SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.status, 200);
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
    // docs/costs.md reckons with these.
    assert_eq!(
        units(&idle),
        (9.0 + 2.5, 8.0),
        "a run with nothing due; the connection, the product, the health"
    );
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

#[tokio::test]
async fn calls_at_once_read_their_product_once() {
    let story = Story::installed().await;
    story.connected().await;
    story.pass(jiff::SignedDuration::from_secs(61));
    story.stack.dynamodb.reset_counts();

    let list = || story.call("GET", "/v1/connections?customer=acme", None);
    let (one, two, three, four) = tokio::join!(list(), list(), list(), list());

    assert_eq!([one, two, three, four].map(|answer| answer.status), [200; 4]);
    let requests = story.stack.dynamodb.requests();
    print("four lists at once", &requests);
    let of = |operation| requests.iter().filter(|request| request.operation == operation).count();
    assert_eq!((of("GetItem"), of("Query")), (1, 4));
}
