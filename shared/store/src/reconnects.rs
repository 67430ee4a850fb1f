//! Reconnects: a new grant takes the place of a connection's old one, under the connection's own id.
//!
//! Until then the new grant stands beside the connection, in an item of its own ([`Reconnect::New`]): pending,
//! or parked while somebody has to confirm that it is another org's or user's. One transaction changes the two:
//! the connection gets the new grant, and the item beside it the old one ([`Reconnect::Old`]), which is then
//! revoked like any other. Tokens are sealed for the item that they stand in.

use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, TransactWriteItem, builders::PutBuilder,
};
use domain::{
    Connection, ConnectionId, EventType, Failure, Identity, SessionId,
    secret::Hash,
    session::{BoundBrowser, Change, Previous, Redemption},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    N, S, Store, StoreError,
    attempts::OpenAttempts,
    connections::ConnectionRecord,
    expression::Expression,
    imports::Import,
    keys, millis,
    redemptions::{Redeemed, why_unredeemed},
    revisions::raise,
    sessions::last_failure,
    unique::{Unique, held_by},
    write::built,
};

/// What an item beside a connection holds of the connection's reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reconnect {
    /// The new grant, until the connection takes it over.
    New {
        /// The connection.
        of: ConnectionId,
        /// Whose it was when the new grant was found to be the same, or was confirmed.
        whose: Identity,
    },
    /// The old grant, until it is revoked.
    Old {
        /// The connection.
        of: ConnectionId,
    },
}

/// A new grant that takes the place of an old one.
#[derive(Debug)]
pub struct Takeover<'a> {
    /// The connection as it was read.
    pub before: &'a ConnectionRecord,
    /// The connection as it is to be.
    pub after: &'a ConnectionRecord,
    /// The item beside it, in which the new grant was, if it was stored.
    pub beside: &'a ConnectionId,
    /// The old grant, as it is in that item from now on; `None`: nothing is left to be revoked.
    pub old: Option<&'a ConnectionRecord>,
    /// When the connection is refreshed if nobody uses it.
    pub keep_alive: Timestamp,
    /// The uniqueness item that the connection is to have.
    pub unique: Option<&'a Unique>,
}

