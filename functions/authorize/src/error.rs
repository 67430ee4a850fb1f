//! How a visit can end early, and the page for each.

use store::StoreError;
use web::{Problem, RequestError, Response, error_pages};

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorizeError {
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

impl From<Problem> for AuthorizeError {
    fn from(problem: Problem) -> Self {
        Self::Call(Box::new(problem))
    }
}

impl From<RequestError> for AuthorizeError {
    fn from(refused: RequestError) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}

/// The page for whoever clicked.
pub(crate) fn page(failed: &AuthorizeError) -> Response {
    match failed {
        AuthorizeError::UnknownLink => error_pages::unknown_link(failed),
        AuthorizeError::BadForm | AuthorizeError::Call(_) => error_pages::bad_request(failed),
        AuthorizeError::ForeignForm => error_pages::foreign_form(failed),
        AuthorizeError::Unconfigured | AuthorizeError::Store(_) => error_pages::unavailable(failed),
    }
}
