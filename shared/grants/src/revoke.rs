//! Taking a grant back: revoked at Salesforce, then deleted here, in this order. A crash in between leaves an
//! item that says `revoking`, which the sweep takes up.
//!
//! An item that stands beside a connection that is authorized anew is taken back with more care: its refresh token
//! may be the one that the connection, or another, goes on with; and what has taken its place is looked at
//! afterwards, for nobody knows that Salesforce never ends the two together.

use diagnosis::evidence;
use domain::{App, Connection, ConnectionId, ConnectionState, Stage, Surface, secret::AccessToken};
use jiff::Timestamp;
use salesforce::{HostRefused, Registration, SalesforceError};
use secrecy::ExposeSecret;
use store::{
    ConnectionRecord, Field, Lease, LeaseOutcome, Owner, Reconnect, SecretError, StoreError, TokenCipher,
};

use crate::record_failure::{FailureSubject, Observation, diagnose};
use platform::{Platform, log::internal};

/// A grant could not be taken back yet. Its item still says so.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// Its tokens could not be opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Its login host is not one of Salesforce's.
    #[error("its login host is not one of Salesforce's: {0}")]
    Host(#[from] HostRefused),
    /// Salesforce did not revoke it.
    #[error(transparent)]
    Salesforce(#[from] SalesforceError),
    /// The table did not delete it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Revokes at Salesforce and deletes a connection that is marked as `revoking`. The refresh token is
/// revoked where there is one, for it takes its access tokens with it (fact base 3.6); of the old grant of a
/// reconnect nothing else is ever revoked. Where another connection holds the refresh token, it is deleted here
/// and lives on there.
pub async fn revoke_and_delete(
    platform: &Platform,
    cipher: &TokenCipher,
    record: &ConnectionRecord,
    now: Timestamp,
) -> Result<(), RevokeError> {
    let Connection { id, product, .. } = &record.connection;
    let shared = platform.store.is_held_elsewhere(record).await?;
    match &record.reconnect {
        _ if shared => {
            tracing::info!(connection = %id, "not revoked: {id} is held by another connection too");
        }
        Some(Reconnect::Old { .. }) if record.refresh_token.is_none() => {}
        Some(Reconnect::Old { of }) => {
            revoke(platform, cipher, record).await?;
            look_after(platform, cipher, of, now).await?;
        }
        Some(Reconnect::New { .. }) | None => revoke(platform, cipher, record).await?,
    }
    platform.store.delete_revoked(id, record.unique.as_deref()).await?;
    tracing::info!(connection = %id, product = %product, "revoked and deleted {id}");
    Ok(())
}

async fn revoke(
    platform: &Platform,
    cipher: &TokenCipher,
    record: &ConnectionRecord,
) -> Result<(), RevokeError> {
    let Connection { id, product, login_host, .. } = &record.connection;
    let owner = Owner { product, connection: id };
    let token = match &record.refresh_token {
        Some(sealed) => cipher.open(owner, Field::RefreshToken, sealed).await?,
        None => cipher.open(owner, Field::AccessToken, &record.access_token).await?,
    };
    let host = platform.salesforce.hosts().readmit(login_host)?;
    Ok(platform.salesforce.revoke(&host, token.expose_secret()).await?)
}

/// Looks whether a connection's new grant has outlived the revocation of its old one. Its access token is
/// tried; if that is refused, Salesforce is asked about the refresh token, under the lease, so that nobody
/// rotates it meanwhile. Only a clear no ends the connection: what cannot be asked is no news.
async fn look_after(
    platform: &Platform,
    cipher: &TokenCipher,
    id: &ConnectionId,
    now: Timestamp,
) -> Result<(), RevokeError> {
    let Some(record) = platform.store.connection(id).await? else { return Ok(()) };
    let connection = &record.connection;
    if connection.state != ConnectionState::Active {
        return Ok(());
    }
    let owner = Owner { product: &connection.product, connection: id };
    let access = cipher.open(owner, Field::AccessToken, &record.access_token).await?;
    let access = AccessToken::new(access.expose_secret());
    if platform.salesforce.accepts(&connection.instance_url, &access).await? {
        return Ok(());
    }
    let Some((_, app)) = platform.products.with_app(&connection.product, &connection.app, now).await? else {
        return Ok(());
    };
    // Without a refresh token, or while somebody refreshes: whoever uses the connection next finds out.
    let LeaseOutcome::Yes(lease) = platform.store.lease(&record, false, now).await? else { return Ok(()) };
    match has_ended(platform, cipher, &lease, &app).await {
        Ok(true) => end(platform, lease.record(), &app, now).await,
        Ok(false) => Ok(platform.store.release(&lease, None).await.map(drop)?),
        Err(error) => {
            internal(&error);
            Ok(platform.store.release(&lease, None).await.map(drop)?)
        }
    }
}

/// Whether Salesforce says that it does not know the refresh token.
async fn has_ended(
    platform: &Platform,
    cipher: &TokenCipher,
    lease: &Lease,
    app: &App,
) -> Result<bool, RevokeError> {
    let record = lease.record();
    let Some(sealed) = &record.refresh_token else { return Ok(false) };
    let host = platform.salesforce.hosts().readmit(&record.connection.login_host)?;
    let refresh = cipher.open(lease.owner(), Field::RefreshToken, sealed).await?;
    let secret = platform.secrets.consumer(&app.secret).await?.current;
    let registration = Registration { consumer_key: &app.consumer_key, secret: &secret };
    Ok(!platform.salesforce.knows(&host, registration, refresh.expose_secret()).await?)
}

async fn end(
    platform: &Platform,
    record: &ConnectionRecord,
    app: &App,
    now: Timestamp,
) -> Result<(), RevokeError> {
    let evidence = evidence::our_own(Surface::TokenEndpoint, "ended_by_revoke", None);
    let met = Observation::new(FailureSubject::Connection(&record.connection), app, Stage::Refresh, evidence);
    let (failure, _) = diagnose(met, now);
    let state = ConnectionState::NeedsReauth { since: now, failure: failure.id.clone() };
    platform.store.stop_connection(record, &state, &failure).await?;
    Ok(())
}
