//! A connection is authorized anew: it keeps its id, its old grant is revoked, and another org or user than before is
//! never swallowed.

use std::time::Duration;

use jiff::SignedDuration;
use journeys::{Answer, Returning, Story, says};
use local::Options;
use serde_json::{Value, json};
use url::Url;
use world::{
    browser::{Browser, Page},
    dynamodb::{Fault as TableFault, Which},
    salesforce::{Ending, Fault, Grant},
};

const UMA: &str = "uma@acme.example";
const ADA: &str = "ada@acme.example";
const ANOTHER_USER: &str = "Another Salesforce user came back. Is that right?";

/// What the browser brings to the product's return address.
struct Receipt {
    session: String,
    receipt: String,
}

impl Receipt {
    fn on(page: &Page) -> Self {
        let url = page.location().unwrap_or_else(|| panic!("on the way to the product: {page:?}"));
        Self { session: part(&url, "connect_session"), receipt: part(&url, "receipt") }
    }

    async fn redeemed_by(&self, story: &Story, user: &str) -> Answer {
        let path = format!("/v1/connect-sessions/{}/redeem", self.session);
        story.call("POST", &path, Some(json!({ "receipt": self.receipt, "user": user }))).await
    }

    async fn redeemed(&self, story: &Story) -> Answer {
        let answer = self.redeemed_by(story, "u-alice").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }
}

fn part(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.map_or_else(|| panic!("no {name} in {url}"), |(_, value)| value.into_owned())
}

/// A session that authorizes Alice's connection anew.
async fn session(again: &Returning, more: Value) -> Answer {
    let mut wish = json!({ "connection_id": again.earlier });
    wish.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let session = again.story.wish(wish).await;
    assert_eq!(session.status, 201, "{}", session.body);
    assert_eq!(session.text("reconnects"), again.earlier);
    session
}

/// From a link to Salesforce, signed in there as this user and nobody else, and back to where the trip ends, but no
/// further than the product.
async fn comes_back_as(browser: &Browser, link: &str, host: &str, username: &str) -> Page {
    let connect = browser.get(link).await.choose(host).choose("Ask me to sign in again");
    browser.stop_before("/salesforce/return");
    let page = connect.click("Continue to Salesforce").await.click(username).await;
    if page.has("Allow Access?") { page.click("Allow").await } else { page }
}

impl Receipt {
    /// Alice comes back to the product as the Salesforce user whom the connection has.
    async fn of(again: &Returning) -> Self {
        let session = session(again, json!({})).await;
        Self::on(&comes_back_as(&again.alice, session.text("connect_url"), "Production", UMA).await)
    }
}

/// Alice comes back as Ada, whom the connection does not have: the page that asks, and the session.
async fn comes_back_as_ada(again: &Returning) -> (Page, String) {
    let session = session(again, json!({})).await;
    let page = comes_back_as(&again.alice, session.text("connect_url"), "Production", ADA).await;
    says(&page, 200, ANOTHER_USER);
    assert!(page.url.path().ends_with("/confirm"), "{}", page.url);
    (page, session.text("id").to_owned())
}

async fn shown(story: &Story, connection: &str) -> Value {
    story.call("GET", &format!("/v1/connections/{connection}"), None).await.body
}

/// The id of the one connection besides Alice's, which is in this state.
async fn the_other(again: &Returning, state: &str) -> String {
    let connections = again.story.connections().await;
    let others: Vec<&Value> = connections.iter().filter(|one| one["id"] != again.earlier.as_str()).collect();
    assert_eq!((others.len(), &others[0]["state"]), (1, &json!(state)), "{others:?}");
    others[0]["id"].as_str().expect("an id").to_owned()
}

async fn status(story: &Story, session: &str) -> Value {
    story.call("GET", &format!("/v1/connect-sessions/{session}"), None).await.body
}

/// How each grant that was ever given has ended, oldest first; `None`: it lives.
fn endings(story: &Story) -> Vec<Option<Ending>> {
    story.stack.salesforce.grants().iter().map(|grant| grant.ended).collect()
}

