//! Double clicks, two tabs and returns that nobody redeems: each ends well, and no grant that is in use is lost.

use jiff::SignedDuration;
use journeys::{Answer, Returning, Story, says};
use serde_json::{Value, json};
use world::{
    browser::{Browser, Page},
    salesforce::Ending,
};

/// What the browser brings to the product.
struct Returned {
    session: String,
    receipt: String,
}

impl Returned {
    /// The browser is back by this answer of Salesforce's, and on its way to the product.
    async fn by(browser: &Browser, page: Page) -> Self {
        browser.stop_before("/salesforce/return");
        let page = page.follow().await;
        let url = page.location().unwrap_or_else(|| panic!("on the way to the product: {page:?}"));
        let part = |name: &str| {
            let found = url.query_pairs().find(|(key, _)| key == name);
            found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
        };
        Self { session: part("connect_session"), receipt: part("receipt") }
    }

    async fn redeemed(&self, story: &Story) -> Answer {
        let path = format!("/v1/connect-sessions/{}/redeem", self.session);
        story.call("POST", &path, Some(json!({ "receipt": self.receipt, "user": "u-alice" }))).await
    }
}

/// A connect session as its product sees it.
async fn shown(story: &Story, session: &str) -> Value {
    story.call("GET", &format!("/v1/connect-sessions/{session}"), None).await.body
}

/// How many grants Salesforce ended because there were too many.
fn evicted(story: &Story) -> usize {
    let grants = story.stack.salesforce.grants();
    grants.iter().filter(|grant| grant.ended == Some(Ending::Evicted)).count()
}

/// The connection works, is the only one, and after the sweep its grant is the only one that lives.
async fn one_connection_is_left(again: &Returning) {
    let story = &again.story;
    story.holds_every_grant().await;
    let connections = story.connections().await;
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(connections[0]["id"], again.earlier.as_str());
    assert_eq!(evicted(story), 0);
    again.works(&again.earlier).await;
    story.nothing_leaked().await;
}

#[tokio::test]
async fn newer_return_takes_the_place_of_an_unredeemed_one() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let one = again.story.about_to_return(&again.alice, &link).await;
    let two = again.story.about_to_return(&again.alice, &link).await;

    let one = Returned::by(&again.alice, one).await;
    assert_eq!(again.story.stack.salesforce.live_grants().len(), 3, "hers, and both approvals");
    let two = Returned::by(&again.alice, two).await;

    assert_eq!(again.story.stack.salesforce.live_grants().len(), 2, "the earlier one is revoked at once");
    assert_eq!(one.redeemed(&again.story).await.problem(), "receipt-refused");
    let redeemed = two.redeemed(&again.story).await;
    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
    one_connection_is_left(&again).await;
}

#[tokio::test]
async fn newer_return_takes_the_place_of_a_parked_one() {
    let again = Returning::begin().await;
    let session = again.story.wish(json!({ "connection_id": again.earlier })).await;
    let link = session.text("connect_url");
    let one = as_user(&again, link, "ada@acme.example").await;
    let two = as_user(&again, link, "uma@acme.example").await;
    let asks = one.follow().await;
    assert!(asks.url.path().ends_with("/confirm"), "{asks:?}");

    let two = Returned::by(&again.alice, two).await;

    assert_eq!(again.story.stack.salesforce.live_grants().len(), 2, "Ada's is revoked");
    let redeemed = two.redeemed(&again.story).await;
    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
    one_connection_is_left(&again).await;
}

/// A person begins on a computer, and goes on with a phone before anything has come back.
#[tokio::test]
async fn person_who_switches_browsers_finishes_in_the_other() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let computer = again.story.about_to_return(&again.alice, &link).await;
    let phone = again.story.signed_in("Alice").await;
    let answer = again.story.about_to_return(&phone, &link).await;

    let returned = Returned::by(&phone, answer).await;
    let late = computer.follow().await;

    says(&late, 409, "Another browser came back first");
    assert!(late.links().iter().any(|(text, _)| text == "Start again"), "{:?}", late.links());
    let redeemed = returned.redeemed(&again.story).await;
    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
    one_connection_is_left(&again).await;
}

/// The browser that came back loses its cookies: nobody else gets its receipt, and a new link connects.
#[tokio::test]
async fn browser_that_lost_its_cookies_connects_with_a_new_link() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let answer = again.story.about_to_return(&again.alice, &link).await;
    let lost = Returned::by(&again.alice, answer).await;
    again.alice.forget_cookies();

    let page = again.alice.get(&link).await;
    says(&page, 200, "Finish in Fernway");
    assert!(page.has("press Connect there again") && !page.body.contains(&lost.receipt), "{page:?}");

    let returned = Returned::by(&again.alice, again.about_to_return().await).await;
    let redeemed = returned.redeemed(&again.story).await;
    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
    one_connection_is_left(&again).await;
}

