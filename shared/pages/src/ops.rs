//! The operators' page: what fails, where, why, and whether it gets better.

use std::fmt::Display;

use askama::Template;
use domain::Brand;

use crate::{
    chart::HATCH,
    fill::{Markup, Names, fill, fill_with, rich},
    layout::{Page, Shell},
    words::{Door, Ops},
};
pub use crate::{
    chart::{Bars, Series},
    ops_history::{
        CustomerMatch, Found, HistoryConnection, HistoryEvent, Latest, OpsCustomerPage, OpsFailuresPage,
        OpsSearchPage, Timeline,
    },
};

/// The page's words: it is made of what its function found out, which says that in these.
pub const WORDS: Ops = Ops::ENGLISH;

const DOOR: Door = Door::ENGLISH;

/// One of [`WORDS`], with its placeholders filled.
pub fn say(text: &str, values: &[(&str, &dyn Display)]) -> String {
    let values: Vec<(&str, String)> = values.iter().map(|(name, value)| (*name, value.to_string())).collect();
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fill_with(text, &Names::unknown(), &values)
}

/// What a table that scrolls is called.
pub(crate) fn table(title: &str) -> String {
    say(WORDS.table, &[("title", &title)])
}

/// What every page of a signed-in operator has.
#[derive(Debug, Clone)]
pub struct OpsFrame<'a> {
    /// Of the response's `style-src` and `script-src`.
    pub nonce: &'a str,
    /// The product's.
    pub brand: &'a Brand,
    /// The selection, as the search form carries it on: a name and a value each.
    pub shown: Vec<(&'static str, String)>,
    /// The figures with the same selection.
    pub home: String,
    /// What is shown, as CSV.
    pub csv: String,
    /// When this browser is signed out.
    pub until: String,
}

impl OpsFrame<'_> {
    pub(crate) fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: Some(self.brand) }
    }

    pub(crate) fn signed_in_until(&self) -> String {
        say(WORDS.signed_in_until, &[("at", &self.until)])
    }
}

/// The page of one product, or of one of all.
#[derive(Debug, Template)]
#[template(path = "ops.html")]
pub struct OpsPage<'a> {
    /// What every page has.
    pub frame: OpsFrame<'a>,
    /// The products that may be looked at, where they are several.
    pub products: Vec<Choice>,
    /// The ranges of time.
    pub ranges: Vec<Choice>,
    /// The apps, where they are several, and all of them.
    pub apps: Vec<Choice>,
    /// The environments, and all of them.
    pub environments: Vec<Choice>,
    /// What the range is called: `the last 30 days`.
    pub range: &'static str,
    /// When the page was made.
    pub now: String,
    /// The change that was counted last, and how long after it was made; `None`: nothing was ever counted.
    pub counted: Option<(String, String)>,
    /// What was looked up by its reference, if it was.
    pub found: Option<Found>,
    /// What is wrong on the product's own side, and other things that are more than one customer's.
    pub incidents: Vec<Incident>,
    /// The few numbers that matter.
    pub tiles: Vec<Tile>,
    /// How far sessions came.
    pub funnel: Vec<Reached>,
    /// The same over time.
    pub sessions: Bars,
    /// Failures by cause.
    pub causes: Vec<CauseRow>,
    /// Sessions by app and environment.
    pub places: Vec<Place>,
    /// How far back it was looked whether a cause is one customer's.
    pub lately: String,
    /// Whether a cause is one customer's or many's, lately.
    pub spread: Vec<Spread>,
    /// Connections by state.
    pub connections: Vec<(String, i64)>,
    /// Connections that need somebody.
    pub needy: Vec<Needy>,
    /// Refreshes over time.
    pub refreshes: Bars,
    /// Refreshes by outcome: the word, what it means, how many.
    pub outcomes: Vec<(&'static str, &'static str, i64)>,
    /// How long fixes take.
    pub fixes: Vec<Fix>,
    /// The lost.
    pub lost: Vec<LostRow>,
    /// The latest failures.
    pub latest: Vec<Latest>,
}

/// A link among several, of which one is what is shown.
#[derive(Debug)]
pub struct Choice {
    /// Where it leads.
    pub href: String,
    /// What it is called.
    pub label: String,
    /// Whether it is what is shown.
    pub current: bool,
}

/// Something that needs the product's own people now.
#[derive(Debug)]
pub struct Incident {
    /// What happened.
    pub title: String,
    /// Its failures.
    pub href: String,
    /// How often, in what, since when.
    pub facts: String,
    /// What the steps bring about.
    pub goal: Option<Markup>,
    /// What is to be done, in order.
    pub fix: Vec<Markup>,
    /// The product's own guide.
    pub guide: Option<String>,
}

/// A number that matters.
#[derive(Debug)]
pub struct Tile {
    /// What it is.
    pub name: &'static str,
    /// It.
    pub value: String,
    /// What to hold against it.
    pub hint: String,
    /// Whether it asks for somebody.
    pub is_bad: bool,
}

