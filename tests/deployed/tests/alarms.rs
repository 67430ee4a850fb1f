//! What the functions' log lines become: metrics, and of these alarms. `tests/deployed/run` looks at the alarms.

use deployed::Deployed;

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn what_strangers_send_and_people_paste_is_counted_apart() {
    let here = Deployed::here();
    let said = "error=invalid_client&error_description=invalid+client+credentials";
    for stranger in 0..5 {
        let address = format!("https://connect.example.com/oauth/callback?{said}&state=of-nobody-{stranger}");
        assert_eq!(here.browser().get(&address).await.status, 400);
    }

    let session = here.wish("sync", "c-pasting").await;
    let trouble = here.browser().get(&format!("{}/trouble", session.text("connect_url"))).await;
    let help = trouble.fill("pasted", said).click("Show me what to do").await;
    assert!(help.url.path().starts_with("/help/fl_"), "{} {}", help.url, help.text());
}

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn a_wrong_consumer_secret_is_met_at_the_exchange() {
    let here = Deployed::here();
    here.salesforce("install", "insights").await;
    let session = here.wish("insights", "c-hit").await;

    let help = here.allow(&session).await;

    assert!(help.url.path().starts_with("/help/fl_"), "{} {}", help.url, help.text());
    let failures = here.call("GET", "/v1/failures?app=insights", None).await;
    let failure = &failures.body["failures"][0];
    assert_eq!(failure["cause"], "client_credentials_invalid", "{}", failures.body);
    assert_eq!((&failure["stage"], &failure["provenance"]), (&"exchange".into(), &"observed".into()));
}
