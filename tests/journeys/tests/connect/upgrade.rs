//! The table as a version before this one left it. `fixtures/table-1.json` was recorded by `record_the_table` and is never
//! written anew: a version that cannot read it cannot be deployed over the one before.

use http::Request;
use jiff::SignedDuration;
use journeys::Story;
use local::{Options, stack::TABLE};
use salesforce::Http;
use serde_json::{Value, json};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/table-1.json");

/// Stands in the fixture where the world's own address is.
const SITE: &str = "{{salesforce}}";

/// The embedded DynamoDB reads a signature and does not check it.
const UNCHECKED: &str = "AWS4-HMAC-SHA256 Credential=local/20261122/eu-central-1/dynamodb/aws4_request, \
                         SignedHeaders=host;x-amz-date, Signature=0";

/// One call of DynamoDB as the wire has it, so that items stay as they are stored.
async fn dynamodb(story: &Story, operation: &str, body: &Value) -> Value {
    let request = Request::post(story.stack.dynamodb.endpoint())
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-date", "20261122T090000Z")
        .header("authorization", UNCHECKED)
        .body(body.to_string().into_bytes());
    let answer = Http::on_this_machine().send(request.expect("a request")).await.expect("DynamoDB answers");
    let told = String::from_utf8_lossy(answer.body()).into_owned();
    assert_eq!(answer.status(), 200, "{operation}: {told}");
    serde_json::from_str(&told).expect("JSON")
}

/// A stack that begins with what the fixture holds: its keys, its items.
async fn begun_with(fixture: &Value) -> Story {
    let folder = std::env::temp_dir().join(format!(
        "latchkey-upgrade-{}-{}",
        std::process::id(),
        domain::id::base32(&domain::secret::random::<4>())
    ));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("keys.json"), fixture["keys"].to_string()).expect("the keys");
    let story = Story::with(Options { data: Some(folder.clone()), ..Options::for_tests() }).await;
    std::fs::remove_dir_all(&folder).expect("the table is open already");
    let items = fixture["items"].to_string().replace(SITE, &story.stack.salesforce.site());
    let items: Vec<Value> = serde_json::from_str(&items).expect("items");
    for item in items {
        dynamodb(&story, "PutItem", &json!({ "TableName": TABLE, "Item": item })).await;
    }
    story
}

#[tokio::test]
#[ignore = "writes the fixture of a version that is about to be left"]
async fn record_the_table() {
    let folder = std::env::temp_dir().join(format!("latchkey-record-{}", std::process::id()));
    let story = Story::with(Options { data: Some(folder.clone()), ..Options::for_tests() }).await;
    story.install("sync");
    let connection = story.connected().await;
    let access_token = story.token(&connection).await.text("access_token").to_owned();
    let session = story.wish(json!({ "user": "u-bob" })).await;
    let declined = story.wish(json!({ "user": "u-ada" })).await;
    let connect = story.stack.browser().get(declined.text("connect_url")).await.choose("Production");
    let help =
        connect.click("Continue to Salesforce").await.click("ada@acme.example").await.click("Deny").await;
    let scanned = dynamodb(&story, "Scan", &json!({ "TableName": TABLE })).await;
    let keys = std::fs::read_to_string(folder.join("keys.json")).expect("the keys");
    std::fs::remove_dir_all(&folder).expect("the folder");
    let items = scanned["Items"].to_string().replace(&story.stack.salesforce.site(), SITE);
    let fixture = json!({
        "keys": serde_json::from_str::<Value>(&keys).expect("JSON"),
        "connection": connection,
        "access_token": access_token,
        "session": session.text("id"),
        "help": help.url.path(),
        "items": serde_json::from_str::<Value>(&items).expect("JSON"),
    });
    assert!(
        !std::path::Path::new(FIXTURE).exists(),
        "a recorded fixture stays: give the next one a number of its own"
    );
    std::fs::write(FIXTURE, serde_json::to_string_pretty(&fixture).expect("JSON") + "\n")
        .expect("the fixture");
}

#[tokio::test]
async fn what_a_later_version_has_stored_is_refused_and_left_as_it_is() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let key = json!({ "pk": { "S": format!("CONNECTION#{connection}") }, "sk": { "S": "CONNECTION" } });
    let later = json!({
        "TableName": TABLE, "Key": key, "UpdateExpression": "SET v = :later",
        "ExpressionAttributeValues": { ":later": { "N": "2" } },
    });
    dynamodb(&story, "UpdateItem", &later).await;
    let read = json!({ "TableName": TABLE, "Key": key });
    let before = dynamodb(&story, "GetItem", &read).await;

    story.pass(SignedDuration::from_mins(20));
    assert_eq!(story.token(&connection).await.status, 503);
    let deleted = story.call("DELETE", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(deleted.status, 503, "{}", deleted.body);

    assert!(story.logs.text().contains("version 2, of a later Latchkey"), "the log says what to do");
    assert_eq!(dynamodb(&story, "GetItem", &read).await, before);
}

#[tokio::test]
async fn what_the_version_before_has_stored_is_served_and_carried_on() {
    let fixture: Value =
        serde_json::from_str(&std::fs::read_to_string(FIXTURE).expect("the fixture")).expect("JSON");
    let story = begun_with(&fixture).await;
    let text = |member: &str| fixture[member].as_str().unwrap_or_else(|| panic!("no {member}")).to_owned();
    let connection = text("connection");

    let fresh = story.token(&connection).await;
    assert_eq!(fresh.status, 200, "{}", fresh.body);
    assert_eq!(fresh.text("access_token"), text("access_token"), "sealed then, opened now");
    let listed = story.connections().await;
    assert!(listed.iter().any(|one| one["id"] == connection.as_str()), "{listed:?}");
    let session = story.call("GET", &format!("/v1/connect-sessions/{}", text("session")), None).await;
    assert_eq!(session.body["status"], "created", "{}", session.body);
    let help = story.stack.browser().get(&format!("{}{}", story.stack.latchkey, text("help"))).await;
    assert!(help.has("Fernway"), "{}", help.text());

    // This world never granted that token: the refresh is begun, sent and refused by the protocol of today.
    story.pass(SignedDuration::from_mins(20));
    let refused = story.token(&connection).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let swept = story.stack.sweep().await;
    assert!(!swept.cut_short, "{swept:?}");
    let gone = story.call("DELETE", &format!("/v1/connections/{connection}"), None).await;
    assert!(gone.status < 300, "{} {}", gone.status, gone.body);
}
