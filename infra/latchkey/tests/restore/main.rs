//! A backup brought back with `latchkey restore`, told as stories: what it holds may have been spent or withdrawn since.
#![expect(clippy::disallowed_methods, reason = "nothing else writes to the table of a test")]

mod sequences;

use std::collections::HashMap;

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::ConnectionId;
use jiff::SignedDuration;
use journeys::Story;
use latchkey::{
    report::Report,
    restore::{self, Restore},
};
use local::stack::{FALLBACK, TABLE};
use store::{AppAt, Fallback, RefreshedTokens, Store, Waiting};
use world::dynamodb::{Fault, Which};

type Item = HashMap<String, AttributeValue>;

const COPY: &str = "latchkey-restored";
const FALLBACK_COPY: &str = "latchkey-fallback-restored";

/// Longer than an access token lives.
const STALE: SignedDuration = SignedDuration::from_mins(20);

fn client(story: &Story) -> Client {
    story.stack.store.client().clone()
}

/// What a table holds.
async fn items(client: &Client, table: &str) -> Vec<Item> {
    let read = client.scan().table_name(table).send().await.expect("the table can be read");
    read.items.unwrap_or_default()
}

async fn put(client: &Client, table: &str, item: Item) {
    client.put_item().table_name(table).set_item(Some(item)).send().await.expect("the table can be written");
}

/// Deletes what begins so.
async fn lose(client: &Client, table: &str, prefix: &str) {
    let lost = items(client, table).await;
    for mut item in lost.into_iter().filter(|item| item["pk"].as_s().is_ok_and(|pk| pk.starts_with(prefix))) {
        item.retain(|name, _| matches!(name.as_str(), "pk" | "sk"));
        let gone = client.delete_item().table_name(table).set_key(Some(item));
        gone.send().await.expect("the table can be written");
    }
}

/// Both tables as a backup of now holds them.
async fn back_up(story: &Story) {
    let client = client(story);
    Store::new(client.clone(), COPY).create_table().await.expect("a table");
    Fallback::new(client.clone(), FALLBACK_COPY).create_table().await.expect("a table");
    for (from, into) in [(TABLE, COPY), (FALLBACK, FALLBACK_COPY)] {
        for item in items(&client, from).await {
            put(&client, into, item).await;
        }
    }
}

/// The backup is brought back.
async fn restored(story: &Story) -> Report {
    try_restore(story).await.expect("restored")
}

async fn try_restore(story: &Story) -> Result<Report, latchkey::report::CommandError> {
    let restore =
        Restore { from: COPY, into: TABLE, fallback: Some((FALLBACK_COPY, FALLBACK)), per_minute: 50 };
    let clock = story.stack.clock.clone();
    restore::run(&client(story), &restore, || clock.now(), false).await
}

/// The connections of the live table are lost; the backup is brought back.
async fn lose_and_restore(story: &Story) {
    lose(&client(story), TABLE, "CONNECTION#").await;
    let done = restored(story).await;
    assert!(done.text.contains("1  refresh_unknown  CONNECTION"), "{}", done.text);
}

/// A connection's item, and its key.
async fn item(story: &Story, connection: &str) -> Item {
    let all = items(&client(story), TABLE).await;
    let pk = AttributeValue::S(format!("CONNECTION#{connection}"));
    all.into_iter().find(|item| item["pk"] == pk).expect("the connection")
}

/// The connection is refreshed, and the table did not take it: as it is left then, the answer in the fallback.
async fn answer_waits(story: &Story, connection: &str) -> Item {
    let (client, id) = (client(story), connection.parse::<ConnectionId>().expect("an id"));
    let mut before = item(story, connection).await;
    story.pass(STALE);
    assert_eq!(story.token(connection).await.status, 200);
    let new = story.stack.store.connection(&id).await.expect("the table answers").expect("the connection");
    let fingerprint = before["refresh_fingerprint"].as_s().expect("text").clone();
    let waiting = Waiting {
        product: new.connection.product.clone(),
        connection: id,
        login_host: new.connection.login_host.clone(),
        sent: domain::secret::Fingerprint::parse(&fingerprint).expect("a fingerprint"),
        renewed: RefreshedTokens {
            access_token: new.access_token,
            access_fingerprint: new.access_fingerprint,
            refresh_token: new.refresh_token.zip(new.refresh_fingerprint),
            login_host: None,
            instance_url: new.connection.instance_url,
            scopes: None,
            issued_at: new.issued_at,
            fetched_at: None,
            expires_at: new.expires_at,
            expiry_basis: new.expiry_basis,
            learnt: None,
            rejections: 0,
            unasked: false,
            due: new.expires_at,
        },
        not_before: None,
        superseded: false,
    };
    let mut answer: Item = serde_dynamo::to_item(&waiting).expect("an item");
    answer.insert("pk".into(), before["pk"].clone());
    answer.insert("sk".into(), AttributeValue::S(format!("AFTER#{fingerprint}")));
    put(&client, FALLBACK, answer.clone()).await;
    let began = AttributeValue::N(story.stack.clock.now().as_millisecond().to_string());
    before.insert("state".into(), AttributeValue::S("refresh_unknown".into()));
    before.extend(["since", "began_at"].map(|name| (name.to_owned(), began.clone())));
    put(&client, TABLE, before).await;
    answer
}

