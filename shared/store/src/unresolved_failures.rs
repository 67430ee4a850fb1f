//! Which failures stand open: each until the next success of the same customer and app.
//!
//! What stands open of a customer and an app is in one partition, with the last time they connected. Whoever notes a
//! failure looks for a later success afterwards, and whoever notes a success looks for earlier failures afterwards; both
//! read strongly, so whichever comes second finds the other. Refreshes happen all the time and are noted only after one
//! that brought nothing, or after a failure of one: a success reads that one note, and nothing else where there is none.
//!
//! At most [`MAX_OPEN`] failures of a customer and app stand open. What fails beyond that is recorded, and no success
//! resolves it.

use domain::{AppId, ConnectionId, FailureId, ProductId, SessionId, Stage, failure::Resolved};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    N, Store, StoreError,
    failures::FAILURE_KEPT,
    item::{from_item, time_in, to_item},
    keys::{self, Key},
    millis, ttl,
    write::{SendWrite, conditional},
};

/// Whose failure or success it is.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// The app.
    pub app: &'a AppId,
    /// The customer's id in the product.
    pub customer: &'a str,
}

/// A failure that stands open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The failure.
    pub id: FailureId,
    /// When.
    pub at: Timestamp,
    /// Its cause.
    pub cause: String,
    /// Where on the way.
    pub stage: Stage,
    /// Of which connection, if it was of one.
    pub connection: Option<ConnectionId>,
}

/// A success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Success {
    /// A session connected, or a token was imported: whatever was wrong with this customer and app is over.
    Connected {
        /// When.
        at: Timestamp,
        /// The session, where there was one.
        session: Option<SessionId>,
        /// The connection.
        connection: Option<ConnectionId>,
    },
    /// A connection was refreshed: what was wrong with its refreshes is over.
    Refreshed {
        /// When.
        at: Timestamp,
        /// The connection.
        connection: ConnectionId,
    },
}

/// Maximum failures of one customer and app that a success resolves: one product's bug must not delay the tallies of all.
pub const MAX_OPEN: u32 = 200;

/// How many failures stand open. After a crash it may be too high; the next success corrects it.
pub(crate) const COUNT: &str = "COUNT";
pub(crate) const SUCCESS: &str = "SUCCESS";
pub(crate) const REFRESH: &str = "REFRESH#";

/// Longer than one shard of a stream lags behind another.
pub(crate) const SHARD_LAG: SignedDuration = SignedDuration::from_hours(72);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OpenRow {
    pub(crate) sk: String,
    pub(crate) at: i64,
    pub(crate) cause: Option<String>,
    pub(crate) stage: Option<Stage>,
    pub(crate) session: Option<SessionId>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) refreshed_at: Option<i64>,
}

/// That a connection's refresh brought nothing, and whether it was refreshed since.
pub(crate) fn refresh_note(pk: &str, connection: &ConnectionId) -> Key {
    Key { pk: pk.to_owned(), sk: format!("{REFRESH}{connection}").into() }
}

impl Success {
    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Connected { at, .. } | Self::Refreshed { at, .. } => *at,
        }
    }

    pub(crate) fn ends(&self, open: &Open) -> bool {
        open.at < self.at()
            && match self {
                Self::Connected { .. } => true,
                Self::Refreshed { connection, .. } => {
                    open.stage == Stage::Refresh && open.connection.as_ref() == Some(connection)
                }
            }
    }

    pub(crate) fn resolved(&self, took: Option<i64>) -> Resolved {
        let (session, connection) = match self {
            Self::Connected { session, connection, .. } => (session.clone(), connection.clone()),
            Self::Refreshed { connection, .. } => (None, Some(connection.clone())),
        };
        Resolved { at: self.at(), session, connection, took }
    }
}

