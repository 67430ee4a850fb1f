//! The same Salesforce user connects again: the connection that exists is renewed, and no second one is made silently.

mod sharing;

use std::path::PathBuf;

use jiff::SignedDuration;
use journeys::{Answer, Returning, Story, approve};
use local::{Options, stack::TABLE};
use serde_json::{Value, json};
use url::Url;
use world::{
    browser::Browser,
    dynamodb::{Fault, Which},
};

/// What the browser brings to the product.
struct Returned {
    session: String,
    receipt: String,
}

impl Returned {
    /// This browser comes back from Salesforce as Uma, for a session with these members.
    async fn from(story: &Story, browser: &Browser, more: Value) -> Self {
        let session = story.wish(more).await;
        assert_eq!(session.status, 201, "{}", session.body);
        Self::by_link(story, browser, session.text("connect_url")).await
    }

    async fn by_link(story: &Story, browser: &Browser, link: &str) -> Self {
        let connect = browser.get(link).await;
        let connect = if connect.has("Production") { connect.choose("Production") } else { connect };
        browser.stop_before("/salesforce/return");
        let page = approve(connect.click("Continue to Salesforce").await).await;
        story.secrets.keep_browser(browser);
        Self::on(&page.location().unwrap_or_else(|| panic!("on the way to the product: {page:?}")))
    }

    fn on(url: &Url) -> Self {
        let part = |name: &str| {
            let found = url.query_pairs().find(|(key, _)| key == name);
            found.unwrap_or_else(|| panic!("no {name}")).1.into_owned()
        };
        Self { session: part("connect_session"), receipt: part("receipt") }
    }

    async fn redeemed_by(&self, story: &Story, user: &str) -> Answer {
        let path = format!("/v1/connect-sessions/{}/redeem", self.session);
        story.call("POST", &path, Some(json!({ "receipt": self.receipt, "user": user }))).await
    }

    async fn redeemed(&self, story: &Story) -> Answer {
        self.redeemed_by(story, "u-alice").await
    }
}

/// The id of a connection that the product was answered with.
fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.text("id").to_owned()
}

/// One connection is left: this one. It works, also after a refresh, and its grant is the only one that lives.
async fn is_the_only_one(again: &Returning, connection: &str) {
    let story = &again.story;
    let connections = story.connections().await;
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!((&connections[0]["id"], &connections[0]["state"]), (&json!(connection), &json!("active")));
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
    again.works(connection).await;
    story.pass(SignedDuration::from_mins(16));
    again.works(connection).await;
    story.holds_every_grant().await;
    story.nothing_leaked().await;
}

/// The stack, with Fernway's product file changed.
async fn with_product_file(name: &str, change: impl Fn(&str) -> String) -> Story {
    let folder = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../infra/products");
    for file in ["fernway.toml", "tidewater.toml"] {
        let text = std::fs::read_to_string(kept.join(file)).expect("the product's file");
        std::fs::write(folder.join(file), change(&text)).expect("written");
    }
    let story = Story::with(Options { products: folder.clone(), ..Options::for_tests() }).await;
    std::fs::remove_dir_all(folder).expect("the folder goes");
    story.install("sync");
    story
}

/// Items of the table whose partition key begins so.
fn items(story: &Story, kind: &str) -> Vec<Value> {
    let all = story.stack.dynamodb.dump(TABLE);
    all.into_iter().filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(kind))).collect()
}

/// Deletes the uniqueness items, and that connections know of them: the table is as before there were any.
async fn forget_uniqueness(story: &Story) {
    for item in items(story, "UNIQUE#") {
        let key = |name: &str| item[name]["S"].as_str().expect("a key").to_owned();
        story.stack.delete_item(&key("pk"), &key("sk")).await;
    }
    for connection in story.connections().await {
        story.remove_attribute(connection["id"].as_str().expect("an id"), "unique_pk").await;
    }
}

