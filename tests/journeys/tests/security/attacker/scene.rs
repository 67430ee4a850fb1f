//! What there is to steal: sessions in every state, a connection, a failure, an operator; and who wants it.

use journeys::{Answer, Returning, Story, approve};
use serde_json::{Value, json};
use url::Url;
use world::browser::{
    Browser, Page,
    attacker::{Attacker, HeldLink, Holdings},
};

pub(crate) const UMA: &str = "uma@acme.example";
pub(crate) const ADA: &str = "ada@acme.example";
pub(crate) const GIL: &str = "gil@globex.example";

/// The product's own name of the user who asks for help.
const USER_NAME: &str = "Uma Okafor";
/// The host at which Acme's users sign in.
const ORG_HOST: &str = "acme.my.salesforce.localhost";
/// Salesforce's page for an app that is not installed, with the org's host in its address.
const NOT_INSTALLED: &str = "https://acme.my.salesforce.localhost/services/oauth2/authorize?\
     error=invalid_client&error_description=app+must+be+installed+into+org";

/// The scene, before anything is attacked.
pub(crate) struct Scene {
    pub(crate) again: Returning,
    pub(crate) attacker: Attacker,
    /// Signed in as another user than before, and asked which is meant.
    pub(crate) parked: Page,
    pub(crate) parked_browser: Browser,
    /// On the way to the product, with a receipt.
    pub(crate) returned: Url,
    /// At Salesforce, about to come back with this answer.
    pub(crate) away: Browser,
    pub(crate) answer: Url,
    /// An operator of Fernway's, signed in.
    pub(crate) operator: Browser,
    /// The attacker's own answer, which their own browser has not opened.
    pub(crate) own_answer: Url,
    /// The attacker's own connect link.
    pub(crate) own_link: String,
    /// Texts that say who somebody is at Salesforce.
    pub(crate) identities: Vec<String>,
}

pub(crate) fn part(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.map_or_else(|| panic!("no {name} in {url}"), |(_, value)| value.into_owned())
}

fn held(name: &'static str, link: &str, session: &str) -> HeldLink {
    let key = link.rsplit('/').next().expect("a key").to_owned();
    HeldLink { name, key, session: session.to_owned() }
}

fn link_of(name: &'static str, wish: &Answer) -> HeldLink {
    held(name, wish.text("connect_url"), wish.text("id"))
}

/// From a link to Salesforce and, signed in there as this user, back as far as `until`.
pub(crate) async fn comes_back_as(browser: &Browser, link: &str, username: &str, until: &str) -> Page {
    let connect = browser.get(link).await.choose("Production").choose("Ask me to sign in again");
    browser.stop_before(until);
    let page = connect.click("Continue to Salesforce").await.click(username).await;
    if page.has("Allow Access?") { page.click("Allow").await } else { page }
}

/// The victim's connection signs in at the org's own host from now on.
async fn sign_in_at_my_domain(again: &Returning) {
    let wish = again.story.wish(json!({ "connection_id": again.earlier, "my_domain": ORG_HOST })).await;
    let connect = again.alice.get(wish.text("connect_url")).await;
    again.alice.stop_before("/salesforce/return");
    let back = approve(connect.click("Continue to Salesforce").await).await;
    let back = back.location().unwrap_or_else(|| panic!("on the way to the product: {back:?}"));
    let path = format!("/v1/connect-sessions/{}/redeem", part(&back, "connect_session"));
    let call = json!({ "receipt": part(&back, "receipt"), "user": "u-alice" });
    let redeemed = again.story.call("POST", &path, Some(call)).await;
    assert_eq!((redeemed.status, redeemed.text("id")), (200, &*again.earlier), "{}", redeemed.body);
}

