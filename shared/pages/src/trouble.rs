//! The trouble page: Salesforce kept the user, and told us nothing. What did you see?

use askama::Template;
use domain::{App, Brand, Customer};

use crate::{
    fill::{Markup, Names, fill, rich},
    layout::{Page, Shell},
    words::Trouble,
};

const WORDS: Trouble = Trouble::ENGLISH;

/// `GET /connect/{key}/trouble`. Its form posts `seen` (one of [`Seen::word`], or absent) and `pasted`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "trouble.html")]
pub struct TroublePage<'a> {
    /// Of the response's `style-src` and `script-src`.
    pub nonce: &'a str,
    /// Whose page it is.
    pub brand: &'a Brand,
    /// The app that was to be connected.
    pub app: &'a App,
    /// For which customer.
    pub customer: &'a Customer,
    /// Where the form is posted: `/connect/{key}/trouble`.
    pub action: &'a str,
    /// The connect page, to try again.
    pub back: &'a str,
    /// What was chosen.
    pub seen: Option<Seen>,
    /// Whether the form came back with neither a choice nor a text.
    pub nothing_given: bool,
}

/// The kinds of screen on which Salesforce leaves a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Salesforce's own page: `OAUTH_APPROVAL_ERROR_GENERIC`.
    GenericError,
    /// Bare text at the authorize address.
    RawText,
    /// Sign-in, single sign-on or verification.
    LoginProblem,
    /// Anything else.
    Other,
}

impl Seen {
    /// All of them, in the page's order.
    pub const ALL: [Self; 4] = [Self::GenericError, Self::RawText, Self::LoginProblem, Self::Other];

    /// The form's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::GenericError => "generic_error",
            Self::RawText => "raw_text",
            Self::LoginProblem => "login_problem",
            Self::Other => "other",
        }
    }

    /// Reads the form's word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|seen| seen.word() == word)
    }

    fn label(self) -> &'static str {
        match self {
            Self::GenericError => WORDS.generic_error,
            Self::RawText => WORDS.raw_text,
            Self::LoginProblem => WORDS.login_problem,
            Self::Other => WORDS.other,
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::GenericError => WORDS.generic_error_help,
            Self::RawText => WORDS.raw_text_help,
            Self::LoginProblem => WORDS.login_problem_help,
            Self::Other => WORDS.other_help,
        }
    }
}

impl Page for TroublePage<'_> {
    fn title(&self) -> String {
        fill(if self.nothing_given { WORDS.error_title } else { WORDS.title }, &self.names())
    }
}

impl TroublePage<'_> {
    fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: Some(self.brand) }
    }

    fn names(&self) -> Names<'_> {
        Names::of(self.brand).app(self.app, None).customer(self.customer)
    }

    fn say(&self, text: &str) -> Markup {
        rich(text, &self.names())
    }

    fn is_chosen(&self, seen: Seen) -> bool {
        self.seen == Some(seen)
    }
}
