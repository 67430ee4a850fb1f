//! Events: what a product is told of, from the table's stream, by `GET /v1/events`.

use jiff::SignedDuration;
use journeys::{Returning, Story};
use local::stack::{NOTIFIED, TABLE};
use notify::{Batch, Notify};
use serde_json::{Value, json};
use world::salesforce::Fault;

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// Everything in the feed, page by page, once it may be read.
async fn feed(story: &Story, filter: &str) -> Vec<Value> {
    let notified = story.stack.notify().await;
    assert_eq!((notified.set_aside, notified.failed.len()), (0, 0), "{notified:?}");
    story.pass(SignedDuration::from_secs(11));
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = story.call("GET", &format!("/v1/events?limit=3{filter}{after}"), None).await;
        assert_eq!(page.status, 200, "{}", page.body);
        found.extend(page.body["events"].as_array().expect("a list").clone());
        if page.body["has_more"] == false {
            return found;
        }
        after = format!("&after={}", page.text("next"));
    }
}

/// The types of the events in the feed, in its order.
async fn types(story: &Story, filter: &str) -> Vec<String> {
    feed(story, filter).await.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
}

/// The one event of a type.
async fn only(story: &Story, kind: &str) -> Value {
    let found = feed(story, &format!("&types={kind}")).await;
    assert_eq!(found.len(), 1, "{kind}: {found:?}");
    found[0].clone()
}

/// Salesforce refuses the next refresh in these words, and the product asks for a token.
async fn refused(story: &Story, connection: &str, why: &str) {
    story.stack.salesforce.queue_token_fault(Fault::Answer {
        status: 400,
        error: "invalid_grant".into(),
        description: why.into(),
    });
    story.pass(minutes(16));
    story.token(connection).await;
}

#[tokio::test]
async fn connection_is_created_at_redeem_and_never_before() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    browser.stop_before("/salesforce/return");
    let login = story.leave(&browser).await;
    let back = login.click("uma@acme.example").await.click("Allow").await;
    assert!(types(&story, "").await.is_empty(), "the product has not redeemed");

    back.follow().await;
    let created = only(&story, "connection.created").await;
    let connection = story.connections().await[0].clone();
    assert_eq!(created["data"]["connection_id"], connection["id"]);
    assert_eq!(created["data"]["customer"], json!({"id": "c-acme", "name": "Acme Corporation"}));
    assert_eq!(created["data"]["sequence"], 1);
    assert_eq!((&created["data"]["app"], &created["data"]["state"]), (&json!("sync"), &json!("active")));
    let mut all = types(&story, "").await;
    all.sort();
    assert_eq!(all, ["connection.created", "session.connected"]);
    let session = only(&story, "session.connected").await;
    assert_eq!(session["data"]["connection_id"], connection["id"]);
    assert!(session["data"].get("sequence").is_none(), "only connections have one");
    for event in feed(&story, "").await {
        assert!(!event.to_string().contains("uma@"), "an event names no Salesforce user: {event}");
    }
}

#[tokio::test]
async fn grant_that_is_never_redeemed_makes_no_event_of_a_connection() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    browser.stop_before("/salesforce/return");
    let login = story.leave(&browser).await;
    login.click("uma@acme.example").await.click("Allow").await;
    story.pass(SignedDuration::from_hours(1));
    assert_eq!(story.stack.sweep().await.unredeemed, 1);
    assert_eq!(types(&story, "").await, [""; 0]);
}

#[tokio::test]
async fn session_that_fails_or_is_lost_says_why_and_who_acts() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    story.leave(&browser).await.click("uma@acme.example").await.click("Deny").await;
    let failed = only(&story, "session.failed").await;
    assert_eq!(failed["data"]["cause"], "user_denied");
    assert_eq!(failed["data"]["actor"], "end_user");
    let help = browser.get(failed["data"]["help_url"].as_str().expect("a link")).await;
    assert_eq!(help.status, 200);

    let out = story.signed_in("Bob").await;
    story.leave(&out).await;
    story.pass(minutes(31));
    story.stack.sweep().await;
    let lost = only(&story, "session.lost").await;
    assert!(lost["data"]["cause"].is_string() && lost["data"]["help_url"].is_string(), "{lost}");
    assert_ne!(lost["data"]["session_id"], failed["data"]["session_id"]);
}

