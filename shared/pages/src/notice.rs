//! Notices: where a link leads nowhere, and what to do instead.

use askama::Template;
use domain::{Brand, Customer};

use crate::{
    fill::{Markup, Names, fill, rich},
    layout::{Page, Shell, WayOn},
    words::Notice,
};

const WORDS: Notice = Notice::ENGLISH;

/// A page with one thing to say, branded where the product is known.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "notice.html")]
pub struct NoticePage<'a> {
    nonce: &'a str,
    title: &'static str,
    text: &'static str,
    good: bool,
    brand: Option<&'a Brand>,
    customer: Option<&'a Customer>,
    way_on: Option<WayOn<'a>>,
    reference: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> NoticePage<'a> {
    fn saying(nonce: &'a str, title: &'static str, text: &'static str) -> Self {
        Self {
            nonce,
            title,
            text,
            good: false,
            brand: None,
            customer: None,
            way_on: None,
            reference: None,
            detail: None,
        }
    }

    /// A connect or help link that we do not know. 404.
    pub fn unknown_link(nonce: &'a str) -> Self {
        Self::saying(nonce, WORDS.unknown_link_title, WORDS.unknown_link)
    }

    /// A connect or help link whose time is over. 410.
    pub fn expired_link(nonce: &'a str, brand: &'a Brand) -> Self {
        Self::saying(nonce, WORDS.expired_link_title, WORDS.expired_link).branded(brand)
    }

    /// A connect link whose session is over, or an answer that was used. 409.
    pub fn used_link(nonce: &'a str, brand: &'a Brand) -> Self {
        Self::saying(nonce, WORDS.used_link_title, WORDS.used_link).branded(brand)
    }

    /// A connect link whose session has its connection. 200.
    pub fn already_connected(
        nonce: &'a str,
        brand: &'a Brand,
        customer: &'a Customer,
        way_on: WayOn<'a>,
    ) -> Self {
        let page = Self::saying(nonce, WORDS.already_connected_title, WORDS.already_connected).branded(brand);
        Self { good: true, customer: Some(customer), ..page }.with_way_on(way_on)
    }

    /// A callback whose state or cookie is not of a running attempt. 400.
    pub fn stray_callback(nonce: &'a str) -> Self {
        Self::saying(nonce, WORDS.stray_callback_title, WORDS.stray_callback)
    }

    /// A connect link whose session has an answer that the product has not redeemed. 200.
    pub fn finish_in_product(nonce: &'a str, brand: &'a Brand) -> Self {
        Self::saying(nonce, WORDS.finish_in_product_title, WORDS.finish_in_product).branded(brand)
    }

    /// A form that nothing proves to be from our page. 400.
    pub fn foreign_form(nonce: &'a str) -> Self {
        Self::saying(nonce, WORDS.foreign_form_title, WORDS.foreign_form)
    }

    /// A step of a session that is bound to another browser. 403.
    pub fn other_browser(nonce: &'a str, brand: &'a Brand) -> Self {
        Self::saying(nonce, WORDS.other_browser_title, WORDS.other_browser).branded(brand)
    }

    /// A sign-in that does not count, because one in another browser came back first. 409.
    pub fn finished_elsewhere(nonce: &'a str, brand: &'a Brand) -> Self {
        Self::saying(nonce, WORDS.finished_elsewhere_title, WORDS.finished_elsewhere).branded(brand)
    }

    /// An address that is none of ours. 404.
    pub fn not_found(nonce: &'a str) -> Self {
        Self::saying(nonce, WORDS.not_found_title, WORDS.not_found)
    }

    /// A request that cannot be read. 400.
    pub fn bad_request(nonce: &'a str) -> Self {
        Self::saying(nonce, WORDS.bad_request_title, WORDS.bad_request)
    }

    /// A query that the page does not take; `detail` names the parameter. 400.
    pub fn bad_query(nonce: &'a str, detail: &'a str) -> Self {
        Self { detail: Some(detail), ..Self::saying(nonce, WORDS.bad_query_title, WORDS.bad_query) }
    }

    /// A failure of our own. 500.
    pub fn internal_error(nonce: &'a str, reference: &'a str) -> Self {
        Self { reference: Some(reference), ..Self::saying(nonce, WORDS.internal_title, WORDS.internal) }
    }

    /// In the product's brand.
    #[must_use]
    pub fn branded(self, brand: &'a Brand) -> Self {
        Self { brand: Some(brand), ..self }
    }

    /// With a way on.
    #[must_use]
    pub fn with_way_on(self, way_on: WayOn<'a>) -> Self {
        Self { way_on: Some(way_on), ..self }
    }
}

impl Page for NoticePage<'_> {
    fn title(&self) -> String {
        fill(self.title, &self.names())
    }
}

impl NoticePage<'_> {
    fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: self.brand }
    }

    fn names(&self) -> Names<'_> {
        let names = self.brand.map_or_else(Names::unknown, Names::of);
        match self.customer {
            Some(customer) => names.customer(customer),
            None => names,
        }
    }

    fn way_label(&self, way: &WayOn<'_>) -> String {
        way.label(&self.names())
    }

    fn lead(&self) -> Markup {
        rich(self.text, &self.names())
    }
}
