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
    Connection, ConnectionId, ConnectionState, Failure, Identity, SalesforceUserId, SessionId,
    secret::Hash,
    session::{BoundBrowser, Change, Previous, Redemption},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ConnectionRecord, Field, N, Owner, Redeemed, S, SecretError, Store, StoreError, Unique, Vault,
    attempts::OpenAttempts,
    expression::Expression,
    imports::Import,
    keys, millis,
    sessions::{built, last_failure, why_unredeemed},
    table::GRANTS,
    unique::held_by,
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
pub enum TakenOver {
    /// The connection has the new grant.
    Yes,
    /// The connection is no longer as it was read: it may have been refreshed.
    Changed,
    /// The uniqueness item is this other connection's.
    Held(ConnectionId),
    /// The session or the new grant does not allow it.
    Refused(Redeemed),
}

impl ConnectionRecord {
    /// This connection with a new grant: all of it is new but its id and its age. The epoch goes on, so that a lease on
    /// the old grant is worth nothing.
    pub async fn renewed(&self, vault: &Vault, new: &Self) -> Result<Self, SecretError> {
        let connection = Connection {
            id: self.connection.id.clone(),
            created_at: self.connection.created_at,
            state: ConnectionState::Active,
            ..new.connection.clone()
        };
        let after = new.resealed(vault, connection).await?;
        Ok(Self { epoch: self.epoch + 1, ..after })
    }

    /// The old grant of a connection that got a new one, to be revoked in the new one's item; `None`: it has no refresh
    /// token, or the new one's.
    pub async fn retired(
        &self,
        vault: &Vault,
        new: &Self,
        now: Timestamp,
    ) -> Result<Option<Self>, SecretError> {
        if self.refresh_token.is_none() || self.refresh_fingerprint == new.refresh_fingerprint {
            return Ok(None);
        }
        let connection = Connection {
            id: new.connection.id.clone(),
            state: ConnectionState::Revoking { since: now },
            ..self.connection.clone()
        };
        let old = self.resealed(vault, connection).await?;
        Ok(Some(Self { reconnect: Some(Reconnect::Old { of: self.connection.id.clone() }), ..old }))
    }

    /// The same grant in another item: opened, and sealed for that one.
    pub async fn resealed(&self, vault: &Vault, connection: Connection) -> Result<Self, SecretError> {
        let from = Owner { product: &self.connection.product, connection: &self.connection.id };
        let to = Owner { product: &connection.product, connection: &connection.id };
        let refresh_token = match &self.refresh_token {
            Some(sealed) => Some(vault.reseal(from, to, Field::RefreshToken, sealed).await?),
            None => None,
        };
        Ok(Self {
            access_token: vault.reseal(from, to, Field::AccessToken, &self.access_token).await?,
            access_fingerprint: self.access_fingerprint.clone(),
            refresh_token,
            refresh_fingerprint: self.refresh_fingerprint.clone(),
            issued_at: self.issued_at,
            fetched_at: self.fetched_at,
            expires_at: self.expires_at,
            epoch: 0,
            lease_until: None,
            began_at: None,
            recovered_at: None,
            refused_at: None,
            expiry_basis: self.expiry_basis,
            learnt: self.learnt,
            rejections: 0,
            paused: None,
            unasked: false,
            reconnect: None,
            grants_key: self.grants_key.clone(),
            unique: None,
            another: false,
            backoff: None,
            rejected: self.rejected,
            connection,
        })
    }
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
    ) -> Result<TakenOver, StoreError> {
        let Takeover { before, after, keep_alive, unique, .. } = takeover;
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
        let Err(reasons) = self.transact(writes).await? else { return Ok(TakenOver::Yes) };
        let refused = |index: usize| {
            reasons.get(index).and_then(CancellationReason::code) == Some("ConditionalCheckFailed")
        };
        Ok(if refused(0) {
            TakenOver::Refused(match bringing {
                Bringing::Redemption(redemption) => why_unredeemed(redemption, reasons.first(), now),
                Bringing::Import(_) => Redeemed::Before,
            })
        } else if refused(1) {
            TakenOver::Changed
        } else if let Some(other) = unique.and_then(|_| held_by(reasons.get(2))) {
            TakenOver::Held(other)
        } else {
            TakenOver::Refused(Redeemed::NotThisReceipt)
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
                "SET #state = :revoking, since = :now, due_shard = :shard, due_at = :now, reconnect = :old \
                 REMOVE refresh_token, refresh_fingerprint, grants_pk, redeem_by, parked_until",
            )
            .condition_expression("#state = :pending")
            .value(":old", to_value(&Reconnect::Old { of: after.connection.id.clone() })?)
            .value(":pending", S("pending"));
        built(update.build())
    }

    fn put_together(&self, item: crate::Item) -> PutBuilder {
        Put::builder().table_name(&self.table).set_item(Some(item))
    }

    /// How many grants of this user to the app of this consumer key we hold, over all products: Salesforce ends
    /// the oldest when there are more than five (fact base 3.10). The index follows a write within moments.
    pub async fn grants(&self, consumer_key: &str, user: &SalesforceUserId) -> Result<usize, StoreError> {
        self.granted(&keys::grants(consumer_key, user)).await.map(|connections| connections.len())
    }

    /// Whether another connection holds this record's refresh token: revoking it would end that one too.
    pub async fn is_held_elsewhere(&self, record: &ConnectionRecord) -> Result<bool, StoreError> {
        let (Some(key), Some(fingerprint)) = (&record.grants_key, &record.refresh_fingerprint) else {
            return Ok(false);
        };
        let mut others = self.granted(key).await?;
        // The index may not have it yet; a moment ago it held the same grant.
        if let Some(Reconnect::New { of, .. } | Reconnect::Old { of }) = &record.reconnect
            && !others.contains(of)
        {
            others.push(of.clone());
        }
        for other in others.iter().filter(|other| **other != record.connection.id) {
            let held = self
                .connection(other)
                .await?
                .filter(|other| !matches!(other.connection.state, domain::ConnectionState::Revoking { .. }));
            if held.is_some_and(|held| held.refresh_fingerprint.as_ref() == Some(fingerprint)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The connections in one partition of index `grants`, but for those that are being revoked.
    pub(crate) async fn granted(&self, partition: &str) -> Result<Vec<ConnectionId>, StoreError> {
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(GRANTS)
            .key_condition_expression("grants_pk = :partition")
            .filter_expression("#state <> :revoking")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":partition", S(partition))
            .expression_attribute_values(":revoking", S("revoking"))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))?;
        let items = page.items.unwrap_or_default();
        Ok(items.iter().filter_map(|item| keys::connection_of(item.get("pk")?.as_s().ok()?)).collect())
    }
}

/// On condition that the connection is as it was read: nobody has taken the lease since, nor put another refresh
/// token in its place, and it is not on its way out.
fn unchanged(put: PutBuilder, before: &ConnectionRecord) -> PutBuilder {
    const AS_READ: &str =
        "#state IN (:active, :blocked, :unknown, :reauth) AND product = :product AND epoch = :epoch";
    let put = put
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", S("active"))
        .expression_attribute_values(":blocked", S("blocked"))
        .expression_attribute_values(":unknown", S("refresh_unknown"))
        .expression_attribute_values(":reauth", S("needs_reauth"))
        .expression_attribute_values(":product", S(before.connection.product.as_str()))
        .expression_attribute_values(":epoch", N(before.epoch));
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