#[tokio::test]
async fn connecting_again_renews_the_connection_that_exists() {
    let again = Returning::begin().await;
    let before = again.story.token(&again.earlier).await;
    let returned = Returned::from(&again.story, &again.alice, json!({})).await;
    assert_eq!(again.story.token(&again.earlier).await.text("fingerprint"), before.text("fingerprint"));

    let redeemed = returned.redeemed(&again.story).await;

    assert_eq!(id(&redeemed), again.earlier);
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], false, "{}", redeemed.body);
    let repeated = returned.redeemed(&again.story).await;
    assert_eq!(repeated.body, redeemed.body, "a repeated redemption is answered alike");
    let session = again.story.call("GET", &format!("/v1/connect-sessions/{}", returned.session), None).await;
    assert_eq!(session.text("connection_id"), again.earlier);
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn connection_of_a_former_consumer_key_is_renewed() {
    let again = Returning::begin().await;
    let story = &again.story;
    forget_uniqueness(story).await;
    // The app is registered anew at Salesforce: another consumer key under the same id.
    let mut product = fernway(story);
    let app = product.apps.iter_mut().find(|app| app.id.as_str() == "sync").expect("the app");
    let former = std::mem::replace(&mut app.consumer_key, "3MVG9FernwaySyncRegisteredAnew".to_owned());
    let key = app.consumer_key.clone();
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|app| app.consumer_key == former).expect("the app");
        app.consumer_key = key;
    });
    story.stack.store.put_product(&product).await.expect("the table takes it");
    story.pass(SignedDuration::from_secs(61));
    story.stack.salesforce.install("acme", "3MVG9FernwaySyncRegisteredAnew").expect("installed");

    let returned = Returned::from(story, &again.alice, json!({})).await;
    let redeemed = returned.redeemed(story).await;

    assert_eq!(id(&redeemed), again.earlier);
    let stored = story.stack.store.product(&product.id).await.expect("an answer").expect("the product");
    assert_eq!(stored.apps[0].former_consumer_keys, [former]);
    assert_eq!(stored.as_configured(), product, "the file's part is as it was put");
    let connections = story.connections().await;
    assert_eq!(connections.len(), 1, "{connections:?}");
}

#[tokio::test]
async fn another_user_of_the_product_gets_a_connection_of_their_own() {
    let again = Returning::begin().await;
    let returned = Returned::from(&again.story, &again.alice, json!({ "user": "u-bob" })).await;

    let redeemed = returned.redeemed_by(&again.story, "u-bob").await;

    assert_ne!(id(&redeemed), again.earlier);
    assert_eq!(redeemed.body["reconnected"], Value::Null);
    again.works(&again.earlier).await;
    again.works(redeemed.text("id")).await;
    let third = Returned::from(&again.story, &again.alice, json!({ "user": "u-bob" })).await;
    assert_eq!(id(&third.redeemed_by(&again.story, "u-bob").await), redeemed.text("id"), "Bob's is renewed");
}

#[tokio::test]
async fn other_customers_are_never_given_the_same_connection() {
    let again = Returning::begin().await;
    let other = json!({ "customer": { "id": "c-other" } });
    let returned = Returned::from(&again.story, &again.alice, other).await;

    let redeemed = returned.redeemed(&again.story).await;

    assert_ne!(id(&redeemed), again.earlier);
    again.works(&again.earlier).await;
}

#[tokio::test]
async fn shared_app_has_one_connection_for_all_of_the_products_users() {
    let story = with_product_file("shared", |text| {
        text.replacen("[[apps]]", "[[apps]]\nconnections = \"shared\"", 1)
    })
    .await;
    let browser = story.signed_in("Alice").await;
    let first = id(&Returned::from(&story, &browser, json!({})).await.redeemed(&story).await);

    let second = Returned::from(&story, &browser, json!({ "user": "u-bob" })).await;
    let second = second.redeemed_by(&story, "u-bob").await;

    assert_eq!(id(&second), first);
    assert_eq!(story.connections().await.len(), 1);
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
}

#[tokio::test]
async fn another_makes_one_more_connection() {
    let again = Returning::begin().await;
    let returned = Returned::from(&again.story, &again.alice, json!({ "another": true })).await;

    let second = id(&returned.redeemed(&again.story).await);

    assert_ne!(second, again.earlier);
    again.works(&again.earlier).await;
    again.works(&second).await;
    // The next one without `another` renews the connection that was made without it.
    let third = Returned::from(&again.story, &again.alice, json!({})).await;
    assert_eq!(id(&third.redeemed(&again.story).await), again.earlier);
    again.works(&second).await;
    let both = again.story.wish(json!({ "another": true, "connection_id": second })).await;
    assert_eq!((both.status, both.problem()), (400, "bad-request"), "{}", both.body);
}

