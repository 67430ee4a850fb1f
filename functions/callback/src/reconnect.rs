//! A connection is authorized anew. The new grant stands beside the connection until the product redeems it; then
//! it takes the old one's place, under the connection's id, and the old one is revoked. What came back as another
//! org or user is parked before that, until the user has seen both and said which is meant.

use std::time::Duration;

use domain::{
    Connection, ConnectionId, ConnectionState, ProductId,
    secret::Receipt,
    session::{Change, Redemption, Whose},
};
use jiff::{SignedDuration, Timestamp};
use service::{Response, failures::internal, respond::redirect};
use store::{ConnectionRecord, Reconnect, Redeemed, SecretError, StoreError, TakenOver, Takeover};
use telemetry::{Outcome, ended};

use crate::{
    Callback,
    arrive::{REDEEM, SAVES, Unsaved},
    error::Ended,
    exchange::Obtained,
    trip::Trip,
};

/// How long the user has to confirm another org or user.
pub(crate) const PARKED: SignedDuration = SignedDuration::from_mins(30);

/// How often a takeover is tried: each time, somebody may have refreshed the connection since it was read.
const TRIES: u32 = 5;

/// How long the revocation of the old grant may keep a caller waiting. The sweep finishes it.
const PATIENCE: Duration = Duration::from_secs(9);

/// A browser's return that has brought a grant.
#[derive(Debug)]
pub(crate) struct Return<'a> {
    pub(crate) trip: &'a Trip<'a>,
    /// What Salesforce granted.
    pub(crate) obtained: &'a Obtained,
    /// The connection that is authorized anew, as it was before the exchange.
    pub(crate) before: &'a ConnectionRecord,
}

/// What became of a new grant that was to take an old one's place.
#[derive(Debug)]
pub(crate) enum Took {
    /// It has: what the connection is, and what it was.
    Yes(Box<Taken>),
    /// The connection is gone, or is meanwhile another user's than when the new grant was accepted.
    Overtaken,
    /// The session does not allow it.
    Refused(Redeemed),
}

/// A takeover that was carried out.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The connection as it is.
    pub(crate) after: Connection,
    /// The connection as it was.
    pub(crate) before: Connection,
    beside: ConnectionId,
    old: Option<ConnectionRecord>,
}

/// Why nobody knows what became of a takeover, or why it could not be tried. Nothing is lost: it can be tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeoverError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Tokens could not be opened or sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Somebody was quicker every time.
    #[error("connection {0} changed between each reading and its takeover")]
    Busy(ConnectionId),
}

impl Callback {
    /// What follows on a grant that was given for a connection that there is.
    pub(crate) async fn reconnect(
        &self,
        back: Return<'_>,
        mut new: ConnectionRecord,
    ) -> Result<Response, Ended> {
        let before = &back.before.connection;
        let whose = before.identity.clone();
        let same = whose.same_as(&new.connection.identity);
        new.reconnect = Some(Reconnect::New { of: before.id.clone(), whose });
        if !same {
            return self.park(back, new).await;
        }
        let trip = back.trip;
        let receipt = Receipt::of(&trip.id, &trip.cookie.secret, &trip.attempt.id);
        let saved = self.save(trip, &new, &receipt).await;
        self.or_give_back(&back, saved).await?;
        self.tell_people(trip, &new, &back.obtained.grant).await;
        Ok(trip.back().to_product(&trip.id, &receipt, trip.cookie, REDEEM))
    }

    /// Parks a grant of another org or user, and asks in this browser.
    async fn park(&self, back: Return<'_>, mut new: ConnectionRecord) -> Result<Response, Ended> {
        let trip = back.trip;
        let until = trip.time.now() + PARKED;
        new.connection.state = ConnectionState::Parked { until };
        let change = Change { before: whose(&back.before.connection), after: whose(&new.connection) };
        let (store, browser) = (&self.platform.store, trip.attempt.bound_browser());
        let parked = self.insist(trip, || store.park(&new, &change, &browser, until)).await;
        self.or_give_back(&back, parked).await?;
        self.tell_people(trip, &new, &back.obtained.grant).await;
        ended(Outcome::Parked);
        let mut response = redirect(&format!("/connect/{}/confirm", trip.cookie.key.expose()));
        trip.cookie.keep(&mut response, &browser.attempt, (PARKED + REDEEM).as_secs());
        Ok(response)
    }

