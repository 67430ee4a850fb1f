//! What fills the placeholders: names, contacts, links and addresses of a product, an app and a customer.

use std::{borrow::Cow, net::IpAddr};

use domain::{
    App, AppKind, Brand, Customer, Environment,
    product::{AppPolicy, Packages, Support},
};

use super::WORDS;
use crate::allow::listed;

/// What fills `{app}`, `{product}`, `{customer}`, `{support}`, `{security}`, `{package_link}` and `{addresses}`.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    app: Cow<'a, str>,
    product: Cow<'a, str>,
    customer: Cow<'a, str>,
    support: Vec<Hyperlink<'a>>,
    security: Vec<Hyperlink<'a>>,
    package_link: Vec<Hyperlink<'a>>,
    addresses: String,
    /// Empty where it is not known: a step that needs it is left out.
    policy: &'static str,
    connect_at: Cow<'a, str>,
    keys_at: Cow<'a, str>,
}

/// A link, and where there are several, which it is.
#[derive(Debug, Clone)]
pub(super) struct Hyperlink<'a> {
    pub(super) href: Cow<'a, str>,
    pub(super) text: Cow<'a, str>,
    /// Words of ours.
    pub(super) note: Option<&'static str>,
    /// What a button says instead of the address, where it is one.
    pub(super) button: Option<&'static str>,
}

impl<'a> Names<'a> {
    /// Of a product, and of what else is known.
    pub fn of(brand: &'a Brand) -> Self {
        Self {
            app: WORDS.app.into(),
            product: brand.name.as_str().into(),
            customer: WORDS.customer.replace("{word}", &brand.customer_word).into(),
            support: contact(&brand.support),
            security: contact(&brand.security),
            package_link: Vec::new(),
            addresses: WORDS.addresses.replace("{product}", &brand.name),
            policy: "",
            connect_at: "".into(),
            keys_at: "".into(),
        }
    }

    /// Where no product is known.
    pub fn unknown() -> Self {
        Self {
            app: WORDS.app.into(),
            product: WORDS.product.into(),
            customer: WORDS.customer.replace("{word}", WORDS.customer_word).into(),
            support: Vec::new(),
            security: Vec::new(),
            package_link: Vec::new(),
            addresses: WORDS.addresses.replace("{product}", WORDS.product),
            policy: "",
            connect_at: "".into(),
            keys_at: "".into(),
        }
    }

    /// With the app's name, and its package links for an environment: both where it is not known, or where a
    /// My Domain may be either.
    #[must_use]
    pub fn app(mut self, app: &'a App, environment: Option<Environment>) -> Self {
        self.app = app.label().into();
        self.package_link = packages(&app.packages, environment);
        self.policy = policy(app).unwrap_or_default();
        self.connect_at = app.about.connect_at.as_deref().unwrap_or_default().into();
        self.keys_at = app.about.keys_at.as_deref().unwrap_or_default().into();
        self
    }

    /// With the customer's name, if it has one.
    #[must_use]
    pub fn customer(mut self, customer: &'a Customer) -> Self {
        if let Some(name) = customer.name.as_deref().filter(|name| !name.trim().is_empty()) {
            self.customer = name.into();
        }
        self
    }

    /// With package links that lead to this org's own host rather than to a login host: the package is then installed in
    /// the right org. Links that are not of the form of Salesforce's own stay as they are.
    #[must_use]
    pub(crate) fn in_org(mut self, origin: &str) -> Self {
        const INSTALL: &str = "/packaging/installPackage.apexp";
        for link in &mut self.package_link {
            if let Some(at) = link.href.find(INSTALL) {
                let address = format!("{}{}", origin.trim_end_matches('/'), &link.href[at..]);
                (link.href, link.text) = (address.clone().into(), address.into());
            }
        }
        self
    }

    /// With the addresses from which Salesforce is called, where they are fixed.
    #[must_use]
    pub fn calling_from(mut self, addresses: &[IpAddr]) -> Self {
        if !addresses.is_empty() {
            self.addresses = listed(addresses);
        }
        self
    }

