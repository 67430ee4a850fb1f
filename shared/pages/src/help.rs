//! The help page: one failure, for two readers. The end user: what happened, who can fix it, what to send them.
//! The admin: why, and the steps.

mod said;

use std::net::IpAddr;

use askama::{Template, filters::Safe};
use diagnosis::{Actor, Candidate, Cause, Diagnosis};
use domain::{App, Brand, Confidence, Customer, Environment, Evidence, incident::Scope};
use jiff::{Timestamp, ToSpan};

use said::{machine_readable, readable};

use crate::{
    allow::quoted,
    fill::{Markup, Names, fill, fill_with, rich, rich_with},
    layout::{Page, Shell, WayOn, has_contact, mailto},
    playbook::{Reader, ReadyPlaybook, ReadyStep, Setup},
    words::Help,
};

const WORDS: Help = Help::ENGLISH;

/// What it does besides [`crate::layout::SCRIPT`].
const SCRIPT: Safe<&str> = Safe(crate::layout::asset!("help.js"));

/// `GET /help/{id}`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "help.html")]
pub struct HelpPage<'a> {
    /// Of the response's `style-src` and `script-src`.
    pub nonce: &'a str,
    /// Whose page it is.
    pub brand: &'a Brand,
    /// The app that was to be connected.
    pub app: &'a App,
    /// For which customer.
    pub customer: &'a Customer,
    /// What it means: the likeliest cause makes the page, the others stand below it.
    pub diagnosis: &'a Diagnosis,
    /// What Salesforce said.
    pub evidence: &'a Evidence,
    /// When.
    pub at: Timestamp,
    /// Which kind of login host, where known: it chooses the package link.
    pub environment: Option<Environment>,
    /// The origin of the org's own My Domain, where known: `https://acme.my.salesforce.com`. It makes the links
    /// into Setup; a shared login host does not.
    pub setup_origin: Option<&'a str>,
    /// This page's own address, whole: the message to the admin leads from it to the steps.
    pub address: &'a str,
    /// Where to ask whether the retry succeeded: `/help/{id}/status`, which answers
    /// `{"state":"open"}` or `{"state":"resolved"}`. Needs `connect-src 'self'`.
    pub status: Option<&'a str>,
    /// What a person reads out: `LK-7H3K-9QZM`.
    pub reference: &'a str,
    /// The way back, where this reader may take one.
    pub retry: Option<WayOn<'a>>,
    /// The product's return address, where the session is known.
    pub return_to: Option<&'a str>,
    /// The trouble page, where this browser may still tell more: `/connect/{key}/trouble`.
    pub tell_more: Option<&'a str>,
    /// The name of the product's user who asked, as the product says it.
    pub asked_by: Option<&'a str>,
    /// Our callback, to which Salesforce sends the answer.
    pub callback: &'a str,
    /// The addresses from which Salesforce is called, where they are fixed.
    pub addresses: &'a [IpAddr],
    /// Where the form of the paste box is posted: this page's own path, `/help/{id}`.
    pub paste: &'a str,
    /// What became of the text that was just posted, if it led to no other page.
    pub paste_note: Option<PasteNote>,
    /// The setup guide for admins: `/guides/{product}/{app}`.
    pub guide: &'a str,
    /// The wave that it is part of, if it is.
    pub wave: Option<Scope>,
    /// Open, or resolved.
    pub state: HelpState,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelpState {
    /// Not connected yet.
    Open,
    /// The customer is connected.
    Resolved,
}

/// Why a posted text led to no other page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasteNote {
    /// Nothing was pasted.
    Empty,
    /// Nobody knows the text. It is recorded.
    Unknown,
    /// Too many texts were posted today.
    TooMany,
}

impl PasteNote {
    fn text(self) -> &'static str {
        match self {
            Self::Empty => WORDS.paste_empty,
            Self::Unknown => WORDS.paste_unknown,
            Self::TooMany => WORDS.paste_too_many,
        }
    }
}

impl Page for HelpPage<'_> {
    fn title(&self) -> String {
        match self.state {
            HelpState::Open => self.cause_title(),
            HelpState::Resolved => fill(WORDS.resolved_title, &self.names()),
        }
    }
}

