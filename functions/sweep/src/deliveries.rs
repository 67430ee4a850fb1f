//! Webhook attempts that are due.

use domain::{EndpointId, EventId};
use jiff::Timestamp;
use platform::DueDelivery;
use store::Delivery;

use crate::{Outcome, Sweep, SweepError};

impl Sweep {
    /// Queues the attempts of an event that are due. Nothing is written: the attempt itself moves the event's due time,
    /// and until then a message that is sent again is a duplicate, which the queue drops or `deliver` ignores.
    pub(crate) async fn queue_deliveries(
        &self,
        id: &EventId,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<Outcome, SweepError> {
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
        let messages: Vec<DueDelivery> = record.deliveries.iter().filter_map(due).collect();
        if messages.is_empty() {
            // Two attempts that ended at once may leave a time at which nothing is due anymore.
            let next = record.deliveries.values().filter_map(Delivery::due_at).min();
            match next {
                Some(next) => store.put_off(&store::Due::Event(id.clone()), seen, next).await?,
                None => store.event_not_due(id, seen).await?,
            }
            return Ok(Outcome::Nothing);
        }
        self.queue.send(&messages).await?;
        Ok(Outcome::Queued(u32::try_from(messages.len()).unwrap_or(u32::MAX)))
    }
}