#[tokio::test]
async fn two_redemptions_at_once_make_one_connection() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    let one = Returned::from(&story, &browser, json!({})).await;
    let two = Returned::from(&story, &browser, json!({})).await;

    let (one, two) = tokio::join!(one.redeemed(&story), two.redeemed(&story));

    assert_eq!(id(&one), id(&two));
    let again = Returning { earlier: id(&one), alice: browser, story };
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn uniqueness_item_decides_where_the_index_is_behind() {
    let again = Returning::begin().await;
    let returned = Returned::from(&again.story, &again.alice, json!({})).await;
    // As if the index did not have the connection yet.
    again.story.remove_attribute(&again.earlier, "grants_pk").await;

    assert_eq!(id(&returned.redeemed(&again.story).await), again.earlier);
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn connection_from_before_uniqueness_items_is_renewed() {
    let again = Returning::begin().await;
    forget_uniqueness(&again.story).await;
    let returned = Returned::from(&again.story, &again.alice, json!({})).await;

    assert_eq!(id(&returned.redeemed(&again.story).await), again.earlier);
    assert_eq!(items(&again.story, "UNIQUE#").len(), 1, "it has one from now on");
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn of_several_old_connections_the_newest_is_renewed() {
    let again = Returning::begin().await;
    again.story.pass(SignedDuration::from_secs(1));
    let second = Returned::from(&again.story, &again.alice, json!({ "another": true })).await;
    let second = id(&second.redeemed(&again.story).await);
    forget_uniqueness(&again.story).await;
    let returned = Returned::from(&again.story, &again.alice, json!({})).await;

    assert_eq!(id(&returned.redeemed(&again.story).await), second);
    again.works(&again.earlier).await;
}

#[tokio::test]
async fn deleted_connection_frees_its_uniqueness_item() {
    let again = Returning::begin().await;
    let deleted = again.story.call("DELETE", &format!("/v1/connections/{}", again.earlier), None).await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    assert_eq!(items(&again.story, "UNIQUE#").len(), 0);

    let new = id(&Returned::from(&again.story, &again.alice, json!({})).await.redeemed(&again.story).await);

    assert_ne!(new, again.earlier);
    is_the_only_one(&again, &new).await;
}

#[tokio::test]
async fn connection_on_its_way_out_is_not_renewed() {
    let again = Returning::begin().await;
    let returned = Returned::from(&again.story, &again.alice, json!({})).await;
    again.story.stack.salesforce.set_unreachable(true);
    let deleted = again.story.call("DELETE", &format!("/v1/connections/{}", again.earlier), None).await;
    assert_eq!(deleted.status, 202, "Salesforce is away: {}", deleted.body);

    let new = id(&returned.redeemed(&again.story).await);

    assert_ne!(new, again.earlier);
    again.story.stack.salesforce.set_unreachable(false);
    again.story.pass(SignedDuration::from_mins(16));
    again.story.stack.sweep().await;
    assert_eq!(items(&again.story, "UNIQUE#").len(), 1, "the deletion left the new connection's item alone");
    is_the_only_one(&again, &new).await;
}

#[tokio::test]
async fn item_of_a_connection_that_is_gone_is_replaced() {
    let again = Returning::begin().await;
    let returned = Returned::from(&again.story, &again.alice, json!({})).await;
    again.story.stack.delete_item(&format!("CONNECTION#{}", again.earlier), "CONNECTION").await;

    let new = id(&returned.redeemed(&again.story).await);

    assert_ne!(new, again.earlier);
    again.works(&new).await;
}

#[tokio::test]
async fn redemption_and_deletion_at_once_leave_no_grant_behind() {
    for delay in [0_u64, 5, 20, 60] {
        let again = Returning::begin().await;
        let returned = Returned::from(&again.story, &again.alice, json!({})).await;
        let path = format!("/v1/connections/{}", again.earlier);
        let delete = async {
            tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
            again.story.call("DELETE", &path, None).await
        };

        let (redeemed, deleted) = tokio::join!(returned.redeemed(&again.story), delete);

        assert!([202, 204].contains(&deleted.status), "{}", deleted.body);
        let redeemed = id(&redeemed);
        again.story.pass(SignedDuration::from_mins(16));
        again.story.stack.sweep().await;
        let left = again.story.connections().await;
        if redeemed == again.earlier {
            assert_eq!(left.len(), 0, "renewed, then deleted: {left:?}");
            assert_eq!(again.story.stack.salesforce.live_grants().len(), 0);
        } else {
            is_the_only_one(&again, &redeemed).await;
        }
    }
}

#[tokio::test]
async fn wrong_user_renews_nothing() {
    let again = Returning::begin().await;
    let returned = Returned::from(&again.story, &again.alice, json!({})).await;

    let refused = returned.redeemed_by(&again.story, "u-mallory").await;

    assert_eq!((refused.status, refused.problem()), (409, "other-user"), "{}", refused.body);
    assert_eq!(returned.redeemed(&again.story).await.problem(), "receipt-refused");
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn connection_that_salesforce_ended_is_renewed() {
    let again = Returning::begin().await;
    again.story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    again.story.pass(SignedDuration::from_mins(16));
    assert_eq!(again.story.token(&again.earlier).await.problem(), "reauthorization-needed");

    let returned = Returned::from(&again.story, &again.alice, json!({})).await;

    assert_eq!(id(&returned.redeemed(&again.story).await), again.earlier);
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn table_that_fails_while_renewing_loses_nothing() {
    let lost = [
        Fault::refuse("InternalServerError").on(Which::Operation("TransactWriteItems")).times(1),
        Fault::lose_answer().on(Which::Operation("TransactWriteItems")).times(1),
    ];
    for fault in lost {
        let again = Returning::begin().await;
        let returned = Returned::from(&again.story, &again.alice, json!({})).await;
        again.story.stack.dynamodb.inject(fault);

        let mut redeemed = returned.redeemed(&again.story).await;
        if redeemed.status == 503 {
            redeemed = returned.redeemed(&again.story).await;
        }

        assert_eq!(id(&redeemed), again.earlier);
        is_the_only_one(&again, &again.earlier).await;
    }
}

/// A refresh token of Uma's that the product got before.
fn held(story: &Story) -> String {
    let key = &story.stack.app("fernway", "sync").consumer_key;
    let granted = story.stack.salesforce.granted("acme", "uma@acme.example", key);
    granted["refresh_token"].as_str().expect("a refresh token").to_owned()
}

async fn import(story: &Story, token: &str, more: Value) -> Answer {
    let mut call = json!({
        "app": "sync", "customer": { "id": "c-acme" }, "user": "u-alice", "environment": "production",
        "refresh_token": token,
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        call[name] = value;
    }
    story.call("POST", "/v1/connections", Some(call)).await
}

/// Alice has connected Uma at her org's My Domain.
async fn connected_by_my_domain() -> Returning {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let wish = json!({ "my_domain": "acme.my.salesforce.localhost" });
    let earlier = id(&Returned::from(&story, &alice, wish).await.redeemed(&story).await);
    Returning { story, alice, earlier }
}

#[tokio::test]
async fn import_of_a_connected_user_renews_the_connection() {
    let again = connected_by_my_domain().await;
    let token = held(&again.story);

    let imported = import(&again.story, &token, json!({})).await;

    assert_eq!((imported.status, imported.text("id")), (200, &*again.earlier), "{}", imported.body);
    assert_eq!(imported.body["renewed"], true);
    let repeated = import(&again.story, &token, json!({})).await;
    assert_eq!((repeated.status, repeated.text("id")), (200, &*again.earlier), "{}", repeated.body);
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn imported_connection_is_renewed_by_a_connect() {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let imported = import(&story, &held(&story), json!({})).await;
    assert_eq!((imported.status, &imported.body["renewed"]), (201, &json!(false)), "{}", imported.body);
    let again = Returning { earlier: imported.text("id").to_owned(), alice, story };

    let returned = Returned::from(&again.story, &again.alice, json!({})).await;

    assert_eq!(id(&returned.redeemed(&again.story).await), again.earlier);
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn import_and_redemption_at_once_make_one_connection() {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let wish = json!({ "my_domain": "acme.my.salesforce.localhost" });
    let returned = Returned::from(&story, &alice, wish).await;
    let token = held(&story);

    let (imported, redeemed) = tokio::join!(import(&story, &token, json!({})), returned.redeemed(&story));

    assert!([200, 201].contains(&imported.status), "{}", imported.body);
    assert_eq!(imported.text("id"), id(&redeemed));
    let again = Returning { earlier: id(&redeemed), alice, story };
    is_the_only_one(&again, &again.earlier).await;
}

#[tokio::test]
async fn import_of_another_makes_one_more() {
    let again = connected_by_my_domain().await;

    let imported = import(&again.story, &held(&again.story), json!({ "another": true })).await;

    assert_eq!((imported.status, &imported.body["renewed"]), (201, &json!(false)), "{}", imported.body);
    assert_eq!(imported.body["same_as"], json!([again.earlier]));
    again.works(&again.earlier).await;
    again.works(imported.text("id")).await;
}

#[tokio::test]
async fn reconnect_to_a_user_who_has_a_connection_keeps_both() {
    let again = Returning::begin().await;
    let other = Returned::from(&again.story, &again.alice, json!({ "user": "u-bob" })).await;
    let other = id(&other.redeemed_by(&again.story, "u-bob").await);
    // Alice's connection is authorized anew for Bob, who has one of his own for this Salesforce user.
    let wish = json!({ "connection_id": again.earlier, "user": "u-bob" });
    let returned = Returned::from(&again.story, &again.alice, wish).await;

    assert_eq!(id(&returned.redeemed_by(&again.story, "u-bob").await), again.earlier);

    again.works(&again.earlier).await;
    again.works(&other).await;
    assert_eq!(items(&again.story, "UNIQUE#").len(), 1, "Bob's; Alice's is free");
    // Whoever connects as Bob next renews the connection that has the item.
    let next = Returned::from(&again.story, &again.alice, json!({ "user": "u-bob" })).await;
    assert_eq!(id(&next.redeemed_by(&again.story, "u-bob").await), other);
}

/// Fernway as the table has it.
fn fernway(story: &Story) -> domain::Product {
    let found = story.stack.products.iter().find(|product| product.id.as_str() == "fernway");
    found.expect("the product").clone()
}
