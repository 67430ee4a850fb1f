//! When the sweep looks at an event: `due_at`, in the index `due`. It belongs to the deliveries at all endpoints.

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue};
use domain::EventId;
use jiff::Timestamp;

use crate::{
    EventRecord, N, S, Store, StoreError, keys, millis,
    write::{SendWrite, conditional},
};

/// What moves the time at which the sweep looks at an event, as part of a `SET` clause and of a condition: nobody has moved
/// it since `record` was read.
pub(crate) fn moving(
    record: &EventRecord,
    look: Option<Timestamp>,
    update: UpdateItemFluentBuilder,
) -> (&'static str, &'static str, UpdateItemFluentBuilder) {
    let revision = record.due_revision.unwrap_or_default();
    let update = update.expression_attribute_values(":moved", N(revision + 1));
    let (not_moved, update) = if record.due_revision.is_some() {
        ("due_revision = :seen", update.expression_attribute_values(":seen", N(revision)))
    } else {
        ("attribute_not_exists(due_revision)", update)
    };
    let Some(at) = look else {
        return ("due_revision = :moved REMOVE due_shard, due_at", not_moved, update);
    };
    let update = update
        .expression_attribute_values(":shard", S(keys::due_shard(record.event.id.as_str())))
        .expression_attribute_values(":at", millis(at));
    ("due_revision = :moved, due_shard = :shard, due_at = :at", not_moved, update)
}

impl Store {
    /// Notes that an event could not be queued for its endpoints: the sweep does it.
    pub async fn queue_later(&self, id: &EventId, now: Timestamp) -> Result<(), StoreError> {
        let noted = self
            .update(&keys::event(id))
            .update_expression(
                "SET unqueued = :yes, due_shard = :shard, due_at = :now, \
                 due_revision = if_not_exists(due_revision, :none) + :one",
            )
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":shard", S(keys::due_shard(id.as_str())))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":none", N(0))
            .expression_attribute_values(":one", N(1))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }

    /// Moves the time at which the sweep looks at an event; `None`: nothing of it is due. First attempts are queued by then.
    /// An event that was moved since it was read is left alone.
    pub async fn look_again(&self, record: &EventRecord, at: Option<Timestamp>) -> Result<(), StoreError> {
        let (move_to, not_moved, update) = moving(record, at, self.update(&keys::event(&record.event.id)));
        let queued = if at.is_some() { " REMOVE unqueued" } else { ", unqueued" };
        let moved = update
            .update_expression(format!("SET {move_to}{queued}"))
            .condition_expression(format!("attribute_exists(pk) AND {not_moved}"))
            .send_write()
            .await;
        conditional("UpdateItem", moved).map(drop)
    }
}
