//! The operators' sign-in: a one-time link, then a session. The table holds the digests of both and no key.

use aws_sdk_dynamodb::types::Put;
use domain::{ProductId, secret::Hash};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Item, N, S, Store, StoreError, conditional,
    keys::{self, Key},
    millis,
    rows::{from_item, to_item},
    sessions::built,
    ttl,
};

/// What an operator may look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpsScope {
    /// One product; `None`: all of them.
    pub product: Option<ProductId>,
    /// The id of the API key that asked for it: it ends with the key.
    pub key: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpsRow {
    #[serde(flatten)]
    scope: OpsScope,
    expires_at: i64,
}

impl Store {
    /// Keeps a link by its digest, until then.
    pub async fn create_ops_link(
        &self,
        link: &Hash,
        scope: &OpsScope,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let item = ops_item(&keys::ops_link(link), scope, until)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
        put.map(drop).map_err(|error| StoreError::unavailable("PutItem", &error))
    }

    /// Whether a link still opens, without using it: mail scanners and previews open links too.
    pub async fn ops_link(&self, link: &Hash, now: Timestamp) -> Result<Option<OpsScope>, StoreError> {
        let key = keys::ops_link(link);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        if item.contains_key("claimed_at") {
            return Ok(None);
        }
        read(&key, item, now).map(|found| found.map(|(scope, _)| scope))
    }

    /// Uses a link: of any number of callers one gets the session, in the same write that marks the link.
    pub async fn claim_ops_link(
        &self,
        link: &Hash,
        session: &Hash,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<OpsScope>, StoreError> {
        let Some(scope) = self.ops_link(link, now).await? else { return Ok(None) };
        let claim = self
            .update_together(&keys::ops_link(link))
            .update_expression("SET claimed_at = :now")
            .condition_expression(
                "attribute_exists(pk) AND attribute_not_exists(claimed_at) AND expires_at > :now",
            )
            .expression_attribute_values(":now", millis(now));
        let item = ops_item(&keys::ops_session(session), &scope, until)?;
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let claimed = self.transact(vec![built(claim.build())?, built(put.build())?]).await?;
        Ok(claimed.is_ok().then_some(scope))
    }

    /// What the holder of a session may look at, and until when.
    pub async fn ops_session(
        &self,
        session: &Hash,
        now: Timestamp,
    ) -> Result<Option<(OpsScope, Timestamp)>, StoreError> {
        let key = keys::ops_session(session);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        read(&key, item, now)
    }

    /// Ends a session.
    pub async fn end_ops_session(&self, session: &Hash) -> Result<(), StoreError> {
        let key = keys::ops_session(session);
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", S(key.pk))
            .key("sk", S(key.sk))
            .send()
            .await;
        conditional("DeleteItem", deleted).map(drop)
    }

    /// The ids of the products that the operator's command has stored.
    pub async fn products(&self) -> Result<Vec<ProductId>, StoreError> {
        let item = self.get(&keys::products(), false).await?;
        let ids = item.and_then(|item| item.get("ids").and_then(|ids| ids.as_ss().ok().cloned()));
        let mut ids: Vec<ProductId> =
            ids.unwrap_or_default().iter().filter_map(|id| id.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// Adds a product to that list.
    pub async fn note_product(&self, id: &ProductId) -> Result<(), StoreError> {
        let ids = aws_sdk_dynamodb::types::AttributeValue::Ss(vec![id.to_string()]);
        let update = self.update(&keys::products()).update_expression("ADD ids :id");
        let noted = update.expression_attribute_values(":id", ids).send().await;
        conditional("UpdateItem", noted).map(drop)
    }
}

fn ops_item(key: &Key, scope: &OpsScope, until: Timestamp) -> Result<Item, StoreError> {
    let mut item = to_item(key, scope)?;
    item.insert("expires_at".into(), N(until.as_millisecond()));
    item.insert("ttl".into(), ttl(until));
    Ok(item)
}

/// What an item says, unless its time is over.
fn read(key: &Key, item: Item, now: Timestamp) -> Result<Option<(OpsScope, Timestamp)>, StoreError> {
    let row: OpsRow = from_item(&key.pk, item)?;
    let until = Timestamp::from_millisecond(row.expires_at).ok().filter(|until| now < *until);
    Ok(until.map(|until| (row.scope, until)))
}