/// What Salesforce was asked since its calls were forgotten, but for what browsers see.
fn asked(story: &Story) -> Vec<String> {
    let calls = story.stack.salesforce.calls();
    let ours = calls.iter().filter(|call| {
        [
            "/services/oauth2/token",
            "/services/oauth2/revoke",
            "/services/oauth2/userinfo",
            "/services/oauth2/introspect",
        ]
        .contains(&call.path.as_str())
    });
    ours.map(|call| call.path.rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

/// The connection is as it was before: nobody's but Uma's, working, and the one there is.
async fn is_untouched(again: &Returning) {
    again.works(&again.earlier).await;
    let connections = again.story.connections().await;
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(connections[0]["id"], again.earlier.as_str());
    assert_eq!((&connections[0]["state"], &connections[0]["username"]), (&json!("active"), &json!(UMA)));
    assert_eq!(again.story.stack.salesforce.live_grants().len(), 1);
    assert_eq!(again.story.stack.salesforce.grants()[0].ended, None, "the grant from before");
    again.story.nothing_leaked().await;
}

/// The connection holds the newest grant, which is the only one that lives; it is refreshed and works.
async fn holds_the_newest_grant(again: &Returning) {
    let story = &again.story;
    let newest: Grant = story.stack.salesforce.grants().pop().expect("a grant");
    let live: Vec<u64> = story.stack.salesforce.live_grants().iter().map(|grant| grant.id).collect();
    assert_eq!(live, [newest.id], "{:?}", endings(story));
    let connections = story.connections().await;
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!((&connections[0]["id"], &connections[0]["state"]), (&json!(again.earlier), &json!("active")));
    again.works(&again.earlier).await;
    story.pass(SignedDuration::from_mins(16));
    again.works(&again.earlier).await;
    story.nothing_leaked().await;
}

#[tokio::test]
async fn the_same_user_comes_back_and_the_connection_keeps_its_id() {
    let again = Returning::begin().await;
    let (story, created) = (&again.story, shown(&again.story, &again.earlier).await["created_at"].clone());
    story.stack.salesforce.forget_calls();

    let receipt = Receipt::of(&again).await;

    // Until the product redeems, nothing has changed.
    again.works(&again.earlier).await;
    assert_eq!(status(story, &receipt.session).await["status"], "returned");
    assert_eq!(asked(story), ["token"]);

    let redeemed = receipt.redeemed(story).await;

    assert_eq!((redeemed.text("id"), redeemed.text("state")), (again.earlier.as_str(), "active"));
    assert_eq!(redeemed.body["created_at"], created, "it is as old as it was");
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], false);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(asked(story), ["token", "revoke", "userinfo"], "the old one revoked, then the new one tried");
    let connected = status(story, &receipt.session).await;
    assert_eq!(
        (&connected["status"], &connected["connection_id"]),
        (&json!("connected"), &json!(again.earlier))
    );
    assert_eq!(receipt.redeemed_by(story, "u-alice").await.problem(), "receipt-used");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_connection_that_salesforce_ended_works_again_under_its_id() {
    let again = Returning::begin().await;
    again.story.stack.salesforce.revoke_grants("acme", UMA);
    again.story.pass(SignedDuration::from_mins(16));
    assert_eq!(again.story.token(&again.earlier).await.problem(), "reauthorization-needed");

    let redeemed = Receipt::of(&again).await.redeemed(&again.story).await;

    assert_eq!(redeemed.text("state"), "active");
    assert_eq!(redeemed.body["failure"], Value::Null);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn another_user_is_parked_until_the_user_who_sees_both_confirms() {
    let again = Returning::begin().await;
    let story = &again.story;

    let (page, session) = comes_back_as_ada(&again).await;

    assert!(page.has(UMA) && page.has(ADA), "both are shown: {}", page.text());
    assert!(
        page.has("acme.my.salesforce.localhost") && page.has("given back in 30 minutes")
            || page.has("30 minutes")
    );
    let parked = status(story, &session).await;
    assert_eq!(parked["status"], "parked");
    let change = &parked["identity_change"];
    assert_eq!((&change["before"]["username"], &change["after"]["username"]), (&json!(UMA), &json!(ADA)));
    assert_eq!(change["sandbox_refreshed"], false);
    assert_eq!(shown(story, &again.earlier).await["username"], UMA, "nothing has changed");
    again.works(&again.earlier).await;

    again.alice.stop_before("/salesforce/return");
    let receipt = Receipt::on(&page.click("Change it").await);
    assert_eq!(status(story, &session).await["status"], "returned");
    assert_eq!(shown(story, &again.earlier).await["username"], UMA, "nor has it before the product redeems");
    let redeemed = receipt.redeemed(story).await;

    assert_eq!((redeemed.text("id"), redeemed.text("username")), (again.earlier.as_str(), ADA));
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], true);
    assert_eq!(redeemed.body["reconnected"]["previous"]["username"], UMA);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(status(story, &session).await["identity_change"]["after"]["username"], ADA);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn another_user_who_is_refused_is_revoked_and_the_right_one_can_try_at_once() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (page, session) = comes_back_as_ada(&again).await;

    let help = page.click("Keep it as it was").await;

    assert!(help.url.path().starts_with("/help/fl_"), "{}", help.url);
    assert!(help.has("Nothing was changed") && help.has("Ask me to sign in again"), "{}", help.text());
    assert_eq!(endings(story), [None, Some(Ending::Revoked)]);
    let failed = status(story, &session).await;
    assert_eq!(
        (&failed["status"], &failed["failure"]["cause"]),
        (&json!("failed"), &json!("other_identity"))
    );
    is_untouched(&again).await;
    // To decide once more is to be told what was decided.
    assert_eq!(again.alice.get(page.url.as_str()).await.url, help.url);

    let connect = help.click("Try again").await;
    assert!(connect.has(&format!("This renews the connection of {UMA}")), "{}", connect.text());
    let back = comes_back_as(&again.alice, connect.url.as_str(), "Production", UMA).await;
    Receipt::on(&back).redeemed(story).await;
    assert_eq!(status(story, &session).await["identity_change"], Value::Null, "what was refused is past");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn another_user_whom_nobody_confirms_is_revoked_by_the_sweep() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (page, session) = comes_back_as_ada(&again).await;
    story.pass(SignedDuration::from_mins(29));
    assert_eq!(story.stack.sweep().await, local::Swept::default(), "not yet");

    story.pass(SignedDuration::from_mins(2));
    assert_eq!(again.alice.get(page.url.as_str()).await.status, 410, "too late to confirm");
    let swept = story.stack.sweep().await;

    assert_eq!((swept.unconfirmed, swept.revoked, swept.put_off), (1, 1, 0));
    let failed = status(story, &session).await;
    assert_eq!(
        (&failed["status"], &failed["failure"]["cause"]),
        (&json!("failed"), &json!("other_identity"))
    );
    again.alice.stop_before("/salesforce/return");
    let late = page.click("Change it").await;
    assert!(late.url.path().starts_with("/help/fl_") && late.has("Nothing was changed"), "{}", late.text());
    assert_eq!(story.stack.sweep().await, local::Swept::default(), "a second run finds nothing");
    is_untouched(&again).await;
}

