//! Events that no change of the table makes: the sweep records them.

use jiff::SignedDuration;
use journeys::Story;
use serde_json::{Value, json};
use world::salesforce::Fault;

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// The events of a type, once they may be read.
async fn of_type(story: &Story, kind: &str) -> Vec<Value> {
    story.stack.notify().await;
    story.pass(SignedDuration::from_secs(11));
    let page = story.call("GET", &format!("/v1/events?limit=100&types={kind}"), None).await;
    assert_eq!((page.status, &page.body["has_more"]), (200, &json!(false)), "{}", page.body);
    page.body["events"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn incident_ends_once() {
    let story = Story::begin().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let imported = story.all_imported(6).await;
    story.pass(hours(3));
    for (customer, connection) in &imported {
        story.stack.salesforce.uninstall(customer, &key);
        story.token(connection).await;
    }
    let started = of_type(&story, "incident.started").await;
    assert_eq!(started.len(), 1, "{started:?}");
    story.pass(hours(1));
    story.stack.sweep().await;
    assert_eq!(of_type(&story, "incident.ended").await, [] as [Value; 0], "an hour is not over");
    for _ in 0..3 {
        story.pass(hours(1));
        story.stack.sweep().await;
    }
    let ended = of_type(&story, "incident.ended").await;
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0]["data"]["incident_id"], started[0]["data"]["incident_id"]);
    for field in ["app", "actor", "cause"] {
        assert_eq!(ended[0]["data"][field], started[0]["data"][field], "{field}");
    }
}

#[tokio::test]
async fn grant_that_cannot_be_used_is_said_to_expire() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let idle_days = i64::from(story.stack.app("fernway", "sync").refresh_token_idle_days);
    assert!(idle_days > 20, "{idle_days}");
    let mut warned = Vec::new();
    for day in 1..idle_days {
        story.pass(hours(24));
        // An admin blocks it, and does nothing about it.
        story.stack.salesforce.queue_token_fault(Fault::Answer {
            status: 400,
            error: "invalid_grant".into(),
            description: "ip restricted".into(),
        });
        story.stack.sweep().await;
        if of_type(&story, "connection.expiring").await.len() > warned.len() {
            warned.push(idle_days - day);
        }
        story.stack.deliver().await;
        story.stack.salesforce.behave();
    }
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!((6..=7).contains(&warned[0]) && (0..=1).contains(&warned[1]), "{warned:?}");
    let events = of_type(&story, "connection.expiring").await;
    assert_eq!(events[0]["data"]["connection_id"], json!(connection));
    assert!(events[0]["data"]["expires_at"].is_string() && events[0]["data"]["help_url"].is_string());
    let why = (&events[0]["data"]["cause"], &events[0]["data"]["actor"]);
    assert_eq!(why, (&json!("ip_restricted"), &json!("admin")));
    // A warning changes nothing, so it has the sequence of the event before it. The documented consumer acts on it.
    let told = story.stack.inbox.events();
    let sequence = |expires: bool| {
        let of_connection = |event: &&Value| event["data"]["sequence"].is_u64();
        let mut found = told.iter().rev().filter(of_connection);
        found.find(|event| (event["type"] == "connection.expiring") == expires).expect("told")["data"]["sequence"]
            .clone()
    };
    assert_eq!(sequence(true), sequence(false), "{told:#?}");
    let standing = story.stack.inbox.standing("c-acme").expect("the customer");
    assert_eq!((standing.event.as_str(), standing.notice().is_some()), ("connection.expiring", true));
}

#[tokio::test]
async fn change_that_was_told_is_not_told_again() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(hours(3));
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.token(&connection).await;
    story.stack.notify().await;
    story.pass(hours(26));
    story.stack.sweep().await;
    assert_eq!(of_type(&story, "connection.state_changed").await, [] as [Value; 0]);
}

#[tokio::test]
async fn lost_change_of_a_connection_that_needs_its_user_is_told() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.notify().await;
    story.pass(hours(3));
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.token(&connection).await;
    // `notify` was down for longer than the stream keeps a change.
    story.stack.stream().loses_everything().await;
    story.pass(hours(24));
    story.stack.sweep().await;
    assert_eq!(of_type(&story, "connection.state_changed").await, [] as [Value; 0], "it may still come");
    story.pass(hours(2));
    story.stack.sweep().await;
    let changed = of_type(&story, "connection.state_changed").await;
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(
        (&changed[0]["data"]["state"], &changed[0]["data"]["sequence"]),
        (&json!("needs_reauth"), &json!(2))
    );
    assert!(changed[0]["data"]["help_url"].is_string() && changed[0]["data"]["message"].is_string());
    assert!(
        changed[0]["data"]["cause"].is_string() && changed[0]["data"]["actor"].is_string(),
        "{changed:?}"
    );
    story.stack.deliver().await;
    let got = story.stack.inbox.events();
    assert!(got.iter().any(|event| event["id"] == changed[0]["id"]), "by webhook as well: {got:?}");
    story.pass(hours(26));
    story.stack.sweep().await;
    assert_eq!(of_type(&story, "connection.state_changed").await.len(), 1, "once");
}

#[tokio::test]
async fn lost_change_of_a_connection_that_nobody_uses_is_told() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    // `notify` was down for longer than the stream keeps a change.
    story.stack.stream().loses_everything().await;
    story.pass(hours(26));
    story.stack.sweep().await;
    let changed = of_type(&story, "connection.state_changed").await;
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(
        (&changed[0]["data"]["state"], &changed[0]["data"]["sequence"]),
        (&json!("active"), &json!(1))
    );
    assert_eq!(changed[0]["data"]["connection_id"], json!(connection));
}

#[tokio::test]
async fn lost_change_of_a_connection_that_was_used_for_hours_is_told() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.stream().loses_everything().await;
    for hour in 0..27 {
        // In use for three hours: the sweep keeps its token fresh, and then leaves it alone for weeks.
        if hour < 3 {
            assert_eq!(story.token(&connection).await.status, 200);
        }
        story.pass(hours(1));
        story.stack.sweep().await;
    }
    let changed = of_type(&story, "connection.state_changed").await;
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["data"]["connection_id"], json!(connection));
}

#[tokio::test]
async fn quarantined_answer_is_told_once() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(SignedDuration::from_mins(16));
    story.stack.salesforce.queue_token_fault(Fault::WrongSignature);
    story.token(&connection).await;
    story.stack.sweep().await;
    story.stack.sweep().await;
    let added = of_type(&story, "quarantine.added").await;
    assert_eq!(added.len(), 1, "{added:?}");
    assert_eq!(added[0]["data"]["connection_id"], json!(connection));
    assert_eq!(added[0]["data"]["customer"]["id"], "c-acme");
}
