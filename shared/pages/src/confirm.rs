//! The confirm page: a reconnect came back as another org or user than the connection's, and the user decides.
//!
//! Whoever holds a connect link can sign in with a login of their own and reach this page. So the current connection's
//! user and org are shown only after a sign-in to the same org.

use askama::Template;
use domain::{
    App, Brand, Customer,
    session::{Change, Whose},
};

use crate::{
    fill::{Markup, Names, fill, fill_with, rich_with},
    layout::{Page, Shell},
    words::Confirm,
};

const WORDS: Confirm = Confirm::ENGLISH;

/// `GET /connect/{key}/confirm`. Its form posts `confirm`: `yes` or `no`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "confirm.html")]
pub struct ConfirmPage<'a> {
    /// Of the response's `style-src` and `script-src`.
    pub nonce: &'a str,
    /// Whose page it is.
    pub brand: &'a Brand,
    /// The app that is connected.
    pub app: &'a App,
    /// For which customer.
    pub customer: &'a Customer,
    /// Where the form is posted: `/connect/{key}/confirm`.
    pub action: &'a str,
    /// Who it was, and who came back.
    pub change: &'a Change,
    /// In how many minutes the new grant is given back if nobody answers.
    pub minutes: i64,
}

/// What is other than before. Only a user of the same org is shown whose the connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    User { before: &'a Whose },
    Org,
    SandboxRefresh,
}

/// One line of the comparison.
struct Line<'a> {
    label: &'static str,
    /// `None`: not for this browser.
    before: Option<&'a str>,
    after: &'a str,
}

impl Line<'_> {
    fn differs(&self) -> bool {
        self.before.is_some_and(|before| before != self.after)
    }
}

impl Page for ConfirmPage<'_> {
    fn title(&self) -> String {
        fill(self.heading(), &self.names())
    }
}

impl<'a> ConfirmPage<'a> {
    fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: Some(self.brand) }
    }

    fn names(&self) -> Names<'_> {
        Names::of(self.brand).app(self.app, None).customer(self.customer)
    }

    fn kind(&self) -> Kind<'a> {
        let Change { before, after } = self.change;
        if before.identity.org.same_as(&after.identity.org) {
            Kind::User { before }
        } else if self.change.is_sandbox_refresh() {
            Kind::SandboxRefresh
        } else {
            Kind::Org
        }
    }

    /// Whose the current connection is. `None`: the browser signed in to another org.
    fn before(&self) -> Option<&'a Whose> {
        match self.kind() {
            Kind::User { before } => Some(before),
            Kind::Org | Kind::SandboxRefresh => None,
        }
    }

    fn heading(&self) -> &'static str {
        match self.kind() {
            Kind::User { .. } => WORDS.user_title,
            Kind::Org => WORDS.org_title,
            Kind::SandboxRefresh => WORDS.sandbox_title,
        }
    }

    fn lead(&self) -> Markup {
        let text = match self.kind() {
            Kind::User { .. } => WORDS.user_lead,
            Kind::Org => WORDS.org_lead,
            Kind::SandboxRefresh => WORDS.sandbox_lead,
        };
        rich_with(text, &self.names(), &[("username", username(&self.change.after))])
    }

    fn lines(&self) -> [Line<'a>; 4] {
        let (before, after) = (self.before(), &self.change.after);
        let line =
            |label, of: fn(&'a Whose) -> &'a str| Line { label, before: before.map(of), after: of(after) };
        [
            line(WORDS.username, username),
            line(WORDS.org, Whose::host),
            line(WORDS.org_id, |whose| whose.identity.org.as_str()),
            line(
                WORDS.environment,
                |whose| {
                    if whose.is_sandbox() { WORDS.sandbox } else { WORDS.production }
                },
            ),
        ]
    }

    /// What stands in place of the current connection's user and org.
    fn before_hidden(&self) -> String {
        fill(WORDS.before_hidden, &self.names())
    }

    /// What it means to say yes.
    fn consequences(&self) -> Vec<Markup> {
        let after = &self.change.after;
        let texts: &[&str] = match self.kind() {
            Kind::User { .. } => &[WORDS.change_user, WORDS.change_old],
            Kind::Org => &[WORDS.change_org, WORDS.change_user, WORDS.change_old],
            Kind::SandboxRefresh => &[WORDS.change_sandbox],
        };
        let more = [("username", username(after)), ("host", after.host())];
        texts.iter().map(|text| rich_with(text, &self.names(), &more)).collect()
    }

    /// The button that switches: it names the new user or the new org's host.
    fn yes(&self) -> String {
        let after = &self.change.after;
        match self.kind() {
            Kind::User { .. } => self.button(WORDS.yes, username(after)),
            Kind::Org => self.button(WORDS.yes, after.host()),
            Kind::SandboxRefresh => WORDS.yes_sandbox.to_owned(),
        }
    }

    /// The button that changes nothing: it names the current user to a user of the same org.
    fn no(&self) -> String {
        match self.kind() {
            Kind::User { before } => self.button(WORDS.no, username(before)),
            Kind::Org => WORDS.no_org.to_owned(),
            Kind::SandboxRefresh => WORDS.no_sandbox.to_owned(),
        }
    }

    fn button(&self, text: &str, chosen: &str) -> String {
        fill_with(text, &self.names(), &[("chosen", chosen)])
    }

    /// Whether yes is the likely answer: otherwise the safe one is primary.
    fn is_expected(&self) -> bool {
        self.kind() == Kind::SandboxRefresh
    }

    fn keep_note(&self) -> String {
        fill_with(WORDS.keep_note, &self.names(), &[("minutes", &self.minutes.to_string())])
    }
}

/// The user's name for signing in; where Salesforce did not tell it, the user's id.
fn username(whose: &Whose) -> &str {
    whose.identity.username.as_deref().unwrap_or(whose.identity.user.as_str())
}
