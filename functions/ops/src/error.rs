//! Errors of the API calls.

use store::StoreError;
use web::{Problem, RequestError};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpsError {
    /// The response says why.
    #[error("rejected")]
    Problem(Box<Problem>),
    /// A read or write of the table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Problem> for OpsError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<RequestError> for OpsError {
    fn from(refused: RequestError) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}
