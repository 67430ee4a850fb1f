//! Redeeming: the receipt of a session, brought by its user, makes the pending connection active, once.

use aws_sdk_dynamodb::types::{
    CancellationReason, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem,
};
use domain::{
    ConnectionId, EventType, Failure,
    session::{Previous, Redemption},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    Item, S, Store, StoreError,
    expression::Expression,
    keys, millis,
    reconnects::to_value,
    revisions::{Raising as _, look, raise_now},
    sessions::last_failure,
    unique::{Unique, held_by},
    write::built,
};

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

impl Store {
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
            None => activate.update_expression(format!(
                "SET #state = :active, due_at = :keep_alive, {} REMOVE redeem_by",
                raise_now()
            )),
            Some(unique) => activate
                .update_expression(format!(
                    "SET #state = :active, due_at = :keep_alive, unique_pk = :unique, {} REMOVE redeem_by",
                    raise_now()
                ))
                .expression_attribute_values(":unique", S(unique.key())),
        };
        // The grant of a reconnect never becomes a connection of its own.
        let activate = activate
            .raising(EventType::ConnectionCreated, now)
            .condition_expression(
                "#state = :pending AND attribute_not_exists(reconnect) AND attribute_exists(due_shard)",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":keep_alive", millis(look(redemption.keep_alive, now)))
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
