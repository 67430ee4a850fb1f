//! What all pages share: the trait that turns one into a response's body, the head, the brand on top and the
//! support contact below.

use std::fmt;

use askama::{
    Template,
    filters::{HtmlSafe, Safe},
};
use domain::{Brand, product::Support};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    colour::Palette,
    fill::{Markup, Names, fill, rich, web},
    words::Common,
};

pub(crate) const WORDS: Common = Common::ENGLISH;

/// Everything but letters, digits and what may stand in a mail's subject or body (RFC 6068 §2).
const IN_MAIL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',')
    .remove(b':')
    .remove(b'/')
    .remove(b'!');

/// What ends a data URL or an attribute, or starts an escape in one.
const IN_DATA: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'\'').add(b'<').add(b'>');

/// A page: its title, and its HTML.
pub trait Page: Template {
    /// What stands in the browser's tab. Plain text.
    fn title(&self) -> String;

    /// The whole document. Writing to memory does not fail; if a template ever did, the title alone would be
    /// shown as text that no browser takes for markup.
    fn html(&self) -> String {
        self.render().unwrap_or_else(|_| self.title().replace(['<', '&'], " "))
    }
}

/// The way on from a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayOn<'a> {
    /// To the product, at an address that it registered.
    Product(&'a str),
    /// To the connect page, where this browser is bound to the session.
    Connect(&'a str),
    /// To the product, where a browser that is not bound to the session starts again.
    StartAgain(&'a str),
}

impl WayOn<'_> {
    pub(crate) fn label(&self, names: &Names<'_>) -> String {
        match self {
            Self::Product(_) => fill(WORDS.to_product, names),
            Self::Connect(_) => WORDS.try_again.to_owned(),
            Self::StartAgain(_) => WORDS.start_again.to_owned(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        let (Self::Product(url) | Self::Connect(url) | Self::StartAgain(url)) = self;
        if web(url) { url } else { "/" }
    }
}

/// What the layout needs of a page.
pub(crate) struct Shell<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) brand: Option<&'a Brand>,
}

/// The page's stylesheet: the palette, then the rules.
pub(crate) struct Style(Palette, &'static [&'static str]);

/// A file of `assets/`, as `build.rs` left it: without comments and blanks.
macro_rules! asset {
    ($file:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $file))
    };
}
pub(crate) use asset;

/// What a page carries: every page the frame first and the paper last, and between them what it has. All of it goes
/// with each page, so a long page takes only its own.
const FORM: &[&str] = &[FRAME, ACTS, MARKS, asset!("forms.css"), LISTS, PAPER];
pub(crate) const NOTICE: &[&str] = &[FRAME, ACTS, MARKS, PAPER];
pub(crate) const HELP: &[&str] = &[FRAME, ACTS, MARKS, LISTS, STEPS, asset!("help.css"), PAPER];
pub(crate) const OPS: &[&str] = &[FRAME, ACTS, MARKS, LISTS, asset!("ops.css"), PAPER];
pub(crate) const GUIDE: &[&str] = &[FRAME, ACTS, LISTS, STEPS, asset!("guide.css"), PAPER];

const FRAME: &str = asset!("frame.css");
const ACTS: &str = asset!("acts.css");
const MARKS: &str = asset!("marks.css");
const LISTS: &str = asset!("lists.css");
const STEPS: &str = asset!("steps.css");
const PAPER: &str = asset!("paper.css");

/// What pages with steps do in a browser that runs scripts: a file of ours, with nothing filled in.
pub(crate) const SCRIPT: Safe<&str> = Safe(asset!("steps.js"));

impl Shell<'_> {
    pub(crate) fn name(&self) -> &str {
        self.brand.map_or(WORDS.unbranded, |brand| &brand.name)
    }

    pub(crate) fn logo(&self) -> Option<&str> {
        self.brand?.logo.as_ref().map(url::Url::as_str).filter(|url| url.starts_with("https://"))
    }

    /// The first letter or digit of the product's name, where there is no logo.
    pub(crate) fn initial(&self) -> String {
        let name = self.brand.map_or("", |brand| brand.name.as_str());
        name.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().collect()).unwrap_or_default()
    }

    fn palette(&self) -> Palette {
        Palette::of(self.brand.and_then(|brand| brand.colour.as_deref()))
    }

    pub(crate) fn style(&self) -> Style {
        self.style_of(FORM)
    }

    pub(crate) fn style_of(&self, rules: &'static [&'static str]) -> Style {
        Style(self.palette(), rules)
    }

    /// The tab's icon, drawn in the accent, so that no browser asks for `/favicon.ico`.
    pub(crate) fn icon(&self) -> String {
        let fill = self.palette().light.edge;
        let drawing = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='9' fill='{fill}'/>\
             <path d='M17 16a5 5 0 1 0-10 0 5 5 0 0 0 10 0h9v4' fill='none' stroke='#fff' stroke-width='3'/></svg>"
        );
        format!("data:image/svg+xml,{}", utf8_percent_encode(&drawing, IN_DATA))
    }

    /// "Questions? Ask …", where there is somebody to ask.
    pub(crate) fn questions(&self) -> Option<Markup> {
        let brand = self.brand?;
        has_contact(&brand.support).then(|| rich(WORDS.questions, &Names::of(brand)))
    }
}

pub(crate) fn has_contact(support: &Support) -> bool {
    support.email.is_some() || support.url.is_some()
}

/// A mail, ready to send, to nobody yet (RFC 6068).
pub(crate) fn mailto(subject: &str, body: &str) -> String {
    let body = body.replace('\n', "\r\n");
    let [subject, body] = [subject, &body].map(|text| utf8_percent_encode(text, IN_MAIL).to_string());
    format!("mailto:?subject={subject}&body={body}")
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Palette { light, dark }, rules) = self;
        write!(f, ":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}")?;
        rules.iter().try_for_each(|rules| f.write_str(rules))
    }
}

/// Colours are hexadecimal digits, the rules are files of ours.
impl HtmlSafe for Style {}