/// A step of the funnel.
#[derive(Debug)]
pub struct Reached {
    /// The step.
    pub name: &'static str,
    /// How many reached it.
    pub count: i64,
    /// Of all that were created, in percent.
    pub share: i64,
    /// How many of those who came to the step before did not reach it.
    pub left: i64,
    /// How many reached it, over time.
    pub counts: Vec<i64>,
}

/// A cause, as often as it was met.
#[derive(Debug)]
pub struct CauseRow {
    /// Its neutral name.
    pub title: String,
    /// Its failures.
    pub href: String,
    /// Its id.
    pub cause: String,
    /// Who acts.
    pub actor: &'static str,
    /// How often.
    pub count: i64,
    /// Of these, said by somebody.
    pub reported: i64,
    /// In percent of all failures.
    pub share: i64,
    /// What we observed, in the time before.
    pub before: i64,
    /// What we observed, compared with the time before: `+12`, `−3`, `new`; `–` if nothing at all was counted then.
    pub trend: String,
    /// Whether that is more.
    pub is_more: bool,
    /// How often, over time.
    pub counts: Vec<i64>,
}

/// Sessions of one app in one environment.
#[derive(Debug)]
pub struct Place {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: &'static str,
    /// How many were created.
    pub sessions: i64,
    /// Of these, connected, in percent.
    pub connected: i64,
    /// Failed, and not mended.
    pub failed: i64,
    /// Lost.
    pub lost: i64,
}

/// How many customers met a cause, lately.
#[derive(Debug)]
pub struct Spread {
    /// What happened.
    pub title: String,
    /// Its failures.
    pub href: String,
    /// In which app, how often, whose, and how often is usual; what that means, and who acts.
    pub facts: String,
    /// The customers, where they are few.
    pub customers: Vec<Link>,
    /// Whether it is many customers', and clearly more than usual.
    pub is_wide: bool,
}

/// A link, and what it says.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where it leads.
    pub href: String,
    /// What it says.
    pub text: String,
}

/// A connection that needs somebody.
#[derive(Debug)]
pub struct Needy {
    /// Whose.
    pub customer: Link,
    /// What stands in the way.
    pub title: String,
    /// Who acts.
    pub actor: &'static str,
    /// Since when.
    pub since: String,
    /// The reference.
    pub reference: String,
    /// Where the reference is looked up.
    pub href: String,
}

/// How long the fixes of a cause take.
#[derive(Debug)]
pub struct Fix {
    /// What happened.
    pub title: String,
    /// Its failures.
    pub href: String,
    /// Whether we know of it from somebody's word alone.
    pub is_reported: bool,
    /// How many customers succeeded afterwards.
    pub count: u64,
    /// Within this time half of them did.
    pub median: String,
    /// And nine of ten.
    pub p90: String,
}

/// A likely cause of sessions that never came back.
#[derive(Debug)]
pub struct LostRow {
    /// What is likely.
    pub title: String,
    /// Its failures.
    pub href: String,
    /// How many.
    pub count: i64,
}

/// The page before it: a button, or why there is none.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "door.html")]
pub struct DoorPage<'a> {
    /// Of the response's `style-src` and `script-src`.
    pub nonce: &'a str,
    /// Where the button leads; `None`: there is none.
    pub action: Option<&'a str>,
    /// Why there is none.
    pub why: SignedOut,
}

/// Why there is nothing to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedOut {
    /// There is: press the button.
    Not,
    /// This browser is not signed in.
    NoSession,
    /// The link was used, or is too old.
    LinkUsed,
    /// Somebody signed out.
    Left,
}

impl Page for OpsPage<'_> {
    fn title(&self) -> String {
        fill(WORDS.title, &Names::of(self.frame.brand))
    }
}

impl<'a> OpsPage<'a> {
    /// The page of a response with this nonce.
    #[must_use]
    pub fn with_nonce(mut self, nonce: &'a str) -> Self {
        self.frame.nonce = nonce;
        self
    }

    fn shell(&self) -> Shell<'_> {
        self.frame.shell()
    }

    fn in_range(&self, text: &str) -> String {
        say(text, &[("range", &self.range)])
    }

    /// How old what it says is.
    fn age(&self) -> String {
        let counted = match &self.counted {
            Some((at, lag)) => say(WORDS.counted, &[("at", at), ("lag", lag)]),
            None => WORDS.nothing_counted.to_owned(),
        };
        format!("{counted} {}", say(WORDS.page_of, &[("now", &self.now)]))
    }

    fn is_reported(&self) -> Markup {
        rich(WORDS.is_reported, &Names::of(self.frame.brand))
    }
}

impl Page for DoorPage<'_> {
    fn title(&self) -> String {
        match self.why {
            SignedOut::Not => DOOR.open_title,
            SignedOut::NoSession => DOOR.no_session_title,
            SignedOut::LinkUsed => DOOR.used_title,
            SignedOut::Left => DOOR.left_title,
        }
        .to_owned()
    }
}

impl DoorPage<'_> {
    fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: None }
    }

    fn lead(&self) -> &'static str {
        match self.why {
            SignedOut::Not => DOOR.open,
            SignedOut::NoSession | SignedOut::LinkUsed | SignedOut::Left => DOOR.shut,
        }
    }
}
