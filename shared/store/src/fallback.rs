//! The fallback: where a refresh's answer waits when the table did not take it.
//!
//! A table of its own, so that what stops a write of the one (a hot partition, a throttle, a lost right, a key
//! that cannot be used) does not stop the other's. An answer is kept under its connection and the refresh token
//! that it replaces, so it can only ever be put where it belongs. It is read before any recovery, and the sweep
//! empties it. No TTL: it may hold the only copy of a live grant.

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    },
};
use domain::{ConnectionId, ProductId, secret::Fingerprint};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::write::SendWrite;
use crate::{
    Item, Next, Page, S, Store, StoreError, clocks,
    item::time_of,
    keys,
    leases::{Lease, SaveOutcome},
    millis,
    quarantine::Kept,
    refreshed_tokens::RefreshedTokens,
    schema,
    write::conditional,
};

/// The fallback's table.
#[derive(Debug, Clone)]
pub struct Fallback {
    pub(crate) client: Client,
    pub(crate) table: String,
}

/// An answer that waits to be stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// Whose it is.
    pub product: ProductId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// The origin of the login host that gave it.
    pub login_host: String,
    /// The refresh token that it replaces.
    pub sent: Fingerprint,
    /// The answer, sealed.
    pub renewed: RefreshedTokens,
    /// Whether it waits to be revoked alone: its holder found the connection changed or deleted meanwhile.
    // Since v1 was first written, so absent from older items.
    #[serde(default)]
    pub superseded: bool,
    /// The sweep leaves it alone before this, in milliseconds: it could not be dealt with a moment ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
}

/// An item of the fallback that cannot be read. It may hold the only copy of a live grant, so it stays.
#[derive(Debug)]
pub struct UnreadableAnswer {
    /// What is wrong with it.
    pub error: StoreError,
    item: Item,
}

impl UnreadableAnswer {
    /// Whether the sweep may look at it now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let until = time_of(&self.item, "not_before");
        !until.is_some_and(|until| clocks::is_ahead(until, UNREADABLE_AGAIN, now))
    }
}

/// How long the sweep leaves an item alone that cannot be read. The operators are told each time.
pub const UNREADABLE_AGAIN: SignedDuration = SignedDuration::from_hours(6);

/// Whether the sweep may try an answer now. A time that is far ahead was written by a process whose clock is wrong.
pub(crate) fn is_due(not_before: Option<i64>, now: Timestamp) -> bool {
    let until = not_before.and_then(|until| Timestamp::from_millisecond(until).ok());
    until.is_none_or(|until| until <= now || now + MAX_WAIT < until)
}

/// Maximum time for which the sweep leaves an answer alone.
const MAX_WAIT: SignedDuration = SignedDuration::from_hours(1);

