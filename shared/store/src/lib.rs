#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod expression;
mod item;

pub mod action_required;
pub mod attempts;
pub mod backoff;
pub mod clocks;
mod connection_item;
pub mod connection_lists;
mod connection_notes;
pub mod connections;
pub mod customer_history;
pub mod deliveries;
mod due_events;
pub mod endpoints;
pub mod events;
pub mod failure_lists;
pub mod failures;
pub mod fallback;
pub mod health;
mod host_health;
pub mod import_backoff;
pub mod imports;
mod introspection;
pub mod keys;
pub mod leases;
pub mod operator_sessions;
pub mod products;
pub mod quarantine;
pub mod reconnects;
mod recovery_leases;
pub mod redemptions;
pub mod refreshed_tokens;
pub mod rejected;
mod renewals;
mod reseal;
mod resolve_failures;
pub mod revisions;
pub mod schema;
pub mod secrets;
pub mod sessions;
mod shared_grants;
mod stopped_connections;
pub mod tallies;
pub mod token_cipher;
pub mod unique;
pub mod unredeemed;
pub mod unresolved_failures;
pub mod waves;
pub mod write;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, KeysAndAttributes, Update, builders::UpdateBuilder},
};
use jiff::Timestamp;
use keys::Key;

pub use attempts::{Begun, Claim};
pub use backoff::Backoff;
pub use connection_lists::ConnectionSummary;
pub use connections::{ConnectionRecord, Due, NewConnection, Paused, Tokens};
pub use deliveries::{Delivery, DeliveryAttempt, DeliveryState, EventRecord};
pub use endpoints::{DisabledBecause, EndpointHealth};
pub use events::{EventPage, EventQuery, FeedPlace, Recorded};
pub use failures::NoteOutcome;
pub use fallback::{Fallback, Waiting};
pub use health::{AppAt, Health};
pub use import_backoff::{ImportHealth, ImportsAt};
pub use imports::Imported;
pub use leases::{Lease, LeaseOutcome, SaveOutcome};
pub use quarantine::{Decision, ExchangedAs, ImportedAs, Kept, Origin, Quarantined};
pub use reconnects::{Bringing, Reconnect, Takeover, TakeoverOutcome};
pub use redemptions::{Redeemed, Repeat};
pub use refreshed_tokens::RefreshedTokens;
pub use rejected::Rejected;
pub use revisions::Revision;
pub use secrets::{SecretError, Secrets};
pub use sessions::Created;
pub use token_cipher::{Field, Owner, Sealed, TokenCipher};
pub use unique::Unique;
pub use write::SendWrite;

/// The table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    table: String,
}

/// An item that is looked for, and how it is read.
#[derive(Debug)]
pub struct Lookup<T> {
    key: Key,
    read: fn(&str, Item) -> Result<T, StoreError>,
}