/// An operator of the attacker's own product, signed in.
async fn other_operator(story: &Story) -> Browser {
    let key = story.stack.api_key("tidewater").expose().to_owned();
    let link = story.call_with(&key, &[], "POST", "/v1/ops-links", None).await;
    let browser = story.stack.browser();
    let page = browser.get(link.text("url")).await.click("Sign in").await;
    assert_eq!((page.status, page.url.path()), (200, "/ops"), "{}", page.text());
    browser
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let again = Returning::begin().await;
        let story = &again.story;
        let key = story.stack.app("fernway", "sync").consumer_key.clone();
        story.stack.salesforce.install("globex", &key).expect("the app can be installed");
        let mut links = Vec::new();

        sign_in_at_my_domain(&again).await;

        let open = story.wish(json!({})).await;
        links.push(link_of("open", &open));

        let open = story.wish(json!({ "connection_id": again.earlier })).await;
        links.push(link_of("reconnect", &open));

        let wish = story.wish(json!({ "connection_id": again.earlier })).await;
        links.push(link_of("parked", &wish));
        let parked_browser = story.signed_in("Bob").await;
        let parked =
            comes_back_as(&parked_browser, wish.text("connect_url"), ADA, "/salesforce/return").await;
        assert!(parked.url.path().ends_with("/confirm"), "{parked:?}");

        let wish = story.wish(json!({})).await;
        links.push(link_of("returned", &wish));
        let back = comes_back_as(&again.alice, wish.text("connect_url"), UMA, "/salesforce/return").await;
        let returned = back.location().expect("on the way to the product");

        let wish = story.wish(json!({})).await;
        links.push(link_of("away", &wish));
        let away = story.signed_in("Alice").await;
        let answer = story.about_to_return(&away, wish.text("connect_url")).await;
        let answer = answer.location().expect("on the way back");

        let redeemed = again.alice.history();
        let redeemed = redeemed.iter().find(|url| url.path().starts_with("/connect/ck_")).expect("a link");
        let back = again.alice.history();
        let back = back.iter().find(|url| url.path() == "/salesforce/return").expect("a return");
        links.push(held("redeemed", redeemed.as_str(), &part(back, "connect_session")));

        let told = story.wish(json!({ "user_name": USER_NAME })).await;
        let help = story.tell(&told, NOT_INSTALLED).await;
        assert!(help.has(USER_NAME) && help.has(ORG_HOST), "{}", help.text());
        links.push(link_of("told", &told));
        let help = help.url.path().rsplit('/').next().expect("an id").to_owned();

        let (operator, _) = story.operator().await;
        let used = operator.history()[0].path().rsplit('/').next().expect("a key").to_owned();
        let unused = story.ops_link().await.rsplit('/').next().expect("a key").to_owned();

        let browser = story.signed_in("Mallory").await;
        let own = story.wish(json!({ "user": "u-mallory" })).await;
        let own_link = own.text("connect_url").to_owned();
        let own_answer = comes_back_as(&browser, &own_link, GIL, "/oauth/callback").await;
        let own_answer = own_answer.location().expect("on the way back");

        let victims = [&parked_browser, &again.alice, &away, &operator];
        let names = victims.iter().flat_map(|victim| victim.cookies()).map(|cookie| cookie.name);
        let mut cookie_names: Vec<String> = names.filter(|name| name.starts_with("__Host-lk-")).collect();
        cookie_names.sort();
        cookie_names.dedup();
        assert!(cookie_names.len() >= 4, "{cookie_names:?}");
        let connections = story.connections().await;
        let connections: Vec<String> =
            connections.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        assert!(connections.len() >= 2, "one active, one pending: {connections:?}");
        story.stack.notify().await;
        story.pass(jiff::SignedDuration::from_secs(11));
        let feed = story.call("GET", "/v1/events?limit=100", None).await;
        let feed = feed.body["events"].as_array().expect("a list").clone();
        let events: Vec<String> =
            feed.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect();
        assert!(events.len() >= 4, "created, connected, parked, failed: {feed:?}");
        let holds = Holdings {
            links,
            cookie_names,
            answers: vec![format!("{}?{}", answer.path(), answer.query().expect("a query"))],
            receipt: part(&returned, "receipt"),
            connections,
            help: vec![help],
            user_name: USER_NAME.to_owned(),
            org_host: ORG_HOST.to_owned(),
            events,
            ops_links: vec![used, unused],
            api_key: story.stack.api_key("tidewater").expose().to_owned(),
        };
        let org = story.stack.salesforce.org("acme");
        let people = org.users.iter().flat_map(|user| [user.username.clone(), user.id.clone()]);
        let identities = people.chain([org.id.clone()]).collect();
        let operator_of_another = other_operator(story).await;
        let attacker = Attacker { browser, operator: operator_of_another, holds };
        let scene = Self {
            again,
            attacker,
            parked,
            parked_browser,
            returned,
            away,
            answer,
            operator,
            own_answer,
            own_link,
            identities,
        };
        // Every link has been opened once: the first opening's time is noted, and nothing else is.
        for link in &scene.attacker.holds.links {
            scene.story().stack.browser().get(&scene.connect(&link.key)).await;
        }
        scene
    }

    pub(crate) fn story(&self) -> &Story {
        &self.again.story
    }

    pub(crate) fn origin(&self) -> &str {
        &self.story().stack.latchkey
    }

    fn connect(&self, key: &str) -> String {
        format!("{}/connect/{key}", self.origin())
    }

    /// The link of the session that is in this state.
    pub(crate) fn link(&self, name: &str) -> &HeldLink {
        self.attacker.holds.links.iter().find(|link| link.name == name).expect("one of the scene's")
    }

    /// What the browsers of the others send to us.
    pub(crate) fn victims_cookies(&self) -> Vec<String> {
        [&self.parked_browser, &self.again.alice, &self.away, &self.operator]
            .iter()
            .map(|browser| browser.cookie_header(self.origin()).expect("cookies"))
            .collect()
    }

    pub(crate) async fn status(&self, session: &str) -> Answer {
        self.story().call("GET", &format!("/v1/connect-sessions/{session}"), None).await
    }

    pub(crate) async fn redeem(&self, session: &str, receipt: &str, user: &str) -> Answer {
        let path = format!("/v1/connect-sessions/{session}/redeem");
        self.story().call("POST", &path, Some(json!({ "receipt": receipt, "user": user }))).await
    }

    /// After everything: who was attacked ends as if nobody had attacked.
    pub(crate) async fn victims_go_on(&self) {
        let story = self.story();
        assert_eq!(self.operator.get(&story.ops()).await.status, 200, "the operator is still signed in");
        self.away.stop_before("/salesforce/return");
        let back = approve(self.away.get(self.answer.as_str()).await).await;
        let back = back.location().expect("on the way to the product");
        let redeemed = self.redeem(&part(&back, "connect_session"), &part(&back, "receipt"), "u-alice").await;
        assert_eq!(redeemed.status, 200, "{}", redeemed.body);
        self.again.works(redeemed.text("id")).await;

        self.parked_browser.stop_before("/salesforce/return");
        let back =
            self.parked.click("Switch to ada@acme.example").await.location().expect("the victim decides");
        assert!(part(&back, "receipt").len() > 20);
        self.again.works(&self.again.earlier).await;
    }

    /// Whether the functions have asked the tables for nothing but reads since the counts were reset.
    pub(crate) fn only_read(&self) -> bool {
        let requests = self.story().stack.dynamodb.requests();
        let reads = ["GetItem", "BatchGetItem", "Query", "Scan"];
        requests.iter().all(|request| reads.contains(&request.operation.as_str()))
    }

    /// The items of both tables, by key.
    pub(crate) fn items(&self) -> std::collections::BTreeMap<String, Value> {
        let tables = [local::stack::TABLE, local::stack::FALLBACK];
        let all = tables.iter().flat_map(|table| {
            self.story().stack.dynamodb.dump(table).into_iter().map(move |item| (table, item))
        });
        all.map(|(table, item)| {
            let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
            (format!("{table} {} {}", text("pk"), text("sk")), item)
        })
        .collect()
    }
}
