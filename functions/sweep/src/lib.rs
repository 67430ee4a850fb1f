//! **sweep**: on a schedule, what nobody came back for.
//!
//! A pending connection whose receipt was never redeemed is revoked at Salesforce, then deleted. A connection
//! that is being revoked and could not be is tried again. Each run looks at what is due and no more, is
//! bounded, and may run twice at once: every step is a conditional write, and revoking twice is revoking.

#![warn(missing_docs)]

use domain::{ConnectionId, ConnectionState};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use service::{Platform, SettingError, failures::internal};
use store::{StoreError, Vault, keys::DUE_SHARDS};

/// How many connections of a shard one run takes up.
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
    /// Pending connections whose receipt was never redeemed.
    pub unredeemed: u32,
    /// Connections revoked at Salesforce and deleted.
    pub revoked: u32,
    /// Connections that could not be dealt with; they stay due.
    pub put_off: u32,
}

impl Sweep {
    /// The function on this platform.
    pub fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self { vault: platform.vault()?, platform })
    }

    /// One run over everything that is due.
    pub async fn run(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for shard in 0..DUE_SHARDS {
            for id in self.platform.store.due(shard, now, BATCH).await? {
                self.take_up(&id, &mut swept, now).await?;
            }
        }
        Ok(swept)
    }

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
            ConnectionState::Revoking { .. } => {}
            _ => return Ok(()),
        }
        match self.platform.revoke_and_delete(&self.vault, &record).await {
            Ok(()) => swept.revoked += 1,
            Err(error) => {
                internal(&error);
                swept.put_off += 1;
                store.put_off(id, now + AGAIN).await?;
            }
        }
        Ok(())
    }
}
