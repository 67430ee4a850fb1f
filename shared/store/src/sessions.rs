//! Connect sessions and attempts. Each transition is one conditional write: the check and the mark are the
//! same write, and the refused item tells why.

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, CancellationReason, Delete, Put, ReturnValue,
        ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
    },
};
use domain::{
    Attempt, AttemptId, ConnectSession, ConnectionId, Failure, SessionId,
    secret::Hash,
    session::{LastFailure, Previous, Redemption},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    Item, N, NewConnection, S, Sought, Store, StoreError, Unique,
    attempts::{OpenAttempts, set_of},
    conditional,
    expression::{Expression, OPEN},
    keys, millis,
    reconnects::to_value,
    rows::{AttemptRow, SessionRow, from_item, to_item},
    ttl,
    unique::held_by,
    write::{SendWrite as _, WriteError as _},
};

/// How many trips to Salesforce one session may begin: a link that is passed around cannot fill the table.
pub const MAX_ATTEMPTS: u32 = 50;

/// How often the person in a session may tell us what Salesforce showed.
const MAX_REPORTS: u32 = 50;

/// How long sessions and attempts are kept after they end, for support to look at.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What became of creating a session.
#[derive(Debug)]
pub enum Created {
    /// It is new.
    New,
    /// The same call was made before; this is what it made.
    Before(Box<ConnectSession>),
    /// The idempotency key was used before for a different call.
    Different,
}

/// What became of beginning an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// The browser may go.
    Yes,
    /// The session is over, has succeeded, or has had too many attempts.
    No,
}

/// Whose a callback is.
#[derive(Debug)]
pub enum Claim {
    /// This callback's, from now on and for no other.
    Yours(Box<Attempt>),
    /// Nobody's: there is no such attempt.
    Unknown,
    /// Another browser's.
    OtherBrowser(Box<Attempt>),
    /// It was claimed before.
    Used(Box<Attempt>),
    /// It waited too long at Salesforce.
    Expired(Box<Attempt>),
}

/// What became of a redemption.
#[derive(Debug)]
pub enum Redeemed {
    /// The connection is active.
    Yes,
    /// The same receipt, user and product within [`REPEATABLE`]: the answer is repeated.
    Again(Box<Repeat>),
    /// This receipt was redeemed before.
    Before,
    /// The uniqueness item is this other connection's.
    Held(ConnectionId),
    /// It is not this session's receipt, or comes too late.
    NotThisReceipt,
    /// The receipt is right and the user is not the session's: a link was sent to a victim, or a receipt
    /// was stolen. The grant must go.
    OtherUser,
}

/// What a repeated redemption is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The connection that the receipt made active.
    pub connection: ConnectionId,
    /// Whose it was before; `None`: it was new.
    pub previous: Option<Previous>,
}

/// How long a redemption can be repeated: the product may have lost the answer.
pub const REPEATABLE: SignedDuration = SignedDuration::from_hours(24);

impl Sought<ConnectSession> {
    /// The session of that id.
    pub fn session(id: &SessionId) -> Self {
        Self { key: keys::session(id), read: |pk, item| from_item::<SessionRow>(pk, item)?.read(pk) }
    }
}

impl Store {
    /// Stores a new session, unless the same call was made before. `call` digests what was asked for.
    pub async fn create_session(&self, session: &ConnectSession, call: &Hash) -> Result<Created, StoreError> {
        let key = keys::session(&session.id);
        let mut item = to_item(&key, &SessionRow::new(session))?;
        item.insert("call".into(), S(call.as_str()));
        item.insert("ttl".into(), ttl(session.expires_at + KEPT));
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        match conditional("PutItem", put)? {
            Ok(_) => Ok(Created::New),
            Err(Some(before)) if before.get("call") == Some(&S(call.as_str())) => {
                from_item::<SessionRow>(&key.pk, before)?.read(&key.pk).map(Box::new).map(Created::Before)
            }
            Err(_) => Ok(Created::Different),
        }
    }