    /// Gives a grant back that its session does not take.
    async fn or_give_back(&self, back: &Return<'_>, saved: Result<bool, Unsaved>) -> Result<(), Ended> {
        match saved {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.give_back_new(back.trip, &back.obtained.grant, back.before).await;
                Err(Ended::Connected(Box::new(back.trip.attempt.clone())))
            }
            Err(unsaved) => Err(self.unsaved(back.trip, back.obtained, unsaved).await),
        }
    }

    /// The connection that is authorized anew, if it is still there.
    pub(crate) async fn target(
        &self,
        product: &ProductId,
        id: &ConnectionId,
    ) -> Result<Option<ConnectionRecord>, StoreError> {
        let found = self.platform.store.connection(id).await?;
        Ok(found.filter(|record| {
            record.connection.product == *product
                && !matches!(
                    record.connection.state,
                    ConnectionState::Pending { .. }
                        | ConnectionState::Parked { .. }
                        | ConnectionState::Revoking { .. }
                )
        }))
    }

    /// Puts the new grant in the old one's place. Who refreshes the old one meanwhile changes the connection: then it
    /// is read again, so that it is the newest refresh token that is revoked.
    pub(crate) async fn take_over(
        &self,
        new: &ConnectionRecord,
        redemption: &Redemption,
        now: Timestamp,
    ) -> Result<Took, TakeoverError> {
        let Some(Reconnect::New { of, whose }) = &new.reconnect else { return Ok(Took::Overtaken) };
        let Connection { product, app, .. } = &new.connection;
        let app = self.platform.products.with_app(product, app, now).await?;
        let keep_alive = now + app.map_or(SignedDuration::ZERO, |(_, app)| app.keep_alive());
        let (mut failures, mut tried) = (0, None);
        for _ in 0..TRIES {
            let Some(before) = self.target(&new.connection.product, of).await? else {
                return Ok(Took::Overtaken);
            };
            // A try whose answer was lost may have carried it out.
            if let Some(taken) = tried.take_if(|_| before.access_fingerprint == new.access_fingerprint) {
                return Ok(Took::Yes(taken));
            }
            if !before.connection.identity.same_as(whose) {
                return Ok(Took::Overtaken);
            }
            let after = self.renewed(&before, new).await?;
            let old = self.retired(&before, new, now).await?;
            let takeover = Takeover {
                before: &before,
                after: &after,
                beside: &new.connection.id,
                old: old.as_ref(),
                keep_alive,
            };
            let taken = self.platform.store.take_over(&takeover, redemption, now).await;
            let beside = new.connection.id.clone();
            let these = Box::new(Taken { after: after.connection, before: before.connection, beside, old });
            match taken {
                Ok(TakenOver::Yes) => return Ok(Took::Yes(these)),
                Ok(TakenOver::Changed) => {}
                Ok(TakenOver::Refused(why)) => return Ok(Took::Refused(why)),
                Err(error) if failures + 1 < SAVES => {
                    internal(&error);
                    failures += 1;
                    tried = Some(these);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(TakeoverError::Busy(of.clone()))
    }

    /// The connection with the new grant: all of it is new but its id and its age. The epoch goes on, so that a
    /// lease on the old grant is worth nothing.
    async fn renewed(
        &self,
        before: &ConnectionRecord,
        new: &ConnectionRecord,
    ) -> Result<ConnectionRecord, SecretError> {
        let connection = Connection {
            id: before.connection.id.clone(),
            created_at: before.connection.created_at,
            state: ConnectionState::Active,
            ..new.connection.clone()
        };
        let after = new.resealed(&self.vault, connection).await?;
        Ok(ConnectionRecord { epoch: before.epoch + 1, ..after })
    }

    /// The old grant, to be revoked; `None`: it has no refresh token, or the new one's.
    async fn retired(
        &self,
        before: &ConnectionRecord,
        new: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<Option<ConnectionRecord>, SecretError> {
        if before.refresh_token.is_none() || before.refresh_fingerprint == new.refresh_fingerprint {
            return Ok(None);
        }
        let connection = Connection {
            id: new.connection.id.clone(),
            state: ConnectionState::Revoking { since: now },
            ..before.connection.clone()
        };
        match before.resealed(&self.vault, connection).await {
            Ok(old) => {
                let reconnect = Some(Reconnect::Old { of: before.connection.id.clone() });
                Ok(Some(ConnectionRecord { reconnect, ..old }))
            }
            // What nobody can open is why some connections are authorized anew; it cannot be revoked either.
            Err(error @ SecretError::Sealed { .. }) => {
                internal(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Revokes the old grant, and looks whether the new one still stands. What fails is the sweep's.
    pub(crate) async fn retire(&self, taken: &Taken, now: Timestamp) {
        let revoked = async {
            match &taken.old {
                Some(old) => self.platform.revoke_and_delete(&self.vault, old, now).await,
                None => Ok(self.platform.store.delete_revoked(&taken.beside).await?),
            }
        };
        match tokio::time::timeout(PATIENCE, revoked).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                internal(&error);
            }
            Err(late) => {
                internal(&late);
            }
        }
    }
}

/// What tells people one Salesforce user from another.
fn whose(connection: &Connection) -> Whose {
    Whose {
        identity: connection.identity.clone(),
        environment: connection.environment,
        instance_url: connection.instance_url.clone(),
    }
}