impl HelpPage<'_> {
    fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: Some(self.brand) }
    }

    fn names(&self) -> Names<'_> {
        let names = Names::of(self.brand)
            .app(self.app, self.environment)
            .customer(self.customer)
            .calling_from(self.addresses);
        match self.setup_origin {
            Some(origin) => names.in_org(origin),
            None => names,
        }
    }

    fn say(&self, text: &str) -> Markup {
        rich(text, &self.names())
    }

    fn cause(&self) -> &'static Cause {
        self.diagnosis.cause()
    }

    fn cause_title(&self) -> String {
        fill(self.cause().title, &self.names())
    }

    fn is_resolved(&self) -> bool {
        self.state == HelpState::Resolved
    }

    /// Where to ask how it stands, while that can change.
    fn watched(&self) -> Option<&str> {
        self.status.filter(|_| !self.is_resolved())
    }

    /// Who acts: what is wrong with an app is its owner's to fix.
    fn actor(&self) -> Actor {
        self.cause().actor_of(self.app.about.owner)
    }

    fn is_vendors(&self) -> bool {
        self.actor() == Actor::Vendor
    }

    /// Whether the page itself tells the user to hand the reference to support.
    fn gives_reference(&self) -> bool {
        self.is_vendors() && !self.is_resolved()
    }

    /// The steps for the admin come first where nobody else can act.
    fn is_admins(&self) -> bool {
        self.actor() == Actor::Admin
    }

    fn waits(&self) -> bool {
        self.actor() == Actor::Wait
    }

    /// Nobody knows yet who has to act, so the page claims nothing of it.
    fn is_unknown(&self) -> bool {
        self.cause().id == diagnosis::UNKNOWN
    }

    fn who_acts(&self) -> &'static str {
        if self.is_unknown() {
            return WORDS.acts_unknown;
        }
        match self.actor() {
            Actor::EndUser => WORDS.acts_end_user,
            Actor::Admin => WORDS.acts_admin,
            Actor::Vendor => WORDS.acts_vendor,
            Actor::Wait => WORDS.acts_wait,
        }
    }

    fn calm(&self) -> Markup {
        if self.is_unknown() {
            return self.say(WORDS.calm_unknown);
        }
        self.say(match self.actor() {
            Actor::EndUser => WORDS.calm_end_user,
            Actor::Admin => WORDS.calm_admin,
            Actor::Vendor => WORDS.calm_vendor,
            Actor::Wait => WORDS.calm_wait,
        })
    }

    /// Whether others had the same: where to look for the reason, and where not.
    fn wave_words(&self) -> Option<Markup> {
        self.wave.map(|scope| {
            self.say(match scope {
                Scope::App => WORDS.wave_app,
                Scope::Org => WORDS.wave_org,
            })
        })
    }

    /// A guess is called one, where there is another to weigh it against.
    fn is_guess(&self) -> bool {
        self.diagnosis.ranked.len() > 1
            && self.diagnosis.ranked.first().is_some_and(|first| first.confidence < Confidence::Sure)
    }

    fn steps(&self, of: &Cause) -> Vec<ReadyStep> {
        let names = self.names();
        self.reader(&names).steps(of.end_user_of(self.app.about.owner))
    }

    /// The admin's part: none where it is not the customer's to fix.
    fn admin(&self, of: &Cause) -> Option<ReadyPlaybook> {
        let names = self.names();
        let owner = self.app.about.owner;
        of.admin_of(owner)
            .filter(|_| of.actor_of(owner) != Actor::Vendor || of.id == diagnosis::UNKNOWN)
            .map(|playbook| self.reader(&names).playbook(playbook))
            .map(|playbook| playbook.with_checks(self.app, &names))
    }

    fn reader<'r>(&'r self, names: &'r Names<'r>) -> Reader<'r> {
        Reader { names, kind: self.app.kind, setup_origin: self.setup_origin }
    }

    /// The front page of the org's Setup, where the org is known and no step leads further in: its host, for
    /// people to read, and its address (the one that Salesforce's own CumulusCI opens).
    fn setup_home(&self, playbook: &ReadyPlaybook) -> Option<(&str, String)> {
        let origin = self.setup_origin.filter(|_| !playbook.has_setup())?;
        Some((self.org_host()?, format!("{origin}/lightning/setup/SetupOneHome/home")))
    }

    /// Whether the admin can make the links into Setup work by typing the My Domain.
    fn asks_my_domain(&self, playbook: &ReadyPlaybook) -> bool {
        self.setup_origin.is_none() && playbook.has_setup()
    }

    /// What the tick box of a step is called.
    fn step_done(&self, step: &impl std::fmt::Display) -> String {
        fill_with(WORDS.step_done, &self.names(), &[("step", &step.to_string())])
    }

    fn setup_label(&self, host: &str) -> Markup {
        rich_with(WORDS.setup_home, &self.names(), &[("host", host)])
    }

    fn who_asks(&self) -> Markup {
        match &self.brand.publisher {
            Some(publisher) => {
                rich_with(WORDS.allow_publisher, &self.names(), &[("publisher", publisher.as_str())])
            }
            None => self.say(WORDS.allow_product),
        }
    }

    /// The customer and the person who asked, as the product says it.
    fn for_whom(&self) -> Markup {
        let customer = quoted(self.customer.name.as_deref().unwrap_or(&self.customer.id));
        let user = self.asked_by.map(quoted).filter(|user| !user.is_empty());
        let text = if user.is_some() { WORDS.allow_customer_user } else { WORDS.allow_customer };
        rich_with(text, &self.names(), &[("name", &customer), ("user", user.as_deref().unwrap_or_default())])
    }

    /// The org's own host, where it is known.
    fn org_host(&self) -> Option<&str> {
        let origin = self.setup_origin?;
        Some(origin.split_once("://").map_or(origin, |(_, host)| host))
    }

    /// The app's further names in Setup.
    fn other_names(&self) -> Option<Markup> {
        let names = self.app.names.get(1..).filter(|names| !names.is_empty())?.join(", ");
        Some(rich_with(WORDS.allow_names, &self.names(), &[("names", &names)]))
    }

    /// What would tell the reasons apart.
    fn question(&self) -> Option<Markup> {
        self.diagnosis.question().map(|question| self.say(question))
    }

    fn others(&self) -> &[Candidate] {
        self.diagnosis.ranked.get(1..).unwrap_or_default()
    }

    /// The message to the admin, ready to send.
    fn message(&self) -> String {
        let names = self.names();
        let playbook = self.cause().admin_of(self.app.about.owner);
        let goal = playbook.map_or(String::new(), |playbook| fill(playbook.goal, &names));
        let title = self.cause_title();
        let steps = format!("{}#admin", self.address);
        let more = [
            ("cause", title.as_str()),
            ("who", if self.is_admins() { WORDS.message_only } else { WORDS.message_can }),
            ("goal", &goal),
            ("address", &steps),
            ("reference", self.reference),
        ];
        fill_with(WORDS.message, &names, &more)
    }

    fn message_mail(&self) -> String {
        mailto(&fill(WORDS.message_subject, &self.names()), &self.message())
    }

    /// When waiting is over, counted from the failure.
    fn wait_until(&self) -> Option<Timestamp> {
        let minutes = self.cause().wait_minutes.filter(|_| self.waits())?;
        self.at.checked_add(i64::from(minutes).minutes()).ok()
    }

    fn propagation(&self) -> Option<Markup> {
        let minutes = self.cause().wait_minutes?.to_string();
        Some(rich_with(WORDS.propagation, &self.names(), &[("minutes", &minutes)]))
    }

    fn way_words(&self) -> &'static str {
        match self.cause() {
            Cause { actor: Actor::Wait, wait_minutes: Some(_), .. } => WORDS.way_waited,
            Cause { retry: true, .. } => WORDS.way_now,
            Cause { .. } => WORDS.way_after,
        }
    }

    /// The product's own page, where the way on leads elsewhere.
    fn product_page(&self) -> Option<WayOn<'_>> {
        let back = self.return_to.filter(|_| matches!(self.retry, Some(WayOn::Connect(_))))?;
        Some(WayOn::Product(back))
    }

    fn contact(&self) -> Markup {
        self.say(if has_contact(&self.brand.support) { WORDS.support } else { WORDS.no_support })
    }

    fn way_label(&self, way: &WayOn<'_>) -> String {
        way.label(&self.names())
    }
}

fn sureness(candidate: &Candidate) -> &'static str {
    match candidate.confidence {
        Confidence::Possible => WORDS.confidence_possible,
        Confidence::Likely => WORDS.confidence_likely,
        Confidence::Sure => WORDS.confidence_sure,
    }
}
