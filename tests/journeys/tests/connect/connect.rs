//! From Connect to a working token.

use journeys::{Story, connect_link};

#[tokio::test]
async fn a_user_connects_and_the_product_reads_records() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;

    let home = story.connect(&browser).await;

    assert!(home.has("Your Salesforce accounts"), "{} {}", home.url, home.text());
    assert!(!home.all("tbody tr").is_empty(), "there are records");
    let connections = story.connections().await;
    assert_eq!(connections.len(), 1);
    assert_eq!(connections[0]["username"], "uma@acme.example");
}

#[tokio::test]
async fn an_app_that_is_not_installed_leads_from_salesforces_page_to_the_steps_and_out_of_it() {
    let story = Story::begin().await;
    let browser = story.signed_in("Alice").await;

    let stuck = story.leave(&browser).await.click("uma@acme.example").await;
    assert!(stuck.url.as_str().contains("RemoteAccessErrorPage"), "{}", stuck.url);
    assert!(stuck.has("OAUTH_APPROVAL_ERROR_GENERIC"), "{}", stuck.text());

    let link = connect_link(&browser);
    let back = browser.get(&link).await;
    let trouble = browser.get(&format!("{link}/trouble")).await;
    assert!(back.links().iter().any(|(_, to)| to.ends_with("/trouble")), "{:?}", back.links());
    let help = trouble.fill("pasted", stuck.url.as_str()).click("Show me what to do").await;

    assert!(help.url.as_str().contains("/help/fl_"), "{}", help.url);
    assert_eq!(story.failed_cause(&browser).await, "app_not_installed");
    let heading = help.heading();
    assert_eq!(
        heading,
        "Fernway isn’t installed in your Salesforce org yet. An admin has to install it once."
    );
    // The steps are this cause's: what the admin opens, and the app to find there.
    assert!(help.has("Connected Apps OAuth Usage") && help.has("“Fernway Sync”"), "{}", help.text());

    story.install("sync");
    let home = story.leave(&browser).await.click("Allow").await;
    assert!(home.has("Your Salesforce accounts"), "{} {}", home.url, home.text());
}
