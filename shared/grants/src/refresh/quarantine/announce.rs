//! The event of an answer that is in quarantine.

use domain::{Event, EventId, EventType, SaturatingTime as _, event::EventData};
use jiff::SignedDuration;
use platform::Deadline;
use store::{Origin, Quarantined, StoreError, events::QUEUED_BY_SWEEP};

use crate::refresh::Refresher;

/// How long an answer is announced after it was quarantined. The sweep sees it every five minutes.
const ANNOUNCED: SignedDuration = SignedDuration::from_hours(24);

impl Refresher {
    /// Tells the product once that an answer is in quarantine. The fallback table has no stream, so the sweep does.
    pub(super) async fn announce(
        &self,
        quarantined: &Quarantined,
        time: &Deadline,
    ) -> Result<(), StoreError> {
        let now = time.now();
        if quarantined.quarantined_at.later_by(ANNOUNCED) < now {
            return Ok(());
        }
        let store = &self.platform.store;
        let kind = EventType::QuarantineAdded;
        let point = quarantined.quarantined_at.as_millisecond().to_string();
        let id = EventId::of(kind, quarantined.connection.as_str(), &point);
        if store.get_event(&id, now).await?.is_some() {
            return Ok(());
        }
        // The connection of an import or an exchange does not exist yet.
        let record = match quarantined.origin {
            Origin::Refresh => store.connection(&quarantined.connection).await?,
            Origin::Import | Origin::Exchange => None,
        };
        let connection = record.map(|record| record.connection);
        let import = quarantined.import.as_ref();
        let customer = connection.as_ref().map(|connection| &connection.customer);
        let mut event = Event {
            id,
            kind,
            product: quarantined.product.clone(),
            at: quarantined.quarantined_at,
            sequence: None,
            data: EventData {
                app: Some(quarantined.app.clone()),
                customer: customer.or(import.map(|import| &import.customer)).cloned(),
                environment: connection
                    .as_ref()
                    .map(|connection| connection.environment)
                    .or(import.map(|import| import.environment)),
                org: connection.as_ref().map(|connection| connection.identity.org.clone()),
                connection: connection.map(|connection| connection.id),
                cause: Some(quarantined.reason.clone()),
                actor: Some(diagnosis::Actor::Vendor.word().to_owned()),
                ..EventData::default()
            },
        };
        event.data.message = Some(diagnosis::event_message(&event));
        let queue_at = Some(time.now().later_by(QUEUED_BY_SWEEP));
        store.put_event_to_queue(&event, queue_at, time.now()).await.map(drop)
    }
}