#[tokio::test]
async fn a_sandbox_that_was_refreshed_is_recognised_and_said_so() {
    let story = Story::installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.install("acme--uat", &key).expect("installed");
    let alice = story.signed_in("Alice").await;
    let link = story.invite().await;
    let back = comes_back_as(&alice, &link, "Sandbox", "uma@acme.example.uat").await;
    let earlier = Receipt::on(&back).redeemed(&story).await.text("id").to_owned();
    let again = Returning { story, alice, earlier };
    let story = &again.story;

    story.stack.salesforce.refresh_sandbox("acme--uat");
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&again.earlier).await.problem(), "reauthorization-needed");
    let session = session(&again, json!({})).await;
    let link = session.text("connect_url");
    let page = comes_back_as(&again.alice, link, "Sandbox", "uma@acme.example.uat").await;

    says(&page, 200, "It looks as if this sandbox was refreshed");
    let change = status(story, session.text("id")).await["identity_change"].clone();
    assert_eq!(change["sandbox_refreshed"], true);
    assert_eq!(change["before"]["username"], change["after"]["username"]);
    assert_ne!(change["before"]["org_id"], change["after"]["org_id"]);

    again.alice.stop_before("/salesforce/return");
    let redeemed = Receipt::on(&page.click("Change it").await).redeemed(story).await;
    assert_eq!(redeemed.text("org_id"), change["after"]["org_id"].as_str().expect("an org id"));
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], true);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn only_the_browser_that_went_to_salesforce_decides_and_looking_changes_nothing() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (page, session) = comes_back_as_ada(&again).await;
    let (link, yes) = (page.url.to_string(), [("confirm", "yes")]);

    let mallory = story.signed_in("Mallory").await;
    says(&mallory.get(&link).await, 403, "Please go on where you started");
    says(&mallory.post_form(&link, &yes).await, 403, "Please go on where you started");
    let evil = again.alice.at("http://evil.localhost:1/").post_form(&link, &yes).await;
    says(&evil, 400, "We could not read that");
    says(&again.alice.post_form(&link, &[("confirm", "perhaps")]).await, 400, "We could not read that");
    let unknown = link.replace("/connect/ck_", "/connect/ck_x");
    says(&again.alice.get(&unknown).await, 404, "This link does not work");
    says(&again.alice.get(&link).await, 200, ANOTHER_USER);
    let connect = link.strip_suffix("/confirm").expect("the connect link");
    says(&again.alice.get(connect).await, 200, ANOTHER_USER);
    assert_eq!(status(story, &session).await["status"], "parked");
    assert_eq!(endings(story), [None, None]);

    // A double click: the browser follows the second answer, and its receipt is the one that counts.
    again.alice.stop_before("/salesforce/return");
    let first = Receipt::on(&page.click("Change it").await);
    again.alice.stop_before("/salesforce/return");
    let second = Receipt::on(&page.click("Change it").await);
    assert_eq!(first.redeemed_by(story, "u-alice").await.problem(), "receipt-refused");
    second.redeemed(story).await;
    says(&again.alice.get(&link).await, 200, "Already connected");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_reconnect_that_another_user_redeems_leaves_the_connection_untouched() {
    let again = Returning::begin().await;
    let receipt = Receipt::of(&again).await;

    let refused = receipt.redeemed_by(&again.story, "u-mallory").await;

    assert_eq!((refused.status, refused.problem()), (409, "other-user"));
    assert_eq!(endings(&again.story), [None, Some(Ending::Revoked)]);
    assert_eq!(receipt.redeemed_by(&again.story, "u-alice").await.problem(), "receipt-refused");
    is_untouched(&again).await;
}