    /// The session of that id.
    pub async fn session(&self, id: &SessionId) -> Result<Option<ConnectSession>, StoreError> {
        self.find(&Sought::session(id)).await
    }

    /// The session of that id, noting that its page was seen: read and mark in one request. Nothing else
    /// changes, for mail scanners and previews open links too.
    pub async fn open_session(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<ConnectSession>, StoreError> {
        let key = keys::session(id);
        let opened = self
            .update(&key)
            .update_expression("SET opened_at = if_not_exists(opened_at, :now)")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", millis(now))
            .return_values(ReturnValue::AllNew)
            .send_write()
            .await;
        match conditional("UpdateItem", opened)? {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                from_item::<SessionRow>(&key.pk, item)?.read(&key.pk).map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    /// Stores an attempt and marks its session as gone to Salesforce, both or neither.
    pub async fn begin_attempt(&self, attempt: &Attempt) -> Result<Begun, StoreError> {
        let (now, key) = (attempt.began_at, keys::attempt(&attempt.id));
        let mut item = to_item(&key, &AttemptRow::new(attempt))?;
        item.insert("ttl".into(), ttl(attempt.expires_at + KEPT));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build();
        let session = self
            .session_update(&attempt.session)
            .update_expression(
                "SET #state = :redirected, redirected_at = :now, environment = :environment, due_shard = :shard, \
                 due_at = :due, browser = :browser, browser_attempt = :attempt \
                 ADD attempts :one, open_attempts :this",
            )
            .condition_expression(format!("{OPEN} AND expires_at > :now AND attempts < :most"))
            .expression_attribute_values(":shard", S(keys::due_shard(attempt.session.as_str())))
            .expression_attribute_values(":due", millis(attempt.expires_at))
            .expression_attribute_values(":environment", S(attempt.environment.word()))
            .bound_to(&attempt.bound_browser())
            .open_states()
            .expression_attribute_values(":this", set_of(&attempt.id))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(MAX_ATTEMPTS));
        match self.transact(vec![built(put)?, built(session.build())?]).await? {
            Ok(()) => Ok(Begun::Yes),
            Err(_) => Ok(Begun::No),
        }
    }

    /// Claims an attempt for one callback. Of any number of concurrent callbacks exactly one succeeds: the
    /// check and the mark are the same write. Expiry is checked here because DynamoDB may leave an item
    /// readable for days after its `ttl`; the browser is checked here because a state alone opens nothing. Who
    /// claimed is written with it, so that a write that the SDK tries again, because its answer was lost, is
    /// known as this callback's own.
    pub async fn claim(&self, id: &AttemptId, browser: &Hash, now: Timestamp) -> Result<Claim, StoreError> {
        let key = keys::attempt(id);
        let claimant = S(domain::id::base32(&domain::secret::random::<16>()));
        let claimed = self
            .update(&key)
            .update_expression("SET claimed_at = :now, claimed_by = :claimant")
            .condition_expression(
                "attribute_exists(pk) AND attribute_not_exists(claimed_at) AND expires_at > :now AND browser = :browser",
            )
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":browser", S(browser.as_str()))
            .expression_attribute_values(":claimant", claimant.clone())
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        let read = |item: Item| from_item::<AttemptRow>(&key.pk, item)?.read(&key.pk).map(Box::new);
        match conditional("UpdateItem", claimed)? {
            Ok(output) => read(output.attributes.unwrap_or_default()).map(Claim::Yours),
            Err(None) => Ok(Claim::Unknown),
            Err(Some(item)) if item.get("browser") != Some(&S(browser.as_str())) => {
                read(item).map(Claim::OtherBrowser)
            }
            Err(Some(item)) if item.get("claimed_by") == Some(&claimant) => read(item).map(Claim::Yours),
            Err(Some(item)) if item.contains_key("claimed_at") => read(item).map(Claim::Used),
            Err(Some(item)) => read(item).map(Claim::Expired),
        }
    }

    /// Stores a new connection and marks its session as returned, both or neither. `false`: the session has succeeded
    /// before.
    pub async fn save_connection(&self, new: &NewConnection<'_>) -> Result<bool, StoreError> {
        let connection = &new.record.connection;
        let (receipt, redeem_by) = &new.receipt;
        for open in OpenAttempts::ALL {
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(new.record.item(new.due)?))
                .condition_expression("attribute_not_exists(pk)")
                .build();
            let update = self
                .session_update(new.session)
                .update_expression(format!(
                    "SET #state = :returned, #connection = :id, receipt = :receipt, redeem_by = :by, \
                     returned_at = :at, browser = :browser, browser_attempt = :attempt {}",
                    open.without(&["last_failure", "identity_change"])
                ))
                .bound_to(new.browser)
                .expression_attribute_names("#connection", "connection")
                .expression_attribute_values(":returned", S("returned"))
                .expression_attribute_values(":at", millis(connection.created_at))
                .expression_attribute_values(":id", S(connection.id.as_str()))
                .expression_attribute_values(":receipt", S(receipt.as_str()))
                .expression_attribute_values(":by", millis(*redeem_by));
            let update = open.on_open_session(update, &new.browser.attempt).build();
            let writes = vec![built(put)?, built(update)?, self.history_write(connection)?];
            if self.transact(writes).await?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Redeems a receipt: session and connection become active and the uniqueness item is written, in one write, if
    /// receipt, product, user and time are right.
    pub async fn redeem(
        &self,
        redemption: &Redemption,
        unique: Option<&Unique>,
        now: Timestamp,
    ) -> Result<Redeemed, StoreError> {
        let Some(connection) = redemption.receipt.connection() else { return Ok(Redeemed::NotThisReceipt) };
        let session = self.redemption_write(redemption, &connection, None, now)?;
        let activate = self.update_together(&keys::connection(&connection));
        let activate = match unique {
            None => activate.update_expression("SET #state = :active, due_at = :keep_alive REMOVE redeem_by"),
            Some(unique) => activate
                .update_expression(
                    "SET #state = :active, due_at = :keep_alive, unique_pk = :unique REMOVE redeem_by",
                )
                .expression_attribute_values(":unique", S(unique.key())),
        };
        // The grant of a reconnect never becomes a connection of its own.
        let activate = activate
            .condition_expression(
                "#state = :pending AND attribute_not_exists(reconnect) AND attribute_exists(due_shard)",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":keep_alive", millis(redemption.keep_alive))
            .expression_attribute_values(":active", S("active"))
            .expression_attribute_values(":pending", S("pending"));
        let mut writes = vec![session, built(activate.build())?];
        if let Some(unique) = unique {
            writes.push(self.unique_write(unique, &connection)?);
        }
        let Err(reasons) = self.transact(writes).await? else { return Ok(Redeemed::Yes) };
        // What the session says comes first: a wrong receipt learns nothing of connections.
        let only_held = reasons.iter().take(2).all(|reason| reason.code() != Some("ConditionalCheckFailed"));
        Ok(match held_by(reasons.get(2)).filter(|_| only_held) {
            Some(other) => Redeemed::Held(other),
            None => why_unredeemed(redemption, reasons.first(), now),
        })
    }

    /// A session's part of a redemption: it is connected by that connection, if receipt, product, user and time
    /// are right. [`why_unredeemed`] reads a refusal.
    pub(crate) fn redemption_write(
        &self,
        redemption: &Redemption,
        connection: &ConnectionId,
        previous: Option<&Previous>,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        const SET: &str =
            "SET #state = :connected, redeemed_at = :now, connected_at = :now, #connection = :id";
        let session = self.session_update(&redemption.session);
        let session = match previous {
            None => session.update_expression(SET),
            Some(previous) => session
                .update_expression(format!("{SET}, previous = :previous"))
                .expression_attribute_values(":previous", to_value(previous)?),
        };
        let session = session
            .condition_expression(
                "#state = :returned AND receipt = :receipt AND product = :product AND #user = :user AND redeem_by > :now",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#user", "user")
            .expression_attribute_names("#connection", "connection")
            .expression_attribute_values(":connected", S("connected"))
            .expression_attribute_values(":returned", S("returned"))
            .expression_attribute_values(":receipt", S(redemption.receipt.hash().as_str()))
            .expression_attribute_values(":product", S(redemption.product.as_str()))
            .expression_attribute_values(":user", S(&redemption.user))
            .expression_attribute_values(":id", S(connection.as_str()))
            .expression_attribute_values(":now", millis(now))
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        built(session.build())
    }

    /// Records what the person in a session told us, and leaves the session open. `false`: it has been told
    /// too often, or the session is over; whoever holds a link cannot fill the table. A report ends no attempt.
    pub async fn report_failure(&self, session: &SessionId, failure: &Failure) -> Result<bool, StoreError> {
        let put = self.failure_write(failure)?;
        let update = self
            .session_update(session)
            .update_expression("SET #state = :failed, last_failure = :failure ADD reports :one")
            .condition_expression(format!("{OPEN} AND (attribute_not_exists(reports) OR reports < :most)"))
            .open_states()
            .expression_attribute_values(":failure", last_failure(failure)?)
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(MAX_REPORTS));
        Ok(self.transact(vec![put, built(update.build())?]).await?.is_ok())
    }

    /// Marks a session whose browser never came back, with its likely cause, unless it came back after all. Without a
    /// failure where the product was deleted: nobody is left to show one to.
    pub async fn lose_session(
        &self,
        session: &SessionId,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut update = self
            .session_update(session)
            .update_expression("SET #state = :lost REMOVE due_shard, due_at, open_attempts")
            .condition_expression("#state = :redirected AND due_at <= :now")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":lost", S("lost"))
            .expression_attribute_values(":redirected", S("redirected"))
            .expression_attribute_values(":now", millis(now));
        let mut writes = Vec::new();
        if let Some(failure) = failure {
            update = update
                .update_expression(
                    "SET #state = :lost, last_failure = :failure REMOVE due_shard, due_at, open_attempts",
                )
                .expression_attribute_values(":failure", last_failure(failure)?);
            writes.push(self.failure_write(failure)?);
        }
        writes.push(built(update.build())?);
        Ok(self.transact(writes).await?.is_ok())
    }

    /// Ends a session whose receipt another user brought: the failure is on record, the receipt is worth
    /// nothing any more, and the connection is to be revoked, all or nothing. `false`: another redemption or the sweep came
    /// first, so this caller must not revoke anything.
    pub async fn refuse_redemption(
        &self,
        redemption: &Redemption,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(connection) = redemption.receipt.connection() else { return Ok(false) };
        let put = self.failure_write(failure)?;
        let session = self
            .session_update(&redemption.session)
            .update_expression(
                "SET #state = :failed, last_failure = :failure REMOVE receipt, redeem_by, #connection",
            )
            .condition_expression("#state = :returned AND receipt = :receipt")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#connection", "connection")
            .expression_attribute_values(":failed", S("failed"))
            .expression_attribute_values(":returned", S("returned"))
            .expression_attribute_values(":receipt", S(redemption.receipt.hash().as_str()))
            .expression_attribute_values(":failure", last_failure(failure)?);
        let revoke = self
            .update_together(&keys::connection(&connection))
            .revoking(&connection, now)
            .condition_expression("attribute_exists(pk)");
        Ok(self.transact(vec![put, built(session.build())?, built(revoke.build())?]).await?.is_ok())
    }

    pub(crate) fn session_update(&self, id: &SessionId) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        self.update_together(&keys::session(id))
    }

