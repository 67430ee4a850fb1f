//! Recorded events onto the EventBridge bus of the deployment.

use domain::Event;
use jiff::Timestamp;
use platform::EventBus;
use telemetry::{Metric, add};

use crate::outbox::{Outbox, Refused};

impl Outbox for EventBus {
    fn take<'a>(&'a self, events: &'a [Event], _: Timestamp) -> Refused<'a> {
        Box::pin(async move {
            let put = self.put(events).await;
            for id in put.never {
                // It would stop its shard for a day, and with it the webhooks of every product.
                add(Metric::UnreadableRecords, 1.0);
                tracing::error!(%id, "the bus never takes an event");
            }
            put.refused
        })
    }

    /// The bus of a deployment is not what a product's webhooks may depend on.
    fn is_optional(&self) -> bool {
        true
    }
}
