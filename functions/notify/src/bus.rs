//! Recorded events onto the EventBridge bus of the deployment.

use domain::Event;
use platform::{EventBus, event_bus::BusError, log::internal};
use telemetry::{Metric, add};

use crate::outbox::{Outbox, Refused};

impl Outbox for EventBus {
    fn take<'a>(&'a self, events: &'a [Event]) -> Refused<'a> {
        Box::pin(async move {
            let put = self.put(events).await;
            for id in put.too_large {
                // It would stop its shard for a day.
                add(Metric::UnreadableRecords, 1.0);
                tracing::error!(%id, "an event is too large for the bus");
                internal(&BusError { code: "TooLarge".to_owned() });
            }
            put.refused
        })
    }
}
