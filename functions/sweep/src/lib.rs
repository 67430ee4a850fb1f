//! **sweep**: on a schedule, what nobody came back for.
//!
//! * A session whose browser went to Salesforce and did not come back is *lost*: its likely cause is guessed
//!   from the app's kind and its history in that org, and it has a help page.
//! * A pending connection whose receipt was never redeemed is revoked at Salesforce, then deleted.
//! * A parked grant that nobody confirmed goes the same way, and its session has failed.
//! * A connection that is being revoked, and could not be, is tried again.
//!
//! Each run looks at what is due and no more, is bounded, and may run twice at once: every step is a
//! conditional write, and revoking twice is revoking. What fails is logged and stays due; the rest goes on.

#![warn(missing_docs)]

use domain::{Connection, ConnectionId, ConnectionState, Evidence, SessionId, SessionState, Stage, Surface};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use service::{
    Platform, SettingError,
    failures::{Met, Of, diagnose, internal},
};
use store::{Due, StoreError, Vault, keys::DUE_SHARDS};

/// How many items of a shard one run takes up.
const BATCH: i32 = 25;

/// How long until a revocation that failed is tried again.
const AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// The function.
#[derive(Debug, Clone)]
pub struct Sweep {
    platform: Platform,
    vault: Vault,
}

/// What a run did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Sessions whose browser went to Salesforce and never came back.
    pub lost: u32,
    /// Pending connections whose receipt was never redeemed.
    pub unredeemed: u32,
    /// Parked grants of another org or user that nobody confirmed.
    pub unconfirmed: u32,
    /// Connections revoked at Salesforce and deleted.
    pub revoked: u32,
    /// What could not be dealt with; it stays due.
    pub put_off: u32,
}

impl Sweep {
    /// The function on this platform.
    pub fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self { vault: platform.vault()?, platform })
    }

    /// One run over everything that is due. An error means that nothing could be looked at.
    pub async fn run(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for shard in 0..DUE_SHARDS {
            for due in self.platform.store.due(shard, now, BATCH).await? {
                let done = match &due {
                    Due::Connection(id) => self.take_up(id, &mut swept, now).await,
                    Due::Session(id) => self.lose(id, &mut swept, now).await,
                };
                if let Err(error) = done {
                    internal(&error);
                    swept.put_off += 1;
                }
            }
        }
        Ok(swept)
    }

    /// A session whose browser is still out when its attempt has run out.
    async fn lose(&self, id: &SessionId, swept: &mut Swept, now: Timestamp) -> Result<(), StoreError> {
        let store = &self.platform.store;
        let Some(session) = store.session(id).await? else { return Ok(()) };
        let SessionState::Redirected { .. } = session.state else { return Ok(()) };
        let found = self.platform.products.with_app(&session.product, &session.app, now).await?;
        let Some((_, app)) = found else { return Ok(()) };
        let connected_before =
            self.platform.connected_before(&session.product, &session.app, session.host.my_domain()).await;
        let nothing = Evidence::observed(Surface::Unknown, None, None, None);
        let met = Met::new(Of::Session(&session), &app, Stage::Lost, nothing).in_an_org(connected_before);
        let (failure, _) = diagnose(met, now);
        if store.lose_session(id, &failure, now).await? {
            swept.lost += 1;
        }
        Ok(())
    }

    /// A connection that was not redeemed in time, or is to be revoked.
    async fn take_up(&self, id: &ConnectionId, swept: &mut Swept, now: Timestamp) -> Result<(), StoreError> {
        let store = &self.platform.store;
        let Some(record) = store.connection(id).await? else { return Ok(()) };
        match record.connection.state {
            ConnectionState::Pending { .. } => {
                if !store.expire_pending(id, now).await? {
                    return Ok(());
                }
                swept.unredeemed += 1;
            }
            ConnectionState::Parked { until } if until <= now => {
                if !self.leave_unconfirmed(&record.connection, now).await? {
                    return Ok(());
                }
                swept.unconfirmed += 1;
            }
            ConnectionState::Revoking { .. } => {}
            _ => return Ok(()),
        }
        match self.platform.revoke_and_delete(&self.vault, &record, now).await {
            Ok(()) => swept.revoked += 1,
            Err(error) => {
                internal(&error);
                swept.put_off += 1;
                store.put_off(id, now + AGAIN).await?;
            }
        }
        Ok(())
    }
    /// A parked grant that nobody confirmed in time is to be revoked, and its session has failed; `false`: somebody
    /// decided after all.
    async fn leave_unconfirmed(&self, parked: &Connection, now: Timestamp) -> Result<bool, StoreError> {
        let store = &self.platform.store;
        let Some((_, app)) = self.platform.products.with_app(&parked.product, &parked.app, now).await? else {
            // Its product is gone, and with it whoever would read of a failure.
            return store.begin_revoking(&parked.product, &parked.id, now).await;
        };
        let evidence = Evidence::our_own(Surface::Callback, "other_identity_unanswered", None);
        let met = Met::new(Of::Connection(parked), &app, Stage::Callback, evidence);
        let (failure, _) = diagnose(met, now);
        store.refuse_parked(&parked.session, &parked.id, &failure, now).await
    }
}
