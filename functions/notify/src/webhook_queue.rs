//! Recorded events into the queue of webhooks: a message for each endpoint of the product that receives the event.

use domain::{Event, EventId, EventType};
use jiff::Timestamp;
use platform::{DeliveryQueue, DueDelivery, Products, log::internal};

use crate::outbox::{Outbox, Refused};

/// Puts events into the queue of webhooks.
#[derive(Debug, Clone)]
pub struct WebhookQueue {
    products: Products,
    queue: DeliveryQueue,
}

impl WebhookQueue {
    /// The endpoints of these products, and this queue.
    pub fn new(products: Products, queue: DeliveryQueue) -> Self {
        Self { products, queue }
    }

    /// Queues an event for every endpoint that receives it.
    async fn add(
        &self,
        event: &Event,
        now: Timestamp,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let product = if event.kind == EventType::WebhookTest {
            // Who adds an endpoint tests it: it may not be in the cached product file yet.
            self.products.get_now(&event.product, now).await?
        } else {
            self.products.get(&event.product, now).await?
        };
        let Some(product) = product else { return Ok(()) };
        Ok(self.queue.send(&DueDelivery::first_attempts(&product, event)).await?)
    }
}

impl Outbox for WebhookQueue {
    /// An event that cannot be queued, since the queue refuses it or its product cannot be read, waits in the table for the
    /// sweep. It is refused only if the table does not take that note either: then nothing could be recorded anyway.
    fn take<'a>(&'a self, events: &'a [Event], now: Timestamp) -> Refused<'a> {
        Box::pin(async move {
            let mut refused: Vec<EventId> = Vec::new();
            for event in events {
                let Err(error) = self.add(event, now).await else { continue };
                internal(&*error);
                if let Err(error) = self.products.store().queue_later(&event.id, now).await {
                    internal(&error);
                    refused.push(event.id.clone());
                }
            }
            refused
        })
    }
}
