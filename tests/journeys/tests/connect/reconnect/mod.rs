//! A connection is authorized anew: it keeps its id, its old grant is revoked, and another org or user than before is
//! never swallowed.

mod another_user;
mod at_once;
mod limit;
mod old_grant;
mod same_user;

use jiff::SignedDuration;
use journeys::{Answer, Returning, Story, says};
use local::Options;
use serde_json::{Value, json};
use url::Url;
use world::{
    browser::{Browser, Page},
    salesforce::{Ending, Grant},
};

const UMA: &str = "uma@acme.example";
const ADA: &str = "ada@acme.example";
const ANOTHER_USER: &str = "You signed in as a different Salesforce user";

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

async fn holds_ada(again: &Returning) {
    let live = again.story.stack.salesforce.live_grants();
    assert_eq!(live.len(), 1, "{:?}", endings(&again.story));
    again.works(&again.earlier).await;
    again.story.nothing_leaked().await;
}
