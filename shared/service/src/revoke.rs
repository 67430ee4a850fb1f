//! Taking a grant back: revoked at Salesforce, then deleted here, in this order. A crash in between leaves an
//! item that says `revoking`, which the sweep takes up.

use domain::Connection;
use lambda_http::tracing;
use salesforce::{HostRefused, SalesforceError};
use secrecy::ExposeSecret;
use store::{ConnectionRecord, Field, Owner, SecretError, StoreError, Vault};

use crate::Platform;

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

impl Platform {
    /// Revokes at Salesforce and deletes a connection that is marked as `revoking`. The refresh token is
    /// revoked where there is one, for it takes its access tokens with it (fact base 3.6).
    pub async fn revoke_and_delete(
        &self,
        vault: &Vault,
        record: &ConnectionRecord,
    ) -> Result<(), RevokeError> {
        let Connection { id, product, login_host, .. } = &record.connection;
        let owner = Owner { product, connection: id };
        let token = match &record.refresh_token {
            Some(sealed) => vault.open(owner, Field::RefreshToken, sealed).await?,
            None => vault.open(owner, Field::AccessToken, &record.access_token).await?,
        };
        let host = self.salesforce.hosts().readmit(login_host)?;
        self.salesforce.revoke(&host, token.expose_secret()).await?;
        self.store.delete_revoked(id).await?;
        tracing::info!(connection = %id, product = %product, "revoked and deleted {id}");
        Ok(())
    }
}
