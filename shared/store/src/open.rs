//! Which failures stand open: each until the next success of the same customer and app.
//!
//! What stands open of a customer and an app is in one partition, with the last time they connected. Whoever notes a
//! failure looks for a later success afterwards, and whoever notes a success looks for earlier failures afterwards; both
//! read strongly, so whichever comes second finds the other. Refreshes happen all the time and are noted only after one
//! that brought nothing, or after a failure of one: a success reads that one note, and nothing else where there is none.
//!
//! At most [`MAX_OPEN`] failures of a customer and app stand open. What fails beyond that is recorded, and no success
//! resolves it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{AppId, ConnectionId, FailureId, ProductId, SessionId, Stage, failure::Resolved};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Item, N, S, Store, StoreError, conditional,
    failures::FAILURE_KEPT,
    keys::{self, Key},
    millis,
    rows::{from_item, time_in, to_item},
    ttl,
    write::SendWrite as _,
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
const COUNT: &str = "COUNT";
const SUCCESS: &str = "SUCCESS";
const REFRESH: &str = "REFRESH#";

/// Longer than one shard of a stream lags behind another.
const SHARD_LAG: SignedDuration = SignedDuration::from_hours(72);

#[derive(Debug, Serialize, Deserialize)]
struct OpenRow {
    sk: String,
    at: i64,
    cause: Option<String>,
    stage: Option<Stage>,
    session: Option<SessionId>,
    connection: Option<ConnectionId>,
    refreshed_at: Option<i64>,
}

/// That a connection's refresh brought nothing, and whether it was refreshed since.
fn refresh_note(pk: &str, connection: &ConnectionId) -> Key {
    Key { pk: pk.to_owned(), sk: format!("{REFRESH}{connection}").into() }
}

impl Success {
    fn at(&self) -> Timestamp {
        match self {
            Self::Connected { at, .. } | Self::Refreshed { at, .. } => *at,
        }
    }

    fn ends(&self, open: &Open) -> bool {
        open.at < self.at()
            && match self {
                Self::Connected { .. } => true,
                Self::Refreshed { connection, .. } => {
                    open.stage == Stage::Refresh && open.connection.as_ref() == Some(connection)
                }
            }
    }

    fn resolved(&self, took: Option<i64>) -> Resolved {
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

    async fn uncount_open(&self, pk: &str) -> Result<(), StoreError> {
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
    async fn all_open(&self, pk: &str) -> Result<(Vec<Open>, usize), StoreError> {
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
    async fn resolve_all(&self, pk: &str, success: &Success, all: Vec<Open>) -> Result<usize, StoreError> {
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
