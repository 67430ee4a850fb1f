//! What the journeys against a deployment have in common. `tests/deployed/run` deploys, and says where in `DEPLOYED`.

#![expect(clippy::missing_panics_doc, reason = "a test tool: what cannot go on panics, and says why")]

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use domain::Product;
use salesforce::Http;
use serde_json::{Value, json};
use url::Url;
use world::{
    Clock,
    browser::{Browser, Page},
};

/// Where the example product takes its users back: the first return address of its file.
const RETURN_TO: &str = "https://app.fernway.example/salesforce/return";

/// How long the table's stream may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A deployment, as its users and products meet it.
#[derive(Debug)]
pub struct Deployed {
    public_url: Url,
    gateway: SocketAddr,
    api_key: String,
    salesforce: String,
    inbox: String,
    webhook_secret: String,
    products: Vec<Product>,
    http: Http,
}

/// An answer to a product's backend.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` where it is not JSON.
    pub body: Value,
}

impl Answer {
    /// A text member.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.body))
    }
}

impl Deployed {
    /// The deployment that `tests/deployed/run` made.
    pub fn here() -> Self {
        let told =
            std::env::var("DEPLOYED").expect("tests/deployed/run passes these tests: it sets DEPLOYED");
        let folder = PathBuf::from(std::env::var("LATCHKEY_PRODUCTS").expect("as well"));
        let told: Value = serde_json::from_str(&told).expect("DEPLOYED is JSON");
        let text =
            |name: &str| told[name].as_str().unwrap_or_else(|| panic!("no {name} in DEPLOYED")).to_owned();
        Self {
            public_url: text("public_url").parse().expect("an origin"),
            gateway: text("gateway").parse().expect("an address and a port"),
            api_key: text("api_key"),
            salesforce: text("salesforce"),
            inbox: text("inbox"),
            webhook_secret: text("webhook_secret"),
            products: latchkey::read_products(&folder).expect("the product files"),
            http: Http::on_this_machine(),
        }
    }

    /// A browser to which the deployment's own name leads to the gateway.
    pub fn browser(&self) -> Browser {
        let browser = Browser::new(&Clock::running());
        browser.finds(&self.public_url, self.gateway);
        browser
    }

    /// Fernway's backend calls Latchkey.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_with(&self.api_key, method, path, body).await
    }

    /// Somebody calls Latchkey with this API key.
    pub async fn call_with(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://localhost:{}{path}", self.gateway.port()))
            .header("host", self.public_url.host_str().expect("a host"))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json");
        let body = body.map(|body| body.to_string()).unwrap_or_default().into_bytes();
        let answer = self.http.send(request.body(body).expect("a request")).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        Answer { status: answer.status().as_u16(), body }
    }

    /// Fernway's backend makes a connect session for a user of one of its customers.
    pub async fn wish(&self, app: &str, customer: &str) -> Answer {
        let wish = json!({
            "app": app,
            "customer": { "id": customer, "name": "Acme Corporation" },
            "user": "u-alice",
            "return_to": RETURN_TO,
        });
        let made = self.call("POST", "/v1/connect-sessions", Some(wish)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made
    }

    /// A user follows the link as far as Salesforce's first page.
    pub async fn leave(&self, browser: &Browser, session: &Answer) -> Page {
        browser
            .get(session.text("connect_url"))
            .await
            .choose("Production")
            .click("Continue to Salesforce")
            .await
    }

    /// A user goes to Salesforce and allows the app: where that ends, which may be on the way to the product.
    pub async fn allow(&self, session: &Answer) -> Page {
        let browser = self.browser();
        browser.stop_before(RETURN_TO);
        let consent = self.leave(&browser, session).await.click("uma@acme.example").await;
        // Salesforce asks a user once: whoever has allowed the app before goes straight on.
        if consent.has("Allow") { consent.click("Allow").await } else { consent }
    }

    /// The whole way: a user of that customer connects, the product redeems; the connection's id.
    pub async fn connected(&self, app: &str, customer: &str) -> String {
        let session = self.wish(app, customer).await;
        let back = self.allow(&session).await;
        let back = back.location().unwrap_or_else(|| panic!("on the way to the product: {}", back.text()));
        let (_, receipt) = back.query_pairs().find(|(name, _)| name == "receipt").expect("a receipt");
        let path = format!("/v1/connect-sessions/{}/redeem", session.text("id"));
        let redeem = json!({ "receipt": receipt, "user": "u-alice" });
        let redeemed = self.call("POST", &path, Some(redeem)).await;
        assert_eq!(redeemed.status, 200, "{}", redeemed.body);
        redeemed.text("id").to_owned()
    }

    /// The connection that a customer has.
    pub async fn connection_of(&self, customer: &str) -> String {
        let listed = self.call("GET", &format!("/v1/connections?customer={customer}"), None).await;
        listed.body["connections"][0]["id"].as_str().expect("a connection").to_owned()
    }

    /// A connection's token, as a backend asks for it.
    pub async fn token(&self, connection: &str) -> Answer {
        self.call("GET", &format!("/v1/connections/{connection}/token"), None).await
    }

    /// Moves the Salesforce world: one of its controls, with one of Fernway's apps as its target.
    pub async fn salesforce(&self, control: &str, app: &str) {
        self.salesforce_with(control, app, json!({})).await;
    }

    /// The same, with what else the control takes.
    pub async fn salesforce_with(&self, control: &str, app: &str, mut target: Value) {
        let mut apps = self.products.iter().flat_map(|product| &product.apps);
        let app = apps.find(|found| found.id.as_str() == app).expect("one of Fernway's apps");
        target["org"] = "acme".into();
        target["app"] = app.consumer_key.as_str().into();
        let request = http::Request::post(format!("http://{}/_world/{control}", self.salesforce));
        let request = request.body(target.to_string().into_bytes()).expect("a request");
        let answer = self.http.send(request).await.expect("the world answers");
        assert_eq!(answer.status(), 200, "{control}: {}", String::from_utf8_lossy(answer.body()));
    }

    /// Asks until the answer is as it should be: what comes by the table's stream comes seconds later.
    pub async fn soon(&self, path: &str, right: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call("GET", path, None).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            if right(&answer.body) {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "{path}: {:#}", answer.body);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// What came to the product's webhook endpoint so far, as the tests of its own library take it: headers and body.
    pub async fn deliveries(&self) -> Vec<Value> {
        let request = http::Request::get(format!("{}/deliveries", self.inbox));
        let answer =
            self.http.send(request.body(Vec::new()).expect("a request")).await.expect("the inbox answers");
        serde_json::from_slice(answer.body()).expect("a list")
    }

    /// The signing secret of the endpoint, as the operator's command showed it.
    pub fn webhook_secret(&self) -> &str {
        &self.webhook_secret
    }

    /// A call of Salesforce's API with a token, as the product makes it: the status.
    pub async fn salesforce_says(&self, token: &Answer) -> u16 {
        let (instance, access) = (token.text("instance_url"), token.text("access_token"));
        let request = http::Request::get(format!("{instance}/services/data/v62.0/limits"))
            .header("authorization", format!("Bearer {access}"));
        let answer = self.http.send(request.body(Vec::new()).expect("a request")).await;
        answer.expect("Salesforce answers").status().as_u16()
    }
}
