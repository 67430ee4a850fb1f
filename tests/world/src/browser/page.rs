//! What the browser shows: an answer, read as a person reads it, and what can be done on it.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Method, header};
use scraper::{ElementRef, Html, Node, Selector};
use url::Url;

use super::form::{self, Act, Edit};
use super::policy::{Initiator, ReferrerPolicy};
use super::trip::Trip;
use super::{Browser, encoded, parse};

/// Elements that do not begin a new word.
const INLINE: [&str; 24] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "dfn", "em", "font", "i", "kbd", "mark", "q",
    "s", "samp", "small", "span", "strong", "sub", "sup", "u", "wbr",
];

/// A page in one tab, as a value: filling in and clicking give another page, and this one can be used again, as a
/// second tab.
#[derive(Clone)]
pub struct Page {
    pub status: u16,
    /// The address that the browser shows.
    pub url: Url,
    pub headers: HeaderMap,
    /// The answer's text; invalid UTF-8 replaced.
    pub body: String,
    browser: Browser,
    tab: Vec<Visit>,
    edits: BTreeMap<usize, Edit>,
    stopped: Option<Box<Trip>>,
}

/// One entry of a tab's history.
#[derive(Clone)]
pub(super) struct Visit {
    url: Url,
    by_post: bool,
    initiator: Option<Initiator>,
}

impl Visit {
    /// The entry that the trip's end leaves.
    pub(super) fn of(trip: &Trip) -> Self {
        Self {
            url: trip.url.clone(),
            by_post: trip.method == Method::POST,
            initiator: trip.initiator.clone(),
        }
    }
}

impl Page {
    pub(super) fn new(
        browser: Browser,
        status: u16,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
        tab: Vec<Visit>,
    ) -> Self {
        let body = String::from_utf8(body)
            .unwrap_or_else(|raw| String::from_utf8_lossy(raw.as_bytes()).into_owned());
        Self { status, url, headers, body, browser, tab, edits: BTreeMap::new(), stopped: None }
    }

    pub(super) fn blank(browser: Browser, url: Url) -> Self {
        Self::new(browser, 0, url, HeaderMap::new(), Vec::new(), Vec::new())
    }

    pub(super) fn stopped_before(self, next: Trip) -> Self {
        Self { stopped: Some(Box::new(next)), ..self }
    }

    /// The text of `<title>`.
    pub fn title(&self) -> String {
        self.first("title")
    }

    /// The text of the first `<h1>`.
    pub fn heading(&self) -> String {
        self.first("h1")
    }

    /// What a person can read, every run of white space as one space. Closed `<details>` count, as for Find in page.
    pub fn text(&self) -> String {
        self.html().select(&selector("body")).next().map_or_else(|| collapse(&self.body), visible)
    }

    /// Whether the visible text holds `text`.
    pub fn has(&self, text: &str) -> bool {
        self.text().contains(&collapse(text))
    }

    /// The visible texts of everything that a CSS selector finds.
    pub fn all(&self, css: &str) -> Vec<String> {
        self.html().select(&selector(css)).map(visible).collect()
    }

