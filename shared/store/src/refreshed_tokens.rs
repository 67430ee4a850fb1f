//! The answer of a refresh, sealed and ready to be stored.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{ConnectionState, ExpiryBasis, LearntLife, Scopes, secret::Fingerprint};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{N, S, connections::ConnectionRecord, item::duration, millis, token_cipher::Sealed};

/// A refresh's answer, sealed and ready to be stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefreshedTokens {
    /// The new access token.
    pub access_token: Sealed,
    /// Which one it is.
    pub access_fingerprint: Fingerprint,
    /// The new refresh token, where it was rotated.
    pub refresh_token: Option<(Sealed, Fingerprint)>,
    /// Where the org's API answers now.
    pub instance_url: String,
    /// The origin of the login host, where it has moved.
    // Absent from items of earlier versions.
    #[serde(default)]
    pub login_host: Option<String>,
    /// What is granted now; `None` where the answer did not say.
    pub scopes: Option<Scopes>,
    /// When Salesforce issued the access token.
    pub issued_at: Timestamp,
    /// When it came, by our clock.
    // Absent from items of earlier versions.
    #[serde(default)]
    pub fetched_at: Option<Timestamp>,
    /// Until when it is taken to work.
    pub expires_at: Timestamp,
    /// On what that rests.
    pub expiry_basis: ExpiryBasis,
    /// How long this connection's access tokens live, where that was learnt.
    pub learnt: Option<LearntLife>,
    /// How many tokens in a row Salesforce had rejected, fresh, before this one.
    pub rejections: u32,
    /// Whether nobody has asked for this token yet: the sweep fetched it.
    pub unasked: bool,
    /// When the sweep has to look at the connection again.
    pub due: Timestamp,
}

impl RefreshedTokens {
    /// What a connection's item says once this is stored; what it does not name stays as it is.
    pub fn attributes(&self) -> Vec<(&'static str, AttributeValue)> {
        let mut attributes = vec![
            ("access_token", S(self.access_token.as_str())),
            ("access_fingerprint", S(self.access_fingerprint.as_str())),
            ("instance_url", S(&self.instance_url)),
            ("issued_at", millis(self.issued_at)),
            ("expires_at", millis(self.expires_at)),
            ("expiry_basis", S(self.expiry_basis.word())),
            ("rejections", N(self.rejections)),
            ("unasked", AttributeValue::Bool(self.unasked)),
            ("due_at", millis(self.due)),
        ];
        if let Some((sealed, fingerprint)) = &self.refresh_token {
            attributes.push(("refresh_token", S(sealed.as_str())));
            attributes.push(("refresh_fingerprint", S(fingerprint.as_str())));
        }
        if let Some(fetched_at) = self.fetched_at {
            attributes.push(("fetched_at", millis(fetched_at)));
        }
        if let Some(login_host) = &self.login_host {
            attributes.push(("login_host", S(login_host)));
        }
        if let Some(scopes) = &self.scopes {
            attributes.push(("scopes", S(scopes.to_string())));
        }
        if let Some(LearntLife { life, basis }) = self.learnt {
            attributes.push(("learnt_life", N(duration(life))));
            attributes.push(("learnt_from", S(basis.word())));
        }
        attributes
    }

    /// What the connection is once this is stored: for an answer that is durable in the fallback only.
    pub fn on(&self, record: &ConnectionRecord) -> ConnectionRecord {
        let mut record = record.clone();
        record.access_token = self.access_token.clone();
        record.access_fingerprint = self.access_fingerprint.clone();
        if let Some((sealed, fingerprint)) = &self.refresh_token {
            (record.refresh_token, record.refresh_fingerprint) =
                (Some(sealed.clone()), Some(fingerprint.clone()));
        }
        record.connection.instance_url.clone_from(&self.instance_url);
        if let Some(login_host) = &self.login_host {
            record.connection.login_host.clone_from(login_host);
        }
        if let Some(scopes) = &self.scopes {
            record.connection.scopes = scopes.clone();
        }
        record.connection.state = ConnectionState::Active;
        (record.backoff, record.rejected) = (None, None);
        (record.issued_at, record.expires_at) = (self.issued_at, self.expires_at);
        record.fetched_at = self.fetched_at;
        (record.expiry_basis, record.learnt) = (self.expiry_basis, self.learnt.or(record.learnt));
        record
    }
}
