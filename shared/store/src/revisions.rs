//! Revisions: how often a connection changed in a way that a product is told of.
//!
//! Each such change raises the revision in the write that makes it, and says which event it is. `functions/notify` reads
//! both from the table's stream, so no flow writes more for its events. A write that makes no event raises nothing: a
//! revision whose event is not recorded is a change that nobody was told of.

use domain::{EventType, SaturatingTime as _};
use jiff::Timestamp;

use crate::{Item, N, S, events::EVENT_OVERDUE, expression::Expression, millis};

/// What a connection's item says about its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revision {
    /// How often it changed.
    pub number: u64,
    /// When it changed last.
    pub at: Option<Timestamp>,
    /// What that change was.
    pub event: Option<EventType>,
    /// Whether the product was told of trouble, and not yet that it is over.
    pub is_failing: bool,
}

impl Revision {
    /// The revision after a change that ends all trouble.
    pub(crate) fn next(&self, event: EventType, at: Timestamp) -> Self {
        Self { number: self.number + 1, at: Some(at), event: Some(event), is_failing: false }
    }

    /// When the sweep looks at a connection that is otherwise due at `due`. While nobody has looked yet whether the event of
    /// its last change was recorded, no write may put that look off: a connection may be used, and then left alone for weeks.
    pub fn look(&self, due: Timestamp, now: Timestamp) -> Timestamp {
        match self.at {
            Some(changed_at) if now < changed_at.later_by(EVENT_OVERDUE) => look(due, changed_at),
            _ => due,
        }
    }
}

/// When the sweep looks at a connection that changed at that time, and was otherwise due at `due`: once the event of the
/// change must have been recorded, at the latest. Without that look, nobody would find out that the stream lost the change
/// of a connection that is not used.
pub(crate) fn look(due: Timestamp, changed_at: Timestamp) -> Timestamp {
    due.min(changed_at.later_by(EVENT_OVERDUE))
}

/// Raises the revision, as part of a `SET` clause; `at` is a value or an attribute. [`Raising`] gives the values.
pub(crate) fn raise(at: &str) -> String {
    format!(
        "revision = if_not_exists(revision, :no_revision) + :one_revision, revised_at = {at}, \
         revision_event = :revision_event"
    )
}

/// [`raise`], where `:revised_at` is the time.
pub(crate) fn raise_now() -> String {
    raise(":revised_at")
}

/// Says that the product is told of trouble, as part of a `SET` clause.
pub(crate) const FAILING: &str = "failing = :failing";

/// The condition that a connection works as far as its product was told.
pub(crate) const WORKS: &str = "(#state = :active AND attribute_not_exists(failing))";

/// The opposite of [`WORKS`].
pub(crate) const FAILS: &str = "(#state <> :active OR attribute_exists(failing))";

/// Whether an item meets [`FAILS`].
pub(crate) fn fails(item: &Item) -> bool {
    item.contains_key("failing") || item.get("state") != Some(&S("active"))
}

/// The values of [`raise`].
pub(crate) trait Raising: Expression {
    /// Which event the change makes; the time is an attribute of the item.
    fn raising_as(self, event: EventType) -> Self {
        self.value(":no_revision", N(0))
            .value(":one_revision", N(1))
            .value(":revision_event", S(event.as_str()))
    }

    /// Which event the change makes, and when.
    fn raising(self, event: EventType, at: Timestamp) -> Self {
        self.raising_as(event).value(":revised_at", millis(at))
    }

    /// The value of [`FAILING`].
    fn failing(self) -> Self {
        self.value(":failing", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
    }
}

impl<E: Expression> Raising for E {}
