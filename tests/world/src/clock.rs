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

    /// The time it is.
    #[expect(clippy::disallowed_methods, reason = "the local stack's one reading of the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match *self.0.lock().expect("no panic while holding the clock") {
            Face::Running(shift) => Timestamp::now() + shift,
            Face::Standing(at) => at,
        }
    }

    /// Lets `time` pass.
    pub fn pass(&self, time: SignedDuration) {
        match &mut *self.0.lock().expect("no panic while holding the clock") {
            Face::Running(shift) => *shift += time,
            Face::Standing(at) => *at += time,
        }
    }
}
