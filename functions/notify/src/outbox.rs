//! Where recorded events are passed on.

use std::{fmt::Debug, future::Future, pin::Pin};

use domain::{Event, EventId};
use jiff::Timestamp;

/// The ids of the events that an [`Outbox`] did not take.
pub type Refused<'a> = Pin<Box<dyn Future<Output = Vec<EventId>> + Send + 'a>>;

/// Takes recorded events on: a queue of webhooks to be delivered, an event bus.
///
/// An event comes at least once. It comes again if Lambda sends its stream record again, or if another outbox did not take
/// it, so whatever is behind an outbox must be idempotent by the event's id.
pub trait Outbox: Debug + Send + Sync {
    /// Takes these events on, and returns the ids of those that it could not take. They are sent again. An outbox logs why.
    fn take<'a>(&'a self, events: &'a [Event], now: Timestamp) -> Refused<'a>;

    /// Whether the others do not wait for it for long: what it still refuses after some minutes is set aside with an alarm.
    fn is_optional(&self) -> bool {
        false
    }
}
