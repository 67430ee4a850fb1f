//! The operators' lists: failures by cause, one customer's history, and what a search found.

use askama::Template;

use crate::{
    fill::{Names, fill},
    layout::{Page, Shell},
    ops::{Link, OpsFrame, WORDS, say},
};

/// A failure in a list.
#[derive(Debug)]
pub struct Latest {
    /// When.
    pub at: String,
    /// The reference.
    pub reference: String,
    /// Where it is looked up.
    pub href: String,
    /// What happened, and the failures of the same cause.
    pub cause: Link,
    /// Whose.
    pub customer: Link,
    /// In which environment, and which org where known.
    pub place: String,
    /// Where on the way, and whether somebody only said so.
    pub stage: String,
    /// `open`, or when it was resolved.
    pub state: String,
}

/// What was looked up.
#[derive(Debug)]
pub enum Found {
    /// No failure of this product has that reference.
    Nothing {
        /// As the log would have it, should it be of a fault of our own; `None`: it is no reference.
        logged: Option<String>,
    },
    /// A failure, and what became of it.
    Failure(Box<Timeline>),
}

/// One failure, from beginning to end.
#[derive(Debug)]
pub struct Timeline {
    /// The reference.
    pub reference: String,
    /// What happened.
    pub title: String,
    /// What happened when: the time, the word, the sentence.
    pub steps: Vec<(String, &'static str, String)>,
    /// What is known: a name and a value each.
    pub facts: Vec<(&'static str, String)>,
    /// The customer's history.
    pub customer: Link,
    /// All failures of this cause.
    pub cause: String,
    /// The help page.
    pub help: String,
    /// The guides of the app, for its own people and for admins.
    pub guides: Vec<Link>,
}

/// The failures of one cause, or of all.
#[derive(Debug, Template)]
#[template(path = "ops_failures.html")]
pub struct OpsFailuresPage<'a> {
    /// What every page has.
    pub frame: OpsFrame<'a>,
    /// The neutral name of the cause; `None`: all causes.
    pub cause: Option<String>,
    /// What is selected: range, app, environment, cause.
    pub selected: String,
    /// Who acts on this cause.
    pub actor: Option<&'static str>,
    /// The same without the cause.
    pub all: Option<String>,
    /// The failures, the latest first.
    pub rows: Vec<Latest>,
    /// The next page.
    pub next: Option<String>,
}

/// One customer's history.
#[derive(Debug, Template)]
#[template(path = "ops_customer.html")]
pub struct OpsCustomerPage<'a> {
    /// What every page has.
    pub frame: OpsFrame<'a>,
    /// The customer's name, or its id.
    pub customer: String,
    /// Its id, as the product calls it.
    pub id: String,
    /// Its connections.
    pub connections: Vec<HistoryConnection>,
    /// What happened, the latest first.
    pub events: Vec<HistoryEvent>,
    /// Whether there is more than what is shown.
    pub is_cut: bool,
}

/// A connection of a customer.
#[derive(Debug)]
pub struct HistoryConnection {
    /// Its id.
    pub id: String,
    /// The app, the environment and the org.
    pub place: String,
    /// Its state.
    pub state: String,
    /// Since when it exists.
    pub since: String,
    /// What an operator can do about it: what it is for, and the call.
    pub actions: Vec<(&'static str, String)>,
}

/// One event of a customer's history.
#[derive(Debug)]
pub struct HistoryEvent {
    /// When.
    pub at: String,
    /// What kind of thing it is of.
    pub kind: &'static str,
    /// What happened.
    pub text: String,
    /// More about it.
    pub link: Option<Link>,
}

/// What a search found.
#[derive(Debug, Template)]
#[template(path = "ops_search.html")]
pub struct OpsSearchPage<'a> {
    /// What every page has.
    pub frame: OpsFrame<'a>,
    /// What was searched for.
    pub sought: String,
    /// Customers that match.
    pub matches: Vec<CustomerMatch>,
    /// How much was searched.
    pub searched: String,
}

/// A customer that a search found.
#[derive(Debug)]
pub struct CustomerMatch {
    /// Its history.
    pub customer: Link,
    /// Its id.
    pub id: String,
    /// Its orgs, where known.
    pub orgs: String,
}

impl<'a> OpsFailuresPage<'a> {
    /// The page of a response with this nonce.
    #[must_use]
    pub fn with_nonce(mut self, nonce: &'a str) -> Self {
        self.frame.nonce = nonce;
        self
    }

    fn shell(&self) -> Shell<'_> {
        self.frame.shell()
    }

    fn heading(&self) -> &str {
        self.cause.as_deref().unwrap_or(WORDS.failures)
    }
}

impl<'a> OpsCustomerPage<'a> {
    /// The page of a response with this nonce.
    #[must_use]
    pub fn with_nonce(mut self, nonce: &'a str) -> Self {
        self.frame.nonce = nonce;
        self
    }

    fn shell(&self) -> Shell<'_> {
        self.frame.shell()
    }
}

impl<'a> OpsSearchPage<'a> {
    /// The page of a response with this nonce.
    #[must_use]
    pub fn with_nonce(mut self, nonce: &'a str) -> Self {
        self.frame.nonce = nonce;
        self
    }

    fn shell(&self) -> Shell<'_> {
        self.frame.shell()
    }

    fn heading(&self) -> String {
        match self.matches.len() {
            0 => say(WORDS.search_none, &[("sought", &self.sought)]),
            count => say(WORDS.search_found, &[("count", &count), ("sought", &self.sought)]),
        }
    }
}

impl Page for OpsFailuresPage<'_> {
    fn title(&self) -> String {
        say(WORDS.list_title, &[("what", &self.heading()), ("product", &self.frame.brand.name)])
    }
}

impl Page for OpsCustomerPage<'_> {
    fn title(&self) -> String {
        say(WORDS.list_title, &[("what", &self.customer), ("product", &self.frame.brand.name)])
    }
}

impl Page for OpsSearchPage<'_> {
    fn title(&self) -> String {
        fill(WORDS.search_title, &Names::of(self.frame.brand))
    }
}
