//! Failures, and the counter of callbacks that belong to nobody.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::{Failure, FailureId};
use jiff::{SignedDuration, Timestamp};

use crate::{Item, N, S, Store, StoreError, conditional, keys, sessions::built, ttl};

/// How long a failure and its help page are kept.
pub const FAILURE_KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// A day's stray callbacks are counted up to here: strangers cannot make the counter cost more.
const MAX_STRAYS: u32 = 10_000;

impl Store {
    /// The failure of that id, while it is kept.
    pub async fn failure(&self, id: &FailureId, now: Timestamp) -> Result<Option<Failure>, StoreError> {
        let key = keys::failure(id);
        let item = self.get(&key, false).await?;
        let Some(item) = item else { return Ok(None) };
        let failure: Failure = serde_dynamo::from_item(item)
            .map_err(|error| StoreError::Corrupt { pk: key.pk, what: error.to_string() })?;
        Ok((now < failure.at + FAILURE_KEPT).then_some(failure))
    }

    /// Records a failure that belongs to no connect session.
    pub async fn record_failure(&self, failure: &Failure) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(failure_item(failure)?))
            .send()
            .await
            .map(drop)
            .map_err(|error| StoreError::unavailable("PutItem", &error))
    }

    /// A failure's record as part of a transaction, with the change that it causes.
    pub(crate) fn failure_write(&self, failure: &Failure) -> Result<TransactWriteItem, StoreError> {
        built(Put::builder().table_name(&self.table).set_item(Some(failure_item(failure)?)).build())
    }

    /// Counts a callback without a known attempt and browser. Nothing of it is kept.
    pub async fn count_stray(&self, now: Timestamp) -> Result<(), StoreError> {
        let key = keys::stray(now);
        let counted = self
            .update(&key)
            .update_expression("SET #ttl = :ttl ADD callbacks :one")
            .condition_expression("attribute_not_exists(callbacks) OR callbacks < :most")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", ttl(now + FAILURE_KEPT))
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(MAX_STRAYS))
            .send()
            .await;
        conditional("UpdateItem", counted).map(drop)
    }
}

fn failure_item(failure: &Failure) -> Result<Item, StoreError> {
    let key = keys::failure(&failure.id);
    let mut item: Item = serde_dynamo::to_item(failure)
        .map_err(|error| StoreError::Corrupt { pk: key.pk.clone(), what: error.to_string() })?;
    item.insert("pk".into(), S(key.pk));
    item.insert("sk".into(), S(key.sk));
    item.insert("v".into(), N(1));
    item.insert("ttl".into(), ttl(failure.at + FAILURE_KEPT));
    item.insert("reference".into(), S(failure.id.reference()));
    Ok(item)
}
