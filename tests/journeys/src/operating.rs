//! Whoever operates the product: the page that they look at, and what there is to be seen on it.

use domain::Failure;
use serde_json::json;
use world::browser::{Browser, Page};

use crate::{Answer, Story};

impl Story {
    /// A one-time link to the operators' page, as Fernway's backend asks for it.
    pub async fn ops_link(&self) -> String {
        let link = self.call("POST", "/v1/ops-links", None).await;
        assert_eq!(link.status, 201, "{}", link.body);
        link.text("url").to_owned()
    }

    /// An operator of Fernway's, signed in, and the page.
    pub async fn operator(&self) -> (Browser, Page) {
        let browser = self.stack.browser();
        let page = browser.get(&self.ops_link().await).await.click("Sign in").await;
        assert_eq!((page.status, page.url.path()), (200, "/ops"), "{}", page.text());
        (browser, page)
    }

    /// Whoever runs Latchkey, signed in for all products, and the page.
    pub async fn runner(&self) -> (Browser, Page) {
        let (store, now) = (&self.stack.store, self.stack.clock.now());
        let link = latchkey::ops_link(store, &self.stack.latchkey, None, "Olga", now).await.expect("a link");
        let browser = self.stack.browser();
        let page = browser.get(&link).await.click("Sign in").await;
        assert_eq!((page.status, page.url.path()), (200, "/ops"), "{}", page.text());
        (browser, page)
    }

    /// The address of the page.
    pub fn ops(&self) -> String {
        format!("{}/ops", self.stack.latchkey)
    }

    /// Uma presses Deny.
    pub async fn deny(&self) {
        let browser = self.signed_in("Alice").await;
        self.leave(&browser).await.click("uma@acme.example").await.click("Deny").await;
    }

    /// Somebody says what Salesforce showed them, in the session of this wish: the page that it leads to.
    pub async fn tell(&self, wish: &Answer, pasted: &str) -> Page {
        let trouble = self.stack.browser().get(&format!("{}/trouble", wish.text("connect_url"))).await;
        let told = trouble.fill("pasted", pasted).click("Show me what to do").await;
        assert!(told.url.path().starts_with("/help/"), "{} {}", told.url, told.text());
        told
    }

    /// The latest failure of Fernway's, as it is stored.
    pub async fn latest_failure(&self) -> Failure {
        let found = self.call("GET", "/v1/failures?limit=1", None).await;
        let id = found.body["failures"][0]["id"].as_str().expect("a failure").parse().expect("an id");
        let failure = self.stack.store.failure(&id, self.stack.clock.now()).await;
        failure.expect("the table answers").expect("it is kept")
    }

    /// So many new customers, each with its connection.
    pub async fn all_imported(&self, count: usize) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for customer in (1..=count).map(|number| format!("customer{number}")) {
            let connection = self.imported(&customer).await;
            all.push((customer, connection));
        }
        all
    }

    /// A new customer's connection, from a token that the product held before: its id.
    pub async fn imported(&self, customer: &str) -> String {
        self.imported_from(customer, customer).await
    }

    /// The same from a new org of that name: a customer may have several.
    pub async fn imported_from(&self, org: &str, customer: &str) -> String {
        let key = self.stack.app("fernway", "sync").consumer_key.clone();
        let world = &self.stack.salesforce;
        let admin = world.add_customer(org).users[0].id.clone();
        world.install(org, &key).expect("the app can be installed");
        let granted = world.granted(org, &admin, &key);
        let body = json!({
            "app": "sync", "customer": { "id": customer }, "user": "u-1", "environment": "production",
            "refresh_token": granted["refresh_token"], "another": org != customer,
        });
        let connection = self.call("POST", "/v1/connections", Some(body)).await;
        assert_eq!(connection.status, 201, "{}", connection.body);
        connection.text("id").to_owned()
    }
}