/// Time passes until the one recovery may be sent: the host has answered a harmless request ten minutes ago.
async fn until_the_host_answers(story: &Story, connection: &str) {
    assert_eq!(story.token(connection).await.status, 503, "the host is asked something harmless first");
    story.pass(SignedDuration::from_mins(10) + SignedDuration::from_secs(10));
}

#[tokio::test]
async fn a_connection_that_was_not_refreshed_since_is_served_and_then_recovered() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let before = story.token(&connection).await;
    back_up(&story).await;
    lose_and_restore(&story).await;
    story.stack.salesforce.forget_calls();

    let served = story.token(&connection).await;
    assert_eq!(served.status, 200, "{}", served.body);
    assert_eq!(served.text("access_token"), before.text("access_token"), "the old token while it works");
    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "nothing is sent in the ordinary way");

    story.pass(STALE);
    until_the_host_answers(&story, &connection).await;
    let recovered = story.token(&connection).await;
    assert_eq!(recovered.status, 200, "{}", recovered.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "one recovery send");
    assert_eq!(story.salesforce_says(&recovered).await, 200);
    assert_eq!(story.connections().await[0]["state"], "active");
}

#[tokio::test]
async fn a_connection_whose_token_was_spent_since_asks_to_be_authorized_anew_after_one_send() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    back_up(&story).await;
    story.pass(STALE);
    assert_eq!(story.token(&connection).await.status, 200, "rotated since the backup");
    lose_and_restore(&story).await;
    story.stack.salesforce.forget_calls();

    story.pass(STALE);
    story.stack.sweep().await;
    until_the_host_answers(&story, &connection).await;
    let over = story.token(&connection).await;

    assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);
    assert_eq!(over.text("cause"), "answer_lost");
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "a spent token is sent once, not again");
}

#[tokio::test]
async fn what_the_live_table_has_is_newer_and_stays() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    back_up(&story).await;
    story.pass(STALE);
    let newer = story.token(&connection).await;

    let done = restored(&story).await;

    assert!(done.text.contains("kept             CONNECTION"), "{}", done.text);
    assert_eq!(story.token(&connection).await.text("access_token"), newer.text("access_token"));
}

#[tokio::test]
async fn refreshing_is_off_until_whoever_sent_before_the_loss_cannot_be_alive() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    back_up(&story).await;
    story.pass(STALE);
    lose_and_restore(&story).await;
    story.stack.salesforce.forget_calls();

    for _ in 0..2 {
        let waits = story.token(&connection).await;
        assert_eq!(waits.status, 503, "its access token has ended, and nothing is sent: {}", waits.body);
        story.stack.sweep().await;
        assert_eq!(story.stack.salesforce.token_calls().len(), 0);
        story.pass(SignedDuration::from_secs(25));
    }

    story.pass(SignedDuration::from_secs(45));
    until_the_host_answers(&story, &connection).await;
    assert_eq!(story.token(&connection).await.status, 200);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "then one recovery");
}

#[tokio::test]
async fn an_answer_that_waited_when_the_backup_was_made_comes_back_with_its_connection() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let answer = answer_waits(&story, &connection).await;
    back_up(&story).await;
    let client = client(&story);
    lose(&client, TABLE, "CONNECTION#").await;
    lose(&client, FALLBACK, "").await;
    story.stack.salesforce.forget_calls();

    // Cut short before the connection is written: the sweep finds nothing that it could take for superseded.
    let refused = Fault::refuse("InternalServerError").on(Which::Operation("PutItem")).times(20);
    story.stack.dynamodb.inject(refused);
    try_restore(&story).await.expect_err("cut short");
    story.stack.dynamodb.mend();
    story.stack.sweep().await;
    let done = restored(&story).await;
    assert!(done.text.contains("1  brought          FALLBACK"), "{}", done.text);

    story.stack.sweep().await;
    let restored = item(&story, &connection).await;
    let renewed: Waiting = serde_dynamo::from_item(answer).expect("an answer");
    let (_, fingerprint) = renewed.renewed.refresh_token.expect("rotated");
    assert_eq!(restored["refresh_fingerprint"].as_s().expect("text"), fingerprint.as_str());
    assert_eq!(restored["state"].as_s().expect("text"), "refresh_unknown", "it may be spent by now too");
    assert!(items(&client, FALLBACK).await.is_empty(), "the live fallback has nothing to give out as good");
    story.pass(STALE);
    until_the_host_answers(&story, &connection).await;
    assert_eq!(story.token(&connection).await.status, 200);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "the newest token, once");
    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "and nothing was revoked");
}

