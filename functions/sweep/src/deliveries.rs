//! Webhook attempts that are due.

use domain::{EndpointId, EventId, SaturatingTime as _};
use jiff::{SignedDuration, Timestamp};
use platform::DueDelivery;
use store::Delivery;

use crate::{Outcome, Sweep, SweepError};

/// An attempt that has been due for so long was queued by the run before, and waits in the queue: its endpoint's lane is
/// behind. It is left alone for a while, or each run would queue all that waits once more, and would look late itself.
const QUEUED_BEFORE: SignedDuration = SignedDuration::from_mins(5);

impl Sweep {
    /// Queues the attempts of an event that are due. Most often nothing is written: the attempt itself moves the event's due
    /// time, and until then a message that is sent again is a duplicate, which the queue drops or `deliver` ignores.
    pub(crate) async fn queue_deliveries(&self, id: &EventId, now: Timestamp) -> Result<Outcome, SweepError> {
        let store = &self.platform.store;
        let Some(record) = store.event_record(id).await? else { return Ok(Outcome::Nothing) };
        let due = |(endpoint, delivery): (&EndpointId, &Delivery)| {
            let due_at = delivery.due_at().filter(|due_at| *due_at <= now)?;
            Some(DueDelivery {
                product: record.event.product.clone(),
                endpoint: endpoint.clone(),
                event: id.clone(),
                due_at: Some(due_at),
            })
        };
        let mut messages: Vec<DueDelivery> = record.deliveries.iter().filter_map(due).collect();
        if record.is_unqueued
            && let Some(product) = self.platform.products.get_now(&record.event.product, now).await?
        {
            let first = DueDelivery::first_attempts(&product, &record.event);
            messages
                .extend(first.into_iter().filter(|first| !record.deliveries.contains_key(&first.endpoint)));
        }
        if messages.is_empty() {
            // Attempts that ended may leave an early time, at which nothing is due anymore.
            store.look_again(&record, record.next_look(now)).await?;
            return Ok(Outcome::Nothing);
        }
        self.queue.send(&messages).await?;
        let waits = record.next_attempt().is_some_and(|due_at| due_at.later_by(QUEUED_BEFORE) <= now);
        if record.is_unqueued || waits {
            store.look_again(&record, record.next_look(now)).await?;
        }
        Ok(Outcome::Queued(u32::try_from(messages.len()).unwrap_or(u32::MAX)))
    }
}
