//! What is learned about a connection outside its refreshes: how long its tokens live, whether anybody uses them, and that
//! refreshing does not help.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{EventType, Failure, LearntLife, SaturatingTime as _};
use jiff::Timestamp;

use crate::write::SendWrite;
use crate::{
    N, S, Store, StoreError,
    clocks::MAX_SKEW,
    connections::ConnectionRecord,
    expression::Expression,
    item::duration,
    keys, millis,
    revisions::{FAILING, Raising as _, raise},
    write::{built, conditional},
};

impl Store {
    /// Corrects until when an access token is taken to work, once Salesforce has been asked. A token that has
    /// been replaced since is left alone, and so is a connection that stopped or was deleted: when it is due is another
    /// matter then.
    pub async fn learn_life(
        &self,
        record: &ConnectionRecord,
        learnt: LearntLife,
        expires_at: Timestamp,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let updated = self
            .update(&keys::connection(&record.connection.id))
            .update_expression(
                "SET learnt_life = :life, learnt_from = :from, expiry_basis = :from, expires_at = :expires, due_at = :due",
            )
            .condition_expression(
                "#state IN (:active, :blocked, :unknown) AND access_fingerprint = :access \
                 AND attribute_exists(due_shard)",
            )
            .living_states()
            .value(":life", N(duration(learnt.life)))
            .value(":from", S(learnt.basis.word()))
            .value(":expires", millis(expires_at))
            .value(":due", millis(due))
            .value(":access", S(record.access_fingerprint.as_str()))
            .send_write()
            .await;
        conditional("UpdateItem", updated).map(drop)
    }

    /// Notes that somebody asks for a token that the sweep fetched: it will be fetched ahead again.
    pub async fn mark_asked(&self, record: &ConnectionRecord, due: Timestamp) -> Result<(), StoreError> {
        let marked = self
            .update(&keys::connection(&record.connection.id))
            .update_expression("SET unasked = :no, due_at = :due")
            .condition_expression(
                "#state IN (:active, :blocked, :unknown) AND access_fingerprint = :access AND unasked = :yes",
            )
            .living_states()
            .value(":no", AttributeValue::Bool(false))
            .value(":yes", AttributeValue::Bool(true))
            .value(":due", millis(due))
            .value(":access", S(record.access_fingerprint.as_str()))
            .send_write()
            .await;
        conditional("UpdateItem", marked).map(drop)
    }

    /// Pauses refreshing because it is no cure, and records the failure, both or neither. Of any number of
    /// callers with the same rejected token one does it: `false` for the others.
    pub async fn pause_refreshing(
        &self,
        record: &ConnectionRecord,
        until: Timestamp,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let told = record.revision.is_failing;
        let pause = self
            .update_together(&keys::connection(&record.connection.id))
            .update_expression(format!(
                "SET paused_until = :until, paused_for = :failure, rejections = :none{}",
                if told { String::new() } else { format!(", {FAILING}, {}", raise(":now")) }
            ))
            .condition_expression(
                "#state IN (:active, :blocked, :unknown) AND access_fingerprint = :access \
                 AND (attribute_not_exists(paused_until) OR paused_until <= :now OR paused_until > :too_late)",
            )
            .living_states()
            .value(":until", millis(until))
            .value(":too_late", millis(until.later_by(MAX_SKEW)))
            .value(":failure", S(failure.id.as_str()))
            .value(":none", N(0))
            .value(":access", S(record.access_fingerprint.as_str()))
            .value(":now", millis(failure.at));
        let pause =
            if told { pause } else { pause.raising_as(EventType::ConnectionRefreshFailing).failing() };
        Ok(self.transact(vec![built(pause.build())?, self.failure_write(failure)?]).await?.is_ok())
    }
}