impl Fallback {
    /// The fallback in the table of that name.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Creates the table where there is none yet: for the local stack and tests.
    ///
    /// # Panics
    /// Never: the definitions below are complete.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .expect("complete")
        };
        let key = |name: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("complete")
        };
        let created = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(vec![attribute("pk"), attribute("sk")]))
            .key_schema(key("pk", KeyType::Hash))
            .key_schema(key("sk", KeyType::Range))
            .send()
            .await;
        schema::created(created)
    }

    /// Keeps an answer that the table did not take. From then on it is durable.
    pub async fn keep(&self, lease: &Lease, renewed: &RefreshedTokens) -> Result<(), StoreError> {
        self.put(lease, renewed, false).await
    }

    /// Keeps an answer that is superseded and could not be revoked, until the sweep has done so.
    pub async fn keep_superseded(&self, lease: &Lease, renewed: &RefreshedTokens) -> Result<(), StoreError> {
        self.put(lease, renewed, true).await
    }

    async fn put(
        &self,
        lease: &Lease,
        renewed: &RefreshedTokens,
        superseded: bool,
    ) -> Result<(), StoreError> {
        let connection = &lease.record().connection;
        let waiting = Waiting {
            product: connection.product.clone(),
            connection: connection.id.clone(),
            login_host: connection.login_host.clone(),
            sent: lease.sent().clone(),
            renewed: renewed.clone(),
            superseded,
            not_before: None,
        };
        let item = item_of(&waiting)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send_write().await;
        put.map(drop).map_err(|error| StoreError::unavailable("PutItem", &error))
    }

    /// The sweep leaves an answer alone until then. One that was dealt with meanwhile stays deleted.
    pub async fn put_off(&self, waiting: &Waiting, until: Timestamp) -> Result<(), StoreError> {
        let later = Waiting { not_before: Some(until.as_millisecond()), ..waiting.clone() };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item_of(&later)?))
            .condition_expression("attribute_exists(pk)")
            .send_write()
            .await;
        conditional("PutItem", put).map(drop)
    }

    /// The sweep leaves an item that cannot be read alone until then. One that was deleted meanwhile
    /// stays deleted.
    pub async fn put_off_unreadable(
        &self,
        unreadable: &UnreadableAnswer,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut key = unreadable.item.clone();
        key.retain(|name, _| ["pk", "sk"].contains(&name.as_str()));
        let put_off = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression("SET not_before = :until")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":until", millis(until))
            .send_write()
            .await;
        conditional("UpdateItem", put_off).map(drop)
    }

    /// The answer that is kept for a connection whose stored refresh token is this one. Strongly consistent: an
    /// answer that was overlooked here would be sent for again, with a spent token.
    pub async fn kept(
        &self,
        connection: &ConnectionId,
        sent: &Fingerprint,
    ) -> Result<Option<Kept>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(connection, sent).into()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("GetItem", &error))?;
        answer.item.map(|item| Kept::read(connection.as_str(), item)).transpose()
    }

    /// All that is kept, a page at a time. In good times there is none. An item that cannot be read is an
    /// error in its own place and hides no other.
    pub async fn all(
        &self,
        limit: i32,
        after: Option<Next>,
    ) -> Result<Page<Result<Kept, UnreadableAnswer>>, StoreError> {
        let answer = self
            .client
            .scan()
            .table_name(&self.table)
            .limit(limit)
            .set_exclusive_start_key(after.map(|Next(key)| key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Scan", &error))?;
        let items = answer.items.unwrap_or_default().into_iter().map(|item| {
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default();
            Kept::read(&format!("{pk} in the fallback"), item.clone())
                .map_err(|error| UnreadableAnswer { error, item })
        });
        Ok(Page { items: items.collect(), next: answer.last_evaluated_key.map(Next) })
    }

    /// Forgets an answer that is stored, or was superseded.
    pub async fn forget(&self, waiting: &Waiting) -> Result<(), StoreError> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(&waiting.connection, &waiting.sent).into()))
            .send_write()
            .await;
        deleted.map(drop).map_err(|error| StoreError::unavailable("DeleteItem", &error))
    }
}

impl Store {
    /// Stores an answer out of the fallback where it belongs, unless a newer grant has come since.
    pub async fn restore(&self, waiting: &Waiting) -> Result<SaveOutcome, StoreError> {
        self.renew(&waiting.connection, &waiting.sent, &waiting.renewed, true).await
    }
}

fn item_of(waiting: &Waiting) -> Result<Item, StoreError> {
    let corrupt = |error: serde_dynamo::Error| StoreError::Corrupt {
        pk: waiting.connection.to_string(),
        what: error.to_string(),
    };
    let mut item: Item = serde_dynamo::to_item(waiting).map_err(corrupt)?;
    item.extend(key(&waiting.connection, &waiting.sent));
    Ok(item)
}

pub(crate) fn key(connection: &ConnectionId, sent: &Fingerprint) -> [(String, AttributeValue); 2] {
    [("pk".into(), S(keys::connection(connection).pk)), ("sk".into(), S(format!("AFTER#{}", sent.as_str())))]
}
