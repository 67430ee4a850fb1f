//! A customer who has connected before and sets out again: what a bad turn could lose, and must not.

use jiff::SignedDuration;
use serde_json::json;
use url::Url;
use world::browser::{Browser, Page};

use crate::Story;

/// A story about somebody who has something to lose.
pub struct Returning {
    /// The stack.
    pub story: Story,
    /// Alice's browser: signed in to Fernway and to Salesforce.
    pub alice: Browser,
    /// Her connection from before.
    pub earlier: String,
}

/// Our own page, for a person: it says this, and is what a page of ours has to be.
pub fn says(page: &Page, status: u16, heading: &str) {
    assert_eq!((page.status, page.heading().as_str()), (status, heading), "{page:?}");
    assert!(
        page.header("content-security-policy")
            .is_some_and(|policy| policy.contains("frame-ancestors 'none'"))
    );
    let way_out = page.links().iter().any(|(_, to)| !to.is_empty())
        || page.has("press Connect again")
        || page.has("reload the page and try again")
        || page.has("LK-");
    assert!(way_out, "there is a way out of {page:?}");
}

impl Returning {
    /// Fernway's app is installed at Acme, and Alice has connected it.
    pub async fn begin() -> Self {
        let story = Story::installed().await;
        let alice = story.signed_in("Alice").await;
        let home = story.connect(&alice).await;
        assert!(home.has("Your Salesforce accounts"), "{home:?}");
        let earlier = story.connections().await[0]["id"].as_str().expect("an id").to_owned();
        Self { story, alice, earlier }
    }

    /// Alice gets a new link and goes on to Salesforce; her browser holds its answer, and has not come back yet.
    pub async fn about_to_return(&self) -> Page {
        let link = self.story.invite().await;
        self.story.about_to_return(&self.alice, &link).await
    }

    /// The address that Alice's browser is about to come back by.
    pub async fn answer(&self) -> Url {
        self.about_to_return().await.location().expect("a redirect")
    }

    /// The end of every story: what was connected works, Alice connects once more, no grant is left that
    /// nobody holds, and nothing secret got out.
    pub async fn ends_well(&self) {
        self.works(&self.earlier).await;
        self.story.connects(&self.alice).await;
        self.story.holds_every_grant().await;
        self.works(&self.earlier).await;
        self.story.nothing_leaked().await;
    }

    /// A connection's token is accepted at Salesforce.
    pub async fn works(&self, connection: &str) {
        let token = self.story.token(connection).await;
        assert_eq!(token.status, 200, "{}", token.body["title"]);
        assert_eq!(self.story.salesforce_says(&token).await, 200);
    }
}

impl Story {
    /// A new link for Alice.
    pub async fn invite(&self) -> String {
        let session = self.wish(json!({})).await;
        assert_eq!(session.status, 201, "{}", session.body["title"]);
        session.text("connect_url").to_owned()
    }

    /// A browser goes from a link to Salesforce, as uma of Acme, and stops before it comes back.
    pub async fn about_to_return(&self, browser: &Browser, link: &str) -> Page {
        let connect = browser.get(link).await.choose("Production");
        browser.stop_before("/oauth/callback");
        let page = approve(connect.click("Continue to Salesforce").await).await;
        self.secrets.keep_browser(browser);
        assert!(
            page.location().is_some_and(|to| to.path() == "/oauth/callback"),
            "on the way back: {page:?}"
        );
        page
    }

    /// The user of a browser who is signed in to Fernway as Alice makes one more connection.
    pub async fn connects(&self, browser: &Browser) {
        let before = self.active().await;
        let session = self.wish(json!({ "another": true })).await;
        assert_eq!(session.status, 201, "{}", session.body["title"]);
        let home = self.about_to_return(browser, session.text("connect_url")).await.follow().await;
        assert!(home.has("Your Salesforce accounts"), "connected: {home:?}");
        assert_eq!(self.active().await, before + 1);
    }

    async fn active(&self) -> usize {
        self.connections().await.iter().filter(|connection| connection["state"] == "active").count()
    }

    /// Once the sweep has been by, each grant whose tokens Salesforce handed out is one that we hold.
    pub async fn holds_every_grant(&self) {
        self.pass(SignedDuration::from_mins(11));
        self.stack.sweep().await;
        let grants = self.stack.salesforce.live_grants();
        let given = grants.iter().filter(|grant| grant.refresh_token.is_some()).count();
        assert_eq!(given, self.connections().await.len(), "a grant is left at Salesforce that nobody holds");
    }
}

/// Signs in as uma and allows, where Salesforce asks.
pub async fn approve(mut page: Page) -> Page {
    for (asks, button) in [("Or choose who you are", "uma@acme.example"), ("Allow Access?", "Allow")] {
        if page.has(asks) {
            page = page.click(button).await;
        }
    }
    page
}
