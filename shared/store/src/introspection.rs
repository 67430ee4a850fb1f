//! What introspection (RFC 7662) told: whether an app may ask about its tokens, and since when Salesforce answers without
//! saying what it knows of one.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::{
    AppAt, N, S, Store, StoreError,
    connections::ConnectionRecord,
    expression::Expression,
    keys, millis,
    write::{SendWrite, conditional},
};

impl Store {
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