#[tokio::test]
async fn a_reconnect_that_is_never_redeemed_is_revoked_and_leaves_the_connection_untouched() {
    let again = Returning::begin().await;
    let receipt = Receipt::of(&again).await;
    again.story.pass(SignedDuration::from_mins(11));

    let swept = again.story.stack.sweep().await;

    assert_eq!((swept.unredeemed, swept.revoked), (1, 1));
    assert_eq!(receipt.redeemed_by(&again.story, "u-alice").await.problem(), "receipt-refused");
    is_untouched(&again).await;
}

#[tokio::test]
async fn two_reconnects_at_once_both_succeed_and_one_grant_is_left() {
    let again = Returning::begin().await;
    let (one, other) = (Receipt::of(&again).await, Receipt::of(&again).await);

    tokio::join!(one.redeemed(&again.story), other.redeemed(&again.story));

    assert_eq!(again.story.stack.salesforce.live_grants().len(), 1, "{:?}", endings(&again.story));
    assert_eq!(again.story.connections().await.len(), 1);
    again.works(&again.earlier).await;
    again.story.pass(SignedDuration::from_mins(16));
    again.ends_well().await;
}

#[tokio::test]
async fn a_refresh_before_the_redemption_is_seen_and_its_token_is_the_one_revoked() {
    let again = Returning::begin().await;
    let receipt = Receipt::of(&again).await;
    let path = format!("/v1/connections/{}/token", again.earlier);
    let rotated = again.story.call("POST", &path, Some(json!({ "minimum_lifetime": 3600 }))).await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    assert_eq!(again.story.stack.salesforce.grants()[0].spent.len(), 1, "the refresh token was rotated");

    receipt.redeemed(&again.story).await;

    assert_eq!(endings(&again.story), [Some(Ending::Revoked), None], "not replayed: the newest was revoked");
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_refresh_that_ends_after_the_reconnect_overwrites_nothing_and_is_revoked() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    let path = format!("/v1/connections/{}/token", again.earlier);
    // Lease and began go through; then the table refuses to save the rotated token for a while.
    let refuse = TableFault::refuse("InternalServerError").on(Which::Operation("UpdateItem"));
    story.stack.dynamodb.inject(refuse.after(2).times(8));

    let late = story.call("POST", &path, Some(json!({ "minimum_lifetime": 3600 })));
    let redemption = async {
        while story.stack.salesforce.grants()[0].spent.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        receipt.redeemed(story).await
    };
    let (late, redeemed) = tokio::join!(late, redemption);

    assert_eq!(redeemed.text("state"), "active");
    assert_eq!(late.status, 200, "{}", late.body);
    assert_eq!(
        late.body["fingerprint"],
        story.token(&again.earlier).await.body["fingerprint"],
        "the new grant's token"
    );
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_refresh_that_finds_the_old_grant_revoked_gets_the_new_ones_token() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.queue_token_fault(Fault::Slow(Duration::from_millis(900)));
    let path = format!("/v1/connections/{}/token", again.earlier);

    let late = story.call("POST", &path, Some(json!({ "minimum_lifetime": 3600 })));
    let redemption = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        receipt.redeemed(story).await
    };
    let (late, redeemed) = tokio::join!(late, redemption);

    assert_eq!(redeemed.text("state"), "active");
    assert_eq!(late.status, 200, "nobody has to connect again: {}", late.body);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_revocation_that_fails_is_tried_again_by_the_sweep() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.set_unreachable(true);

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(redeemed.text("state"), "active", "Salesforce being away stops no reconnect");
    assert_eq!(endings(story), [None, None]);
    assert_eq!(story.token(&the_other(&again, "revoking").await).await.status, 404);
    assert_eq!(story.stack.sweep().await.put_off, 1);

    story.stack.salesforce.set_unreachable(false);
    story.stack.salesforce.forget_calls();
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.stack.sweep().await.revoked, 1);
    assert_eq!(asked(story), ["revoke", "userinfo"], "and the new one is tried then");
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn where_revoking_the_old_grant_ends_the_new_one_too_latchkey_notices_and_says_so() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.set_revoking_ends_all(true);
    story.stack.salesforce.forget_calls();

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(asked(story), ["revoke", "userinfo", "introspect"], "asked, and no refresh token sent");
    assert_eq!(endings(story), [Some(Ending::Revoked), Some(Ending::Revoked)]);
    assert_eq!(redeemed.text("state"), "needs_reauth");
    let over = story.token(&again.earlier).await;
    assert_eq!((over.status, over.problem()), (409, "reauthorization-needed"), "{}", over.body);
    assert_eq!(over.text("cause"), "ended_by_revoke");
    assert!(over.text("help_url").ends_with(redeemed.text("failure")));
    let help = again.alice.get(over.text("help_url")).await;
    assert!(help.has("Salesforce ended the new access together with the old one"), "{}", help.text());

    // Once more, and there is nothing old left that could end it.
    Receipt::of(&again).await.redeemed(story).await;
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_new_grant_whose_token_is_refused_but_whose_refresh_token_is_known_stays() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.expire_access_tokens();
    story.stack.salesforce.forget_calls();

    let redeemed = receipt.redeemed(story).await;

    assert_eq!(asked(story), ["revoke", "userinfo", "introspect"]);
    assert_eq!(redeemed.text("state"), "active", "a session may end early; the grant stands");
    story.pass(SignedDuration::from_mins(16));
    holds_the_newest_grant(&again).await;
}

