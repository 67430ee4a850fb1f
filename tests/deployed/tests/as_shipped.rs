//! The release binaries as `sam build` made them, on the template as `sam deploy` takes it. They know Salesforce's own
//! hosts alone, so here is what needs no answer from there.

use deployed::Deployed;
use serde_json::json;

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn a_user_is_sent_to_salesforce_and_an_error_from_there_ends_on_the_help_page() {
    let here = Deployed::here();
    let session = here.wish("sync", "c-shipped").await;
    let browser = here.browser();
    browser.stop_before("https://login.salesforce.com");

    let leaving = here.leave(&browser, &session).await;

    let to = leaving.location().expect("on the way to Salesforce");
    let asked: std::collections::HashMap<_, _> = to.query_pairs().into_owned().collect();
    assert_eq!(to.host_str(), Some("login.salesforce.com"));
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked["redirect_uri"].ends_with("/oauth/callback"), "{}", asked["redirect_uri"]);

    let said = "error=OAUTH_APP_BLOCKED&error_description=this+app+is+blocked+by+admin";
    let help = browser.get(&format!("{}?{said}&state={}", asked["redirect_uri"], asked["state"])).await;
    assert!(help.url.path().starts_with("/help/fl_"), "{}", help.url);
    assert!(help.has("Unblock"), "{}", help.text());
    assert!(help.has("Fernway"), "in the product's brand: {}", help.text());
}

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn what_is_no_route_is_answered_before_any_function() {
    let here = Deployed::here();
    for path in ["/", "/v1", "/v1/products", "/oauth/callback/more"] {
        assert_eq!(here.call("GET", path, None).await.status, 404, "{path}");
    }
    assert_eq!(here.call("GET", "/healthz", None).await.status, 200);
}

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn a_product_reaches_with_its_own_key_and_nothing_without() {
    let here = Deployed::here();
    assert_eq!(here.call("GET", "/v1/connections", None).await.status, 200);
    for key in ["", "lk_fernway_k1_wrong", "lk_tidewater_k1_wrong"] {
        assert_eq!(here.call_with(key, "GET", "/v1/connections", None).await.status, 401, "{key:?}");
    }
    // Of an id's form, so that the table is asked, and of no form.
    let id = domain::ConnectionId::mint("2026-11-22T12:00:00Z".parse().expect("a time"));
    for unknown in [id.as_str(), "cn_0192f0000000700080000000000000000"] {
        let unknown = here.token(unknown).await;
        assert_eq!(unknown.status, 404, "{}", unknown.body);
    }
    let astray = json!({ "app": "sync", "customer": { "id": "c", "name": "C" }, "user": "u", "return_to": "https://evil.example/" });
    let refused = here.call("POST", "/v1/connect-sessions", Some(astray)).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
}