/// The table could not be used, or holds what we never write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB refused or did not answer.
    #[error("DynamoDB {operation}: {code}: {message}")]
    Unavailable {
        /// The call.
        operation: &'static str,
        /// AWS's error code, or `NoAnswer`.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// An item fits no state that we know.
    #[error("item {pk}: {what}")]
    Corrupt {
        /// The item.
        pk: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Store {
    /// The table of that name.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// One item. Consistently, where a write of a moment ago must be seen.
    async fn get(&self, key: &Key, consistently: bool) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", S(&key.pk))
            .key("sk", S(&*key.sk))
            .consistent_read(consistently)
            .send()
            .await;
        answer.map(|answer| answer.item).map_err(|error| StoreError::unavailable("GetItem", &error))
    }

    /// What is looked for, as it is now.
    pub async fn find<T>(&self, sought: &Lookup<T>) -> Result<Option<T>, StoreError> {
        let item = self.get(&sought.key, true).await?;
        item.map(|item| (sought.read)(&sought.key.pk, item)).transpose()
    }

    /// Two items in one request, as they are now. What DynamoDB has no capacity for is asked for alone.
    async fn get_both(&self, first: &Key, second: &Key) -> Result<(Option<Item>, Option<Item>), StoreError> {
        let batch = self.batch(vec![first.clone(), second.clone()], true).await?;
        if !batch.is_whole {
            return Ok((self.get(first, true).await?, self.get(second, true).await?));
        }
        let (mut one, mut other) = (None, None);
        for item in batch.items {
            let is_first = item.get("pk").and_then(|pk| pk.as_s().ok()) == Some(&first.pk);
            *if is_first { &mut one } else { &mut other } = Some(item);
        }
        Ok((one, other))
    }

    /// Items in one request, in any order.
    async fn batch(&self, keys: Vec<Key>, consistently: bool) -> Result<Batch, StoreError> {
        let keys =
            keys.into_iter().map(|key| Item::from([("pk".into(), S(key.pk)), ("sk".into(), S(key.sk))]));
        let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(consistently);
        let nothing = |_| StoreError::Corrupt { pk: self.table.clone(), what: "no keys to look for".into() };
        let keys = keys.build().map_err(nothing)?;
        let answer = self.client.batch_get_item().request_items(&self.table, keys).send().await;
        let answer = answer.map_err(|error| StoreError::unavailable("BatchGetItem", &error))?;
        let found = answer.responses.and_then(|mut tables| tables.remove(&self.table));
        let is_whole = answer.unprocessed_keys.is_none_or(|left| left.is_empty());
        Ok(Batch { items: found.unwrap_or_default(), is_whole })
    }

    /// An update of one item, to be completed and sent.
    fn update(&self, key: &Key) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("pk", S(&key.pk)).key("sk", S(&*key.sk))
    }

    /// An update of one item within a transaction, to be completed.
    fn update_together(&self, key: &Key) -> UpdateBuilder {
        Update::builder().table_name(&self.table).key("pk", S(&key.pk)).key("sk", S(&*key.sk))
    }

    /// The client, for the table's own management (creating it in the local stack).
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl StoreError {
    /// Whether the call may have been carried out: no answer came.
    pub fn may_be_carried_out(&self) -> bool {
        matches!(self, Self::Unavailable { code, .. } if code == "NoAnswer")
    }

    /// A call that was given up.
    pub fn timed_out(operation: &'static str) -> Self {
        Self::Unavailable { operation, code: "NoAnswer".into(), message: "timed out".into() }
    }

    fn unavailable<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        match error {
            SdkError::ServiceError(refusal) => Self::Unavailable {
                operation,
                code: refusal.err().code().unwrap_or("Unknown").to_owned(),
                message: refusal.err().message().unwrap_or_default().to_owned(),
            },
            SdkError::TimeoutError(_) => Self::timed_out(operation),
            _ => Self::Unavailable { operation, code: "NoAnswer".into(), message: "the call failed".into() },
        }
    }
}

type Item = std::collections::HashMap<String, AttributeValue>;

/// What was found of several items.
struct Batch {
    items: Vec<Item>,
    /// Whether DynamoDB had the capacity for all of them.
    is_whole: bool,
}

/// A part of what was looked for.
#[derive(Debug)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where to go on; `None`: that was all.
    pub next: Option<Next>,
}

/// Where a page ended.
#[derive(Debug)]
pub struct Next(Item);

#[expect(non_snake_case, reason = "reads as DynamoDB's own notation for a string attribute")]
fn S(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[expect(non_snake_case, reason = "reads as DynamoDB's own notation for a number attribute")]
fn N(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

/// Times are numbers of milliseconds, so that conditions can compare them.
fn millis(at: Timestamp) -> AttributeValue {
    N(at.as_millisecond())
}

/// DynamoDB's TTL is in seconds, and late by up to days: the code checks expiry itself.
fn ttl(at: Timestamp) -> AttributeValue {
    N(at.as_second())
}