/// A folder of product files, changed.
fn products(name: &str, change: impl Fn(&str) -> String) -> Options {
    let folder = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in ["fernway.toml", "tidewater.toml"] {
        let kept = format!("{}/../../infra/products/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(kept).expect("the product's file");
        std::fs::write(folder.join(file), change(&text)).expect("written");
    }
    Options { products: folder, ..Options::for_tests() }
}

/// The stack with changed product files, Fernway's app installed.
async fn with_products(name: &str, change: impl Fn(&str) -> String) -> Story {
    let options = products(name, change);
    let story = Story::with(options.clone()).await;
    std::fs::remove_dir_all(options.products).expect("the folder goes");
    story.install("sync");
    story
}

/// Alice has connected a product that redeems nothing.
async fn without_receipts(name: &str) -> Returning {
    let story =
        with_products(name, |text| text.replace("id = \"fernway\"\n", "id = \"fernway\"\nredeem = false\n"))
            .await;
    let alice = story.stack.browser();
    let back = comes_back_as(&alice, &story.invite().await, "Production", UMA).await;
    let earlier = part(&back.location().expect("on the way"), "connection");
    Returning { story, alice, earlier }
}

#[tokio::test]
async fn without_receipts_the_same_user_is_taken_at_once_and_another_when_confirmed() {
    let again = without_receipts("reconnect-without-receipts").await;
    let story = &again.story;

    let same = session(&again, json!({})).await;
    let back = comes_back_as(&again.alice, same.text("connect_url"), "Production", UMA).await;
    assert_eq!(part(&back.location().expect("on the way"), "connection"), again.earlier);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(status(story, same.text("id")).await["connection_id"], again.earlier.as_str());
    again.works(&again.earlier).await;

    let (page, session) = comes_back_as_ada(&again).await;
    assert_eq!(shown(story, &again.earlier).await["username"], UMA);
    again.alice.stop_before("/salesforce/return");
    let back = page.click("Change it").await;
    assert_eq!(part(&back.location().expect("on the way"), "connection"), again.earlier);
    assert_eq!(status(story, &session).await["status"], "connected");
    assert_eq!(shown(story, &again.earlier).await["username"], ADA);
    assert_eq!(endings(story), [Some(Ending::Revoked), Some(Ending::Revoked), None]);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn without_receipts_a_table_that_fails_leaves_no_grant_that_nobody_holds() {
    let again = without_receipts("reconnect-without-receipts-or-table").await;
    let story = &again.story;
    let transactions = Which::Operation("TransactWriteItems");
    let away = async || {
        let session = session(&again, json!({})).await;
        let connect = again.alice.get(session.text("connect_url")).await.choose("Production");
        again.alice.stop_before("/oauth/callback");
        connect.click("Continue to Salesforce").await
    };

    let back = away().await;
    story.stack.dynamodb.inject(TableFault::refuse("AccessDeniedException").on(transactions).times(99));
    says(&back.follow().await, 503, "Something went wrong on our side");
    story.stack.dynamodb.mend();
    assert_eq!(endings(story), [None, Some(Ending::Revoked)]);
    is_untouched(&again).await;

    // Every answer lost, though it was carried out.
    let back = away().await;
    story.stack.dynamodb.inject(TableFault::lose_answer().on(transactions).times(3));
    again.alice.stop_before("/salesforce/return");
    let on = back.follow().await;
    assert_eq!(part(&on.location().expect("on the way"), "connection"), again.earlier);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_is_replaced_and_never_revoked_by_its_access_token() {
    let again = Returning::begin().await;
    // The product's file demands the scope; what was imported or made before may have come without.
    for attribute in ["refresh_token", "refresh_fingerprint"] {
        again.story.remove_attribute(&again.earlier, attribute).await;
    }
    again.story.stack.salesforce.forget_calls();

    Receipt::of(&again).await.redeemed(&again.story).await;

    assert_eq!(asked(&again.story), ["token"], "nothing is revoked");
    assert_eq!(endings(&again.story), [None, None]);
    assert_eq!(again.story.connections().await.len(), 1, "and nothing is left beside the connection");
    again.works(&again.earlier).await;
    again.story.pass(SignedDuration::from_mins(16));
    again.works(&again.earlier).await;
    again.story.nothing_leaked().await;
}

#[tokio::test]
async fn a_refresh_token_that_another_connection_holds_too_is_not_revoked() {
    let again = Returning::begin().await;
    let story = &again.story;
    // Another connection of the same app and user that holds the same grant, as an import can make one.
    story.connects(&again.alice).await;
    let other = the_other(&again, "active").await;
    story.copy_attribute(&again.earlier, &other, "refresh_fingerprint").await;
    let receipt = Receipt::of(&again).await;
    story.stack.salesforce.forget_calls();

    receipt.redeemed(story).await;

    assert_eq!(asked(story), Vec::<String>::new());
    assert_eq!(endings(story), [None, None, None]);
    let left = story.connections().await;
    assert_eq!(left.len(), 2, "what was beside the connection is gone all the same: {left:?}");
    again.works(&again.earlier).await;
    again.works(&other).await;
}

#[tokio::test]
async fn a_connection_moves_to_an_external_client_app_and_refreshes_with_the_old_one_until_then() {
    let again = Returning::begin().await;
    let story = &again.story;
    story.install("insights");
    let insights = story.stack.app("fernway", "insights").consumer_key.clone();
    let session = session(&again, json!({ "app": "insights" })).await;
    let back = comes_back_as(&again.alice, session.text("connect_url"), "Production", UMA).await;
    story.pass(SignedDuration::from_mins(5));
    let path = format!("/v1/connections/{}/token", again.earlier);
    let refreshed = story.call("POST", &path, Some(json!({ "minimum_lifetime": 3600 }))).await;
    assert_eq!(refreshed.status, 200, "the old app refreshes: {}", refreshed.body);
    assert_eq!(shown(story, &again.earlier).await["app"], "sync");

    let redeemed = Receipt::on(&back).redeemed(story).await;

    assert_eq!((redeemed.text("id"), redeemed.text("app")), (again.earlier.as_str(), "insights"));
    assert_eq!(redeemed.body["reconnected"]["previous"]["app"], "sync");
    assert_eq!(redeemed.body["reconnected"]["identity_changed"], false);
    assert_eq!(endings(story), [Some(Ending::Revoked), None]);
    assert_eq!(story.stack.salesforce.grants()[1].consumer_key, insights);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn only_a_connection_of_the_products_own_can_be_authorized_anew() {
    let again = Returning::begin().await;
    let story = &again.story;
    let tidewater = story.stack.api_key("tidewater").expose().to_owned();
    let wish = json!({
        "connection_id": again.earlier, "user": "u-1", "return_to": story.stack.products[1].return_addresses[0],
    });
    let path = "/v1/connect-sessions";

    let other = story.call_with(&tidewater, &[], "POST", path, Some(wish.to_string())).await;
    assert_eq!((other.status, other.problem()), (404, "not-found"), "{}", other.body);
    for unknown in ["con_00000000000000000000000000", "x"] {
        let answer = story.wish(json!({ "connection_id": unknown })).await;
        assert_eq!((answer.status, answer.problem()), (404, "not-found"), "{unknown}");
    }
    let customer = json!({ "connection_id": again.earlier, "customer": { "id": "c-other" } });
    let answer = story.wish(customer).await;
    assert_eq!((answer.status, answer.problem()), (400, "bad-request"), "{}", answer.body);
    assert!(answer.text("detail").contains("customer"), "{}", answer.body);

    // Customer and app are the connection's where they are not given.
    let short = json!({
        "connection_id": again.earlier, "user": "u-alice", "return_to": story.stack.products[0].return_addresses[0],
    });
    let answer = story.call("POST", path, Some(short)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(
        (answer.text("app"), answer.body["customer"]["name"].as_str()),
        ("sync", Some("Acme Corporation"))
    );

    // One that waits to be redeemed has a receipt to be brought; one on its way out is gone.
    let receipt = Receipt::of(&again).await;
    let pending = the_other(&again, "pending").await;
    let answer = story.wish(json!({ "connection_id": pending })).await;
    assert_eq!((answer.status, answer.problem()), (409, "not-redeemed"), "{}", answer.body);
    assert_eq!(story.token(&pending).await.problem(), "not-redeemed");
    receipt.redeemed_by(story, "u-mallory").await;
    is_untouched(&again).await;
}

#[tokio::test]
async fn a_connection_that_is_deleted_meanwhile_is_not_brought_back() {
    let again = Returning::begin().await;
    let story = &again.story;
    let (before, session) = (Receipt::of(&again).await, session(&again, json!({})).await);
    let (page, parked) = comes_back_as_ada(&again).await;
    let one = format!("/v1/connections/{}", again.earlier);
    assert_eq!(story.call("DELETE", &one, None).await.status, 204);

    // At the redemption, at the callback, and at the confirmed one's redemption.
    let redeemed = before.redeemed_by(story, "u-alice").await;
    assert_eq!((redeemed.status, redeemed.problem()), (409, "reconnect-overtaken"), "{}", redeemed.body);
    assert_eq!(status(story, &before.session).await["failure"]["cause"], "reconnect_overtaken");
    let help = comes_back_as(&again.alice, session.text("connect_url"), "Production", UMA).await;
    assert!(help.has("The connection was changed or removed while you were signing in"), "{}", help.text());
    again.alice.stop_before("/salesforce/return");
    let confirmed = Receipt::on(&page.click("Change it").await);
    assert_eq!(confirmed.redeemed_by(story, "u-mallory").await.problem(), "other-user");
    assert_eq!(status(story, &parked).await["failure"]["cause"], "receipt_refused");

    assert_eq!(story.connections().await, Vec::<Value>::new());
    assert_eq!(story.stack.salesforce.live_grants().len(), 0, "{:?}", endings(story));
    story.nothing_leaked().await;
}

#[tokio::test]
async fn who_agreed_to_one_change_has_not_agreed_to_the_next() {
    let again = Returning::begin().await;
    let story = &again.story;
    let same = Receipt::of(&again).await;
    let (page, _) = comes_back_as_ada(&again).await;
    again.alice.stop_before("/salesforce/return");
    Receipt::on(&page.click("Change it").await).redeemed(story).await;

    // It was the same user when it came back. By now the connection is Ada's.
    let overtaken = same.redeemed_by(story, "u-alice").await;

    assert_eq!((overtaken.status, overtaken.problem()), (409, "reconnect-overtaken"), "{}", overtaken.body);
    assert_eq!(shown(story, &again.earlier).await["username"], ADA);
    holds_ada(&again).await;
}

async fn holds_ada(again: &Returning) {
    let live = again.story.stack.salesforce.live_grants();
    assert_eq!(live.len(), 1, "{:?}", endings(&again.story));
    again.works(&again.earlier).await;
    again.story.nothing_leaked().await;
}

#[tokio::test]
async fn a_table_that_fails_in_the_exchange_of_the_grants_loses_nothing() {
    let again = Returning::begin().await;
    let story = &again.story;
    let receipt = Receipt::of(&again).await;
    let transactions = Which::Operation("TransactWriteItems");

    story.stack.dynamodb.inject(TableFault::refuse("AccessDeniedException").on(transactions).times(99));
    let refused = receipt.redeemed_by(story, "u-alice").await;
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"), "{}", refused.body);
    story.stack.dynamodb.mend();
    again.works(&again.earlier).await;
    assert_eq!(endings(story), [None, None], "both grants are there, and known");

    // Carried out, and every answer of the SDK's three tries lost: it is found to be carried out.
    story.stack.dynamodb.inject(TableFault::lose_answer().on(transactions).times(3));
    let redeemed = receipt.redeemed(story).await;
    assert_eq!(redeemed.body["reconnected"]["previous"]["username"], UMA);
    holds_the_newest_grant(&again).await;
}

#[tokio::test]
async fn the_connect_page_warns_before_salesforce_ends_an_older_grant() {
    let again = Returning::begin().await;
    let story = &again.story;
    let warning = "Salesforce may end an older connection";
    for known in 2..=4 {
        let page = again.alice.get(&story.invite().await).await;
        assert!(!page.has(warning), "{known}: {}", page.text());
        story.connects(&again.alice).await;
    }

    for more in [json!({}), json!({ "connection_id": again.earlier })] {
        let page = again.alice.get(story.wish(more).await.text("connect_url")).await;
        assert!(page.has(warning), "before the redirect: {}", page.text());
        assert!(page.has(&format!("{UMA} has allowed Fernway Sync 4 times already")), "{}", page.text());
        assert!(page.has("integration user") && page.has("disconnect one"), "what to do: {}", page.text());
    }
    let refused = again.alice.get(&story.invite().await).await.choose("My Domain").fill("my_domain", "x y");
    assert!(
        refused.click("Continue to Salesforce").await.has(warning),
        "a typing error does not take it away"
    );
    let other = story.wish(json!({ "app": "insights" })).await;
    assert!(!again.alice.get(other.text("connect_url")).await.has(warning), "another app is another count");

    let connections = story.connections().await;
    let id = connections.iter().find_map(|one| one["id"].as_str().filter(|id| *id != again.earlier));
    let id = id.expect("another");
    assert_eq!(story.call("DELETE", &format!("/v1/connections/{id}"), None).await.status, 204);
    assert!(!again.alice.get(&story.invite().await).await.has(warning), "one is disconnected");
    // What cannot be counted stops nobody.
    story
        .stack
        .dynamodb
        .inject(TableFault::refuse("ResourceNotFoundException").on(Which::Operation("Query")).times(9));
    assert_eq!(again.alice.get(&story.invite().await).await.status, 200);
}

#[tokio::test]
async fn grants_of_one_app_are_counted_over_all_products() {
    // Two products that share one registration at Salesforce.
    let story = with_products("reconnect-shared-app", |text| {
        let (fernway, tidewater) = (
            "3MVG9FernwaySyncConsumerKey.Zx81kQ0aBcDeFgHiJkLmNoPq",
            "3MVG9TidewaterConsumerKey.Qr55mN3xAbCdEfGhIjKlMnOpQrSt",
        );
        text.replace(tidewater, fernway)
            .replace("latchkey/dev/apps/tidewater", "latchkey/dev/apps/fernway-sync")
            .replace(
                "scopes = [\"api\", \"refresh_token\"]",
                "scopes = [\"api\", \"refresh_token\", \"openid\"]",
            )
    })
    .await;
    let alice = story.signed_in("Alice").await;
    for _ in 0..2 {
        story.connects(&alice).await;
    }
    let key = story.stack.api_key("tidewater").expose().to_owned();
    for customer in ["c-1", "c-1", "c-1"] {
        let address = story.stack.products[1].return_addresses[0].clone();
        let wish = json!({ "customer": { "id": customer }, "user": "u-1", "return_to": address });
        let path = "/v1/connect-sessions";
        let session = story.call_with(&key, &[], "POST", path, Some(wish.to_string())).await;
        let link = session.text("connect_url").to_owned();
        let page = alice.get(&link).await;
        let known = story.connections().await.len();
        let its = story.call_with(&key, &[], "GET", "/v1/connections", None).await;
        let its = its.body["connections"].as_array().expect("a list").len();
        // The first finds none of its own customer's users to count.
        assert_eq!(page.has("Salesforce may end"), its > 0 && known + its >= 4, "{known} + {its}");

        alice.stop_before("/salesforce/return");
        let page =
            page.choose("Ask me to sign in again").click("Continue to Salesforce").await.click(UMA).await;
        let back = Receipt::on(&page);
        let path = format!("/v1/connect-sessions/{}/redeem", back.session);
        let body = json!({ "receipt": back.receipt, "user": "u-1" }).to_string();
        assert_eq!(story.call_with(&key, &[], "POST", &path, Some(body)).await.status, 200);
    }
}
