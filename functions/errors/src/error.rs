//! How a visit can end early, and the page for each.

use http::StatusCode;
use pages::{NoticePage, Page};
use service::{
    Response,
    failures::{internal, refused},
    respond::{Forms, page as answer},
};
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
    /// The form cannot be read, or is not from our page.
    #[error("the form is not from our page, or cannot be read")]
    BadForm,
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
        Failed::UnknownLink => {
            refused(failed);
            answer(StatusCode::NOT_FOUND, Forms::Ours, |nonce| NoticePage::unknown_link(nonce).html())
        }
        Failed::NotFound => {
            answer(StatusCode::NOT_FOUND, Forms::Ours, |nonce| NoticePage::not_found(nonce).html())
        }
        Failed::BadForm => {
            refused(failed);
            answer(StatusCode::BAD_REQUEST, Forms::Ours, |nonce| NoticePage::bad_request(nonce).html())
        }
        Failed::Unconfigured | Failed::Store(_) => {
            let reference = internal(failed);
            answer(StatusCode::SERVICE_UNAVAILABLE, Forms::Ours, |nonce| {
                NoticePage::internal_error(nonce, &reference).html()
            })
        }
    }
}
