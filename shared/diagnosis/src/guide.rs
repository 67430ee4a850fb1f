//! Guides: the catalogue's playbooks as standing documentation, for who reads before anything went wrong.
//!
//! The words are data: `catalogue/guides/*.toml` beside this crate, which take their steps and questions from
//! the same `playbooks.toml` as the causes do; `build.rs` checks them and turns them into constants.

use crate::{Branch, Step};
use domain::{AppKind, product::AppOwner};

/// For whom a guide is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The customer's Salesforce admin, and the people who connect.
    Admin,
    /// The product's own engineers, or whoever else owns the app.
    Vendor,
    /// The product's own engineers, who package an external client app.
    Packaging,
}

/// Standing documentation for one audience. Its texts are filled in as a [`Step`]'s are.
#[derive(Debug)]
pub struct Guide {
    /// What it is.
    pub title: &'static str,
    /// For whom, and what it brings, in a sentence or two.
    pub lead: &'static str,
    /// The same where the reader's company owns the app.
    pub lead_of_owner: Option<&'static str>,
    /// Its parts, in order.
    pub sections: &'static [Section],
}

/// A part of a guide, with what is not empty of it in this order.
#[derive(Debug)]
pub struct Section {
    /// Its anchor on the page.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Which apps it is for; `None`: both kinds.
    pub only: Option<AppKind>,
    /// Which owners' apps it is for; `None`: all.
    pub owner: Option<AppOwner>,
    /// Paragraphs.
    pub text: &'static [Step],
    /// A text to copy. It may hold `{callback}` (our callback URL) and `{scopes}` (those that the app asks for).
    pub copy: Option<&'static str>,
    /// Terms and what they mean.
    pub terms: &'static [(&'static str, &'static str)],
    /// Numbered steps.
    pub steps: &'static [Step],
    /// Questions, and their answers.
    pub branches: &'static [Branch],
    /// How to see that it worked.
    pub check: &'static [Step],
    /// Salesforce's own articles: names and addresses.
    pub articles: &'static [(&'static str, &'static str)],
}

impl Audience {
    /// The guide for these readers.
    pub fn guide(self) -> &'static Guide {
        match self {
            Self::Admin => &ADMIN,
            Self::Vendor => &VENDOR,
            Self::Packaging => &PACKAGING,
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/guides.rs"));
