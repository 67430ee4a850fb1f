//! What the journeys have in common: the stack, a product's backend that calls it, and the steps that every
//! story takes.

#![expect(clippy::missing_panics_doc, reason = "a test tool: what cannot go on panics, and says why")]

use jiff::SignedDuration;
use local::{Options, Stack, logs::Logs};
use runtime::HttpFunction as _;
use salesforce::Http;
use serde_json::{Value, json};
use world::browser::{Browser, Page};

pub mod emf;
pub mod flows;
pub mod here;
pub mod leaks;
mod operating;
pub mod returning;
pub mod secrets;

pub use returning::{Returning, approve, says};
use secrets::Secrets;

/// The stack, with its logs.
#[derive(Debug)]
pub struct Story {
    /// Everything.
    pub stack: Stack,
    /// What the functions logged.
    pub logs: Logs,
    /// What must not get out, as far as the story has met it.
    pub secrets: Secrets,
    backend: Http,
}

impl Drop for Story {
    /// However a story goes, nothing secret has got out. Where nothing was logged (the bench) nothing is searched.
    fn drop(&mut self) {
        if self.logs.are_kept() && !std::thread::panicking() {
            assert_eq!(leaks::search(&self.every_secret(), &self.places()), None);
        }
    }
}

/// A product's backend got an answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// The headers.
    pub headers: http::HeaderMap,
}

impl Answer {
    /// The problem's type, without its prefix.
    pub fn problem(&self) -> &str {
        self.body["type"]
            .as_str()
            .and_then(|kind| kind.strip_prefix("urn:latchkey:problem:"))
            .unwrap_or("none")
    }

    /// A text member.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.body))
    }
}

impl Story {
    /// A new stack; Acme's admin has not installed anything.
    pub async fn begin() -> Self {
        Self::with(Options::for_tests()).await
    }

    /// A new stack in which Acme's admin has installed Fernway's connected app.
    pub async fn installed() -> Self {
        let story = Self::begin().await;
        story.install("sync");
        story
    }

    /// A stack of these options, whose every part logs all that it can.
    pub async fn with(options: Options) -> Self {
        let logs = Logs::keep();
        let stack = Stack::start(options).await.unwrap_or_else(|error| panic!("the stack starts: {error}"));
        Self { stack, logs, secrets: Secrets::default(), backend: Http::of_operator_here() }
    }

    /// Acme's admin installs one of Fernway's apps.
    pub fn install(&self, app: &str) {
        let key = &self.stack.app("fernway", app).consumer_key;
        self.stack.salesforce.install("acme", key).expect("the app can be installed");
    }

