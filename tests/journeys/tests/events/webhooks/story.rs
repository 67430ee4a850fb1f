//! The whole story: a connection dies, the product is told, the admin acts, the product is told again.

use jiff::SignedDuration;
use journeys::Story;
use serde_json::Value;
use world::salesforce::PermittedUsers;

/// Brings what happened to the product's endpoint, and returns what it has accepted so far.
async fn told(story: &Story) -> Vec<Value> {
    story.stack.notify().await;
    story.stack.deliver().await;
    assert_eq!(story.stack.inbox.rejected(), 0, "the public library accepts every signature");
    story.stack.inbox.events()
}

fn last<'e>(events: &'e [Value], kind: &str) -> &'e Value {
    let found = events.iter().rfind(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}: {events:#?}"))
}

#[tokio::test]
async fn product_is_told_of_a_dead_connection_and_of_its_recovery() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let created = last(&told(&story).await, "connection.created").clone();
    assert_eq!(created["data"]["connection_id"], connection.as_str());

    // The admin lets approved users in alone, and the next refresh is refused.
    let permits = |users| story.stack.salesforce.set_permitted_users("acme", &key, users);
    permits(PermittedUsers::AdminApprovedPreAuthorized);
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.status, 409);
    let blocked = last(&told(&story).await, "connection.blocked").clone();
    assert_eq!((&blocked["data"]["actor"], &blocked["data"]["state"]), (&"admin".into(), &"blocked".into()));
    let message = blocked["data"]["message"].as_str().expect("a sentence");
    assert!(message.contains("Acme Corporation") && message.contains("Cause: "), "{message}");
    let help = story.stack.browser().get(blocked["data"]["help_url"].as_str().expect("a link")).await;
    assert_eq!(help.status, 200);
    let standing = story.stack.inbox.standing("c-acme").expect("the customer");
    assert!(standing.notice().is_some(), "the product's page says what to do");

    // The admin acts. Nobody calls Latchkey, and the sweep sees it within six hours.
    permits(PermittedUsers::AllSelfAuthorize);
    story.pass(SignedDuration::from_hours(6) + SignedDuration::from_mins(5));
    assert_eq!(story.stack.sweep().await.refreshed, 1);
    let recovered = last(&told(&story).await, "connection.recovered").clone();
    assert_eq!(recovered["data"]["connection_id"], connection.as_str());
    let sequence = |event: &Value| event["data"]["sequence"].as_u64().expect("a number");
    assert!(sequence(&created) < sequence(&blocked) && sequence(&blocked) < sequence(&recovered));
    assert!(story.stack.inbox.standing("c-acme").expect("the customer").notice().is_none());
}