    /// Writes all or nothing. The inner error: a condition refused, with each write's reason.
    pub(crate) async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
    ) -> Result<Result<(), Vec<CancellationReason>>, StoreError> {
        let written = self.client.transact_write_items().set_transact_items(Some(writes)).send_write().await;
        let Err(error) = written else { return Ok(Ok(())) };
        match error.as_service_error() {
            // A transaction that met another one as well has no verdict: which condition refused is not known.
            Some(refused) if refused.met_transaction() => {
                Err(StoreError::unavailable("TransactWriteItems", &error))
            }
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
                if cancelled
                    .cancellation_reasons()
                    .iter()
                    .any(|reason| reason.code() == Some("ConditionalCheckFailed")) =>
            {
                Ok(Err(cancelled.cancellation_reasons().to_vec()))
            }
            _ => Err(StoreError::unavailable("TransactWriteItems", &error)),
        }
    }
}

/// Why a session refused its part of a redemption.
pub(crate) fn why_unredeemed(
    redemption: &Redemption,
    session: Option<&CancellationReason>,
    now: Timestamp,
) -> Redeemed {
    let Some(session) = session.and_then(|reason| reason.item.as_ref()) else {
        return Redeemed::NotThisReceipt;
    };
    let is = |name: &str, value: &str| session.get(name) == Some(&S(value));
    let receipt = redemption.receipt.hash();
    if !is("receipt", receipt.as_str()) || !is("product", redemption.product.as_str()) {
        Redeemed::NotThisReceipt
    } else if is("state", "connected") {
        let repeat = if is("user", &redemption.user) { repeat(session, now) } else { None };
        repeat.map_or(Redeemed::Before, |repeat| Redeemed::Again(Box::new(repeat)))
    } else if is("state", "returned") && !is("user", &redemption.user) {
        Redeemed::OtherUser
    } else {
        Redeemed::NotThisReceipt
    }
}

