//! Grants of one Salesforce user for one consumer key, over all products: Salesforce keeps only the newest few.

use domain::{ConnectionId, SalesforceUserId};

use crate::{
    Item, S, Store, StoreError, connections::ConnectionRecord, keys, reconnects::Reconnect, schema::GRANTS,
};

impl Store {
    /// How many grants of this user to the app of this consumer key we hold, over all products: Salesforce ends
    /// the oldest when there are more than five (fact base 3.10). The index follows a write within moments.
    pub async fn grants(&self, consumer_key: &str, user: &SalesforceUserId) -> Result<usize, StoreError> {
        let items = self.grant_items(&keys::grants(consumer_key, user)).await?;
        Ok(items.iter().filter(|item| may_live(item)).count())
    }

    /// Whether another connection holds this record's refresh token: revoking the token would end that one too.
    pub async fn is_held_elsewhere(&self, record: &ConnectionRecord) -> Result<bool, StoreError> {
        let (Some(key), Some(fingerprint)) = (&record.grants_key, &record.refresh_fingerprint) else {
            return Ok(false);
        };
        let mut others = self.granted(key).await?;
        // The index may not have it yet; a moment ago it held the same grant.
        if let Some(Reconnect::New { of, .. } | Reconnect::Old { of }) = &record.reconnect
            && !others.contains(of)
        {
            others.push(of.clone());
        }
        for other in others.iter().filter(|other| **other != record.connection.id) {
            let held = self
                .connection(other)
                .await?
                .filter(|other| !matches!(other.connection.state, domain::ConnectionState::Revoking { .. }));
            if held.is_some_and(|held| held.refresh_fingerprint.as_ref() == Some(fingerprint)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The connections in one partition of index `grants`, but for those that are being revoked.
    pub(crate) async fn granted(&self, partition: &str) -> Result<Vec<ConnectionId>, StoreError> {
        let items = self.grant_items(partition).await?;
        Ok(items.iter().filter_map(|item| keys::connection_of(item.get("pk")?.as_s().ok()?)).collect())
    }

    /// What index `grants` has of one partition, but for connections that are being revoked.
    pub(crate) async fn grant_items(&self, partition: &str) -> Result<Vec<Item>, StoreError> {
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(GRANTS)
            .key_condition_expression("grants_pk = :partition")
            .filter_expression("#state <> :revoking")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":partition", S(partition))
            .expression_attribute_values(":revoking", S("revoking"))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))?;
        Ok(page.items.unwrap_or_default())
    }
}

/// Whether Salesforce may still keep the grant of an item of index `grants`. A connection that needs its user again has
/// lost its grant, so it takes none of Salesforce's five places.
pub(crate) fn may_live(item: &Item) -> bool {
    item.get("state") != Some(&S("needs_reauth"))
}
