//! Connections that stop: Salesforce refuses their refresh token, until the user or an admin acts.

use domain::{ConnectionId, EventType, Failure};
use jiff::{SignedDuration, Timestamp};

use crate::{
    S, Store, StoreError,
    connections::ConnectionRecord,
    events::EVENT_OVERDUE,
    expression::Expression,
    keys, millis,
    revisions::{FAILING, Raising as _, raise},
    write::{SendWrite, built, conditional},
};

/// What [`Store::stop_connection`] changes, and what it ends.
const STOP: &str = "SET #state = :to, since = :at, failure = :failure, refused_at = :at";

const NO_REFRESH: &str = "REMOVE lease_until, began_at, began_epoch, recovered_at, paused_until, paused_for, \
                          not_before, refusals, unexplained_since, retry_cause, retry_failure";

const LOOK_AGAIN: &str = "due_shard = :shard, due_at = :due";

/// How often the sweep sees whether an admin has lifted what blocks a connection.
const LOOK_AT_BLOCKED: SignedDuration = SignedDuration::from_hours(6);

/// What is said of a connection whose refresh token was refused, in an update of its own and in a transaction's.
trait Refused: Expression {
    /// On condition that the refresh token is still the one that was sent, and may be used.
    fn sent_by(self, record: &ConnectionRecord) -> Self {
        let of_sent = match &record.refresh_fingerprint {
            Some(_) => "refresh_fingerprint = :sent",
            None => "attribute_not_exists(refresh_fingerprint)",
        };
        let this = self
            .on_condition(&format!("#state IN (:active, :blocked, :unknown) AND {of_sent}"))
            .living_states();
        match &record.refresh_fingerprint {
            Some(sent) => this.value(":sent", S(sent.as_str())),
            None => this,
        }
    }

    /// The values of [`LOOK_AGAIN`].
    fn looked_at_again(self, id: &ConnectionId, at: Timestamp) -> Self {
        self.value(":shard", S(keys::due_shard(id.as_str()))).value(":due", millis(at))
    }
}

impl<E: Expression> Refused for E {}

impl Store {
    /// A blocked connection was refused once more, for the same cause: since when, and by which failure, stays.
    /// `false`: a reconnect or another refresh came between.
    pub async fn refused_again(&self, record: &ConnectionRecord, now: Timestamp) -> Result<bool, StoreError> {
        let again = self
            .update(&keys::connection(&record.connection.id))
            .sent_by(record)
            .update_expression(format!("SET refused_at = :at, {LOOK_AGAIN} {NO_REFRESH}"))
            .expression_attribute_values(":at", millis(now))
            .looked_at_again(&record.connection.id, now + LOOK_AT_BLOCKED)
            .send_write()
            .await;
        conditional("UpdateItem", again).map(|written| written.is_ok())
    }

    /// Moves an active connection to the state that a permanent refusal means, and records the failure,
    /// both or neither. A reconnect or another refresh in between wins: the refresh token must still be the
    /// one that was refused.
    pub async fn stop_connection(
        &self,
        record: &ConnectionRecord,
        to: &domain::ConnectionState,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let mut update = self
            .update_together(&keys::connection(&record.connection.id))
            .sent_by(record)
            .expression_attribute_values(":to", S(to.word()))
            .expression_attribute_values(":at", millis(failure.at))
            .expression_attribute_values(":failure", S(failure.id.as_str()))
            .raising_as(if matches!(to, domain::ConnectionState::Blocked { .. }) {
                EventType::ConnectionBlocked
            } else {
                EventType::ConnectionReauthorizationNeeded
            })
            .failing();
        let stop = format!("{STOP}, {FAILING}, {}", raise(":at"));
        // Only what can come back by itself is refreshed again. The other is looked at once, when its event must have been
        // recorded.
        let look = if matches!(to, domain::ConnectionState::Blocked { .. }) {
            LOOK_AT_BLOCKED
        } else {
            EVENT_OVERDUE
        };
        update = update
            .update_expression(format!("{stop}, {LOOK_AGAIN} {NO_REFRESH}"))
            .looked_at_again(&record.connection.id, failure.at + look);
        Ok(self.transact(vec![built(update.build())?, self.failure_write(failure)?]).await?.is_ok())
    }
}
