//! A clock that we move: every part of the stack that asks the time asks this one.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

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
    #[expect(clippy::disallowed_methods, reason = "the local stack's one reading of the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match *self.0.lock().expect("no panic while holding the clock") {
            Face::Running(shift) => Timestamp::now() + shift,
            Face::Standing(at) => at,
            Face::Virtual(start, since) => {
                start + SignedDuration::try_from(since.elapsed()).expect("a test is short")
            }
        }
    }

    /// Lets `time` pass.
    pub fn pass(&self, time: SignedDuration) {
        match &mut *self.0.lock().expect("no panic while holding the clock") {
            Face::Running(shift) => *shift += time,
            Face::Standing(at) | Face::Virtual(at, _) => *at += time,
        }
    }
}