#[tokio::test]
async fn connection_that_is_blocked_recovers_with_a_higher_sequence() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    refused(&story, &connection, "ip restricted").await;
    let blocked = only(&story, "connection.blocked").await;
    assert_eq!((&blocked["data"]["actor"], &blocked["data"]["state"]), (&json!("admin"), &json!("blocked")));
    assert!(blocked["data"]["cause"].is_string() && blocked["data"]["help_url"].is_string(), "{blocked}");

    // Refused again for the same cause: nothing new.
    refused(&story, &connection, "ip restricted").await;
    only(&story, "connection.blocked").await;

    story.pass(minutes(5));
    assert_eq!(story.token(&connection).await.status, 200, "the admin has acted");
    let recovered = only(&story, "connection.recovered").await;
    assert_eq!(recovered["data"]["state"], "active");
    let sequences: Vec<i64> = feed(&story, &format!("&connection={connection}"))
        .await
        .iter()
        .filter_map(|event| event["data"]["sequence"].as_i64())
        .collect();
    assert_eq!(sequences, [1, 2, 3]);

    story.stack.tally().await;
    let resolved = only(&story, "failure.resolved").await;
    assert_eq!(resolved["data"]["failure_id"], blocked["data"]["failure_id"]);
    // A refresh of a connection that works is no event.
    story.pass(minutes(16));
    assert_eq!(story.token(&connection).await.status, 200);
    assert_eq!(feed(&story, &format!("&connection={connection}&types=connection.recovered")).await.len(), 1);
}

#[tokio::test]
async fn failing_refreshes_are_told_once_until_they_recover() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    refused(&story, &connection, "something that nobody knows").await;
    story.pass(minutes(1));
    refused(&story, &connection, "something that nobody knows").await;
    let failing = only(&story, "connection.refresh_failing").await;
    assert_eq!(failing["data"]["state"], "active");
    assert!(failing["data"]["cause"].is_string(), "{failing}");
    story.pass(minutes(10));
    assert_eq!(story.token(&connection).await.status, 200);
    only(&story, "connection.recovered").await;
}

#[tokio::test]
async fn reauthorization_and_reconnect_are_told() {
    let again = Returning::begin().await;
    let story = &again.story;
    story.pass(SignedDuration::from_hours(3));
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    assert_eq!(story.token(&again.earlier).await.problem(), "reauthorization-needed");
    let needed = only(story, "connection.reauthorization_needed").await;
    assert_eq!(needed["data"]["actor"], "end_user");

    let wish = story.wish(json!({ "connection_id": again.earlier })).await;
    story.about_to_return(&again.alice, wish.text("connect_url")).await.follow().await;
    let reconnected = only(story, "connection.reconnected").await;
    assert_eq!(reconnected["data"]["connection_id"], json!(again.earlier));
    assert_eq!(reconnected["data"]["sequence"], 3);
    story.stack.sweep().await;
    assert!(feed(story, "&types=connection.deleted").await.is_empty(), "the old grant is no connection");
    assert_eq!(feed(story, "&types=connection.created").await.len(), 1, "nor is the new one");
}

#[tokio::test]
async fn parked_session_names_no_identity() {
    let again = Returning::begin().await;
    let story = &again.story;
    let wish = story.wish(json!({ "connection_id": again.earlier })).await;
    let browser = story.signed_in("Bob").await;
    let connect = browser.get(wish.text("connect_url")).await.choose("Production");
    let page = connect.choose("Ask me to sign in again").click("Continue to Salesforce").await;
    let page = page.click("ada@acme.example").await;
    if page.has("Allow Access?") {
        page.click("Allow").await;
    }
    let parked = only(story, "session.parked").await;
    assert_eq!(parked["data"]["connection_id"], json!(again.earlier));
    assert!(!parked.to_string().contains("ada@") && !parked.to_string().contains("005"), "{parked}");
}

