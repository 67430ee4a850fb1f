//! How a call can end early.

use service::{Problem, Refused};
use store::StoreError;

/// Why a call ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The answer says why.
    #[error("refused")]
    Problem(Box<Problem>),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}
