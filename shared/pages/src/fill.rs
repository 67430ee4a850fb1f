//! A text with placeholders, into plain text or HTML. The text is ours or the catalogue's; what fills it is a
//! product's, a customer's or a stranger's, and is never read for placeholders, marks or markup.

use std::{borrow::Cow, fmt, net::IpAddr};

use askama::filters::{Escaper, Html, HtmlSafe};
use domain::{
    App, AppKind, Brand, Customer, Environment,
    product::{AppPolicy, Packages, Support},
};

use crate::{allow::listed, words::Common};

const WORDS: Common = Common::ENGLISH;

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
}

/// A link, and where there are several, which it is.
#[derive(Debug, Clone)]
struct Hyperlink<'a> {
    href: Cow<'a, str>,
    text: Cow<'a, str>,
    /// Words of ours.
    note: Option<&'static str>,
    /// What a button says instead of the address, where it is one.
    button: Option<&'static str>,
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
        !lacks("{policy}", self.policy) && !lacks("{connect_at}", &self.connect_at)
    }

    fn get(&self, placeholder: &str) -> Option<Value<'_>> {
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
enum Value<'a> {
    Text(&'a str),
    /// Links, or these words where there is none.
    Links(&'a [Hyperlink<'a>], &'static str),
}

/// A text in pieces.
enum Piece<'a> {
    Text(&'a str),
    /// `**`: what a menu or button is called begins, or ends.
    Mark,
    Placeholder(&'a str),
}

/// Takes a text apart. What looks like a placeholder and is none stays as it stands.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['*', '{']) {
        let (before, from) = rest.split_at(at);
        let placeholder =
            from.strip_prefix('{').and_then(|inner| inner.split_once('}')).filter(|(name, _)| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            });
        if let Some((name, after)) = placeholder {
            pieces.extend([Piece::Text(before), Piece::Placeholder(name)]);
            rest = after;
        } else if let Some(after) = from.strip_prefix("**") {
            pieces.extend([Piece::Text(before), Piece::Mark]);
            rest = after;
        } else {
            pieces.push(Piece::Text(&rest[..=at]));
            rest = &rest[at + 1..];
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// Fills a text in as plain text, for titles, messages and mails. The marks go.
pub fn fill(text: &str, names: &Names<'_>) -> String {
    fill_with(text, names, &[])
}

/// [`fill`], with placeholders of the caller's own.
pub(crate) fn fill_with(text: &str, names: &Names<'_>, more: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() * 2);
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Mark => {}
            Piece::Placeholder(name) => match value(name, names, more) {
                Some(Value::Text(text)) => filled.push_str(text),
                Some(Value::Links([], words)) => filled.push_str(words),
                Some(Value::Links(links, _)) => {
                    for (nth, link) in links.iter().enumerate() {
                        filled.push_str(if nth == 0 { "" } else { WORDS.or });
                        filled.push_str(&link.text);
                        filled.push_str(link.note.unwrap_or(""));
                    }
                }
                None => filled.extend(["{", name, "}"]),
            },
        }
    }
    filled
}

/// Fills a text in as HTML: `**Install**` becomes bold, `{support}` and `{package_link}` become links.
pub fn rich(text: &str, names: &Names<'_>) -> Markup {
    rich_with(text, names, &[])
}

/// [`rich`], with placeholders of the caller's own.
pub(crate) fn rich_with(text: &str, names: &Names<'_>, more: &[(&str, &str)]) -> Markup {
    let mut html = Markup(String::with_capacity(text.len() * 2));
    let mut bold = false;
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => html.text(text),
            Piece::Mark => {
                html.tag(if bold { "</b>" } else { "<b>" });
                bold = !bold;
            }
            Piece::Placeholder(name) => match value(name, names, more) {
                Some(Value::Text(text)) => html.text(text),
                Some(Value::Links([], words)) => html.text(words),
                Some(Value::Links(links, _)) => {
                    for (nth, link) in links.iter().enumerate() {
                        html.text(if nth == 0 { "" } else { WORDS.or });
                        html.link(link);
                    }
                }
                None => {
                    html.text("{");
                    html.text(name);
                    html.text("}");
                }
            },
        }
    }
    if bold {
        html.tag("</b>");
    }
    html
}

fn value<'v>(placeholder: &str, names: &'v Names<'_>, more: &[(&str, &'v str)]) -> Option<Value<'v>> {
    let own = more.iter().find(|(name, _)| *name == placeholder);
    own.map_or_else(|| names.get(placeholder), |(_, text)| Some(Value::Text(text)))
}