    /// An attribute of the first element that a CSS selector finds.
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.html().select(&selector(css)).next()?.attr(name).map(ToOwned::to_owned)
    }

    /// Every link's text and absolute address.
    pub fn links(&self) -> Vec<(String, String)> {
        let address = |href: &str| self.url.join(href).map_or_else(|_| href.to_owned(), String::from);
        let html = self.html();
        html.select(&selector("a[href]"))
            .map(|a| (visible(a), address(a.attr("href").unwrap_or_default())))
            .collect()
    }

    /// What the field of that label or name holds now.
    pub fn value(&self, field: &str) -> String {
        form::value(&self.html(), &self.edits, field)
    }

    /// A header's text; the first if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Where the answer redirects to, as [`Browser::stop_before`] leaves it.
    pub fn location(&self) -> Option<Url> {
        self.url.join(self.header(header::LOCATION.as_str())?).ok()
    }

    /// Types into the text field of that label or name.
    #[must_use]
    pub fn fill(&self, field: &str, value: &str) -> Self {
        self.edited([(form::text_field(&self.html(), field), Edit::Text(value.to_owned()))])
    }

    /// Picks the radio button, check box or option of that label or value.
    #[must_use]
    pub fn choose(&self, choice: &str) -> Self {
        self.edited(form::choice(&self.html(), choice, true))
    }

    /// Clears the check box of that label or value.
    #[must_use]
    pub fn clear(&self, choice: &str) -> Self {
        self.edited(form::choice(&self.html(), choice, false))
    }

    fn edited(&self, edits: impl IntoIterator<Item = (usize, Edit)>) -> Self {
        let mut page = self.clone();
        page.edits.extend(edits);
        page
    }

    /// Follows the link, or submits the form of the button, of that text.
    pub async fn click(&self, text: &str) -> Self {
        let act = form::click(&self.html(), &self.edits, text, None);
        self.act(act).await
    }

    /// As [`click`](Self::click) among several of that text: the one whose surroundings hold `beside`.
    pub async fn click_beside(&self, beside: &str, text: &str) -> Self {
        let act = form::click(&self.html(), &self.edits, text, Some(beside));
        self.act(act).await
    }

    /// Submits a form that stands on this page's origin and that the page need not show: an attacker's, when it
    /// leads elsewhere.
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Self {
        let fields = encoded(fields.iter().copied());
        self.go(Trip::form(self.initiator(true, None), parse(url), fields)).await
    }

    /// Goes to `url` as a script of this page sends it.
    pub async fn open(&self, url: &str) -> Self {
        self.go(Trip::from_page(self.initiator(false, None), parse(url))).await
    }

    /// Goes on from where [`Browser::stop_before`] stopped.
    pub async fn follow(&self) -> Self {
        let stopped =
            self.stopped.as_deref().unwrap_or_else(|| panic!("not stopped before anything: {self:?}"));
        self.go(stopped.clone()).await
    }

    /// Goes back in this tab; the page is asked for again, as pages that may not be stored are.
    pub async fn back(&self) -> Self {
        let to = self.tab.len().checked_sub(2).unwrap_or_else(|| panic!("nothing to go back to: {self:?}"));
        self.again(to).await
    }

    /// Asks for the page again.
    pub async fn reload(&self) -> Self {
        let to = self.tab.len().checked_sub(1).unwrap_or_else(|| panic!("nothing to reload: {self:?}"));
        self.again(to).await
    }

    async fn again(&self, to: usize) -> Self {
        let visit = &self.tab[to];
        assert!(!visit.by_post, "{}: the browser would ask whether to send the form again", visit.url);
        let trip = match &visit.initiator {
            Some(initiator) => Trip::from_page(initiator.clone(), visit.url.clone()),
            None => Trip::typed(visit.url.clone()),
        };
        self.browser.travel(trip, self.tab[..to].to_vec()).await
    }

    async fn act(&self, act: Act) -> Self {
        let target = |action: &str| {
            self.url
                .join(action)
                .unwrap_or_else(|error| panic!("{action:?} on {self:?} is no address: {error}"))
        };
        let trip = match act {
            Act::Stay => return self.clone(),
            Act::Follow { href, policy } => Trip::from_page(self.initiator(false, policy), target(&href)),
            Act::Get { action, fields } => {
                let mut to = target(&action);
                to.set_query(Some(&fields));
                Trip::from_page(self.initiator(true, None), to)
            }
            Act::Post { action, fields } => Trip::form(self.initiator(true, None), target(&action), fields),
        };
        self.go(trip).await
    }

    async fn go(&self, trip: Trip) -> Self {
        self.browser.travel(trip, self.tab.clone()).await
    }

    fn initiator(&self, submits: bool, policy: Option<ReferrerPolicy>) -> Initiator {
        let meta = || ReferrerPolicy::parse(&self.attribute("meta[name=referrer]", "content")?);
        let policy = policy.or_else(meta).or_else(|| ReferrerPolicy::of(&self.headers)).unwrap_or_default();
        let security = self.headers.get_all(header::CONTENT_SECURITY_POLICY).into_iter();
        let security = security.filter_map(|value| value.to_str().ok()).map(ToOwned::to_owned).collect();
        Initiator { url: self.url.clone(), policy, submits, security }
    }

    fn html(&self) -> Html {
        Html::parse_document(&self.body)
    }

    fn first(&self, css: &str) -> String {
        self.all(css).into_iter().next().unwrap_or_default()
    }
}

/// Status, address without its query, and what the page says: enough to see where a story went wrong.
impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text().chars().take(600).collect();
        write!(f, "{} {} \"{text}\"", self.status, super::policy::shown(&self.url))
    }
}

/// A CSS selector that is known to be one.
pub(super) fn selector(css: &str) -> Selector {
    Selector::parse(css).unwrap_or_else(|error| panic!("{css:?} is no selector: {error}"))
}

/// The text of an element as a person reads it.
pub(super) fn visible(element: ElementRef<'_>) -> String {
    let mut text = String::new();
    read(element, &mut text);
    collapse(&text)
}

fn read(element: ElementRef<'_>, text: &mut String) {
    let name = element.value().name();
    let hidden = matches!(name, "script" | "style" | "template" | "noscript" | "datalist");
    if hidden || element.attr("hidden").is_some() {
        return;
    }
    let apart = !INLINE.contains(&name);
    if apart {
        text.push(' ');
    }
    for child in element.children() {
        match child.value() {
            Node::Text(words) => text.push_str(words),
            Node::Element(_) => ElementRef::wrap(child).into_iter().for_each(|child| read(child, text)),
            _ => {}
        }
    }
    if apart {
        text.push(' ');
    }
}

/// White space as HTML shows it.
pub(super) fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
