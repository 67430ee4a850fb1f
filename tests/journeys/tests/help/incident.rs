//! A wave: the grants of many customers end within the hour. One by one each looks like that customer's own trouble;
//! the product learns that it is one event.

use jiff::SignedDuration;
use journeys::Story;
use serde_json::{Value, json};

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