    /// Fernway's backend calls Latchkey.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let key = self.stack.api_key("fernway").expose().to_owned();
        self.call_with(&key, &[], method, path, body.map(|body| body.to_string())).await
    }

    /// Somebody calls Latchkey with this API key and these headers.
    pub async fn call_with(
        &self,
        key: &str,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.stack.latchkey))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.unwrap_or_default().into_bytes()).expect("a request");
        let answer = self.backend.send(request).await.expect("Latchkey answers");
        let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        self.secrets.keep_answer(&body);
        Answer { status: answer.status().as_u16(), body, headers: answer.headers().clone() }
    }

    /// Fernway's backend makes a connect session for Alice of Acme.
    pub async fn wish(&self, more: Value) -> Answer {
        let mut wish = json!({
            "app": "sync",
            "customer": { "id": "c-acme", "name": "Acme Corporation" },
            "user": "u-alice",
            "return_to": format!("{}/salesforce/return", self.stack.product),
        });
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            wish[name] = value;
        }
        self.call("POST", "/v1/connect-sessions", Some(wish)).await
    }

    /// A browser in which this user is signed in to Fernway.
    pub async fn signed_in(&self, user: &str) -> Browser {
        let browser = self.stack.browser();
        let home = browser.get(&self.stack.product).await;
        let home = home.click(user).await;
        assert!(home.has(user), "{user} is signed in: {}", home.text());
        browser
    }

    /// The cause of the failed session whose connect link this browser opened last, as the product's backend sees it.
    pub async fn failed_cause(&self, browser: &Browser) -> String {
        let link = connect_link(browser);
        let key = domain::secret::ConnectKey::new(link.rsplit('/').next().expect("a key"));
        let asked = self.call("GET", &format!("/v1/connect-sessions/{}", key.session()), None).await;
        assert_eq!(asked.text("status"), "failed", "{}", asked.body);
        let failure = &asked.body["failure"];
        assert!(failure["help_url"].as_str().expect("a help page").contains("/help/fl_"));
        assert!(failure["reference"].as_str().expect("a reference").starts_with("LK-"));
        failure["cause"].as_str().expect("a cause").to_owned()
    }

    /// The user presses Connect Salesforce and goes on to production, until Salesforce shows something.
    pub async fn leave(&self, browser: &Browser) -> Page {
        let connect = browser.get(&self.stack.product).await.click("Connect Salesforce").await;
        let page = connect.choose("Production").click("Continue to Salesforce").await;
        self.secrets.keep_browser(browser);
        page
    }

    /// The whole way: Connect, sign in at Salesforce as uma, Allow. The page that it ends on.
    pub async fn connect(&self, browser: &Browser) -> Page {
        let login = self.leave(browser).await;
        let consent = login.click("uma@acme.example").await;
        consent.click("Allow").await
    }

    /// Alice connects Acme; the id of the connection.
    pub async fn connected(&self) -> String {
        let browser = self.signed_in("Alice").await;
        let home = self.connect(&browser).await;
        assert!(home.has("Your Salesforce accounts"), "connected: {} {}", home.url, home.text());
        self.connections().await[0]["id"].as_str().expect("an id").to_owned()
    }

    /// Fernway's connections.
    pub async fn connections(&self) -> Vec<Value> {
        let listed = self.call("GET", "/v1/connections", None).await;
        assert_eq!(listed.status, 200, "{}", listed.body);
        listed.body["connections"].as_array().expect("a list").clone()
    }

    /// A connection's token, as a backend asks for it.
    pub async fn token(&self, connection: &str) -> Answer {
        self.call("GET", &format!("/v1/connections/{connection}/token"), None).await
    }

    /// Time passes.
    pub fn pass(&self, time: SignedDuration) {
        self.stack.clock.pass(time);
    }

    /// A call of Salesforce's API with a token, as the product makes it: the status.
    pub async fn salesforce_says(&self, token: &Answer) -> u16 {
        let (instance, access) = (token.text("instance_url"), token.text("access_token"));
        let request = http::Request::get(format!("{instance}/services/data/v62.0/limits"))
            .header("authorization", format!("Bearer {access}"))
            .body(Vec::new())
            .expect("a request");
        self.backend.send(request).await.expect("Salesforce answers").status().as_u16()
    }

    /// A second sandbox of the token function, cold: it has read nothing yet.
    pub fn restarted_token_function(&self) -> ColdToken {
        ColdToken(self.stack.cold_token())
    }

    /// Copies an attribute of one connection's item to another's: what an attacker with the table could do.
    pub async fn copy_attribute(&self, from: &str, to: &str, attribute: &str) {
        self.stack
            .copy_attribute(&format!("CONNECTION#{from}"), &format!("CONNECTION#{to}"), attribute)
            .await;
    }

    /// Removes an attribute of a connection's item.
    pub async fn remove_attribute(&self, connection: &str, attribute: &str) {
        self.stack.remove_attribute(&format!("CONNECTION#{connection}"), attribute).await;
    }
}

/// A token function that has just started.
#[derive(Debug)]
pub struct ColdToken(local::stack::Token);

impl ColdToken {
    /// Asks it for a connection's token: the status.
    pub async fn ask(&self, story: &Story, connection: &str) -> u16 {
        let key = story.stack.api_key("fernway").expose();
        let request = http::Request::get(format!("/v1/connections/{connection}/token"))
            .header("authorization", format!("Bearer {key}"))
            .body(local::stack::Body::Empty)
            .expect("a request");
        self.0.respond(request, story.stack.clock.now()).await.status().as_u16()
    }
}

/// The connect link that this browser opened last.
pub fn connect_link(browser: &Browser) -> String {
    let history = browser.history();
    let link =
        history.iter().rev().find(|url| url.path().starts_with("/connect/ck_")).expect("a link was opened");
    format!("{}{}", link.origin().ascii_serialization(), link.path().trim_end_matches("/trouble"))
}
