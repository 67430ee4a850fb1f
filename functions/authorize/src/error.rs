//! How a visit can end early, and the page for each.

use http::StatusCode;
use pages::{NoticePage, Page};
use service::{
    Problem, Refused, Response,
    failures::{internal, refused},
    respond::{Forms, page as answer},
};
use store::StoreError;

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The product's call is not as documented.
    #[error("a call that is not as documented")]
    Call(Box<Problem>),
    /// There is no session behind the link.
    #[error("no session has this link")]
    UnknownLink,
    /// The form cannot be read, or is not from our page.
    #[error("the form is not from our page, or cannot be read")]
    BadForm,
    /// The session's product or app is no longer configured.
    #[error("the session's product or app is not configured")]
    Unconfigured,
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Call(Box::new(problem))
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}

/// The page for whoever clicked.
pub(crate) fn page(failed: &Failed) -> Response {
    match failed {
        Failed::UnknownLink => {
            refused(failed);
            answer(StatusCode::NOT_FOUND, Forms::Ours, |nonce| NoticePage::unknown_link(nonce).html())
        }
        Failed::BadForm | Failed::Call(_) => {
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

/// An address that is none of ours.
pub(crate) fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, Forms::Ours, |nonce| NoticePage::not_found(nonce).html())
}
