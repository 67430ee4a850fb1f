//! The whole way: API Gateway, Lambda, DynamoDB and Secrets Manager as the template sets them, each function with its
//! own role, and the Salesforce world as a process of its own.

use deployed::Deployed;
use serde_json::json;

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn a_user_connects_and_the_product_reads_with_a_token_that_is_renewed() {
    let here = Deployed::here();
    here.salesforce("install", "sync").await;
    let connection = here.connected("sync", "c-acme").await;

    let first = here.token(&connection).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(here.salesforce_says(&first).await, 200);
    let listed = here.call("GET", "/v1/connections?customer=c-acme", None).await;
    assert_eq!(listed.body["connections"][0]["id"], connection, "{}", listed.body);

    here.salesforce("expire-access-tokens", "sync").await;
    assert_eq!(here.salesforce_says(&first).await, 401);
    let rejected = json!({ "rejected": first.text("fingerprint") });
    let path = format!("/v1/connections/{connection}/token");
    let second = here.call("POST", &path, Some(rejected)).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_ne!(first.text("access_token"), second.text("access_token"));
    assert_eq!(here.salesforce_says(&second).await, 200);

    let checked = here.call("POST", &format!("/v1/connections/{connection}/check"), None).await;
    assert_eq!(checked.status, 200, "{}", checked.body);
}

/// With an app of its own: uninstalling it ends what it was granted.
#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn a_failed_refresh_has_a_help_page() {
    let here = Deployed::here();
    here.salesforce("install", "insights").await;
    let connection = here.connected("insights", "c-failing").await;
    let first = here.token(&connection).await;
    assert_eq!(first.status, 200, "{}", first.body);
    here.salesforce("uninstall", "insights").await;
    assert_eq!(here.salesforce_says(&first).await, 401);

    let rejected = json!({ "rejected": first.text("fingerprint") });
    let path = format!("/v1/connections/{connection}/token");
    let failed = here.call("POST", &path, Some(rejected)).await;

    assert_eq!(failed.status, 409, "{}", failed.body);
    assert_eq!(failed.body["type"], "urn:latchkey:problem:reauthorization-needed", "{}", failed.body);
    assert!(failed.body["cause"].is_string(), "{}", failed.body);
    let help = here.browser().get(failed.text("help_url")).await;
    assert_eq!(help.status, 200, "{}", help.text());
    assert!(help.has(failed.text("reference")), "{}", help.text());
    let shown = here.call("GET", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(shown.body["state"], "needs_reauth", "{}", shown.body);
    here.salesforce("install", "insights").await;
}

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn a_revoked_connection_is_gone_and_a_user_who_declines_is_told() {
    let here = Deployed::here();
    here.salesforce("install", "sync").await;
    let connection = here.connected("sync", "c-leaving").await;
    let first = here.token(&connection).await;
    assert_eq!(first.status, 200, "{}", first.body);

    let revoked = here.call("DELETE", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(revoked.status, 204, "{}", revoked.body);
    assert_eq!(here.salesforce_says(&first).await, 401, "revoked at Salesforce");
    let gone = here.token(&connection).await;
    assert_eq!(gone.status, 404, "{}", gone.body);

    let session = here.wish("sync", "c-declining").await;
    let browser = here.browser();
    let consent = here.leave(&browser, &session).await.click("ada@acme.example").await;
    let help = consent.click("Deny").await;
    assert!(help.url.path().starts_with("/help/fl_"), "{} {}", help.url, help.text());
    let told = here.call("GET", &format!("/v1/connect-sessions/{}", session.text("id")), None).await;
    assert_eq!(told.body["status"], "failed", "{}", told.body);
}
