//! Grants that no product has redeemed: taken back where a newer one returns, and where they are too many.

use domain::{Attempt, Connection, ConnectionId, ProductId, session::BoundBrowser};
use jiff::Timestamp;

use crate::{
    S, Store, StoreError, connections::ConnectionRecord, expression::Expression, keys, millis,
    shared_grants::may_live, write::built,
};

/// What one Salesforce user has granted to one app, as a new grant meets it.
#[derive(Debug, Default)]
pub struct Unredeemed {
    /// How many grants there are, the new one included.
    grants: usize,
    /// Those of them that are pending or parked, the oldest first, without the new one.
    waiting: Vec<ConnectionId>,
}

impl Unredeemed {
    /// How many of the grants are more than `most`.
    pub fn surplus(&self, most: usize) -> usize {
        self.grants.saturating_sub(most)
    }

    /// The pending and parked grants of all products, the oldest first, without the new one.
    pub fn oldest_first(&self) -> &[ConnectionId] {
        &self.waiting
    }
}

impl Store {
    /// What the Salesforce user of a new grant has granted to its app, over all products. The index follows a write
    /// within moments.
    pub async fn unredeemed(&self, new: &ConnectionRecord) -> Result<Unredeemed, StoreError> {
        let Some(partition) = &new.grants_key else { return Ok(Unredeemed::default()) };
        let mut unredeemed = Unredeemed { grants: 1, waiting: Vec::new() };
        for item in self.grant_items(partition).await?.iter().filter(|item| may_live(item)) {
            let id = item.get("pk").and_then(|pk| keys::connection_of(pk.as_s().ok()?));
            let Some(id) = id.filter(|id| *id != new.connection.id) else { continue };
            unredeemed.grants += 1;
            if ["pending", "parked"].iter().any(|state| item.get("state") == Some(&S(*state))) {
                unredeemed.waiting.push(id);
            }
        }
        unredeemed.waiting.sort();
        Ok(unredeemed)
    }

    /// Takes back the grant that a session has not redeemed: its receipt is worth nothing any more, the session is open
    /// for this attempt's grant, and the earlier grant is to be revoked, all or nothing. Only for a caller that has the
    /// secret of the browser that brought it. `false`: it was redeemed, or decided otherwise, before, or the session is
    /// another browser's.
    pub async fn withdraw(
        &self,
        attempt: &Attempt,
        (earlier, returned): (&ConnectionId, &BoundBrowser),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let session = self
            .session_update(&attempt.session)
            .update_expression(
                "SET #state = :redirected, redirected_at = :began, due_shard = :shard, due_at = :due \
                 REMOVE #connection, receipt, redeem_by, parked_until, identity_change",
            )
            .condition_expression(
                "#state IN (:returned, :parked) AND #connection = :earlier \
                 AND browser = :browser AND browser_attempt = :attempt",
            )
            .bound_to(returned)
            .name("#state", "state")
            .name("#connection", "connection")
            .value(":redirected", S("redirected"))
            .value(":returned", S("returned"))
            .value(":parked", S("parked"))
            .value(":earlier", S(earlier.as_str()))
            .value(":began", millis(attempt.began_at))
            .value(":shard", S(keys::due_shard(attempt.session.as_str())))
            .value(":due", millis(attempt.expires_at));
        let revoke = self
            .update_together(&keys::connection(earlier))
            .revoking(earlier, now)
            .condition_expression("#state IN (:pending, :parked)")
            .value(":pending", S("pending"))
            .value(":parked", S("parked"));
        Ok(self.transact(vec![built(session.build())?, built(revoke.build())?]).await?.is_ok())
    }

    /// Marks a pending grant of a product to be revoked before its time, and ends the time of its session's receipt, all
    /// or nothing. `false`: it was redeemed, or is another product's.
    pub async fn withdraw_oldest(
        &self,
        product: &ProductId,
        oldest: &Connection,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = &oldest.id;
        let revoke = self
            .update_together(&keys::connection(id))
            .revoking(id, now)
            .condition_expression("#state = :pending AND product = :product")
            .value(":pending", S("pending"))
            .value(":product", S(product.as_str()));
        let mut writes = vec![built(revoke.build())?];
        if let Some(session) = &oldest.session {
            let end_receipt = self
                .session_update(session)
                .update_expression("SET redeem_by = :now")
                .condition_expression("#state = :returned AND #connection = :id")
                .name("#state", "state")
                .name("#connection", "connection")
                .value(":now", millis(now))
                .value(":returned", S("returned"))
                .value(":id", S(id.as_str()));
            writes.push(built(end_receipt.build())?);
        }
        Ok(self.transact(writes).await?.is_ok())
    }
}
