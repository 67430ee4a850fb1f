//! How a visit can end early, and the page for each.

use service::{Response, notices};
use store::StoreError;

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// There is no session or failure behind the link, or not any more.
    #[error("nothing is behind this link")]
    UnknownLink,
    /// None of our addresses.
    #[error("none of our addresses")]
    NotFound,
    /// The form cannot be read.
    #[error("the form cannot be read")]
    BadForm,
    /// Nothing proves that the form is from our page.
    #[error("the form is not from our page")]
    ForeignForm,
    /// The product or app is no longer configured.
    #[error("the product or app is not configured")]
    Unconfigured,
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The page for whoever came.
pub(crate) fn page(failed: &Failed) -> Response {
    match failed {
        Failed::UnknownLink => notices::unknown_link(failed),
        Failed::NotFound => notices::not_found(),
        Failed::BadForm => notices::bad_request(failed),
        Failed::ForeignForm => notices::foreign_form(failed),
        Failed::Unconfigured | Failed::Store(_) => notices::unavailable(failed),
    }
}
