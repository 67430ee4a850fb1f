//! One connection for each customer, app, Salesforce user and product user.
//!
//! A uniqueness item names the connection. It is written in the transaction that makes the connection active, so two
//! redemptions at once cannot make two. An item that names a connection that is gone is replaced.
//!
//! Connections that were made before there were uniqueness items have none. [`Store::standing`] finds them, and the next
//! redemption or import writes their item.

use aws_sdk_dynamodb::types::{
    CancellationReason, Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem,
};
use domain::{App, Connection, ConnectionId, ConnectionState, product::Sharing};

use crate::write::SendWrite;
use crate::{
    Item, N, S, Store, StoreError,
    connections::ConnectionRecord,
    item::VERSION,
    keys,
    write::{built, conditional},
};

/// Maximum connections of one Salesforce user and app that are compared with a new grant.
const MAX_COMPARED: usize = 50;

/// The uniqueness item that a connection is to have.
#[derive(Debug, Clone)]
pub struct Unique {
    key: String,
    gone: Option<ConnectionId>,
}

impl Unique {
    /// The item of a connection.
    pub fn of(connection: &Connection, sharing: Sharing) -> Self {
        Self { key: keys::unique(connection, sharing).pk, gone: None }
    }

    /// The same item, which may be taken from a connection that is gone.
    #[must_use]
    pub fn replacing(self, gone: ConnectionId) -> Self {
        Self { gone: Some(gone), ..self }
    }

    /// Its partition key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl ConnectionRecord {
    /// Whether a new grant belongs to this connection instead of a connection of its own.
    pub fn is_standing_for(&self, new: &Connection, sharing: Sharing) -> bool {
        let its = &self.connection;
        let lives = !matches!(
            its.state,
            ConnectionState::Pending { .. }
                | ConnectionState::Parked { .. }
                | ConnectionState::Revoking { .. }
        );
        lives
            && its.id != new.id
            && its.product == new.product
            && its.app == new.app
            && its.customer.id == new.customer.id
            && its.identity.same_as(&new.identity)
            && (sharing == Sharing::Shared || its.user == new.user)
    }
}

impl Store {
    /// The connection that a new grant belongs to; `None`: the grant makes a new one. Of several, the one with the
    /// uniqueness item of this product user counts, then the one that all users share, then the newest of this user, then
    /// the newest. The index follows a write within moments: the uniqueness item decides. Connections of the app's former
    /// consumer keys count too.
    pub async fn standing(
        &self,
        new: &ConnectionRecord,
        app: &App,
    ) -> Result<Option<ConnectionRecord>, StoreError> {
        let Some(grants) = &new.grants_key else { return Ok(None) };
        let sharing = app.connections;
        let (own, shared) =
            (Unique::of(&new.connection, Sharing::PerUser), Unique::of(&new.connection, sharing));
        let rank = |record: &ConnectionRecord| {
            let is_of_this_user = record.connection.user == new.connection.user;
            match record.unique.as_deref() {
                Some(key) if key == own.key() => 0,
                Some(key) if key == shared.key() => 1,
                _ if is_of_this_user => 2,
                _ => 3,
            }
        };
        let mut others = self.granted(grants).await?;
        for key in &app.former_consumer_keys {
            others.extend(self.granted(&keys::grants(key, &new.connection.identity.user)).await?);
        }
        others.retain(|id| *id != new.connection.id);
        others.sort();
        let mut found: Option<(u8, ConnectionRecord)> = None;
        for id in others.iter().rev().take(MAX_COMPARED) {
            let record = self.connection(id).await?;
            let Some(record) = record.filter(|record| record.is_standing_for(&new.connection, sharing))
            else {
                continue;
            };
            let rank = rank(&record);
            if rank == 0 {
                return Ok(Some(record));
            }
            if found.as_ref().is_none_or(|(best, _)| rank < *best) {
                found = Some((rank, record));
            }
        }
        Ok(found.map(|(_, record)| record))
    }

    /// The part of a transaction that writes a connection's uniqueness item. [`held_by`] reads a refusal.
    pub(crate) fn unique_write(
        &self,
        unique: &Unique,
        connection: &ConnectionId,
    ) -> Result<TransactWriteItem, StoreError> {
        const FREE: &str = "attribute_not_exists(pk) OR #connection = :id";
        let item = Item::from([
            ("pk".into(), S(&unique.key)),
            ("sk".into(), S(keys::UNIQUE)),
            ("v".into(), N(VERSION)),
            ("connection".into(), S(connection.as_str())),
        ]);
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .expression_attribute_names("#connection", "connection")
            .expression_attribute_values(":id", S(connection.as_str()))
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let put = match &unique.gone {
            None => put.condition_expression(FREE),
            Some(gone) => put
                .condition_expression(format!("{FREE} OR #connection = :gone"))
                .expression_attribute_values(":gone", S(gone.as_str())),
        };
        built(put.build())
    }

    /// Deletes a connection's uniqueness item, unless it is another connection's by now.
    pub async fn free(&self, unique: &str, connection: &ConnectionId) -> Result<(), StoreError> {
        let freed = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", S(unique))
            .key("sk", S(keys::UNIQUE))
            .condition_expression("#connection = :id")
            .expression_attribute_names("#connection", "connection")
            .expression_attribute_values(":id", S(connection.as_str()))
            .send_write()
            .await;
        conditional("DeleteItem", freed).map(drop)
    }
}

/// The connection that a uniqueness item names, where that refused a transaction.
pub(crate) fn held_by(reason: Option<&CancellationReason>) -> Option<ConnectionId> {
    let reason = reason.filter(|reason| reason.code() == Some("ConditionalCheckFailed"))?;
    reason.item.as_ref()?.get("connection")?.as_s().ok()?.parse().ok()
}
