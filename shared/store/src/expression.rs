//! Conditions and changes that stand both in an update of its own and in a transaction's.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, builders::UpdateBuilder},
};
use domain::{ConnectionId, EventType, session::BoundBrowser};
use jiff::Timestamp;

use crate::{
    S, keys, millis,
    revisions::{Raising as _, raise},
};

/// The condition that a session is open; [`Expression::open_states`] gives its values.
pub(crate) const OPEN: &str = "#state IN (:created, :redirected, :failed, :lost)";

/// What can be said about an item, whichever builder says it.
pub(crate) trait Expression: Sized {
    fn name(self, placeholder: &str, name: &str) -> Self;
    fn value(self, placeholder: &str, value: AttributeValue) -> Self;
    fn changing(self, expression: &str) -> Self;
    fn on_condition(self, expression: &str) -> Self;

    /// The states of a session that may still begin or end an attempt: the values in [`OPEN`].
    fn open_states(self) -> Self {
        self.name("#state", "state")
            .value(":created", S("created"))
            .value(":redirected", S("redirected"))
            .value(":failed", S("failed"))
            .value(":lost", S("lost"))
    }

    /// The browser that a session is bound to, as `:browser` and `:attempt`.
    fn bound_to(self, browser: &BoundBrowser) -> Self {
        self.value(":browser", S(browser.secret.as_str())).value(":attempt", S(browser.attempt.as_str()))
    }

    /// The states of a connection whose refresh token may still be used, as `:active`, `:blocked` and
    /// `:unknown`, with the name `#state`.
    fn living_states(self) -> Self {
        self.name("#state", "state")
            .value(":active", S("active"))
            .value(":blocked", S("blocked"))
            .value(":unknown", S("refresh_unknown"))
    }

    /// Marks a connection as to be revoked, and due for the sweep at once. Its product is told, if it was redeemed.
    fn revoking(self, id: &ConnectionId, now: Timestamp) -> Self {
        self.changing(&format!(
            "SET #state = :revoking, since = :now, due_shard = :shard, due_at = :now, {}",
            raise(":now")
        ))
        .raising_as(EventType::ConnectionDeleted)
        .name("#state", "state")
        .value(":revoking", S("revoking"))
        .value(":now", millis(now))
        .value(":shard", S(keys::due_shard(id.as_str())))
    }
}

macro_rules! expression {
    ($($builder:ty),*) => {$(
        impl Expression for $builder {
            fn name(self, placeholder: &str, name: &str) -> Self {
                self.expression_attribute_names(placeholder, name)
            }

            fn value(self, placeholder: &str, value: AttributeValue) -> Self {
                self.expression_attribute_values(placeholder, value)
            }

            fn changing(self, expression: &str) -> Self {
                self.update_expression(expression)
            }

            fn on_condition(self, expression: &str) -> Self {
                self.condition_expression(expression)
            }
        }
    )*};
}

expression!(UpdateBuilder, UpdateItemFluentBuilder);