    /// Whether there is a package to install.
    pub(crate) fn has_package(&self) -> bool {
        !self.package_link.is_empty()
    }

    /// Whether everything is known that a step must not leave open.
    pub(crate) fn can_fill(&self, text: &str) -> bool {
        let lacks = |placeholder: &str, value: &str| value.is_empty() && text.contains(placeholder);
        !lacks("{policy}", self.policy)
            && !lacks("{connect_at}", &self.connect_at)
            && !lacks("{keys_at}", &self.keys_at)
    }

    pub(super) fn get(&self, placeholder: &str) -> Option<Value<'_>> {
        match placeholder {
            "app" => Some(Value::Text(&self.app)),
            "product" => Some(Value::Text(&self.product)),
            "customer" => Some(Value::Text(&self.customer)),
            "support" => Some(Value::Links(&self.support, WORDS.support)),
            "security" if self.security.is_empty() => self.get("support"),
            "security" => Some(Value::Links(&self.security, WORDS.support)),
            "addresses" => Some(Value::Text(&self.addresses)),
            "policy" => Some(Value::Text(self.policy)),
            "connect_at" => Some(Value::Text(&self.connect_at)),
            "keys_at" => Some(Value::Text(&self.keys_at)),
            "package_link" => Some(Value::Links(&self.package_link, WORDS.package_link)),
            _ => None,
        }
    }
}

/// The recommended policy as Setup shows it for this kind of app.
pub(crate) fn policy(app: &App) -> Option<&'static str> {
    Some(match (app.about.policy?, app.kind) {
        (AppPolicy::AllUsers, AppKind::ConnectedApp) => "All users may self-authorize",
        (AppPolicy::AllUsers, AppKind::ExternalClientApp) => "All users can self-authorize",
        (AppPolicy::AdminApproved, _) => "Admin approved users are pre-authorized",
    })
}

fn contact(contact: &Support) -> Vec<Hyperlink<'_>> {
    let email = contact.email.as_deref().map(|email| Hyperlink {
        href: format!("mailto:{email}").into(),
        text: email.into(),
        note: None,
        button: None,
    });
    let page = contact.url.as_ref().filter(|url| web(url.as_str())).map(|url| Hyperlink {
        href: url.as_str().into(),
        text: url.as_str().trim_start_matches("https://").trim_end_matches('/').into(),
        note: None,
        button: None,
    });
    email.into_iter().chain(page).collect()
}

fn packages(packages: &Packages, environment: Option<Environment>) -> Vec<Hyperlink<'_>> {
    let production =
        packages.production.as_ref().map(|url| (url, WORDS.in_production, WORDS.install_production));
    let sandbox = packages.sandbox.as_ref().map(|url| (url, WORDS.in_sandbox, WORDS.install_sandbox));
    let links = match environment {
        Some(Environment::Production) => [production, None],
        Some(Environment::Sandbox) => [sandbox, None],
        Some(Environment::MyDomain) | None => [production, sandbox],
    };
    let several = links.iter().flatten().count() > 1;
    let links = links.into_iter().flatten().filter(|(url, ..)| web(url.as_str()));
    links
        .map(|(url, note, button)| Hyperlink {
            href: url.as_str().into(),
            text: url.as_str().into(),
            note: several.then_some(note),
            button: Some(if several { button } else { WORDS.install }),
        })
        .collect()
}

/// Whether an address may stand in a link: a page's, ours or the web's, and never `javascript:`.
pub(crate) fn web(address: &str) -> bool {
    let ours = address.starts_with('/') && !address.starts_with("//");
    ours || address.starts_with("https://") || address.starts_with("http://")
}

/// What a placeholder stands for.
pub(super) enum Value<'a> {
    Text(&'a str),
    /// Links, or these words where there is none.
    Links(&'a [Hyperlink<'a>], &'static str),
}
