//! Failures, and the counter of callbacks that belong to nobody.

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem};
use domain::{Failure, FailureId, secret::Hash};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::write::SendWrite;
use crate::{
    Item, N, S, Store, StoreError,
    item::{from_item, to_item},
    keys, millis, ttl,
    write::{built, conditional},
};

/// How long a failure and its help page are kept.
pub const FAILURE_KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// A day's stray callbacks are counted up to here: strangers cannot make the counter cost more.
const MAX_STRAYS: u32 = 10_000;

/// How long it is known that something was met before.
const NOTED_KEPT: SignedDuration = SignedDuration::from_hours(48);

/// What became of noting a failure.
#[derive(Debug, PartialEq, Eq)]
pub enum NoteOutcome {
    /// It is recorded.
    New,
    /// The same was recorded a moment ago, as this failure.
    Before(FailureId),
    /// This subject has had too many today.
    TooMany,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotedRow {
    failure: FailureId,
    at: i64,
}

impl Store {
    /// The failure of that id, while it is kept.
    pub async fn failure(&self, id: &FailureId, now: Timestamp) -> Result<Option<Failure>, StoreError> {
        self.get_failure(id, false, now).await
    }

    /// [`Store::failure`], by a strongly consistent read: a write of a moment ago is seen.
    pub async fn failure_now(&self, id: &FailureId, now: Timestamp) -> Result<Option<Failure>, StoreError> {
        self.get_failure(id, true, now).await
    }

    async fn get_failure(
        &self,
        id: &FailureId,
        consistently: bool,
        now: Timestamp,
    ) -> Result<Option<Failure>, StoreError> {
        let key = keys::failure(id);
        let item = self.get(&key, consistently).await?;
        let Some(item) = item else { return Ok(None) };
        let failure: Failure = from_item(&key.pk, item)?;
        Ok((now < failure.at + FAILURE_KEPT).then_some(failure))
    }

    /// The failures of those ids (at most 100: `BatchGetItem`'s limit), as far as they are kept and DynamoDB answers for
    /// all at once.
    pub async fn failures(&self, ids: &[FailureId], now: Timestamp) -> Result<Vec<Failure>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: BTreeSet<&FailureId> = ids.iter().collect();
        let keys = keys.into_iter().map(keys::failure).collect();
        let answer = self.batch(keys, false).await?;
        let mut found = Vec::with_capacity(answer.items.len());
        for item in answer.items {
            let failure: Failure = from_item("a failure", item)?;
            if now < failure.at + FAILURE_KEPT {
                found.push(failure);
            }
        }
        Ok(found)
    }

    /// Records a failure that belongs to no connect session.
    pub async fn record_failure(&self, failure: &Failure) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(failure_item(failure)?))
            .send_write()
            .await
            .map(drop)
            .map_err(|error| StoreError::unavailable("PutItem", &error))
    }

    /// A failure's record as part of a transaction, with the change that it causes.
    pub(crate) fn failure_write(&self, failure: &Failure) -> Result<TransactWriteItem, StoreError> {
        built(Put::builder().table_name(&self.table).set_item(Some(failure_item(failure)?)).build())
    }

    /// The failure that the same report about the same subject made, if it was made after `since`.
    pub async fn noted(
        &self,
        subject: &str,
        what: &Hash,
        since: Timestamp,
    ) -> Result<Option<FailureId>, StoreError> {
        let key = keys::noted(subject, what);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        let noted: NotedRow = from_item(&key.pk, item)?;
        Ok((since.as_millisecond() < noted.at).then_some(noted.failure))
    }

    /// Records a failure that may be reported repeatedly about one subject (a connection or an earlier failure). The same
    /// report is recorded again only if the last one was before `since`, and a subject has at most `most` a day.
    pub async fn note_failure(
        &self,
        subject: &str,
        what: &Hash,
        failure: &Failure,
        since: Timestamp,
        most: u32,
    ) -> Result<NoteOutcome, StoreError> {
        let key = keys::noted(subject, what);
        let row = NotedRow { failure: failure.id.clone(), at: failure.at.as_millisecond() };
        let mut item = to_item(&key, &row)?;
        item.insert("ttl".into(), ttl(failure.at + NOTED_KEPT));
        let mark = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR #at <= :since")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":since", millis(since))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build();
        let count = self
            .update_together(&keys::noted_today(subject, failure.at))
            .update_expression("SET #ttl = :ttl ADD met :one")
            .condition_expression("attribute_not_exists(met) OR met < :most")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", ttl(failure.at + NOTED_KEPT))
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(most))
            .build();
        let writes = vec![built(mark)?, self.failure_write(failure)?, built(count)?];
        let Err(reasons) = self.transact(writes).await? else { return Ok(NoteOutcome::New) };
        match reasons.into_iter().next().and_then(|reason| reason.item) {
            Some(before) => Ok(NoteOutcome::Before(from_item::<NotedRow>(&key.pk, before)?.failure)),
            None => Ok(NoteOutcome::TooMany),
        }
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
            .send_write()
            .await;
        conditional("UpdateItem", counted).map(drop)
    }
}

fn failure_item(failure: &Failure) -> Result<Item, StoreError> {
    let key = keys::failure(&failure.id);
    let mut item = to_item(&key, failure)?;
    let reference = failure.id.reference();
    let day = failure.at.to_zoned(TimeZone::UTC).date();
    for (name, value) in [
        ("ttl", ttl(failure.at + FAILURE_KEPT)),
        ("listing_pk", S(keys::reference(&failure.product, &reference))),
        ("reference", S(reference)),
        ("failures_pk", S(keys::failures(&failure.product, day))),
        ("customer_pk", S(keys::customers_failures(&failure.product, &failure.customer.id))),
        ("listing_sk", S(failure.id.as_str())),
    ] {
        item.insert(name.into(), value);
    }
    Ok(item)
}
