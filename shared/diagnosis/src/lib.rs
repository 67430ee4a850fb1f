//! Diagnosis: evidence → ranked causes with a confidence, each with its playbooks.
//!
//! The causes are data: `catalogue/*.toml` beside this crate, which a support engineer can read and extend
//! without Rust; `build.rs` checks them and turns them into the constants that `catalogue` lists.

mod catalogue;
mod event_message;
pub mod evidence;
pub mod guide;
mod paste;
mod reading;
mod rule;
mod words;

pub use event_message::{event_actor, event_message};

use domain::{App, AppKind, Confidence, Environment, Evidence, Stage, product::AppOwner};

/// What parts a second error from the first one in a description: what follows ranks after what stands before it.
const ASIDE: &str = "· also: ";

/// Who can do something about a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The person who pressed Connect.
    EndUser,
    /// The customer's Salesforce admin.
    Admin,
    /// The product's own engineers: an incident of ours, never the customer's fault.
    Vendor,
    /// Nobody: it passes.
    Wait,
}

impl Actor {
    /// The word for it in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::EndUser => "end_user",
            Self::Admin => "admin",
            Self::Vendor => "vendor",
            Self::Wait => "wait",
        }
    }
}

/// What the evidence means.
#[derive(Debug)]
pub struct Cause {
    /// Stable id, used in the API, in logs and in metrics: `app_not_installed`.
    pub id: &'static str,
    /// A neutral name of a few words, for operators: `App not installed`.
    pub label: &'static str,
    /// What happened, in one plain sentence to the end user. Placeholders: see [`Step::text`].
    pub title: &'static str,
    /// Why Salesforce does this, for the admin.
    pub why: &'static str,
    /// The Salesforce Help article that says so: its name and address.
    pub article: Option<(&'static str, &'static str)>,
    /// Who acts.
    pub actor: Actor,
    /// What the end user does; never empty.
    pub end_user: &'static [Step],
    /// What the admin does, where an admin can do something.
    pub admin: Option<Playbook>,
    /// What the product's engineers do, where it is theirs.
    pub vendor: Option<Playbook>,
    /// What the customer's admin does instead, where the customer owns the app.
    pub owner: Option<Playbook>,
    /// How long to wait before trying again, in minutes, where waiting is the answer or part of it.
    pub wait_minutes: Option<u32>,
    /// Whether trying again, unchanged, can help at once.
    pub retry: bool,
    /// The one question whose answer separates this cause from the next ones, where it needs asking.
    pub question: Option<&'static str>,
}

/// Numbered steps for one audience.
#[derive(Debug)]
pub struct Playbook {
    /// What these steps bring about, in one sentence.
    pub goal: &'static str,
    /// The steps, in order.
    pub steps: &'static [Step],
    /// What to do when a step does not go as it should.
    pub branches: &'static [Branch],
    /// How to see that it worked.
    pub check: &'static [Step],
}

/// One thing to do.
#[derive(Debug)]
pub struct Step {
    /// What to do. `**Install**` marks a button or menu name exactly as Salesforce writes it. Placeholders
    /// `{app}`, `{product}`, `{customer}`, `{support}` and `{package_link}` are filled in by the page.
    pub text: &'static str,
    /// The page of Setup where it is done, as a path in the org: `/lightning/setup/…`.
    pub setup: Option<&'static str>,
    /// Which apps it is for; `None`: both kinds.
    pub only: Option<AppKind>,
    /// Whether the step needs the app's package link, and is left out where there is none.
    pub needs_package: bool,
}

/// What to do in case.
#[derive(Debug)]
pub struct Branch {
    /// The case, as a question: "The app is not in the list?"
    pub question: &'static str,
    /// The steps.
    pub steps: &'static [Step],
}

