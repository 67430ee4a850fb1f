//! The connect page: what is being connected and for whom, and where the user signs in.

use askama::Template;
use domain::{App, Brand, Customer, Environment};

use crate::{
    fill::{Markup, Names, fill, rich, rich_with},
    layout::{Page, Shell},
    words::Connect,
};

const WORDS: Connect = Connect::ENGLISH;

/// `GET /connect/{key}`. Its form posts `host` (`production`, `sandbox` or `my_domain`), `my_domain` and
/// `fresh_login` (`yes`, or absent); where the host is fixed only the last.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "connect.html")]
pub struct ConnectPage<'a> {
    /// Of the response's `style-src` and `script-src`.
    pub nonce: &'a str,
    /// Whose page it is.
    pub brand: &'a Brand,
    /// The app that is connected.
    pub app: &'a App,
    /// For which customer.
    pub customer: &'a Customer,
    /// Where the form is posted: `/connect/{key}`.
    pub action: &'a str,
    /// Where the user signs in.
    pub sign_in: SignIn<'a>,
    /// Whether **Ask me to sign in again** is ticked.
    pub fresh_login: bool,
    /// Where to tell what Salesforce showed, if an attempt went out and did not return.
    pub trouble: Option<&'a str>,
    /// The failure met last, if the session has one.
    pub last_failure: Option<LastFailure<'a>>,
    /// The admin's guide, if this app was never connected from that org.
    pub guide: Option<&'a str>,
    /// Whether an existing connection is renewed.
    pub renews: bool,
    /// Whether one more grant of a Salesforce user who connected before may end an older one. Neither who nor how many:
    /// anybody may hold the link.
    pub crowded: bool,
}

/// Where the user signs in.
#[derive(Debug, Clone, Copy)]
pub enum SignIn<'a> {
    /// The session says where.
    Fixed {
        /// Which kind of host.
        environment: Environment,
        /// The host, for people to read: `acme.my.salesforce.com`.
        host: &'a str,
    },
    /// The user chooses.
    Choice(HostForm<'a>),
}

/// The choice of a login host, as it was filled in so far.
#[derive(Debug, Clone, Copy)]
pub struct HostForm<'a> {
    /// What may be chosen, at least one.
    pub allowed: &'a [Environment],
    /// What was chosen.
    pub chosen: Option<Environment>,
    /// What was typed as My Domain.
    pub my_domain: &'a str,
    /// Why the answer was refused, if it was.
    pub refused: Option<HostRefusal>,
}

/// Why an answer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRefusal {
    /// Nothing was chosen, or what is not to be chosen here.
    NoChoice,
    /// My Domain was chosen and none was typed.
    MyDomainMissing,
    /// What was typed is not a My Domain of Salesforce's.
    NotMyDomain,
    /// An org ID was typed.
    OrgId,
    /// A username or an e-mail address was typed.
    Username,
    /// More than one address was typed.
    Several,
}

/// A failure that the user may still want to read about.
#[derive(Debug, Clone, Copy)]
pub struct LastFailure<'a> {
    /// The cause's title, as the catalogue has it.
    pub title: &'a str,
    /// Its help page.
    pub url: &'a str,
}

impl Page for ConnectPage<'_> {
    fn title(&self) -> String {
        let refused = matches!(self.sign_in, SignIn::Choice(HostForm { refused: Some(_), .. }));
        fill(if refused { WORDS.error_title } else { self.heading() }, &self.names())
    }
}

impl ConnectPage<'_> {
    fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: Some(self.brand) }
    }

    fn heading(&self) -> &'static str {
        if self.renews { WORDS.title_again } else { WORDS.title }
    }

    /// Whether an attempt stopped at Salesforce: going there again will most likely end in the same place.
    fn has_stopped(&self) -> bool {
        self.trouble.is_some() || self.last_failure.is_some()
    }

    fn names(&self) -> Names<'_> {
        Names::of(self.brand).app(self.app, None).customer(self.customer)
    }

    fn say(&self, text: &str) -> Markup {
        rich(text, &self.names())
    }

    /// Where the user will sign in, if the session says so.
    fn fixed(&self) -> Option<Markup> {
        let SignIn::Fixed { environment, host } = self.sign_in else { return None };
        let text = match environment {
            Environment::Production => WORDS.fixed_production,
            Environment::Sandbox => WORDS.fixed_sandbox,
            Environment::MyDomain => WORDS.fixed_my_domain,
        };
        Some(rich_with(text, &self.names(), &[("host", host)]))
    }

    fn say_failure(&self, failure: &LastFailure<'_>) -> Markup {
        self.say(failure.title)
    }
}

impl HostForm<'_> {
    /// The environments to choose from, in the order in which people know them.
    fn options(&self) -> impl Iterator<Item = HostOption> {
        let chosen =
            self.chosen.filter(|chosen| self.allowed.contains(chosen)).or(self.allowed.first().copied());
        [Environment::Production, Environment::Sandbox, Environment::MyDomain]
            .into_iter()
            .filter(|environment| self.allowed.contains(environment))
            .map(move |environment| HostOption { environment, checked: chosen == Some(environment) })
    }

    /// Whether there is but one answer: then the page does not ask.
    fn is_single(&self) -> bool {
        self.allowed.len() == 1
    }

    fn error(&self) -> Option<&'static str> {
        self.refused.map(|refused| match refused {
            HostRefusal::NoChoice => WORDS.no_choice,
            HostRefusal::MyDomainMissing => WORDS.my_domain_missing,
            HostRefusal::NotMyDomain => WORDS.not_my_domain,
            HostRefusal::OrgId => WORDS.org_id_not_my_domain,
            HostRefusal::Username => WORDS.username_not_my_domain,
            HostRefusal::Several => WORDS.several_my_domains,
        })
    }

    fn my_domain_error(&self) -> Option<&'static str> {
        self.error().filter(|_| self.refused != Some(HostRefusal::NoChoice))
    }

    fn choice_error(&self) -> Option<&'static str> {
        self.error().filter(|_| self.refused == Some(HostRefusal::NoChoice))
    }
}

/// One place to sign in.
struct HostOption {
    environment: Environment,
    checked: bool,
}

impl HostOption {
    fn value(&self) -> &'static str {
        match self.environment {
            Environment::Production => "production",
            Environment::Sandbox => "sandbox",
            Environment::MyDomain => "my_domain",
        }
    }

    fn label(&self) -> &'static str {
        match self.environment {
            Environment::Production => WORDS.production,
            Environment::Sandbox => WORDS.sandbox,
            Environment::MyDomain => WORDS.my_domain,
        }
    }

    fn help(&self) -> &'static str {
        match self.environment {
            Environment::Production => WORDS.production_help,
            Environment::Sandbox => WORDS.sandbox_help,
            Environment::MyDomain => WORDS.my_domain_help,
        }
    }

    fn is_my_domain(&self) -> bool {
        self.environment == Environment::MyDomain
    }
}
