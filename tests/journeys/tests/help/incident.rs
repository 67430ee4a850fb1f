//! A wave: the grants of many customers end within the hour. One by one each looks like that customer's own trouble;
//! the product learns that it is one event. And whose incident it is where the customer owns the app.

use domain::product::AppOwner;
use jiff::SignedDuration;
use journeys::Story;
use serde_json::{Value, json};
use world::salesforce::Fault;

#[tokio::test]
async fn the_same_end_for_many_customers_is_told_as_one_incident_and_their_pages_do_not_blame_them() {
    let story = Story::begin().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let imported = story.all_imported(6).await;
    story.pass(SignedDuration::from_hours(3));
    for (customer, _) in &imported {
        story.stack.salesforce.uninstall(customer, &key);
    }
    let mut answers = Vec::new();
    for (_, connection) in &imported {
        answers.push(story.token(connection).await);
        story.pass(SignedDuration::from_mins(7));
    }

    let incidents: Vec<&Value> = answers.iter().map(|answer| &answer.body["incident"]).collect();
    assert!(incidents[3].is_null() && !incidents[4].is_null(), "the fifth makes a wave: {incidents:?}");
    assert_eq!(incidents[4], incidents[5], "it is one incident");
    assert_eq!(incidents[4]["scope"], "app");
    let logged = story.logs.text();
    assert!(logged.contains("a wave: many connections stop"), "an operator is told");

    let browser = story.stack.browser();
    let page = browser.get(answers[5].text("help_url")).await;
    assert!(page.has("The same happened to other customers"), "{}", page.text());
    let (_, ops) = story.operator().await;
    assert!(ops.has("A wave:") && ops.has("6 orgs of the app"), "{}", ops.text());
    let first = browser.get(answers[0].text("help_url")).await;
    assert!(!first.has("other customers"), "nobody knew it then: {}", first.text());
}

#[tokio::test]
async fn the_page_of_a_connection_that_ended_is_open_until_it_works_again() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(SignedDuration::from_hours(3));
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    let ended = story.token(&connection).await;
    assert_eq!(ended.problem(), "reauthorization-needed");
    let browser = story.stack.browser();
    let status = format!("{}/status", ended.text("help_url"));
    assert!(browser.get(&status).await.text().contains("open"), "its session had succeeded long before");
    assert!(
        !browser.get(ended.text("help_url")).await.has("Nothing more to do"),
        "and the page does not say so"
    );

    let wish = story.wish(json!({ "connection_id": connection })).await;
    assert_eq!(wish.status, 201, "{}", wish.body);
    let alice = story.signed_in("Alice").await;
    let connect = alice.get(wish.text("connect_url")).await;
    let login = connect.choose("Production").click("Continue to Salesforce").await;
    login.click("uma@acme.example").await.click("Allow").await;

    assert_eq!(story.token(&connection).await.status, 200);
    assert!(browser.get(&status).await.text().contains("resolved"));
}

/// What is wrong in a customer's own app is that customer's admin's to fix: the API, the event, the log and the connection's
/// state say so, and the product hears of no incident of its own.
#[tokio::test]
async fn settings_of_a_customers_own_app_are_its_admins_to_fix() {
    for (status, error, description, cause) in [
        (400, "invalid_grant", "ip restricted by app developer", "ip_restricted_by_developer"),
        (401, "invalid_client", "invalid client credentials", "client_credentials_invalid"),
    ] {
        let story = Story::installed().await;
        let known = story.stack.products.iter().find(|product| product.id.as_str() == "fernway");
        let mut product = known.expect("Fernway").clone();
        product.apps.iter_mut().for_each(|app| app.about.owner = AppOwner::Customer);
        story.stack.store.put_product(&product).await.expect("the table takes it");
        let connection = story.connected().await;
        story.pass(SignedDuration::from_hours(3));
        story.stack.salesforce.queue_token_fault(Fault::Answer {
            status,
            error: error.into(),
            description: description.into(),
        });

        let refused = story.token(&connection).await;

        assert_eq!((refused.status, refused.problem()), (409, "blocked-by-org"), "{}", refused.body);
        assert_eq!(refused.text("cause"), cause);
        let again = story.token(&connection).await;
        assert_eq!((again.problem(), again.text("cause")), ("blocked-by-org", cause), "{}", again.body);
        let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
        assert_eq!(shown.text("state"), "blocked");
        let page = story.stack.browser().get(refused.text("help_url")).await;
        assert!(page.has("Only a Salesforce admin can change this."), "{}", page.text());
        let logged = story.logs.text();
        let of_failure: Vec<&str> =
            logged.lines().filter(|line| line.contains(refused.text("reference"))).collect();
        assert!(of_failure.iter().any(|line| line.contains("Admin")), "{of_failure:?}");
        assert!(!of_failure.iter().any(|line| line.contains("Vendor")), "{of_failure:?}");
        story.stack.notify().await;
        story.pass(SignedDuration::from_secs(11));
        let feed = story.call("GET", "/v1/events?types=connection.blocked,app.incident", None).await;
        let events = feed.body["events"].as_array().expect("a list");
        let told: Vec<(&Value, &Value)> =
            events.iter().map(|event| (&event["type"], &event["data"]["actor"])).collect();
        assert_eq!(told, [(&json!("connection.blocked"), &json!("admin"))], "{}", feed.body);

        // The admin has acted.
        story.pass(SignedDuration::from_mins(20));
        let token = story.token(&connection).await;
        assert_eq!(token.status, 200, "{}", token.body);
    }
}