/// HTML in which everything that was not ours is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    fn tag(&mut self, tag: &'static str) {
        self.0.push_str(tag);
    }

    fn text(&mut self, text: &str) {
        // Writing to a String does not fail.
        let _ = Html.write_escaped_str(&mut self.0, text);
    }

    /// A link within the page.
    pub(crate) fn anchor(id: &str, text: &str) -> Self {
        let mut html = Self(String::new());
        html.link(&Hyperlink { href: format!("#{id}").into(), text: text.into(), note: None, button: None });
        html
    }

    fn link(&mut self, link: &Hyperlink<'_>) {
        let Some(button) = link.button else {
            self.tag("<a href=\"");
            self.text(&link.href);
            self.tag("\">");
            self.text(&link.text);
            self.tag("</a>");
            self.tag(link.note.unwrap_or(""));
            return;
        };
        self.tag("<a class=\"button\" target=\"_blank\" rel=\"noopener noreferrer\" href=\"");
        self.text(&link.href);
        self.tag("\">");
        self.tag(button);
        self.tag("</a>");
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything goes in through [`Markup::text`], or is a tag of ours.
impl HtmlSafe for Markup {}

#[cfg(test)]
mod tests {
    use domain::{App, AppKind};

    use super::*;

    fn brand() -> Brand {
        Brand {
            name: "A & B **c** {app}".into(),
            logo: None,
            colour: None,
            customer_word: "site".into(),
            support: Support {
                email: Some("help@ab.example".into()),
                url: "https://ab.example/help".parse().ok(),
            },
            publisher: None,
            security: Support::default(),
        }
    }

    fn app() -> App {
        App {
            id: "sync".parse().unwrap(),
            kind: AppKind::ConnectedApp,
            consumer_key: String::new(),
            secret: String::new(),
            scopes: Vec::new(),
            names: vec!["Sync".into()],
            packages: Packages {
                production: "https://login.salesforce.com/p?p0=1&x=2".parse().ok(),
                sandbox: "https://test.salesforce.com/p?p0=1".parse().ok(),
            },
            login_hosts: Vec::new(),
            access_token_minutes: 15,
            introspect: false,
            refresh_token_idle_days: 30,
            connections: domain::product::Sharing::default(),
            about: domain::product::AppAbout::default(),
            former_consumer_keys: Vec::new(),
        }
    }

    #[test]
    fn only_our_own_text_is_read_for_marks_and_placeholders() {
        let (brand, customer) = (brand(), Customer { id: "1".into(), name: Some("<C>".into()) });
        let names = Names::of(&brand).customer(&customer);
        assert_eq!(fill("**Open** {product} for {customer}", &names), "Open A & B **c** {app} for <C>");
        assert_eq!(
            rich("**Open** {product} for {customer}", &names).to_string(),
            "<b>Open</b> A &#38; B **c** {app} for &#60;C&#62;"
        );
    }

    #[test]
    fn what_is_no_placeholder_stays() {
        for text in ["{unknown}", "{", "}", "{}", "a { b } c", "{App}", "2 * 3", "{{x", "日本 * {é}"] {
            assert_eq!(fill(text, &Names::unknown()), text);
            assert_eq!(rich(text, &Names::unknown()).to_string(), text);
        }
        assert_eq!(rich("{{app}}", &Names::unknown()).to_string(), "{the app}");
    }

    #[test]
    fn a_mark_that_is_not_closed_ends_with_its_text() {
        assert_eq!(rich("**a** b **c", &Names::unknown()).to_string(), "<b>a</b> b <b>c</b>");
    }

    #[test]
    fn the_package_link_is_that_of_the_environment_and_both_where_it_may_be_either() {
        let (brand, app) = (brand(), app());
        let link = |environment| fill("{package_link}", &Names::of(&brand).app(&app, environment));
        assert_eq!(link(Some(Environment::Production)), "https://login.salesforce.com/p?p0=1&x=2");
        assert_eq!(link(Some(Environment::Sandbox)), "https://test.salesforce.com/p?p0=1");
        for environment in [Some(Environment::MyDomain), None] {
            assert_eq!(
                link(environment),
                "https://login.salesforce.com/p?p0=1&x=2 (production) or https://test.salesforce.com/p?p0=1 (sandbox)"
            );
        }
        assert_eq!(
            rich("{package_link}", &Names::of(&brand).app(&app, Some(Environment::Production))).to_string(),
            "<a class=\"button\" target=\"_blank\" rel=\"noopener noreferrer\" \
             href=\"https://login.salesforce.com/p?p0=1&#38;x=2\">Install the package</a>"
        );
    }

    #[test]
    fn what_is_not_known_has_words() {
        let names = Names::unknown();
        assert_eq!(
            fill("{app}, {product}, {customer}, {support}, {package_link}", &names),
            "the app, your product, your workspace, the support team, the install link"
        );
        let brand = brand();
        assert_eq!(fill("{customer}", &Names::of(&brand)), "your site");
        assert_eq!(fill("{support}", &Names::of(&brand)), "help@ab.example or ab.example/help");
    }

    #[test]
    fn an_address_in_a_link_is_of_the_web_or_ours() {
        for address in ["https://a.example/", "http://product.localhost:9000/", "/connect/x"] {
            assert!(web(address), "{address}");
        }
        for address in
            ["javascript:alert(1)", "//evil.example", "data:text/html,x", "", "JAVASCRIPT:x", "help"]
        {
            assert!(!web(address), "{address}");
        }
    }
}
