//! What was connected under one version, under the version that is put back in its place.

use deployed::Deployed;

#[tokio::test]
#[ignore = "tests/deployed/run deploys first"]
async fn the_version_before_serves_what_the_version_after_has_stored() {
    let here = Deployed::here();
    // Connected and refreshed while two later versions shared the traffic.
    let connection = here.connection_of("c-shift").await;

    let token = here.token(&connection).await;

    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(here.salesforce_says(&token).await, 200);
}
