//! The tokens of a connection under another id: sealed values name their connection, so moving them seals them again.

use domain::{Connection, ConnectionState};
use jiff::Timestamp;

use crate::{
    connections::ConnectionRecord,
    reconnects::Reconnect,
    revisions::Revision,
    secrets::SecretError,
    token_cipher::{Field, Owner, TokenCipher},
};

impl ConnectionRecord {
    /// This connection with a new grant: all of it is new but its id and its age. The epoch goes on, so that a lease on
    /// the old grant is worth nothing.
    pub async fn renewed(&self, cipher: &TokenCipher, new: &Self) -> Result<Self, SecretError> {
        let connection = Connection {
            id: self.connection.id.clone(),
            created_at: self.connection.created_at,
            state: ConnectionState::Active,
            ..new.connection.clone()
        };
        let after = new.resealed(cipher, connection).await?;
        Ok(Self { epoch: self.epoch + 1, ..after })
    }

    /// The old grant of a connection that got a new one, to be revoked in the new one's item; `None`: it has no refresh
    /// token, or the new one's.
    pub async fn retired(
        &self,
        cipher: &TokenCipher,
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
        let old = self.resealed(cipher, connection).await?;
        Ok(Some(Self { reconnect: Some(Reconnect::Old { of: self.connection.id.clone() }), ..old }))
    }

    /// The same grant in another item: opened, and sealed for that one.
    pub async fn resealed(&self, cipher: &TokenCipher, connection: Connection) -> Result<Self, SecretError> {
        let from = Owner { product: &self.connection.product, connection: &self.connection.id };
        let to = Owner { product: &connection.product, connection: &connection.id };
        let refresh_token = match &self.refresh_token {
            Some(sealed) => Some(cipher.reseal(from, to, Field::RefreshToken, sealed).await?),
            None => None,
        };
        Ok(Self {
            access_token: cipher.reseal(from, to, Field::AccessToken, &self.access_token).await?,
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
            // That of another item: what takes its place continues from the connection's own.
            revision: Revision::default(),
            rejected: self.rejected,
            connection,
        })
    }
}
