//! A clock that we move: every part of the stack that asks the time asks this one.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};

/// The first second of the year 9000.
const MAX_SECOND: i64 = 221_845_392_000;

/// The world's time. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<Face>>);

#[derive(Debug)]
enum Face {
    /// The machine's time, shifted by what [`Clock::pass`] has added.
    Running(SignedDuration),
    /// Stands still until [`Clock::pass`].
    Standing(Timestamp),
    /// Tokio's clock, which a test may pause: what it showed at that instant, and what [`Clock::pass`] has added.
    Virtual(Timestamp, tokio::time::Instant),
}

impl Clock {
    /// Runs with the machine's clock, for a person at the local stack.
    pub fn running() -> Self {
        Self(Arc::new(Mutex::new(Face::Running(SignedDuration::ZERO))))
    }

    /// Stands at `start` until told to move, for tests that must not depend on the machine's speed.
    pub fn standing(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Face::Standing(start))))
    }

    /// Shows `start` now and goes with tokio's clock, paused or not.
    pub fn of_tokio(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Face::Virtual(start, tokio::time::Instant::now()))))
    }

    /// The time it is.
    pub fn now(&self) -> Timestamp {
        self.face().now().expect("try_pass keeps the clock in range")
    }

    /// Lets `time` pass.
    ///
    /// # Panics
    /// Where [`Clock::try_pass`] refuses.
    pub fn pass(&self, time: SignedDuration) {
        assert!(self.try_pass(time), "{time:#} would take the clock out of range");
    }

    /// Lets `time` pass. `false`: the clock would leave the years 1970 to 8999, and nothing has passed. Whoever asks the
    /// time adds to it, and the calendar ends with the year 9999.
    #[must_use]
    pub fn try_pass(&self, time: SignedDuration) -> bool {
        let mut face = self.face();
        let passed = face
            .passed(time)
            .filter(|passed| passed.now().is_some_and(|now| (0..MAX_SECOND).contains(&now.as_second())));
        let Some(passed) = passed else { return false };
        *face = passed;
        true
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        self.0.lock().expect("no panic while holding the clock")
    }
}

impl Face {
    #[expect(clippy::disallowed_methods, reason = "the local stack's one reading of the machine's clock")]
    fn now(&self) -> Option<Timestamp> {
        match *self {
            Self::Running(shift) => Timestamp::now().checked_add(shift).ok(),
            Self::Standing(at) => Some(at),
            Self::Virtual(start, since) => {
                start.checked_add(SignedDuration::try_from(since.elapsed()).ok()?).ok()
            }
        }
    }

    /// What it shows once `time` has passed; `None`: no calendar has that time.
    fn passed(&self, time: SignedDuration) -> Option<Self> {
        Some(match *self {
            Self::Running(shift) => Self::Running(shift.checked_add(time)?),
            Self::Standing(at) => Self::Standing(at.checked_add(time).ok()?),
            Self::Virtual(at, since) => Self::Virtual(at.checked_add(time).ok()?, since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_that_would_leave_the_calendar_stays() {
        let start: Timestamp = "2026-11-30T12:00:00Z".parse().expect("a time");
        for clock in [Clock::running(), Clock::standing(start)] {
            let before = clock.now();
            for seconds in [1_767_225_600_000, i64::MAX, i64::MIN, -10_000_000_000, 230_000_000_000] {
                assert!(!clock.try_pass(SignedDuration::from_secs(seconds)), "{seconds}");
            }
            assert!(clock.now().duration_since(before) < SignedDuration::from_mins(10), "nothing has passed");
            assert!(clock.try_pass(SignedDuration::from_hours(1)));
            assert!(clock.now().duration_since(before) >= SignedDuration::from_hours(1));
        }
    }
}
