//! Webhook attempts that are due.

use domain::{EndpointId, EventId};
use jiff::Timestamp;
use platform::DueDelivery;
use store::Delivery;

use crate::{Outcome, Sweep, SweepError};

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
            store.look_again(&record, record.next_attempt()).await?;
            return Ok(Outcome::Nothing);
        }
        self.queue.send(&messages).await?;
        if record.is_unqueued {
            store.look_again(&record, record.next_attempt()).await?;
        }
        Ok(Outcome::Queued(u32::try_from(messages.len()).unwrap_or(u32::MAX)))
    }
}
