//! Every flow once, and what it asked of DynamoDB, Secrets Manager and Salesforce: for the counts that are tested
//! (`tests/figures.rs`) and for the bill beside them (`tests/bench`).

use std::{collections::BTreeMap, fmt};

use jiff::SignedDuration;
use serde_json::json;
use world::{browser::Page, dynamodb::DynamoRequest};

use crate::{Story, approve};

/// What a flow asked.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The flow.
    pub what: &'static str,
    /// Of DynamoDB.
    pub table: Vec<DynamoRequest>,
    /// Calls of Secrets Manager.
    pub secrets: usize,
    /// Calls of Salesforce by a function; a browser's own visits are not among them.
    pub salesforce: usize,
}

impl Flow {
    /// DynamoDB's read units.
    pub fn read_units(&self) -> f64 {
        self.table.iter().fold(0.0, |sum, request| sum + request.read_units)
    }

    /// DynamoDB's write units.
    pub fn write_units(&self) -> f64 {
        self.table.iter().fold(0.0, |sum, request| sum + request.write_units)
    }

    /// `1 GetItem, 3 UpdateItem`: functions ask for some of it at once, so the order says nothing.
    pub fn operations(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        for request in &self.table {
            *counts.entry(&request.operation).or_default() += 1;
        }
        let counts: Vec<String> =
            counts.iter().map(|(operation, count)| format!("{count} {operation}")).collect();
        if counts.is_empty() { "nothing".into() } else { counts.join(", ") }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, secrets, salesforce, .. } = self;
        let (operations, read, written) = (self.operations(), self.read_units(), self.write_units());
        write!(
            f,
            "{what}: {operations}; {read} read, {written} write; {secrets} secrets, {salesforce} Salesforce"
        )
    }
}

/// The paths that a function calls at Salesforce.
const CALLED: [&str; 5] = [
    "/services/oauth2/token",
    "/services/oauth2/revoke",
    "/services/oauth2/introspect",
    "/id/",
    "/services/data",
];

impl Story {
    /// Forgets what was asked so far.
    fn begin_flow(&self) {
        self.stack.dynamodb.reset_counts();
        self.stack.secrets.reset_calls();
        self.stack.salesforce.forget_calls();
    }

    /// What was asked since the last flow's end, under this name.
    fn flow(&self, what: &'static str) -> Flow {
        let calls = self.stack.salesforce.calls();
        let called = |path: &str| CALLED.iter().any(|called| path.starts_with(called));
        let flow = Flow {
            what,
            table: self.stack.dynamodb.requests(),
            secrets: self.stack.secrets.calls().len(),
            salesforce: calls.iter().filter(|call| called(&call.path)).count(),
        };
        self.begin_flow();
        flow
    }
}

/// Every flow, each after the one before.
pub async fn all() -> Vec<Flow> {
    let story = Story::installed().await;
    let mut flows = Vec::new();
    let connection = connect(&story, &mut flows).await;
    hand_out(&story, &connection, &mut flows).await;
    go_wrong(&story, &mut flows).await;
    see(&story, &mut flows).await;
    go_on(&story, &connection, &mut flows).await;
    flows
}

/// From the product's wish to its connection, every function cold.
async fn connect(story: &Story, flows: &mut Vec<Flow>) -> String {
    let browser = story.signed_in("Alice").await;
    story.begin_flow();
    let wish = story.wish(json!({})).await;
    flows.push(story.flow("a connect session, cold"));
    let page = browser.get(wish.text("connect_url")).await;
    flows.push(story.flow("its link is opened"));
    let page = page.choose("Production").click("Continue to Salesforce").await;
    flows.push(story.flow("off to Salesforce"));
    browser.stop_before("/salesforce/return");
    let back = approve(page).await;
    flows.push(story.flow("back, cold: claim, exchange, seal, store, name"));
    let connection = redeem(story, &back).await;
    flows.push(story.flow("redeemed"));
    connection
}

/// The product's backend redeems what a browser on its way there brings: the connection.
async fn redeem(story: &Story, back: &Page) -> String {
    let back = back.location().expect("on the way to the product");
    let mut query = back.query_pairs().map(|(_, value)| value.into_owned());
    let (session, receipt) = (query.next().expect("a session"), query.next().expect("a receipt"));
    let redeem = json!({ "receipt": receipt, "user": "u-alice" });
    let path = format!("/v1/connect-sessions/{session}/redeem");
    let redeemed = story.call("POST", &path, Some(redeem)).await;
    assert_eq!(redeemed.status, 200, "{}", redeemed.body);
    redeemed.text("id").to_owned()
}

