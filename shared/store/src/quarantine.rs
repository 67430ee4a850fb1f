//! Quarantine: token answers that may hold a live grant and fail a check.
//!
//! Such an answer is sealed whole in the fallback table, under the key where a recovery looks before it sends a token
//! again. It is never used unseen and never dropped: an operator releases or discards it.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    AppId, AttemptId, ConnectionId, Customer, Environment, ProductId, SaturatingTime as _,
    secret::{Fingerprint, Hash},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use crate::{
    Item, N, StoreError,
    fallback::{Fallback, Waiting, is_due, key},
    item::from_item,
    token_cipher::Sealed,
    write::{SendWrite, conditional},
};

/// What the fallback keeps for a refresh token that was sent.
#[derive(Debug)]
pub enum Kept {
    /// An answer that waits to be stored or revoked.
    Waiting(Box<Waiting>),
    /// An answer that fails a check.
    Quarantined(Box<Quarantined>),
}

impl Kept {
    /// Whether the sweep may look at it now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self {
            Self::Waiting(waiting) => is_due(waiting.not_before, now),
            Self::Quarantined(quarantined) => is_due(quarantined.not_before, now),
        }
    }

    pub(crate) fn read(of: &str, item: Item) -> Result<Self, StoreError> {
        Ok(if item.contains_key("quarantined_at") {
            Self::Quarantined(Box::new(from_item(of, item)?))
        } else {
            Self::Waiting(Box::new(from_item(of, item)?))
        })
    }
}

/// An answer that fails a check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Quarantined {
    /// Whose it is.
    pub product: ProductId,
    /// With which app.
    pub app: AppId,
    /// Of which connection: one that there is, or, at an import or an exchange, the one to come.
    pub connection: ConnectionId,
    /// What the answer was to.
    pub origin: Origin,
    /// The origin of the login host that gave it.
    pub login_host: String,
    /// The refresh token or the code that was sent.
    pub sent: Fingerprint,
    /// The body, sealed for the connection.
    pub answer: Sealed,
    /// The catalogue's code for the check that it fails.
    pub reason: String,
    /// The same in words.
    pub detail: String,
    /// The HTTP status.
    pub status: u16,
    /// When it was received.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub quarantined_at: Timestamp,
    /// What the import made known, where it was one.
    pub import: Option<ImportedAs>,
    // Since v1 was first written, so absent from older items.
    /// Which attempt the exchange was of, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangedAs>,
    /// Where the org's API answers, as an operator says: the answer does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_url: Option<String>,
    /// What an operator has decided.
    pub decision: Option<Decision>,
    /// What came of the decision, where it could not be carried out.
    pub outcome: Option<String>,
    /// The sweep leaves it alone before this, in milliseconds: it could not be dealt with a moment ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
}

/// What only the product knows about a token that it imports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportedAs {
    /// The token's mark: it names the journal's item.
    pub mark: Hash,
    /// The customer.
    pub customer: Customer,
    /// The product's user.
    pub user: String,
    /// The kind of host.
    pub environment: Environment,
    /// Whether the product asked for one more connection of a Salesforce user that is connected already.
    #[serde(default)]
    pub another: bool,
}

/// What is needed to make a pending connection of an exchange's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExchangedAs {
    /// The attempt.
    pub attempt: AttemptId,
    /// The digest of the receipt that its browser can make.
    pub receipt: Hash,
    /// The digest of its nonce.
    pub nonce: Hash,
    /// Who the browser's answer said to have issued the code (RFC 9207).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// How long the answer of an exchange is kept: 24 hours, less two runs of the sweep, which then revokes it. Its user may
/// have connected again meanwhile; no connection rests on it.
const KEEP_EXCHANGE: SignedDuration = SignedDuration::from_mins(24 * 60 - 10);

/// What a quarantined answer was to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A refresh of a connection.
    Refresh,
    /// The import of a token.
    Import,
    /// The exchange of a code.
    Exchange,
}

/// What an operator has decided about a quarantined answer. The sweep carries it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Repeat every check, and store the answer if it passes.
    Release,
    /// Revoke what it holds and forget it.
    Discard,
}

impl Origin {
    /// The word in the operators' list.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Import => "import",
            Self::Exchange => "exchange",
        }
    }
}

impl Quarantined {
    /// The name by which an operator chooses it: the connection's id.
    pub fn id(&self) -> &str {
        self.connection.as_str()
    }

    /// Whether it was kept for as long as it may be.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.origin == Origin::Exchange && self.quarantined_at.later_by(KEEP_EXCHANGE) <= now
    }

    fn item(&self) -> Result<Item, StoreError> {
        let mut item: Item = serde_dynamo::to_item(self).map_err(|error| StoreError::Corrupt {
            pk: self.connection.to_string(),
            what: error.to_string(),
        })?;
        item.extend(self.key());
        Ok(item)
    }

    fn key(&self) -> HashMap<String, AttributeValue> {
        key(&self.connection, &self.sent).into()
    }
}

impl Fallback {
    /// Puts an answer into quarantine. From then on it is durable.
    pub async fn quarantine(&self, quarantined: &Quarantined) -> Result<(), StoreError> {
        let item = quarantined.item()?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send_write().await;
        put.map(drop).map_err(|error| StoreError::unavailable("PutItem", &error))
    }

    /// Writes what an operator has decided, or why that could not be carried out. `false`: the answer is no longer in
    /// quarantine.
    pub async fn decide(
        &self,
        quarantined: &Quarantined,
        decision: Option<Decision>,
        outcome: Option<String>,
    ) -> Result<bool, StoreError> {
        self.replace(&Quarantined { decision, outcome, not_before: None, ..quarantined.clone() }).await
    }

    /// The sweep leaves an answer in quarantine alone until then.
    pub async fn put_off_quarantined(
        &self,
        quarantined: &Quarantined,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let later = Quarantined { not_before: Some(until.as_millisecond()), ..quarantined.clone() };
        self.replace(&later).await.map(drop)
    }

    async fn replace(&self, quarantined: &Quarantined) -> Result<bool, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(quarantined.item()?))
            .condition_expression("quarantined_at = :at")
            .expression_attribute_values(":at", N(quarantined.quarantined_at.as_millisecond()))
            .send_write()
            .await;
        Ok(conditional("PutItem", put)?.is_ok())
    }

    /// Forgets an answer that has been stored or revoked.
    pub async fn forget_quarantined(&self, quarantined: &Quarantined) -> Result<(), StoreError> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(quarantined.key()))
            .condition_expression("quarantined_at = :at")
            .expression_attribute_values(":at", N(quarantined.quarantined_at.as_millisecond()))
            .send_write()
            .await;
        conditional("DeleteItem", deleted).map(drop)
    }
}
