//! Which connections wait for somebody: each from the moment it stops until it works again, is connected anew or is
//! deleted.
//!
//! Written from the table's stream, whose records may come again: an entry is named by the connection and the time it
//! stopped, and one that has ended stays marked for a while, so that whatever comes again does not begin it anew.

use domain::{AppId, ConnectionId, Customer, Environment, FailureId, ProductId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::write::SendWrite;
use crate::{
    S, Store, StoreError,
    item::{from_item, time_in, to_item},
    keys, millis, ttl,
    write::conditional,
};

/// Longer than a stream keeps its records.
const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(72);

/// A connection that waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needy {
    /// The connection.
    pub connection: ConnectionId,
    /// Its app.
    pub app: AppId,
    /// Which kind of host it signs in at.
    pub environment: Environment,
    /// Its customer.
    pub customer: Customer,
    /// Since when.
    pub since: Timestamp,
    /// What stopped it.
    pub failure: FailureId,
}

#[derive(Debug, Serialize, Deserialize)]
struct NeedyRow {
    connection: ConnectionId,
    app: AppId,
    environment: Environment,
    customer: Customer,
    since: i64,
    failure: FailureId,
}

impl Store {
    /// Notes that a connection waits, unless that has ended since.
    pub async fn note_needy(&self, product: &ProductId, needy: &Needy) -> Result<(), StoreError> {
        let Needy { connection, app, environment, customer, since, failure } = needy.clone();
        let key = keys::needy(product, since, &connection);
        let since = since.as_millisecond();
        let row = NeedyRow { connection, app, environment, customer, since, failure };
        let put = self.client.put_item().table_name(&self.table).set_item(Some(to_item(&key, &row)?));
        let put = put.condition_expression("attribute_not_exists(pk)").send_write().await;
        conditional("PutItem", put).map(drop)
    }

    /// Notes that it waits no longer.
    pub async fn end_need(
        &self,
        product: &ProductId,
        connection: &ConnectionId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.update(&keys::needy(product, since, connection))
            .update_expression("SET ended_at = :now, #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":ttl", ttl(now + ENDED_KEPT))
            .send_write()
            .await
            .map(drop)
            .map_err(|error| StoreError::unavailable("UpdateItem", &error))
    }

    /// So many of a product's connections that wait, of one app and environment or of all, those that stopped last first.
    pub async fn needy(
        &self,
        product: &ProductId,
        app: Option<&AppId>,
        environment: Option<Environment>,
        limit: u8,
    ) -> Result<Vec<Needy>, StoreError> {
        let pk = keys::needy_of(product);
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", S(&pk))
            .scan_index_forward(false);
        let mut filter = "attribute_not_exists(ended_at)".to_owned();
        if let Some(app) = app {
            filter.push_str(" AND app = :app");
            query = query.expression_attribute_values(":app", S(app.as_str()));
        }
        if let Some(environment) = environment {
            filter.push_str(" AND environment = :environment");
            query = query.expression_attribute_values(":environment", S(environment.word()));
        }
        let query = query.filter_expression(filter);
        let (mut found, mut pages) = (Vec::new(), query.into_paginator().items().send());
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| StoreError::unavailable("Query", &error))?;
            let NeedyRow { connection, app, environment, customer, since, failure } = from_item(&pk, item)?;
            let since = time_in(&pk, since)?;
            found.push(Needy { connection, app, environment, customer, since, failure });
            if found.len() == usize::from(limit) {
                break;
            }
        }
        Ok(found)
    }
}
