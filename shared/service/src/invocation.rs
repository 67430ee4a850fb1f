//! The time that an invocation has. Lambda stops a function in the middle of whatever it does, so what must not
//! be left half done asks first whether there is time for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lambda_http::RequestExt as _;
use tokio::time::Instant;

use crate::Request;

/// What a request has where nobody says otherwise (the local stack): the token function's own time-out.
const USUAL: Duration = Duration::from_secs(28);

/// When an invocation began, and when it will be stopped.
#[derive(Debug, Clone, Copy)]
pub struct Invocation {
    began: Timestamp,
    entered: Instant,
    ends: Instant,
}

impl Invocation {
    /// The invocation that a request came in, entered at `now`.
    pub fn of(request: &Request, now: Timestamp) -> Self {
        let deadline = request.lambda_context_ref().map(|context| context.deadline);
        Self::until(deadline.unwrap_or_default(), now)
    }

    /// An invocation that Lambda stops at `deadline`, in milliseconds of the epoch; 0: nobody has said.
    pub fn until(deadline: u64, now: Timestamp) -> Self {
        let left = i64::try_from(deadline)
            .ok()
            .filter(|deadline| *deadline > 0)
            .and_then(|deadline| Timestamp::from_millisecond(deadline).ok())
            .map(|deadline| Duration::try_from(deadline.duration_since(now)).unwrap_or_default());
        let entered = Instant::now();
        Self { began: now, entered, ends: entered + left.unwrap_or(USUAL) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.began + SignedDuration::try_from(self.entered.elapsed()).unwrap_or_default()
    }

    /// Whether so much time is left.
    pub fn has(&self, needed: Duration) -> bool {
        self.left() >= needed
    }

    /// How much time is left.
    pub fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}