impl Store {
    /// Notes that a failure stands open, and resolves it if the customer has succeeded since.
    pub async fn note_open(&self, of: Party<'_>, open: &Open) -> Result<(), StoreError> {
        let pk = keys::open(of.product, of.app, of.customer);
        let key = Key { pk: pk.clone(), sk: open.id.to_string().into() };
        let row = OpenRow {
            sk: open.id.to_string(),
            at: open.at.as_millisecond(),
            cause: Some(open.cause.clone()),
            stage: Some(open.stage),
            session: None,
            connection: open.connection.clone(),
            refreshed_at: None,
        };
        let mut item = to_item(&key, &row)?;
        item.insert("ttl".into(), ttl(open.at + FAILURE_KEPT));
        if !self.count_open(&pk, open).await? && self.get(&key, true).await?.is_none() {
            return Ok(());
        }
        if let Some(connection) = open.connection.as_ref().filter(|_| open.stage == Stage::Refresh) {
            self.note_refresh_failure(&pk, connection, open.at).await?;
        }
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = put.condition_expression("attribute_not_exists(pk)").send_write().await;
        if conditional("PutItem", put)?.is_err() {
            // A record that comes again was counted before.
            self.uncount_open(&pk).await?;
        }
        for success in [self.last_connected(&pk).await?, self.last_refreshed(&pk, open).await?] {
            if let Some(success) = success.filter(|success| success.ends(open)) {
                let (all, _) = self.all_open(&pk).await?;
                return self.resolve_all(&pk, &success, all).await.map(drop);
            }
        }
        Ok(())
    }

    /// Counts a failure that stands open. `false`: there are too many already.
    async fn count_open(&self, pk: &str, open: &Open) -> Result<bool, StoreError> {
        let counted = self
            .update(&Key { pk: pk.to_owned(), sk: COUNT.into() })
            .update_expression("SET #ttl = :ttl ADD failures :one")
            .condition_expression("attribute_not_exists(failures) OR failures < :most")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", ttl(open.at + FAILURE_KEPT))
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(MAX_OPEN))
            .send_write()
            .await;
        Ok(conditional("UpdateItem", counted)?.is_ok())
    }

    pub(crate) async fn uncount_open(&self, pk: &str) -> Result<(), StoreError> {
        let counted = self
            .update(&Key { pk: pk.to_owned(), sk: COUNT.into() })
            .update_expression("ADD failures :less")
            .condition_expression("failures > :none")
            .expression_attribute_values(":less", N(-1))
            .expression_attribute_values(":none", N(0))
            .send_write()
            .await;
        conditional("UpdateItem", counted).map(drop)
    }

    /// Notes that a refresh failed, so that the next success is noted too. A success that came after it stays.
    async fn note_refresh_failure(
        &self,
        pk: &str,
        connection: &ConnectionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let noted = self
            .update(&refresh_note(pk, connection))
            .update_expression("SET #at = :at, #ttl = :ttl REMOVE refreshed_at")
            .condition_expression("attribute_not_exists(#at) OR refreshed_at <= :at")
            .expression_attribute_names("#at", "at")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":at", millis(at))
            .expression_attribute_values(":ttl", ttl(at + FAILURE_KEPT))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }

    async fn last_connected(&self, pk: &str) -> Result<Option<Success>, StoreError> {
        let Some(item) = self.get(&Key { pk: pk.to_owned(), sk: SUCCESS.into() }, true).await? else {
            return Ok(None);
        };
        let OpenRow { at, session, connection, .. } = from_item(pk, item)?;
        Ok(Some(Success::Connected { at: time_in(pk, at)?, session, connection }))
    }

    /// When the connection whose refresh failed was refreshed again, if it was.
    async fn last_refreshed(&self, pk: &str, open: &Open) -> Result<Option<Success>, StoreError> {
        let Some(connection) = open.connection.as_ref().filter(|_| open.stage == Stage::Refresh) else {
            return Ok(None);
        };
        let key = refresh_note(pk, connection);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        let OpenRow { refreshed_at, .. } = from_item(pk, item)?;
        let at = refreshed_at.map(|at| time_in(pk, at)).transpose()?;
        Ok(at.map(|at| Success::Refreshed { at, connection: connection.clone() }))
    }

    /// Notes that a refresh of this connection brought no token: its next success will be noted too.
    pub async fn note_unrefreshed(
        &self,
        of: Party<'_>,
        connection: &ConnectionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let noted = self
            .update(&refresh_note(&keys::open(of.product, of.app, of.customer), connection))
            .update_expression("SET #at = :at, #ttl = :ttl REMOVE refreshed_at")
            .condition_expression("attribute_not_exists(#at) OR #at < :at")
            .expression_attribute_names("#at", "at")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":at", millis(at))
            .expression_attribute_values(":ttl", ttl(at + FAILURE_KEPT))
            .send_write()
            .await;
        // Refused: a change that comes again.
        conditional("UpdateItem", noted).map(drop)
    }
}
