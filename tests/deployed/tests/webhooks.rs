//! The way of an event: the table's stream, `notify`, the FIFO queue, `deliver`, each with its own role, and the product's
//! endpoint, which verifies with the public library and the machine's clock.

use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use deployed::Deployed;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

/// How long an event may take on a busy machine, with both batching windows.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long Salesforce is not asked again about a connection that is blocked.
const ASKED_AGAIN: Duration = Duration::from_secs(65);

/// The event of this type about this connection, once it is delivered and verified.
async fn delivered(here: &Deployed, kind: &str, connection: &str) -> Value {
    let library = Webhook::new(here.webhook_secret()).expect("a secret");
    let deadline = Instant::now() + PATIENCE;
    loop {
        for delivery in here.deliveries().await {
            let body = delivery["body"].as_str().expect("a body");
            let event: Value = serde_json::from_str(body).expect("JSON");
            if event["type"] != kind || event["data"]["connection_id"] != connection {
                continue;
            }
            let mut headers = HeaderMap::new();
            for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
                headers.insert(name, delivery[name].as_str().expect("a header").parse().expect("ASCII"));
            }
            library.verify(body.as_bytes(), &headers).expect("the public library accepts it");
            assert!(library.verify(format!("{body} ").as_bytes(), &headers).is_err(), "and nothing else");
            assert_eq!(delivery["webhook-id"], event["id"]);
            return event;
        }
        assert!(Instant::now() < deadline, "no {kind}: {:#?}", here.deliveries().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn product_is_told_of_a_dead_connection_and_of_its_recovery() {
    let here = Deployed::here();
    here.salesforce("install", "sync").await;
    let connection = here.connected("sync", "c-hooked").await;
    let created = delivered(&here, "connection.created", &connection).await;
    let first = here.token(&connection).await;
    assert_eq!(first.status, 200, "{}", first.body);

    // The admin lets approved users in alone, and the next refresh is refused.
    here.salesforce_with("policies", "sync", json!({ "admin_approved": true })).await;
    here.salesforce("expire-access-tokens", "sync").await;
    let path = format!("/v1/connections/{connection}/token");
    let rejected = json!({ "rejected": first.text("fingerprint") });
    let refused = here.call("POST", &path, Some(rejected)).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(refused.body["type"], "urn:latchkey:problem:blocked-by-org", "{}", refused.body);
    let blocked = delivered(&here, "connection.blocked", &connection).await;
    assert_eq!(blocked["data"]["actor"], "admin", "{blocked}");
    assert!(blocked["data"]["message"].is_string(), "{blocked}");
    let help = here.browser().get(blocked["data"]["help_url"].as_str().expect("a link")).await;
    assert_eq!(help.status, 200, "{}", help.text());

    here.salesforce_with("policies", "sync", json!({ "admin_approved": false })).await;
    tokio::time::sleep(ASKED_AGAIN).await;
    let token = here.token(&connection).await;
    assert_eq!(token.status, 200, "{}", token.body);
    let recovered = delivered(&here, "connection.recovered", &connection).await;
    let sequence = |event: &Value| event["data"]["sequence"].as_u64().expect("a number");
    assert!(sequence(&created) < sequence(&blocked) && sequence(&blocked) < sequence(&recovered));

    let id = recovered["id"].as_str().expect("an id");
    let is_delivered = |body: &Value| body["deliveries"][0]["state"] == "delivered";
    let shown = here.soon(&format!("/v1/events/{id}"), is_delivered).await;
    assert_eq!(shown["deliveries"][0]["attempts"][0]["status"], 204, "{shown}");
    let tested = here.call("POST", "/v1/webhooks/test", Some(json!({ "endpoint": "backend" }))).await;
    assert_eq!(tested.status, 202, "{}", tested.body);
    here.soon(&format!("/v1/events/{}", tested.text("id")), is_delivered).await;
}