/// What a session that was redeemed is answered with once more, within [`REPEATABLE`].
fn repeat(session: &Item, now: Timestamp) -> Option<Repeat> {
    let redeemed_at: i64 = session.get("redeemed_at")?.as_n().ok()?.parse().ok()?;
    let age = now.as_millisecond().saturating_sub(redeemed_at);
    if i128::from(age) >= REPEATABLE.as_millis() {
        return None;
    }
    let connection = session.get("connection")?.as_s().ok()?.parse().ok()?;
    let previous = match session.get("previous") {
        Some(previous) => Some(serde_dynamo::from_attribute_value(previous.clone()).ok()?),
        None => None,
    };
    Some(Repeat { connection, previous })
}

pub(crate) fn last_failure(failure: &Failure) -> Result<AttributeValue, StoreError> {
    let last = LastFailure { id: failure.id.clone(), cause: failure.cause.clone() };
    serde_dynamo::to_attribute_value(last)
        .map_err(|error| StoreError::Corrupt { pk: keys::failure(&failure.id).pk, what: error.to_string() })
}

/// One write of a transaction.
pub(crate) trait Write {
    fn write(self) -> TransactWriteItem;
}

impl Write for Put {
    fn write(self) -> TransactWriteItem {
        TransactWriteItem::builder().put(self).build()
    }
}

impl Write for Update {
    fn write(self) -> TransactWriteItem {
        TransactWriteItem::builder().update(self).build()
    }
}

impl Write for Delete {
    fn write(self) -> TransactWriteItem {
        TransactWriteItem::builder().delete(self).build()
    }
}

/// A builder that lacks a part is a bug of ours; it surfaces as a failed call, never as a panic.
pub(crate) fn built<W: Write>(
    write: Result<W, aws_sdk_dynamodb::error::BuildError>,
) -> Result<TransactWriteItem, StoreError> {
    write.map(Write::write).map_err(|error| StoreError::Unavailable {
        operation: "TransactWriteItems",
        code: "Incomplete".into(),
        message: error.to_string(),
    })
}
