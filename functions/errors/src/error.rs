//! How a visit can end early, and the page for each.

use store::StoreError;
use web::{Response, error_pages};

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorsError {
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
pub(crate) fn page(failed: &ErrorsError) -> Response {
    match failed {
        ErrorsError::UnknownLink => error_pages::unknown_link(failed),
        ErrorsError::NotFound => error_pages::not_found(),
        ErrorsError::BadForm => error_pages::bad_request(failed),
        ErrorsError::ForeignForm => error_pages::foreign_form(failed),
        ErrorsError::Unconfigured | ErrorsError::Store(_) => error_pages::unavailable(failed),
    }
}