/// From a link to Salesforce as this user, up to the answer.
async fn as_user(again: &Returning, link: &str, username: &str) -> Page {
    let connect = again.alice.get(link).await.choose("Production").choose("Ask me to sign in again");
    again.alice.stop_before("/oauth/callback");
    let page = connect.click("Continue to Salesforce").await.click(username).await;
    let page = if page.has("Allow Access?") { page.click("Allow").await } else { page };
    again.story.secrets.keep_browser(&again.alice);
    page
}

#[tokio::test]
async fn six_returns_in_ten_minutes_evict_no_live_grant() {
    let again = Returning::begin().await;
    let mut newest = None;
    for _ in 0..6 {
        let answer = again.about_to_return().await;
        newest = Some(Returned::by(&again.alice, answer).await);
        again.story.pass(SignedDuration::from_secs(90));
        assert_eq!(evicted(&again.story), 0);
        again.works(&again.earlier).await;
    }

    let redeemed = newest.expect("six").redeemed(&again.story).await;

    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
    one_connection_is_left(&again).await;
}

#[tokio::test]
async fn six_returns_of_a_reconnect_evict_no_live_grant() {
    let again = Returning::begin().await;
    for _ in 0..6 {
        let session = again.story.wish(json!({ "connection_id": again.earlier })).await;
        let answer = again.story.about_to_return(&again.alice, session.text("connect_url")).await;
        Returned::by(&again.alice, answer).await;
        again.story.pass(SignedDuration::from_secs(90));
        assert_eq!(evicted(&again.story), 0);
    }
    again.works(&again.earlier).await;
    one_connection_is_left(&again).await;
}

#[tokio::test]
async fn six_parked_returns_evict_no_live_grant() {
    let again = Returning::begin().await;
    let story = &again.story;
    // Ada uses a connection of another customer.
    let other = story.wish(json!({ "customer": { "id": "c-other" } })).await;
    let answer = as_user(&again, other.text("connect_url"), "ada@acme.example").await;
    let used = Returned::by(&again.alice, answer).await.redeemed(story).await;
    assert_eq!(used.status, 200, "{}", used.body);
    let used = used.text("id").to_owned();

    let mut sessions = Vec::new();
    for _ in 0..6 {
        let session = story.wish(json!({ "connection_id": again.earlier })).await;
        let asks = as_user(&again, session.text("connect_url"), "ada@acme.example").await.follow().await;
        assert!(asks.url.path().ends_with("/confirm"), "{asks:?}");
        sessions.push(session.text("id").to_owned());
        assert_eq!(evicted(story), 0);
        story.pass(SignedDuration::from_secs(90));
    }

    again.works(&used).await;
    again.works(&again.earlier).await;
    let (oldest, newest) = (shown(story, &sessions[0]).await, shown(story, &sessions[5]).await);
    assert_eq!(oldest["status"], "failed", "its grant made room: {oldest}");
    assert_eq!(oldest["failure"]["cause"], "other_identity", "{oldest}");
    assert_eq!(newest["status"], "parked", "{newest}");
    story.nothing_leaked().await;
}

#[tokio::test]
async fn sessions_of_others_keep_their_receipts_while_there_is_room() {
    let again = Returning::begin().await;
    let one = Returned::by(&again.alice, again.about_to_return().await).await;
    let two = Returned::by(&again.alice, again.about_to_return().await).await;

    let one = one.redeemed(&again.story).await;
    let two = two.redeemed(&again.story).await;

    assert_eq!((one.status, two.status), (200, 200), "{} {}", one.body, two.body);
    assert_eq!((one.text("id"), two.text("id")), (&*again.earlier, &*again.earlier));
    one_connection_is_left(&again).await;
}

#[tokio::test]
async fn continue_pressed_twice_ends_well() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let page = again.alice.get(&link).await.choose("Production");
    again.alice.stop_before("/oauth/callback");
    let one = page.click("Continue to Salesforce").await;
    again.alice.stop_before("/oauth/callback");
    let two = page.click("Continue to Salesforce").await;
    assert_ne!(one.location(), two.location(), "two attempts");

    let home = two.follow().await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    let late = one.follow().await;

    assert_eq!(late.heading(), "Already connected", "{late:?}");
    one_connection_is_left(&again).await;
}

#[tokio::test]
async fn continue_pressed_twice_at_once_ends_well() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let page = again.alice.get(&link).await.choose("Production");

    let (one, two) = tokio::join!(page.click("Continue to Salesforce"), page.click("Continue to Salesforce"));

    let is_home = |page: &Page| page.status == 200 && page.url.path() == "/";
    let (won, lost) = if is_home(&one) { (one, two) } else { (two, one) };
    assert!(is_home(&won) && won.has("Your Salesforce accounts"), "{won:?}");
    let ours = ["Already connected", "Finish in Fernway"].contains(&lost.heading().as_str());
    assert!(ours || is_home(&lost) || lost.status == 409, "{lost:?}");
    again.story.secrets.keep_browser(&again.alice);
    one_connection_is_left(&again).await;
}

