//! How a visit can end early, and the page for each.

use store::StoreError;
use web::{Problem, Refused, Response, error_pages};

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The product's call is not as documented.
    #[error("a call that is not as documented")]
    Call(Box<Problem>),
    /// There is no session behind the link.
    #[error("no session has this link")]
    UnknownLink,
    /// The form cannot be read.
    #[error("the form cannot be read")]
    BadForm,
    /// Nothing proves that the form is from our page.
    #[error("the form is not from our page")]
    ForeignForm,
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
        Failed::UnknownLink => error_pages::unknown_link(failed),
        Failed::BadForm | Failed::Call(_) => error_pages::bad_request(failed),
        Failed::ForeignForm => error_pages::foreign_form(failed),
        Failed::Unconfigured | Failed::Store(_) => error_pages::unavailable(failed),
    }
}
