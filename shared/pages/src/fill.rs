//! A text with placeholders, into plain text or HTML. The text is ours or the catalogue's; what fills it is a
//! product's, a customer's or a stranger's, and is never read for placeholders, marks or markup.

mod names;

use std::fmt;

use askama::filters::{Escaper, Html, HtmlSafe};

pub use names::Names;
use names::{Hyperlink, Value};
pub(crate) use names::{policy, web};

use crate::words::Common;

const WORDS: Common = Common::ENGLISH;

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
    use domain::{
        App, AppKind, Brand, Customer, Environment,
        product::{Packages, Support},
    };

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
