//! A new grant takes the place of a connection's old one: at a reconnect, and where a redemption or an import brings the
//! same Salesforce user again. The connection keeps its id, and the old grant is revoked.

use crate::revoke::revoke_and_delete;
use std::time::Duration;

use domain::{Connection, ConnectionId, ConnectionState, Identity, ProductId, product::Sharing};
use jiff::{SignedDuration, Timestamp};
use store::{
    Bringing, ConnectionRecord, Redeemed, SecretError, StoreError, Takeover, TakeoverOutcome, TokenCipher,
    Unique,
};

use platform::{Platform, log::internal};

/// Maximum tries of a takeover: each time, somebody may have refreshed the connection since it was read.
pub const MAX_TAKEOVERS: u32 = 5;

/// Maximum tries of a write that DynamoDB did not answer.
const MAX_WRITES: u32 = 3;

/// How long the revocation of the old grant may keep a caller waiting. The sweep finishes it.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(9);

/// A connection that gets a new grant.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its id.
    pub id: &'a ConnectionId,
    /// The Salesforce user that it must still be connected as.
    pub whose: &'a Identity,
    /// What happens to the uniqueness item where another connection has it.
    pub held: IfHeld,
}

/// What happens where another connection has the uniqueness item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfHeld {
    /// The connection goes without: the user asked for this connection.
    GoWithout,
    /// Nothing is written: the grant belongs to the other connection.
    Stop,
}

/// What became of a new grant that was to take an old one's place.
#[derive(Debug)]
pub enum ReplaceOutcome {
    /// It has: what the connection is, and what it was.
    Yes(Box<Replacement>),
    /// The connection is gone, or another Salesforce user's than when the new grant was accepted.
    Overtaken,
    /// The uniqueness item is another connection's.
    Held(ConnectionId),
    /// The session or the import does not allow it.
    Refused(Redeemed),
}

/// A takeover that was carried out.
#[derive(Debug)]
pub struct Replacement {
    /// The connection as it is.
    pub after: Connection,
    /// The connection as it was.
    pub before: Connection,
    beside: ConnectionId,
    old: Option<ConnectionRecord>,
    /// The uniqueness item that it had and has no more.
    left: Option<String>,
}

/// Why nobody knows what became of a takeover, or why it could not be tried. Nothing is lost: it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
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

/// The connection that a reconnect renews, if it is still there.
pub async fn reconnectable(
    platform: &Platform,
    product: &ProductId,
    id: &ConnectionId,
) -> Result<Option<ConnectionRecord>, StoreError> {
    let found = platform.store.connection(id).await?;
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

/// Puts the new grant in the old one's place. Who refreshes the old one meanwhile changes the connection: then it is
/// read again, so that it is the newest refresh token that is revoked.
pub async fn take_over(
    platform: &Platform,
    cipher: &TokenCipher,
    new: &ConnectionRecord,
    target: Target<'_>,
    bringing: Bringing<'_>,
    now: Timestamp,
) -> Result<ReplaceOutcome, TakeoverError> {
    let Connection { product, app, .. } = &new.connection;
    let app = platform.products.with_app(product, app, now).await?.map(|(_, app)| app);
    let sharing = app.as_ref().map_or(Sharing::default(), |app| app.connections);
    let keep_alive = now + app.map_or(SignedDuration::ZERO, |app| app.keep_alive());
    let own = Unique::of(&new.connection, Sharing::PerUser);
    let mut unique = Some(Unique::of(&new.connection, sharing));
    let (mut failures, mut tried) = (0, None);
    for attempt in 0..MAX_TAKEOVERS {
        let Some(before) = reconnectable(platform, product, target.id).await? else {
            return Ok(ReplaceOutcome::Overtaken);
        };
        // A try whose answer was lost may have carried it out.
        if let Some(taken) = tried.take_if(|_| before.access_fingerprint == new.access_fingerprint) {
            return Ok(ReplaceOutcome::Yes(taken));
        }
        if !before.connection.identity.same_as(target.whose) {
            return Ok(ReplaceOutcome::Overtaken);
        }
        if attempt == 0 && is_of_its_user(&before, &new.connection, &own, target.held) {
            unique = Some(own.clone());
        }
        let mut after = before.renewed(cipher, new).await?;
        after.unique = unique.as_ref().map(|unique| unique.key().to_owned());
        let old = match before.retired(cipher, new, now).await {
            Ok(old) => old,
            // What nobody can open is why some connections are authorized anew; it cannot be revoked either.
            Err(error @ SecretError::Sealed { .. }) => {
                internal(&error);
                None
            }
            Err(error) => return Err(error.into()),
        };
        let takeover = Takeover {
            before: &before,
            after: &after,
            beside: &new.connection.id,
            old: old.as_ref(),
            keep_alive,
            unique: unique.as_ref(),
        };
        let taken = platform.store.take_over(&takeover, bringing, now).await;
        let these = Box::new(Replacement {
            left: before.unique.filter(|left| after.unique.as_ref() != Some(left)),
            after: after.connection,
            before: before.connection,
            beside: new.connection.id.clone(),
            old,
        });
        match taken {
            Ok(TakeoverOutcome::Yes) => return Ok(ReplaceOutcome::Yes(these)),
            Ok(TakeoverOutcome::Changed) => {}
            Ok(TakeoverOutcome::Held(other)) => {
                if is_gone(platform, &other, &new.connection, sharing).await? {
                    unique = unique.map(|unique| unique.replacing(other));
                } else if target.held == IfHeld::Stop {
                    return Ok(ReplaceOutcome::Held(other));
                } else {
                    unique = None;
                }
            }
            Ok(TakeoverOutcome::Refused(why)) => return Ok(ReplaceOutcome::Refused(why)),
            Err(error) if failures + 1 < MAX_WRITES => {
                internal(&error);
                failures += 1;
                tried = Some(these);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(TakeoverError::Busy(target.id.clone()))
}

/// Whether a connection has the uniqueness item of its product user, or is to have it. It stays this user's, although the
/// app's users may share another one since.
fn is_of_its_user(before: &ConnectionRecord, new: &Connection, own: &Unique, held: IfHeld) -> bool {
    match &before.unique {
        Some(key) => key == own.key(),
        None => held == IfHeld::Stop && before.connection.user == new.user,
    }
}

/// Whether the connection that a uniqueness item names has no right to it: it is deleted or on its way out, or has
/// become another Salesforce user's.
pub async fn is_gone(
    platform: &Platform,
    holder: &ConnectionId,
    new: &Connection,
    sharing: Sharing,
) -> Result<bool, StoreError> {
    let holder = platform.store.connection(holder).await?;
    Ok(!holder.is_some_and(|holder| holder.is_standing_for(new, sharing)))
}

/// Revokes the old grant, and looks whether the new one still stands. What fails is the sweep's.
pub async fn retire(platform: &Platform, cipher: &TokenCipher, taken: &Replacement, now: Timestamp) {
    let revoked = async {
        match &taken.old {
            Some(old) => revoke_and_delete(platform, cipher, old, now).await,
            None => Ok(platform.store.delete_revoked(&taken.beside, None).await?),
        }
    };
    match tokio::time::timeout(REVOKE_TIMEOUT, revoked).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            internal(&error);
        }
        Err(late) => {
            internal(&late);
        }
    }
    // An item that stays names a connection that is not its own any more: whoever needs it takes it.
    if let Some(left) = &taken.left
        && let Err(error) = platform.store.free(left, &taken.after.id).await
    {
        internal(&error);
    }
}
