//! How much time an invocation has left. Lambda stops a function in the middle of its work, so work that must not be left
//! half done first checks that there is time for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How long an invocation may run if Lambda did not say, as on the local stack: the token function's timeout.
const DEFAULT_TIME: Duration = Duration::from_secs(28);

/// When an invocation began, and when it will be stopped.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    began: Timestamp,
    entered: Instant,
    ends: Instant,
}

impl Deadline {
    /// The deadline of an invocation that Lambda stops at `deadline`, in milliseconds since the epoch. 0 means that the
    /// deadline is unknown; then [`DEFAULT_TIME`] is left.
    pub fn until(deadline: u64, now: Timestamp) -> Self {
        let left = i64::try_from(deadline)
            .ok()
            .filter(|deadline| *deadline > 0)
            .and_then(|deadline| Timestamp::from_millisecond(deadline).ok())
            .map(|deadline| Duration::try_from(deadline.duration_since(now)).unwrap_or_default());
        let entered = Instant::now();
        Self { began: now, entered, ends: entered + left.unwrap_or(DEFAULT_TIME) }
    }

    /// The current time: the time of entry plus what has elapsed.
    pub fn now(&self) -> Timestamp {
        self.began + SignedDuration::try_from(self.entered.elapsed()).unwrap_or_default()
    }

    /// Whether at least this much time is left.
    pub fn has(&self, needed: Duration) -> bool {
        self.left() >= needed
    }

    /// How much time is left.
    pub fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}