/// What is known beside the evidence.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Where on the way it happened.
    pub stage: Stage,
    /// The app's kind.
    pub app_kind: AppKind,
    /// The kind of login host, where known.
    pub environment: Option<Environment>,
    /// Whether this app was ever connected from this org, where known.
    pub connected_before: Option<bool>,
}

/// Evidence, read: the likeliest cause first, and never empty.
#[derive(Debug)]
pub struct Diagnosis {
    /// The causes, the likeliest first.
    pub ranked: Vec<Candidate>,
}

/// One reading of the evidence.
#[derive(Debug)]
pub struct Candidate {
    /// The cause.
    pub cause: &'static Cause,
    /// How sure it is.
    pub confidence: Confidence,
    /// Why it is thought of.
    pub reason: &'static str,
}

impl Cause {
    /// Who acts where this is the app's owner: what the vendor would fix in its app, a customer fixes in its own.
    pub fn actor_of(&self, owner: AppOwner) -> Actor {
        if self.is_owners(owner) { Actor::Admin } else { self.actor }
    }

    /// Who acts where it happens with this app. `None`: the product no longer has the app, which counts as the vendor's.
    pub fn actor_in(&self, app: Option<&App>) -> Actor {
        self.actor_of(app.map(|app| app.about.owner).unwrap_or_default())
    }

    /// What the admin does where this is the app's owner.
    pub fn admin_of(&self, owner: AppOwner) -> Option<&Playbook> {
        if self.is_owners(owner) { self.owner.as_ref() } else { self.admin.as_ref() }
    }

    /// What the end user does where this is the app's owner.
    pub fn end_user_of(&self, owner: AppOwner) -> &'static [Step] {
        if self.is_owners(owner) { catalogue::ASK_ADMIN } else { self.end_user }
    }

    /// Whether it is in an app's settings, so that it depends on the app's owner who acts.
    pub fn depends_on_owner(&self) -> bool {
        self.owner.is_some()
    }

    fn is_owners(&self, owner: AppOwner) -> bool {
        owner == AppOwner::Customer && self.owner.is_some()
    }
}

impl Diagnosis {
    /// The likeliest cause.
    pub fn cause(&self) -> &'static Cause {
        self.ranked[0].cause
    }

    /// The one question to ask the person who saw it. Nothing is asked where the likeliest cause is sure.
    pub fn question(&self) -> Option<&'static str> {
        let sure = self.ranked.first().is_some_and(|first| first.confidence == Confidence::Sure);
        self.ranked.iter().filter(|_| !sure).find_map(|candidate| candidate.cause.question)
    }
}

/// The id of the cause where nothing fits.
pub const UNKNOWN: &str = "unknown";

/// The cause of that id, if the catalogue has it. An older record may name one that is gone.
pub fn cause(id: &str) -> Option<&'static Cause> {
    catalogue().iter().find(|cause| cause.id == id)
}

/// Every cause, by id.
pub fn catalogue() -> &'static [Cause] {
    &catalogue::CAUSES
}

/// Reads evidence. It always finds something: what no rule knows is the cause `unknown`.
pub fn diagnose(evidence: &Evidence, context: &Context) -> Diagnosis {
    reading::diagnose(evidence, *context)
}

/// Reads what a person pasted: an address, a page's text, a log, a ticket. It never fails, reads in one go
/// however long the text is, and keeps no code, token, session id or secret. `None` when nothing was
/// recognised; [`scrub`] then gives the text that may be kept.
pub fn read_paste(pasted: &str) -> Option<Evidence> {
    paste::read(pasted)
}

/// What of a pasted text may be kept and shown: decoded, without anything secret, at most 8 kB. Scrubbing it
/// again changes nothing.
pub fn scrub(pasted: &str) -> String {
    paste::scrub(pasted)
}

/// A text that was observed, without what is named as a secret or looks like one: for logs and records. Unlike a paste
/// it is not decoded, unless a secret hides in it that way.
pub fn redact(text: &str) -> String {
    paste::redact(text)
}
