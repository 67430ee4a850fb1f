//! Events that no change of the table makes: of times that come, and of changes that the stream lost.

use domain::{
    App, ConnectionState, Event, EventId, EventType, ProductId, SaturatingTime as _, event::EventData,
};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, DueDelivery, log::internal};
use store::{
    ConnectionRecord, Due, Recorded, StoreError,
    events::{EVENT_OVERDUE, QUEUED_BY_SWEEP},
    waves::incident_event,
};

use crate::{Outcome, Sweep, SweepError};

/// How long before its end a product is told that a grant expires, the last warning first.
const WARNINGS: [SignedDuration; 2] = [SignedDuration::from_hours(24), SignedDuration::from_hours(7 * 24)];

/// How long a missed event of a connection that gives no token is looked for. Well before events are deleted: one that is
/// gone was not missed.
const LOOKED_FOR: SignedDuration = SignedDuration::from_hours(20 * 24);

/// The same of a connection that works. It is looked at 25 hours after each change, used meanwhile or not.
const LOOKED_FOR_WHILE_ACTIVE: SignedDuration = SignedDuration::from_hours(3 * 24);

impl Sweep {
    /// Tells what is to be told of a connection that is looked at. What fails is tried again the next time it is.
    pub(crate) async fn tell(&self, record: &ConnectionRecord, app: &App, time: &Deadline) {
        let told = async {
            self.warn_of_expiry(record, app, time).await?;
            self.tell_missed(record, time).await
        };
        if let Err(error) = told.await {
            internal(&error);
        }
    }

    /// A grant that nobody can use ends at the app's idle limit. Half of that is left when it is kept alive, so there is
    /// nothing to warn of before.
    async fn warn_of_expiry(
        &self,
        record: &ConnectionRecord,
        app: &App,
        time: &Deadline,
    ) -> Result<(), SweepError> {
        let now = time.now();
        let expires_at = record.issued_at.later_by(app.idle_life());
        let kept_alive_at = record.issued_at.later_by(app.keep_alive());
        let due = WARNINGS.map(|ahead| expires_at.earlier_by(ahead));
        let Some(due) = due.into_iter().find(|due| *due <= now).filter(|due| kept_alive_at < *due) else {
            return Ok(());
        };
        if expires_at <= now {
            return Ok(());
        }
        let kind = EventType::ConnectionExpiring;
        let id = EventId::of(kind, record.connection.id.as_str(), &due.as_millisecond().to_string());
        let mut event = self.event_of(record, kind, id, due);
        event.data.expires_at = Some(expires_at);
        self.record(event, time).await?;
        Ok(())
    }

    /// A change whose event is not recorded after a day will never be: its record in the stream is gone.
    /// `notify` may still be down, so this event does not wait for the stream: it is queued here.
    pub(crate) async fn tell_missed(
        &self,
        record: &ConnectionRecord,
        time: &Deadline,
    ) -> Result<(), SweepError> {
        let now = time.now();
        let Some(changed_at) = record.revision.at.filter(|_| record.reconnect.is_none()) else {
            return Ok(());
        };
        let looked_for = match record.connection.state {
            ConnectionState::Active => LOOKED_FOR_WHILE_ACTIVE,
            _ => LOOKED_FOR,
        };
        if now < changed_at.later_by(EVENT_OVERDUE) || changed_at.later_by(looked_for) < now {
            return Ok(());
        }
        let id = EventId::of_connection(&record.connection.id, record.revision.number);
        let event = self.event_of(record, EventType::ConnectionStateChanged, id, changed_at);
        if self.record(event.clone(), time).await? == Recorded::New
            && let Some(product) = self.platform.products.get(&event.product, now).await?
        {
            self.queue.send(&DueDelivery::first_attempts(&product, &event)).await?;
        }
        Ok(())
    }

    /// Tells that an incident is over, and looks at its wave no more.
    pub(crate) async fn end_incident(
        &self,
        (product, sk): (&ProductId, &str),
        seen: Timestamp,
        time: &Deadline,
    ) -> Result<Outcome, StoreError> {
        let store = &self.platform.store;
        match store.ended_incident(product, sk, time.now()).await? {
            Err(over_at) => {
                store.put_off(&Due::Wave(product.clone(), sk.to_owned()), seen, over_at).await?;
            }
            Ok(Some(ended)) => {
                let kind = EventType::IncidentEnded;
                let mut event =
                    incident_event(kind, product, sk, &ended.cause, ended.incident, ended.over_at);
                let cause = diagnosis::cause(&ended.cause);
                let known = if cause.is_some_and(diagnosis::Cause::depends_on_owner) {
                    self.platform.products.get(product, time.now()).await?
                } else {
                    None
                };
                let actor = diagnosis::event_actor(&event, known.as_deref());
                event.data.actor = actor.map(|actor| actor.word().to_owned());
                self.record(event, time).await?;
                store.wave_not_due(product, sk, ended.counted_since).await?;
            }
            Ok(None) => {}
        }
        Ok(Outcome::Nothing)
    }

    /// No change of the table brings these events again, so a look of the sweep is part of the item: it queues what the
    /// stream lost. Reads first: most of what is due to be told was told by an earlier run, and a refused write costs more.
    async fn record(&self, mut event: Event, time: &Deadline) -> Result<Recorded, StoreError> {
        let store = &self.platform.store;
        if store.get_event(&event.id, time.now()).await?.is_some() {
            return Ok(Recorded::Before);
        }
        if let Some(id) = &event.data.failure
            && let Some(failure) = store.failure_now(id, time.now()).await?
        {
            let cause = diagnosis::cause(&failure.cause);
            event.data.actor = cause.map(|cause| cause.actor.word().to_owned());
            event.data.cause = Some(failure.cause);
            event.data.incident = failure.incident.map(|incident| incident.id);
        }
        event.data.message = Some(diagnosis::event_message(&event));
        let queue_at = Some(time.now().later_by(QUEUED_BY_SWEEP));
        let recorded = store.put_event_to_queue(&event, queue_at, time.now()).await?;
        if recorded == Recorded::New {
            tracing::info!(event = event.kind.as_str(), "recorded");
        }
        Ok(recorded)
    }

    fn event_of(&self, record: &ConnectionRecord, kind: EventType, id: EventId, at: Timestamp) -> Event {
        let connection = &record.connection;
        let failure = match &connection.state {
            ConnectionState::Blocked { failure, .. } | ConnectionState::NeedsReauth { failure, .. } => {
                Some(failure.clone())
            }
            _ => record.backoff.as_ref().and_then(|backoff| backoff.failure.clone()),
        };
        let page = |failure| self.platform.settings.public_url.at(&format!("/help/{failure}"));
        Event {
            id,
            kind,
            product: connection.product.clone(),
            at,
            sequence: Some(record.revision.number),
            data: EventData {
                app: Some(connection.app.clone()),
                customer: Some(connection.customer.clone()),
                environment: Some(connection.environment),
                org: Some(connection.identity.org.clone()),
                connection: Some(connection.id.clone()),
                state: Some(connection.state.word().to_owned()),
                session: connection.session.clone(),
                help: failure.as_ref().map(page),
                failure,
                ..EventData::default()
            },
        }
    }
}
