//! A success resolves the failures of the same customer and app that are unresolved.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{FailureId, failure::Resolved};
use std::collections::HashMap;

use crate::{
    Item, N, S, Store, StoreError,
    failures::FAILURE_KEPT,
    item::{from_item, time_in},
    keys::{self, Key},
    millis, ttl,
    unresolved_failures::{COUNT, Open, OpenRow, Party, REFRESH, SHARD_LAG, SUCCESS, Success, refresh_note},
    write::{SendWrite, conditional},
};

impl Store {
    /// Resolves what a success ends: how many failures.
    pub async fn note_success(&self, of: Party<'_>, success: &Success) -> Result<usize, StoreError> {
        let pk = keys::open(of.product, of.app, of.customer);
        if let Success::Connected { at, session, connection } = success {
            let mut set = "SET #at = :at, #ttl = :ttl".to_owned();
            let mut update = self
                .client
                .update_item()
                .table_name(&self.table)
                .key("pk", S(&pk))
                .key("sk", S(SUCCESS))
                .condition_expression("attribute_not_exists(#at) OR #at < :at")
                .expression_attribute_names("#at", "at")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":at", millis(*at))
                .expression_attribute_values(":ttl", ttl(*at + FAILURE_KEPT));
            if let Some(session) = session {
                set.push_str(", #session = :session");
                update = update
                    .expression_attribute_names("#session", "session")
                    .expression_attribute_values(":session", S(session.as_str()));
            }
            if let Some(connection) = connection {
                set.push_str(", #connection = :connection");
                update = update
                    .expression_attribute_names("#connection", "connection")
                    .expression_attribute_values(":connection", S(connection.as_str()));
            }
            // Refused: a later success is noted already.
            let _ = conditional("UpdateItem", update.update_expression(set).send_write().await)?;
        }
        if let Success::Refreshed { at, connection } = success {
            let key = refresh_note(&pk, connection);
            if self.get(&key, true).await?.is_none() {
                return Ok(0);
            }
            let noted = self
                .update(&key)
                .update_expression("SET refreshed_at = :at, #ttl = :ttl")
                .condition_expression(
                    "(attribute_not_exists(refreshed_at) OR refreshed_at = :at) AND #at <= :at",
                )
                .expression_attribute_names("#at", "at")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":at", millis(*at))
                .expression_attribute_values(":ttl", ttl(*at + SHARD_LAG))
                .send_write()
                .await;
            if conditional("UpdateItem", noted)?.is_err() {
                // It was refreshed before, and nothing has failed since; or it failed later.
                return Ok(0);
            }
        }
        let (all, counted) = self.all_open(&pk).await?;
        let found = all.len();
        let resolved = self.resolve_all(&pk, success, all).await?;
        if found < counted {
            self.recount_open(&pk, found - resolved).await?;
        }
        Ok(resolved)
    }

    /// Corrects the count, where a crash or an expiry left it too high.
    async fn recount_open(&self, pk: &str, left: usize) -> Result<(), StoreError> {
        let counted = self
            .update(&Key { pk: pk.to_owned(), sk: COUNT.into() })
            .update_expression("SET failures = :left")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":left", N(i128::try_from(left).unwrap_or_default()))
            .send_write()
            .await;
        conditional("UpdateItem", counted).map(drop)
    }

    /// What stands open in a partition, and how much is counted of it.
    pub(crate) async fn all_open(&self, pk: &str) -> Result<(Vec<Open>, usize), StoreError> {
        let (mut open, mut counted, mut start) = (Vec::new(), 0, None);
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", S(pk))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::unavailable("Query", &error))?;
            for item in page.items.unwrap_or_default() {
                let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).map(String::as_str).unwrap_or_default();
                if sk == COUNT {
                    counted = item.get("failures").and_then(|n| n.as_n().ok()?.parse().ok()).unwrap_or(0);
                }
                if sk == SUCCESS || sk == COUNT || sk.starts_with(REFRESH) {
                    continue;
                }
                let row: OpenRow = from_item(pk, item)?;
                let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
                open.push(Open {
                    id: row.sk.parse().map_err(|_| corrupt("not a failure"))?,
                    at: time_in(pk, row.at)?,
                    cause: row.cause.ok_or_else(|| corrupt("no cause"))?,
                    stage: row.stage.ok_or_else(|| corrupt("no stage"))?,
                    connection: row.connection,
                });
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok((open, counted));
            }
        }
    }

    /// Resolves what a success ends. The first failure of each cause tells how long the fix took; it comes last, so
    /// that whoever goes on from the middle still finds which was the first.
    pub(crate) async fn resolve_all(
        &self,
        pk: &str,
        success: &Success,
        all: Vec<Open>,
    ) -> Result<usize, StoreError> {
        let mut ended: Vec<Open> = all.into_iter().filter(|open| success.ends(open)).collect();
        ended.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        let firsts: HashMap<String, FailureId> =
            ended.iter().map(|open| (open.cause.clone(), open.id.clone())).collect();
        for open in &ended {
            let is_first = firsts.get(&open.cause) == Some(&open.id);
            let took = is_first.then(|| success.at().as_millisecond() - open.at.as_millisecond());
            self.resolve(pk, &open.id, &success.resolved(took)).await?;
        }
        Ok(ended.len())
    }

    async fn resolve(&self, pk: &str, id: &FailureId, resolved: &Resolved) -> Result<(), StoreError> {
        let corrupt =
            |error: serde_dynamo::Error| StoreError::Corrupt { pk: pk.to_owned(), what: error.to_string() };
        let mut value: Item = serde_dynamo::to_item(resolved).map_err(corrupt)?;
        value.retain(|_, value| !value.is_null());
        let resolved = self
            .update(&keys::failure(id))
            .update_expression("SET resolved = :resolved")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(resolved)")
            .expression_attribute_values(":resolved", AttributeValue::M(value))
            .send_write()
            .await;
        // Refused: it was resolved before, or is no longer kept. The note goes last: while it stands, this is done again.
        let _ = conditional("UpdateItem", resolved)?;
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", S(pk))
            .key("sk", S(id.as_str()))
            .condition_expression("attribute_exists(pk)")
            .send_write()
            .await;
        match conditional("DeleteItem", deleted)? {
            Ok(_) => self.uncount_open(pk).await,
            Err(_) => Ok(()),
        }
    }
}