#[tokio::test]
async fn what_waits_for_a_lost_connection_is_not_revoked_before_it_is_brought_back() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    answer_waits(&story, &connection).await;
    back_up(&story).await;
    let client = client(&story);
    lose(&client, TABLE, "CONNECTION#").await;

    for _ in 0..3 {
        assert_eq!(story.stack.sweep().await.put_off, 1, "the table is lost, the fallback is not");
        story.pass(SignedDuration::from_hours(24));
    }
    assert_eq!(items(&client, FALLBACK).await.len(), 1);
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);

    let done = restored(&story).await;
    assert!(done.text.contains("1  left             FALLBACK"), "{}", done.text);
    // Its access token has ended, so that it is the first caller who looks for what waits.
    story.stack.salesforce.forget_calls();
    assert_eq!(story.token(&connection).await.status, 200);
    story.stack.sweep().await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
    assert_eq!(story.token(&connection).await.status, 200);
    assert_eq!(story.connections().await[0]["state"], "active");
}

#[tokio::test]
async fn an_answer_whose_connection_has_moved_on_is_left() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    answer_waits(&story, &connection).await;
    back_up(&story).await;
    story.stack.sweep().await;
    story.pass(STALE);
    let newer = story.token(&connection).await;
    assert_eq!(newer.status, 200, "{}", newer.body);

    let done = restored(&story).await;
    assert!(done.text.contains("1  left             FALLBACK"), "{}", done.text);
    story.stack.sweep().await;
    assert_eq!(story.token(&connection).await.text("access_token"), newer.text("access_token"));
    assert_eq!(story.salesforce_says(&newer).await, 200, "nothing was revoked");
}

#[tokio::test]
async fn where_the_fallback_alone_was_lost_its_answer_goes_to_the_connection_that_waits_for_it() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    answer_waits(&story, &connection).await;
    back_up(&story).await;
    lose(&client(&story), FALLBACK, "").await;

    let done = restored(&story).await;
    assert!(done.text.contains("1  brought          FALLBACK"), "{}", done.text);
    assert!(done.text.contains("1  kept             CONNECTION"), "{}", done.text);
    story.pass(STALE);
    until_the_host_answers(&story, &connection).await;
    assert_eq!(story.token(&connection).await.status, 200);
}

#[tokio::test]
async fn a_recovery_that_was_sent_before_the_backup_is_sent_again_only_if_salesforce_knows_the_token() {
    for spent in [false, true] {
        let story = Story::installed().await;
        let connection = story.connected().await;
        let mut begun = item(&story, &connection).await;
        let then = AttributeValue::N(story.stack.clock.now().as_millisecond().to_string());
        begun.insert("state".into(), AttributeValue::S("refresh_unknown".into()));
        begun.extend(["since", "began_at", "recovered_at"].map(|name| (name.to_owned(), then.clone())));
        put(&client(&story), TABLE, begun).await;
        back_up(&story).await;
        lose_and_restore(&story).await;
        story.stack.salesforce.forget_calls();
        if spent {
            // The app is known to be allowed to ask about its tokens.
            let (product, app) = ("fernway".parse().expect("an id"), story.stack.app("fernway", "sync"));
            let app = AppAt { product: &product, app: &app.id, consumer_key: &app.consumer_key };
            story.stack.store.note_introspects(app).await.expect("the table takes it");
            story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
        }

        story.pass(STALE);
        until_the_host_answers(&story, &connection).await;
        let answer = story.token(&connection).await;
        let sent = story.stack.salesforce.token_calls().len();
        if spent {
            assert_eq!((answer.status, answer.text("cause")), (409, "answer_lost"), "{}", answer.body);
            assert_eq!(sent, 0);
        } else {
            assert_eq!((answer.status, sent), (200, 1), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn what_was_withdrawn_since_the_backup_stays_withdrawn() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let signed_in = [("pk", "OPSSESSION#one"), ("sk", "OPSSESSION")];
    let signed_in = signed_in.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.into())));
    let client = client(&story);
    put(&client, TABLE, signed_in.into()).await;
    back_up(&story).await;
    let mut fernway = story
        .stack
        .store
        .product(&"fernway".parse().expect("an id"))
        .await
        .expect("the table answers")
        .expect("Fernway");
    fernway.api_keys.clear();
    lose(&client, TABLE, "").await;

    let done = restored(&story).await;

    assert!(done.wrong && done.text.contains("latchkey apply"), "{}", done.text);
    assert_eq!(done.json["products_missing"], serde_json::json!(["fernway", "tidewater"]));
    let kinds: std::collections::BTreeSet<String> = items(&client, TABLE)
        .await
        .iter()
        .map(|item| item["pk"].as_s().expect("text").split('#').next().expect("a kind").to_owned())
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["CONNECTION", "HISTORY", "UNIQUE"]);

    story.stack.store.put_product(&fernway).await.expect("applied, its key revoked");
    let again = restored(&story).await;
    assert_eq!(again.json["products_missing"], serde_json::json!(["tidewater"]));
    assert_eq!(story.restarted_token_function().ask(&story, &connection).await, 401);
}
