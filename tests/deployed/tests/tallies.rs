//! The way of what is counted: the table's stream, its mapping, `tally` with its own role, the figures.

use deployed::Deployed;

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn a_customer_who_failed_and_then_connected_is_counted_and_the_failure_resolved() {
    let here = Deployed::here();
    // The secret that was wrong (alarms.rs) is right now.
    let connection = here.connected("insights", "c-hit").await;

    let resolved =
        here.soon("/v1/failures?app=insights&resolved=true", |body| body["failures"][0].is_object()).await;
    let failure = &resolved["failures"][0];
    assert_eq!(failure["cause"], "client_credentials_invalid", "{resolved}");
    assert_eq!(failure["resolved"]["connection_id"], connection, "{resolved}");

    let path = "/v1/failures/summary?app=insights&by=cause,stage";
    let summary =
        here.soon(path, |body| body["sessions"]["connected"] == 1 && body["fixed"][0].is_object()).await;
    assert_eq!(
        (&summary["sessions"]["created"], &summary["sessions"]["failed"]),
        (&2.into(), &1.into()),
        "{summary}"
    );
    let row = serde_json::json!({
        "cause": "client_credentials_invalid", "stage": "exchange", "count": 1, "of_these_reported": 0
    });
    assert_eq!(summary["failures"], serde_json::json!([row]), "{summary}");
    assert_eq!(summary["fixed"][0]["count"], 1, "{summary}");

    let link = here.call("POST", "/v1/ops-links", None).await;
    let browser = here.browser();
    let page = browser.get(link.text("url")).await.click("Sign in").await;
    assert_eq!((page.status, page.url.path()), (200, "/ops"), "{}", page.text());
    let page = browser.get(&format!("{}?app=insights", page.url)).await;
    assert_eq!(page.all(".tiles b")[..2], ["2", "50 %"], "{}", page.text());
    let timeline = page.fill("q", failure["reference"].as_str().expect("a reference")).click("Find").await;
    assert_eq!(
        timeline.all(".timeline strong").last().map(String::as_str),
        Some("Resolved"),
        "{}",
        timeline.text()
    );
}
