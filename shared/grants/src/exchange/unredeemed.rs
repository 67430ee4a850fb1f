//! Grants that no product has redeemed yet. Salesforce keeps five grants of a user and app and ends the oldest at the
//! next approval, so grants that nobody may ever redeem must not pile up: the oldest is the one in use.
//!
//! A session holds one of them: a newer return in the same browser takes the place of an earlier one. A return in another
//! browser does not, since whoever holds the link could end somebody else's sign-in: it is revoked. Over all sessions, the
//! oldest ones are revoked where the next approval would end a grant that we hold.

use std::time::Duration;

use domain::{ConnectionId, ConnectionState, SessionState};
use jiff::Timestamp;
use platform::log::internal;
use store::{ConnectionRecord, StoreError};
use tokio::time::timeout;

use crate::{revoke::revoke_and_delete, unconfirmed::leave_unconfirmed};

use super::{Exchanger, context::Trip, save::Unsaved};

/// Maximum grants of one user and app that leave room for one more approval.
const MAX_GRANTS: usize = 4;

/// How long revoking earlier grants may keep the browser waiting. The sweep finishes it.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Minimum time left for everything after it.
const RESERVE: Duration = Duration::from_secs(4);

impl Exchanger {
    /// Stores a new grant with `write`, in place of what the same browser has brought and its session has not redeemed.
    /// `false`: the session has succeeded before, or another browser has returned in it.
    pub(crate) async fn keep_newest<W>(
        &self,
        trip: &Trip<'_>,
        record: &ConnectionRecord,
        write: impl Fn() -> W,
    ) -> Result<bool, Unsaved>
    where
        W: Future<Output = Result<bool, StoreError>>,
    {
        let now = trip.time.now();
        let mut withdrawn = None;
        let mut is_kept = self.insist(trip, &write).await?;
        if !is_kept {
            withdrawn = self.withdraw_earlier(trip, now).await.map_err(Unsaved::certainly)?;
            is_kept = withdrawn.is_some() && self.insist(trip, &write).await?;
        }
        let make_room = async {
            self.revoke_unredeemed(withdrawn, now).await;
            if is_kept {
                self.make_room(record, now).await;
            }
        };
        let patience = REVOKE_TIMEOUT.min(trip.all_but(RESERVE));
        if let Err(late) = timeout(patience, make_room).await {
            internal(&late);
        }
        Ok(is_kept)
    }

    /// Takes the unredeemed grant of a session back, so that the session takes another: which one. `None`: there is none
    /// that this browser has brought.
    async fn withdraw_earlier(
        &self,
        trip: &Trip<'_>,
        now: Timestamp,
    ) -> Result<Option<ConnectionId>, StoreError> {
        let store = &self.platform.store;
        let Some(session) = store.session(&trip.attempt.session).await? else { return Ok(None) };
        let (SessionState::Returned { connection, .. } | SessionState::Parked { connection, .. }) =
            session.state
        else {
            return Ok(None);
        };
        let Some(returned) = session.browser.filter(|bound| trip.is_in(bound)) else { return Ok(None) };
        let is_withdrawn = store.withdraw(trip.attempt, (&connection, &returned), now).await?;
        Ok(is_withdrawn.then_some(connection))
    }

    /// Revokes the oldest unredeemed grants of this product where Salesforce would end one of ours at the next approval.
    /// It is there to help: what goes wrong is logged.
    async fn make_room(&self, record: &ConnectionRecord, now: Timestamp) {
        let store = &self.platform.store;
        let unredeemed = match store.unredeemed(record).await {
            Ok(unredeemed) => unredeemed,
            Err(error) => return drop(internal(&error)),
        };
        let mut surplus = unredeemed.surplus(MAX_GRANTS);
        for id in unredeemed.oldest_first() {
            if surplus == 0 {
                break;
            }
            match self.withdraw_oldest(record, id, now).await {
                Ok(true) => surplus -= 1,
                Ok(false) => {}
                Err(error) => drop(internal(&error)),
            }
        }
    }

    /// Revokes an unredeemed grant of this product. `false`: it is another product's, or was decided before.
    async fn withdraw_oldest(
        &self,
        record: &ConnectionRecord,
        id: &ConnectionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let store = &self.platform.store;
        let product = &record.connection.product;
        let oldest = store.connection(id).await?.map(|oldest| oldest.connection);
        let Some(oldest) = oldest.filter(|oldest| oldest.product == *product) else { return Ok(false) };
        let is_withdrawn = match oldest.state {
            ConnectionState::Parked { .. } => {
                Box::pin(leave_unconfirmed(&self.platform, &oldest, now)).await?
            }
            _ => store.withdraw_oldest(product, &oldest, now).await?,
        };
        if is_withdrawn {
            self.revoke_unredeemed(Some(id.clone()), now).await;
        }
        Ok(is_withdrawn)
    }

    async fn revoke_unredeemed(&self, withdrawn: Option<ConnectionId>, now: Timestamp) {
        let Some(id) = withdrawn else { return };
        let record = match self.platform.store.connection(&id).await {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => return drop(internal(&error)),
        };
        if let Err(error) = revoke_and_delete(&self.platform, &self.cipher, &record, now).await {
            internal(&error);
        }
    }
}