#[tokio::test]
async fn one_receipt_redeemed_twice_at_once_is_answered_alike() {
    for first in [false, true] {
        let again = Returning::begin().await;
        if first {
            again.story.call("DELETE", &format!("/v1/connections/{}", again.earlier), None).await;
        }
        let returned = Returned::by(&again.alice, again.about_to_return().await).await;

        let (one, two) = tokio::join!(returned.redeemed(&again.story), returned.redeemed(&again.story));

        assert_eq!((one.status, two.status), (200, 200), "{} {}", one.body, two.body);
        assert_eq!(one.text("id"), two.text("id"));
        let again = Returning { earlier: one.text("id").to_owned(), ..again };
        one_connection_is_left(&again).await;
    }
}

#[tokio::test]
async fn redemption_and_newer_return_at_once_end_well() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let one = again.story.about_to_return(&again.alice, &link).await;
    let two = again.story.about_to_return(&again.alice, &link).await;
    let one = Returned::by(&again.alice, one).await;

    let (redeemed, page) = tokio::join!(one.redeemed(&again.story), two.follow());

    // Either the redemption came first, or the newer grant took the earlier one's place.
    if redeemed.status == 200 {
        assert_eq!(page.heading(), "Already connected", "{page:?}");
        assert_eq!(redeemed.text("id"), again.earlier);
    } else {
        assert_eq!(redeemed.problem(), "receipt-refused");
        let home = if page.location().is_some() { page.follow().await } else { page };
        assert!(home.has("Your Salesforce accounts"), "{home:?}");
    }
    one_connection_is_left(&again).await;
}

/// Connections of other customers by the same Salesforce user, whose grants Salesforce has ended.
async fn dead_connections(again: &Returning, many: usize) {
    let story = &again.story;
    let mut ids = Vec::new();
    for number in 0..many {
        let customer = json!({ "customer": { "id": format!("c-dead-{number}") } });
        let session = story.wish(customer).await;
        let answer = story.about_to_return(&again.alice, session.text("connect_url")).await;
        let redeemed = Returned::by(&again.alice, answer).await.redeemed(story).await;
        assert_eq!(redeemed.status, 200, "{}", redeemed.body);
        ids.push(redeemed.text("id").to_owned());
    }
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.pass(SignedDuration::from_mins(16));
    for id in ids.iter().chain([&again.earlier]) {
        assert_eq!(story.token(id).await.problem(), "reauthorization-needed");
    }
}

#[tokio::test]
async fn dead_grants_leave_room_for_unredeemed_ones() {
    let again = Returning::begin().await;
    dead_connections(&again, 3).await;

    let one = Returned::by(&again.alice, again.about_to_return().await).await;
    let two = Returned::by(&again.alice, again.about_to_return().await).await;

    assert_eq!(again.story.stack.salesforce.live_grants().len(), 2, "both wait to be redeemed");
    let redeemed = one.redeemed(&again.story).await;
    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
    assert_eq!(two.redeemed(&again.story).await.status, 200);
}

#[tokio::test]
async fn receipt_of_an_evicted_grant_is_not_given_again() {
    let again = Returning::begin().await;
    let story = &again.story;
    let first = story.invite().await;
    let answer = story.about_to_return(&again.alice, &first).await;
    let evicted = Returned::by(&again.alice, answer).await;
    for _ in 0..4 {
        story.pass(SignedDuration::from_secs(1));
        Returned::by(&again.alice, again.about_to_return().await).await;
    }
    assert!(story.stack.salesforce.grants().iter().any(|grant| grant.ended == Some(Ending::Revoked)));

    again.alice.stop_before("/salesforce/return");
    let page = again.alice.get(&first).await;

    assert!(page.location().is_none() && !page.body.contains(&evicted.receipt), "{page:?}");
    assert_eq!(evicted.redeemed(story).await.problem(), "receipt-refused");
    again.works(&again.earlier).await;
}

#[tokio::test]
async fn unredeemed_grant_with_a_live_connections_token_is_not_revoked() {
    let again = Returning::begin().await;
    let story = &again.story;
    let returned = Returned::by(&again.alice, again.about_to_return().await).await;
    let pending = pending_connection(story);
    // Salesforce may answer with the refresh token that it gave before.
    story.copy_attribute(&again.earlier, &pending, "refresh_fingerprint").await;
    story.stack.salesforce.forget_calls();

    story.pass(SignedDuration::from_mins(11));
    story.stack.sweep().await;

    let calls = story.stack.salesforce.calls();
    assert!(calls.iter().all(|call| !call.path.ends_with("/revoke")), "{calls:?}");
    assert_eq!(returned.redeemed(story).await.problem(), "receipt-refused");
    assert_eq!(story.connections().await.len(), 1, "the unredeemed one is deleted all the same");
    again.works(&again.earlier).await;
}

/// The connection that waits to be redeemed.
fn pending_connection(story: &Story) -> String {
    let items = story.stack.dynamodb.dump(local::stack::TABLE);
    let item =
        items.iter().find(|item| item["state"]["S"] == "pending" && item["refresh_fingerprint"].is_object());
    let pk = item.expect("a pending connection")["pk"]["S"].as_str().expect("a key");
    pk.strip_prefix("CONNECTION#").expect("a connection's key").to_owned()
}
