//! What introspection (RFC 7662) told: whether an app may ask about its tokens, and since when Salesforce answers without
//! saying what it knows of one.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::SaturatingTime as _;
use jiff::{SignedDuration, Timestamp};

use crate::{
    AppAt, N, S, Store, StoreError,
    connections::ConnectionRecord,
    expression::Expression,
    imports::{Import, ImportState},
    keys, millis,
    write::{SendWrite, conditional},
};

impl Store {
    /// Records when the last sending of an import's token was found to be unanswered. `false`: another caller has found it,
    /// or the import goes on.
    pub async fn note_import_unanswered(&self, import: &Import, at: Timestamp) -> Result<bool, StoreError> {
        let noted = self
            .update(&keys::import(&import.product, &import.mark))
            .update_expression("SET looked_at = :at")
            .condition_expression("#state = :begun AND sender = :sender AND attribute_not_exists(looked_at)")
            .name("#state", "state")
            .value(":begun", S(ImportState::Begun.word()))
            .value(":sender", S(&import.sender))
            .value(":at", millis(at))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(|written| written.is_ok())
    }

    /// Reserves the one question of that time about the token of an import that was sent twice and not answered. `false`:
    /// another caller has it, or the import goes on. A question that is not answered ends the time of
    /// [`Import::unsaid_since`].
    pub async fn begin_import_question(
        &self,
        import: &Import,
        wait: SignedDuration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let begun = self
            .update(&keys::import(&import.product, &import.mark))
            .update_expression("SET asked_at = :now REMOVE unsaid_since")
            .condition_expression(
                "#state = :begun AND sender = :sender AND (attribute_not_exists(asked_at) \
                 OR asked_at <= :before OR asked_at > :ahead)",
            )
            .name("#state", "state")
            .value(":begun", S(ImportState::Begun.word()))
            .value(":sender", S(&import.sender))
            .value(":now", millis(now))
            .value(":before", millis(now.earlier_by(wait)))
            .value(":ahead", millis(now.later_by(wait)))
            .send_write()
            .await;
        conditional("UpdateItem", begun).map(|written| written.is_ok())
    }

    /// Records since when Salesforce does not say what it knows of the token of an import.
    pub async fn note_import_unsaid(&self, import: &Import, since: Timestamp) -> Result<(), StoreError> {
        let noted = self
            .update(&keys::import(&import.product, &import.mark))
            .update_expression("SET unsaid_since = :since")
            .condition_expression("#state = :begun AND sender = :sender")
            .name("#state", "state")
            .value(":begun", S(ImportState::Begun.word()))
            .value(":sender", S(&import.sender))
            .value(":since", millis(since))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }

    /// Records that Salesforce said of one of the app's tokens that it is active: the app may ask, so its *no* counts too.
    pub async fn note_introspects(&self, app: AppAt<'_>) -> Result<(), StoreError> {
        let noted = self
            .update(&keys::app_health(app))
            .update_expression("SET introspects = :yes")
            .condition_expression("attribute_not_exists(introspects)")
            .value(":yes", AttributeValue::Bool(true))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }

    /// Records since when Salesforce does not say what it knows of the token, after the question that
    /// [`put_off_recovery`](Store::put_off_recovery) reserved until then.
    pub async fn note_unsaid(
        &self,
        record: &ConnectionRecord,
        until: Timestamp,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let noted = self
            .update(&keys::connection(&record.connection.id))
            .update_expression("SET unexplained_since = :since")
            .condition_expression("#state = :unknown AND epoch = :epoch AND not_before = :until")
            .name("#state", "state")
            .value(":unknown", S("refresh_unknown"))
            .value(":epoch", N(record.epoch))
            .value(":until", millis(until))
            .value(":since", millis(since))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }
}