/// What brings a new grant for a connection that there is.
#[derive(Debug, Clone, Copy)]
pub enum Bringing<'a> {
    /// The product redeems a receipt.
    Redemption(&'a Redemption),
    /// The product imports a refresh token.
    Import(&'a Import),
}

/// What became of a takeover.
#[derive(Debug)]
pub enum TakeoverOutcome {
    /// The connection has the new grant.
    Yes,
    /// The connection is no longer as it was read: it may have been refreshed.
    Changed,
    /// The uniqueness item is this other connection's.
    Held(ConnectionId),
    /// The session or the new grant does not allow it.
    Refused(Redeemed),
}

/// The session that a new grant was made in: a reconnect has one.
fn session_of(connection: &Connection) -> Result<&SessionId, StoreError> {
    connection.session.as_ref().ok_or_else(|| StoreError::Corrupt {
        pk: keys::connection(&connection.id).pk,
        what: "a reconnect without a session".into(),
    })
}

impl Store {
    /// Stores a new grant as parked, and its session with it, both or neither. `false`: the session has
    /// succeeded before, or is parked already.
    pub async fn park(
        &self,
        parked: &ConnectionRecord,
        change: &Change,
        browser: &BoundBrowser,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let connection = &parked.connection;
        for open in OpenAttempts::ALL {
            let item = parked.item(until)?;
            let put = self.put_together(item).condition_expression("attribute_not_exists(pk)");
            let session = self
                .session_update(session_of(connection)?)
                .update_expression(format!(
                    "SET #state = :parked, #connection = :id, parked_until = :until, identity_change = :change, \
                     returned_at = :at, browser = :browser, browser_attempt = :attempt {}",
                    open.without(&["last_failure"])
                ))
                .bound_to(browser)
                .name("#connection", "connection")
                .value(":parked", S("parked"))
                .value(":id", S(connection.id.as_str()))
                .value(":until", millis(until))
                .value(":at", millis(connection.created_at))
                .value(":change", to_value(change)?);
            let session = open.on_open_session(session, &browser.attempt).build();
            let writes = vec![built(put.build())?, built(session)?, self.history_write(connection)?];
            if self.transact(writes).await?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes by what name the user of a parked grant signs in, on its item and in the session that asks whether they are
    /// meant. It is for people to read.
    pub async fn name_parked_user(
        &self,
        session: &SessionId,
        connection: &ConnectionId,
        username: &str,
    ) -> Result<(), StoreError> {
        let asked = self
            .session_update(session)
            .update_expression("SET identity_change.#after.#identity.username = :username")
            .condition_expression("#state = :parked AND #connection = :id")
            .name("#after", "after")
            .name("#identity", "identity")
            .name("#state", "state")
            .name("#connection", "connection")
            .value(":parked", S("parked"))
            .value(":id", S(connection.as_str()))
            .value(":username", S(username));
        let parked = self
            .update_together(&keys::connection(connection))
            .update_expression("SET username = :username")
            .condition_expression("attribute_exists(pk)")
            .value(":username", S(username));
        // Refused: it is decided already, and nobody asks any more.
        self.transact(vec![built(asked.build())?, built(parked.build())?]).await.map(drop)
    }

    /// The user confirms a parked grant: it is pending, for this receipt. `false`: it is too late, or was decided before.
    pub async fn confirm(
        &self,
        session: &SessionId,
        connection: &ConnectionId,
        (receipt, redeem_by): (&Hash, Timestamp),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let session = self
            .session_update(session)
            .update_expression(
                "SET #state = :returned, receipt = :receipt, redeem_by = :by REMOVE parked_until",
            )
            .condition_expression("#connection = :id AND #state = :parked AND parked_until > :now")
            .name("#state", "state")
            .name("#connection", "connection")
            .value(":parked", S("parked"))
            .value(":returned", S("returned"))
            .value(":id", S(connection.as_str()))
            .value(":receipt", S(receipt.as_str()))
            .value(":by", millis(redeem_by))
            .value(":now", millis(now));
        let grant = self
            .update_together(&keys::connection(connection))
            .update_expression("SET #state = :pending, redeem_by = :by, due_at = :by REMOVE parked_until")
            .condition_expression("#state = :parked")
            .name("#state", "state")
            .value(":parked", S("parked"))
            .value(":pending", S("pending"))
            .value(":by", millis(redeem_by));
        Ok(self.transact(vec![built(session.build())?, built(grant.build())?]).await?.is_ok())
    }

    /// Nobody wants a parked grant: its session has failed, and it is to be revoked, all or nothing. `false`:
    /// it was decided before.
    pub async fn refuse_parked(
        &self,
        session: &SessionId,
        connection: &ConnectionId,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let session = self
            .session_update(session)
            .update_expression(
                "SET #state = :failed, last_failure = :failure REMOVE #connection, parked_until",
            )
            .condition_expression("#state = :parked AND #connection = :id")
            .name("#state", "state")
            .name("#connection", "connection")
            .value(":failed", S("failed"))
            .value(":parked", S("parked"))
            .value(":id", S(connection.as_str()))
            .value(":failure", last_failure(failure)?);
        let revoke = self
            .update_together(&keys::connection(connection))
            .revoking(connection, now)
            .condition_expression("#state = :parked")
            .value(":parked", S("parked"));
        let writes = vec![self.failure_write(failure)?, built(session.build())?, built(revoke.build())?];
        Ok(self.transact(writes).await?.is_ok())
    }

    /// Redeems the receipt of a reconnect, or stores an import: the new grant takes the old one's place, the old one
    /// stands beside it to be revoked, and the session is connected or the import done: all or nothing. Whoever refreshes
    /// the old grant meanwhile finds that the refresh token is no longer the one that was sent, and the epoch no longer
    /// theirs.
    pub async fn take_over(
        &self,
        takeover: &Takeover<'_>,
        bringing: Bringing<'_>,
        now: Timestamp,
    ) -> Result<TakeoverOutcome, StoreError> {
        let Takeover { before, after, keep_alive, unique, .. } = takeover;
        let revision = before.revision.next(EventType::ConnectionReconnected, now);
        let after = &ConnectionRecord { revision, ..(*after).clone() };
        let was = &before.connection;
        let previous = Previous { app: was.app.clone(), identity: was.identity.clone() };
        let id = &after.connection.id;
        let put = self.put_together(after.item(*keep_alive)?);
        let mut writes = vec![
            match bringing {
                Bringing::Redemption(redemption) => {
                    self.redemption_write(redemption, id, Some(&previous), now)?
                }
                Bringing::Import(import) => self.import_done_write(import, id)?,
            },
            built(unchanged(put, before).build())?,
        ];
        if let Some(unique) = unique {
            writes.push(self.unique_write(unique, id)?);
        }
        match bringing {
            Bringing::Redemption(_) => writes.push(self.beside_write(takeover, now)?),
            Bringing::Import(_) => {
                if let Some(old) = takeover.old {
                    let put = self.put_together(old.item(now)?);
                    writes.push(built(put.condition_expression("attribute_not_exists(pk)").build())?);
                }
                writes.push(self.history_write(&after.connection)?);
            }
        }
        let Err(reasons) = self.transact(writes).await? else { return Ok(TakeoverOutcome::Yes) };
        let refused = |index: usize| {
            reasons.get(index).and_then(CancellationReason::code) == Some("ConditionalCheckFailed")
        };
        Ok(if refused(0) {
            TakeoverOutcome::Refused(match bringing {
                Bringing::Redemption(redemption) => why_unredeemed(redemption, reasons.first(), now),
                Bringing::Import(_) => Redeemed::Before,
            })
        } else if refused(1) {
            TakeoverOutcome::Changed
        } else if let Some(other) = unique.and_then(|_| held_by(reasons.get(2))) {
            TakeoverOutcome::Held(other)
        } else {
            TakeoverOutcome::Refused(Redeemed::NotThisReceipt)
        })
    }

    /// The part of the item beside the connection: it holds the old grant from now on, due to be revoked; where nothing
    /// is to be revoked, no token that could be, and is due to be deleted.
    fn beside_write(
        &self,
        Takeover { after, beside, old, .. }: &Takeover<'_>,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        if let Some(old) = old {
            let put = self
                .put_together(old.item(now)?)
                .condition_expression("#state = :pending")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":pending", S("pending"));
            return built(put.build());
        }
        let update = self
            .update_together(&keys::connection(beside))
            .revoking(beside, now)
            .update_expression(
                format!("SET #state = :revoking, since = :now, due_shard = :shard, due_at = :now, reconnect = :old, {} \
                 REMOVE refresh_token, refresh_fingerprint, grants_pk, redeem_by, parked_until", raise(":now")),
            )
            .condition_expression("#state = :pending")
            .value(":old", to_value(&Reconnect::Old { of: after.connection.id.clone() })?)
            .value(":pending", S("pending"));
        built(update.build())
    }

    fn put_together(&self, item: crate::Item) -> PutBuilder {
        Put::builder().table_name(&self.table).set_item(Some(item))
    }
}

/// On condition that the connection is as it was read: nobody has taken the lease since, nor put another refresh
/// token in its place, and it is not on its way out.
fn unchanged(put: PutBuilder, before: &ConnectionRecord) -> PutBuilder {
    const AS_READ: &str = "#state IN (:active, :blocked, :unknown, :reauth) AND product = :product AND epoch = :epoch AND \
         (revision = :revision OR attribute_not_exists(revision))";
    let put = put
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", S("active"))
        .expression_attribute_values(":blocked", S("blocked"))
        .expression_attribute_values(":unknown", S("refresh_unknown"))
        .expression_attribute_values(":reauth", S("needs_reauth"))
        .expression_attribute_values(":product", S(before.connection.product.as_str()))
        .expression_attribute_values(":epoch", N(before.epoch))
        .expression_attribute_values(":revision", N(before.revision.number));
    match &before.refresh_fingerprint {
        Some(held) => put
            .condition_expression(format!("{AS_READ} AND refresh_fingerprint = :held"))
            .expression_attribute_values(":held", S(held.as_str())),
        None => put.condition_expression(format!("{AS_READ} AND attribute_not_exists(refresh_fingerprint)")),
    }
}

pub(crate) fn to_value(value: &impl Serialize) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(value)
        .map_err(|error| StoreError::Corrupt { pk: "a reconnect".into(), what: error.to_string() })
}