async fn hand_out(story: &Story, connection: &str, flows: &mut Vec<Flow>) {
    let token = async || assert_eq!(story.token(connection).await.status, 200);
    token().await;
    flows.push(story.flow("a fresh token, cold"));
    token().await;
    flows.push(story.flow("a fresh token"));
    story.pass(SignedDuration::from_secs(61));
    token().await;
    flows.push(story.flow("a fresh token, a minute after the product was last read"));
    story.pass(SignedDuration::from_mins(16));
    story.connections().await;
    flows.push(story.flow("a list, a minute after the product was last read"));
    story.connections().await;
    flows.push(story.flow("a list"));
    token().await;
    flows.push(story.flow("a refresh, the consumer secret read for the first time"));
    story.pass(SignedDuration::from_mins(16));
    story.connections().await;
    story.begin_flow();
    token().await;
    flows.push(story.flow("a refresh"));
    let checked = story.call("POST", &format!("/v1/connections/{connection}/check"), None).await;
    assert_eq!(checked.body["ok"], true, "{}", checked.body);
    flows.push(story.flow("a check"));
}

/// What people meet who do not get through.
async fn go_wrong(story: &Story, flows: &mut Vec<Flow>) {
    let browser = story.signed_in("Mallory").await;
    story.leave(&browser).await;
    let visited = browser.history();
    let link = visited.iter().rev().find(|url| url.as_str().contains("/connect/ck_")).expect("a link");
    story.begin_flow();
    let trouble = browser.get(&format!("{link}/trouble")).await;
    flows.push(story.flow("the trouble page"));
    browser.stop_before("/help/");
    let told = trouble.fill("pasted", "error=invalid_scope").click("Show me what to do").await;
    let help = told.location().expect("a help page").to_string();
    flows.push(story.flow("a report is diagnosed and recorded"));
    let browser = story.stack.browser();
    assert_eq!(browser.get(&help).await.status, 200);
    flows.push(story.flow("its help page"));
    assert_eq!(browser.get(&format!("{help}/status")).await.status, 200);
    flows.push(story.flow("the page asks whether it is resolved"));
    let guide = format!("{}/guides/fernway/sync", story.stack.latchkey);
    assert_eq!(browser.get(&guide).await.status, 200);
    flows.push(story.flow("a guide"));
    let wish = json!({ "my_domain": "acme", "expires_in": 86400 });
    let link = story.wish(wish).await.text("connect_url").to_owned();
    story.stack.browser().get(&link).await.click("Continue to Salesforce").await;
    // What is refreshed ahead of its end is not in the way then.
    story.pass(SignedDuration::from_mins(28));
    story.stack.sweep().await;
    story.pass(SignedDuration::from_mins(3));
    story.begin_flow();
    assert_eq!(story.stack.sweep().await.lost, 1);
    flows.push(story.flow("a sweep that finds a session lost, and closes a reported one"));
    story.stack.sweep().await;
    flows.push(story.flow("a sweep, nothing due"));
}

/// What is counted of it, and looked at.
async fn see(story: &Story, flows: &mut Vec<Flow>) {
    story.stack.tally().await;
    flows.push(story.flow("all of this is tallied, in one batch"));
    story.stack.tally().await;
    story.begin_flow();
    let summary = story.call("GET", "/v1/failures/summary", None).await;
    assert_eq!(summary.status, 200, "{}", summary.body);
    flows.push(story.flow("a summary of 30 days, the product read anew"));
    let link = story.call("POST", "/v1/ops-links", None).await;
    let browser = story.stack.browser();
    let page = browser.get(link.text("url")).await.click("Sign in").await;
    assert_eq!(page.status, 200);
    flows.push(story.flow("an operator signs in and sees the page"));
    assert_eq!(browser.get(page.url.as_str()).await.status, 200);
    flows.push(story.flow("the operators' page"));
}

/// A connection's further life.
async fn go_on(story: &Story, connection: &str, flows: &mut Vec<Flow>) {
    story.pass(SignedDuration::from_hours(24 * 16));
    story.begin_flow();
    assert_eq!(story.stack.sweep().await.refreshed, 1);
    flows.push(story.flow("a sweep that keeps one connection alive"));
    story.connections().await;
    story.begin_flow();
    assert_eq!(story.token(connection).await.status, 200);
    flows.push(story.flow("the first hand-out of the token that it fetched"));

    let browser = story.stack.browser();
    let link = story.wish(json!({ "connection_id": connection })).await.text("connect_url").to_owned();
    let page = browser.get(&link).await.choose("Production").click("Continue to Salesforce").await;
    browser.stop_before("/salesforce/return");
    story.begin_flow();
    let back = approve(page).await;
    flows.push(story.flow("a reconnect is back"));
    assert_eq!(redeem(story, &back).await, connection);
    flows.push(story.flow("it is redeemed, and the old grant revoked"));

    let path = format!("/v1/connections/{connection}");
    assert_eq!(story.call("DELETE", &path, None).await.status, 204);
    flows.push(story.flow("a connection is revoked and deleted"));

    let key = &story.stack.app("fernway", "sync").consumer_key;
    let held = story.stack.salesforce.granted("acme", "uma@acme.example", key);
    let import = json!({
        "app": "sync",
        "customer": { "id": "c-acme", "name": "Acme Corporation" },
        "user": "u-alice",
        "environment": "production",
        "refresh_token": held["refresh_token"],
    });
    story.begin_flow();
    let imported = story.call("POST", "/v1/connections", Some(import)).await;
    assert_eq!(imported.status, 201, "{}", imported.body);
    flows.push(story.flow("an import"));
}
