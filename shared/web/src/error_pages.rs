//! The pages on which a visit ends early, where more than one function has them. Each is logged once, here.

use domain::{Brand, Product};
use http::StatusCode;
use pages::{NoticePage, Page, WayOn};
use url::Url;

use crate::{
    Response,
    respond::{Forms, page},
};
use platform::log::{internal, refused};

/// A connect or help link behind which there is nothing.
pub fn unknown_link(why: impl std::fmt::Display) -> Response {
    refused(why);
    page(StatusCode::NOT_FOUND, Forms::Ours, |nonce| NoticePage::unknown_link(nonce).html())
}

/// Salesforce has answered, and the product has not redeemed the receipt yet: nothing is connected before that.
pub fn finish_in_product(product: &Product, return_to: &Url) -> Response {
    page(StatusCode::OK, Forms::Ours, |nonce| {
        let back = WayOn::Product(return_to.as_str());
        NoticePage::finish_in_product(nonce, &product.brand).with_way_on(back).html()
    })
}

/// A browser that did not go to Salesforce in this session, or whose cookies are blocked. It is shown no identity.
pub fn other_browser(why: impl std::fmt::Display, product: &Product, return_to: &Url) -> Response {
    refused(why);
    page(StatusCode::FORBIDDEN, Forms::Ours, |nonce| {
        let back = WayOn::StartAgain(return_to.as_str());
        NoticePage::other_browser(nonce, &product.brand).with_way_on(back).html()
    })
}

/// A sign-in that its session does not take: another browser has returned in it, and waits for the product or its user.
pub fn finished_elsewhere(product: &Product, return_to: &Url) -> Response {
    refused("another browser has returned in this session");
    page(StatusCode::CONFLICT, Forms::Ours, |nonce| {
        let back = WayOn::StartAgain(return_to.as_str());
        NoticePage::finished_elsewhere(nonce, &product.brand).with_way_on(back).html()
    })
}

/// A form that nothing proves to be from our page.
pub fn foreign_form(why: impl std::fmt::Display) -> Response {
    refused(why);
    page(StatusCode::BAD_REQUEST, Forms::Ours, |nonce| NoticePage::foreign_form(nonce).html())
}

/// A form that cannot be read.
pub fn bad_request(why: impl std::fmt::Display) -> Response {
    refused(why);
    page(StatusCode::BAD_REQUEST, Forms::Ours, |nonce| NoticePage::bad_request(nonce).html())
}

/// A query that the page's route does not declare. `detail` names the parameter.
pub fn bad_query(detail: &str) -> Response {
    refused(detail);
    page(StatusCode::BAD_REQUEST, Forms::Ours, |nonce| NoticePage::bad_query(nonce, detail).html())
}

/// An address that is none of ours. Scanners ask for many: the line that each request has is enough.
pub fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, Forms::Ours, |nonce| NoticePage::not_found(nonce).html())
}

/// A link, or an answer, that was used as often as it may be; the way on is in the product.
pub fn used_link(why: impl std::fmt::Display, brand: &Brand, return_to: &Url) -> Response {
    refused(why);
    page(StatusCode::CONFLICT, Forms::Ours, |nonce| {
        NoticePage::used_link(nonce, brand).with_way_on(WayOn::Product(return_to.as_str())).html()
    })
}

/// Something of ours failed: the person gets a reference, the log the reason.
pub fn unavailable(error: &dyn std::error::Error) -> Response {
    let reference = internal(error);
    page(StatusCode::SERVICE_UNAVAILABLE, Forms::Ours, |nonce| {
        NoticePage::internal_error(nonce, &reference).html()
    })
}