#[tokio::test]
async fn deletion_is_told_once() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.set_unreachable(true);
    let path = format!("/v1/connections/{connection}");
    assert_eq!(story.call("DELETE", &path, None).await.status, 202);
    assert_eq!(story.call("DELETE", &path, None).await.status, 202);
    story.stack.salesforce.set_unreachable(false);
    story.pass(minutes(20));
    assert_eq!(story.stack.sweep().await.revoked, 1);
    let deleted = only(&story, "connection.deleted").await;
    assert_eq!(deleted["data"]["sequence"], 2);
}

#[tokio::test]
async fn imported_connection_is_created() {
    let story = Story::begin().await;
    let imported = story.all_imported(1).await;
    let created = only(&story, "connection.created").await;
    assert_eq!(created["data"]["connection_id"], json!(imported[0].1));
    assert!(created["data"].get("session_id").is_none());
}

#[tokio::test]
async fn wave_is_one_incident() {
    let story = Story::begin().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let imported = story.all_imported(6).await;
    story.pass(SignedDuration::from_hours(3));
    for (customer, connection) in &imported {
        story.stack.salesforce.uninstall(customer, &key);
        story.token(connection).await;
    }
    let started = only(&story, "incident.started").await;
    assert_eq!(started["data"]["app"], "sync");
    let incident = started["data"]["incident_id"].as_str().expect("an id");
    let last = feed(&story, &format!("&connection={}", imported[5].1)).await;
    assert_eq!(last.last().expect("an event")["data"]["incident_id"], incident, "{last:?}");
}

#[tokio::test]
async fn vendors_own_trouble_is_told_once_a_day() {
    let story = Story::begin().await;
    let imported = story.all_imported(2).await;
    for (_, connection) in &imported {
        refused(&story, connection, "ip restricted by app developer").await;
    }
    let incident = only(&story, "app.incident").await;
    assert_eq!((&incident["data"]["actor"], &incident["data"]["app"]), (&json!("vendor"), &json!("sync")));
}

#[tokio::test]
async fn failure_that_a_restore_brings_back_is_not_told_again() {
    let story = Story::begin().await;
    let imported = story.all_imported(2).await;
    refused(&story, &imported[0].1, "ip restricted by app developer").await;
    let platform = story.stack.platform();
    let notify = Notify::new(platform.store, platform.settings.public_url);
    // A restore writes failures as new items, long after they happened.
    for (hours, told) in [(26, 0), (0, 1)] {
        let written_at = story.stack.clock.now() + SignedDuration::from_hours(hours);
        let all = batches(&story, 1000).into_iter().flat_map(|batch| batch.records);
        let is_failure = |record: &Value| {
            record["dynamodb"]["Keys"]["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("FAILURE#"))
        };
        let mut records: Vec<Value> = all.filter(is_failure).collect();
        for record in &mut records {
            record["dynamodb"]["ApproximateCreationDateTime"] = written_at.as_second().into();
        }
        let done = notify.run(Batch { records }, written_at).await;
        assert_eq!(done.recorded, told, "{hours} hours later: {done:?}");
    }
}

/// The stream as Lambda would bring it: in batches of so many.
fn batches(story: &Story, size: usize) -> Vec<Batch> {
    let (mut records, _) = story.stack.dynamodb.changes(TABLE, None, 1000).expect("the stream");
    records.retain(|record| {
        let pk = record["dynamodb"]["Keys"]["pk"]["S"].as_str().expect("a key");
        NOTIFIED.iter().any(|kind| pk.starts_with(kind))
    });
    records.chunks(size).map(|records| Batch { records: records.to_vec() }).collect()
}

#[tokio::test]
async fn batches_that_come_again_make_no_second_event() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    refused(&story, &connection, "ip restricted").await;
    story.call("DELETE", &format!("/v1/connections/{connection}"), None).await;
    let once = feed(&story, "").await;
    assert_eq!(once.len(), 4, "{once:?}");

    let platform = story.stack.platform();
    let notify = Notify::new(platform.store, platform.settings.public_url);
    for size in [1, 3, 1000] {
        for batch in batches(&story, size) {
            let done = notify.run(batch, story.stack.clock.now()).await;
            assert_eq!((done.recorded, done.set_aside, done.failed.len()), (0, 0, 0), "{done:?}");
        }
    }
    assert_eq!(feed(&story, "").await, once);
}

