//! The operators' page of a webhook endpoint: the events that it did not get.

use askama::Template;

use crate::{
    layout::{Page, Shell},
    ops::{OpsFrame, WORDS, say},
};

/// The events that an endpoint missed.
#[derive(Debug, Template)]
#[template(path = "ops_endpoint.html")]
pub struct OpsEndpointPage<'a> {
    /// What every page has.
    pub frame: OpsFrame<'a>,
    /// The endpoint's id.
    pub endpoint: String,
    /// The events, the oldest first.
    pub missed: Vec<MissedEvent>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// An event that was not delivered.
#[derive(Debug)]
pub struct MissedEvent {
    /// When it happened.
    pub at: String,
    /// Its type.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// How many attempts were made.
    pub attempts: usize,
    /// The status of the last attempt, or why there was no answer.
    pub answer: String,
    /// What becomes of it.
    pub state: &'static str,
}

impl<'a> OpsEndpointPage<'a> {
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
        say(WORDS.missed_heading, &[("endpoint", &self.endpoint)])
    }
}

impl Page for OpsEndpointPage<'_> {
    fn title(&self) -> String {
        say(WORDS.list_title, &[("what", &self.heading()), ("product", &self.frame.brand.name)])
    }
}