#[tokio::test]
async fn expiry_makes_no_event_and_a_bad_record_stops_no_other() {
    let story = Story::installed().await;
    story.connected().await;
    let mut records: Vec<Value> = batches(&story, 1000).remove(0).records;
    for record in &mut records {
        record["userIdentity"] = json!({ "type": "Service", "principalId": "dynamodb.amazonaws.com" });
    }
    let platform = story.stack.platform();
    let notify = Notify::new(platform.store, platform.settings.public_url);
    let expired = notify.run(Batch { records: records.clone() }, story.stack.clock.now()).await;
    assert_eq!((expired.recorded, expired.set_aside), (0, 0));

    let broken = |change: &dyn Fn(&mut Value)| {
        let mut record = records
            .iter()
            .rfind(|record| record["dynamodb"]["NewImage"]["revision"]["N"] == "1")
            .expect("the redemption")
            .clone();
        record["userIdentity"] = Value::Null;
        change(&mut record);
        record
    };
    let bad = vec![
        json!({ "nothing": "at all" }),
        broken(&|record| record["dynamodb"]["NewImage"]["revision_event"] = json!({ "S": "connection.odd" })),
        broken(&|record| record["dynamodb"]["NewImage"]["product"] = Value::Null),
        broken(&|record| record["dynamodb"]["Keys"]["pk"] = json!({ "S": "CONNECTION#nonsense" })),
        broken(&|_| {}),
    ];
    let done = notify.run(Batch { records: bad }, story.stack.clock.now()).await;
    assert_eq!((done.set_aside, done.recorded, done.failed.len()), (4, 1, 0), "{done:?}");
}

#[tokio::test]
async fn feed_rejects_what_it_does_not_know_and_shows_no_other_product() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let created = only(&story, "connection.created").await;
    let id = created["id"].as_str().expect("an id");
    let shown = story.call("GET", &format!("/v1/events/{id}"), None).await;
    let mut with_deliveries = created.clone();
    with_deliveries["deliveries"] = shown.body["deliveries"].clone();
    assert_eq!((shown.status, &shown.body), (200, &with_deliveries));
    assert!(shown.body["deliveries"].is_array(), "{}", shown.body);

    for bad in [
        "types=connection.exploded",
        "types=connection.created,",
        "types=a&types=b",
        "after=yesterday",
        "after=9999999999999999-con_x",
        "connection=c-acme",
        "limit=0",
        "limit=101",
        "custmer=c-acme",
        "from=2026-11-22T09:00:00Z",
    ] {
        let answer = story.call("GET", &format!("/v1/events?{bad}"), None).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.body);
    }
    let future = story.call("GET", "/v1/events?after=9999999999999999", None).await;
    assert_eq!((future.status, &future.body["events"]), (200, &json!([])), "{}", future.body);

    let other = story.stack.api_key("tidewater").expose().to_owned();
    for path in ["/v1/events".to_owned(), format!("/v1/events?connection={connection}")] {
        let answer = story.call_with(&other, &[], "GET", &path, None).await;
        assert_eq!((answer.status, &answer.body["events"]), (200, &json!([])), "{path}");
    }
    let answer = story.call_with(&other, &[], "GET", &format!("/v1/events/{id}"), None).await;
    assert_eq!(answer.status, 404);
    assert_eq!(story.call("GET", "/v1/events/evt_x", None).await.status, 404);
    let customers = feed(&story, "&customer=c-acme").await;
    assert_eq!(customers.len(), 2);
    assert!(feed(&story, "&customer=c-globex").await.is_empty());
}

/// An event that a product got is one write, whatever it is; its record in the stream needs at most one read of what it is about, and one
/// of the health of each endpoint that gets it.
#[tokio::test]
async fn an_event_is_one_write() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.notify().await;
    refused(&story, &connection, "ip restricted").await;
    story.stack.dynamodb.reset_counts();
    let done = story.stack.notify().await;
    let counts = story.stack.dynamodb.counts();
    assert_eq!((done.recorded, counts.writes, counts.reads), (1, 1, 2), "{done:?} {counts:?}");
}
