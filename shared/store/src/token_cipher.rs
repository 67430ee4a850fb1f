//! Tokens at rest: AES-256-GCM under a key of the connection's own, bound to product, connection and field.
//!
//! The keyring is one secret: `{"current":"v2","v1":"…","v2":"…"}`, where every member but `current` is a
//! key of at least 43 characters. A connection's key is HKDF-SHA256 (RFC 5869) of a keyring key, so a nonce
//! is random within one connection alone. The associated data holds product, connection, field and key
//! version, each after its length: a sealed value that was copied elsewhere does not open there.

use std::collections::HashMap;

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use domain::{
    ConnectionId, ProductId,
    secret::{derive, length_prefixed, random},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::secrets::{SecretError, Secrets};

/// Seals and opens tokens.
#[derive(Debug, Clone)]
pub struct TokenCipher {
    secrets: Secrets,
    keyring: String,
}

/// What a sealed value belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// The connection.
    pub connection: &'a ConnectionId,
}

/// Which of a connection's secrets it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The access token.
    AccessToken,
    /// The refresh token.
    RefreshToken,
    /// A token answer that is in quarantine, whole.
    Answer,
}

/// A sealed value as it is stored: `<key version>.<base64 of nonce and ciphertext>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

struct Keyring {
    current: String,
    keys: HashMap<String, SecretString>,
}

const NONCE: usize = 12;

/// 256 bits of base64: a shorter key would be easier to find than AES's.
const MIN_KEY: usize = 43;

impl Field {
    fn word(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::Answer => "answer",
        }
    }
}

impl Sealed {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TokenCipher {
    /// A vault whose keyring is the secret of that name.
    pub fn new(secrets: Secrets, keyring: impl Into<String>) -> Self {
        Self { secrets, keyring: keyring.into() }
    }

    /// Whether there is a keyring to seal with: asked before something is spent whose answer must be sealed.
    pub async fn ready(&self) -> Result<(), SecretError> {
        self.keyring().await.map(drop)
    }

    /// Seals a secret for one field of one connection.
    pub async fn seal(&self, owner: Owner<'_>, field: Field, secret: &str) -> Result<Sealed, SecretError> {
        let keyring = self.keyring().await?;
        let version = &keyring.current;
        let nonce: [u8; NONCE] = random();
        let key = key(&keyring.keys[version], owner);
        let sealed = encrypt(&key, &nonce, &binding(owner, field, version), secret.as_bytes())
            .map_err(|_| self.unopened(owner, field, "sealing failed"))?;
        Ok(Sealed(format!("{version}.{}", STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))))
    }

    /// Opens a sealed value. A key version that we do not hold is fetched: the keyring was rotated.
    pub async fn open(
        &self,
        owner: Owner<'_>,
        field: Field,
        sealed: &Sealed,
    ) -> Result<SecretString, SecretError> {
        let failed = |why| self.unopened(owner, field, why);
        let (version, bytes) = sealed.0.split_once('.').ok_or_else(|| failed("it has no key version"))?;
        let bytes = STANDARD_NO_PAD.decode(bytes).map_err(|_| failed("it is not base64"))?;
        let (nonce, bytes) = bytes.split_first_chunk::<NONCE>().ok_or_else(|| failed("it is too short"))?;

        let mut keyring = self.keyring().await?;
        if !keyring.keys.contains_key(version) {
            let has_version = |text: &SecretString| {
                read_keyring(text.expose_secret()).is_ok_and(|keyring| keyring.keys.contains_key(version))
            };
            self.secrets.renew(&self.keyring, has_version).await?;
            keyring = self.keyring().await?;
        }
        let held =
            keyring.keys.get(version).ok_or_else(|| failed("its key version is not in the keyring"))?;
        let opened = decrypt(&key(held, owner), nonce, &binding(owner, field, version), bytes)
            .map_err(|_| failed("it was sealed for something else, or changed"))?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| failed("it is not text"))
    }

    /// Seals for another owner what was sealed for this one.
    pub async fn reseal(
        &self,
        from: Owner<'_>,
        to: Owner<'_>,
        field: Field,
        sealed: &Sealed,
    ) -> Result<Sealed, SecretError> {
        let secret = self.open(from, field, sealed).await?;
        self.seal(to, field, secret.expose_secret()).await
    }

    async fn keyring(&self) -> Result<Keyring, SecretError> {
        let text = self.secrets.get(&self.keyring).await?;
        read_keyring(text.expose_secret()).map_err(|what| self.secrets.malformed(&self.keyring, what))
    }

    fn unopened(&self, owner: Owner<'_>, field: Field, why: &'static str) -> SecretError {
        SecretError::Sealed {
            name: self.keyring.clone(),
            what: field.word(),
            connection: owner.connection.to_string(),
            why,
        }
    }
}

fn read_keyring(text: &str) -> Result<Keyring, &'static str> {
    let mut members: HashMap<String, String> =
        serde_json::from_str(text).map_err(|_| r#"expected a keyring: {"current":"v1","v1":"<key>"}"#)?;
    let current = members.remove("current").ok_or(r#"its "current" names no key"#)?;
    if members.values().any(|key| key.len() < MIN_KEY) {
        return Err("every key needs at least 43 characters");
    }
    if members.keys().any(|version| version.contains('.')) {
        return Err("a key version has no dot in it");
    }
    if !members.contains_key(&current) {
        return Err(r#"its "current" names a key that is not in it"#);
    }
    let keys = members.into_iter().map(|(version, key)| (version, SecretString::from(key))).collect();
    Ok(Keyring { current, keys })
}

/// The connection's own key.
fn key(keyring: &SecretString, owner: Owner<'_>) -> [u8; 32] {
    derive(keyring.expose_secret(), &["seal", owner.product.as_str(), owner.connection.as_str()])
}

fn encrypt(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, aes_gcm::Error> {
    Aes256Gcm::new(key.into()).encrypt(nonce.into(), Payload { msg, aad })
}

fn decrypt(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, aes_gcm::Error> {
    Aes256Gcm::new(key.into()).decrypt(nonce.into(), Payload { msg, aad })
}

fn binding(owner: Owner<'_>, field: Field, version: &str) -> Vec<u8> {
    length_prefixed(&[owner.product.as_str(), owner.connection.as_str(), field.word(), version])
}

#[cfg(test)]
mod vectors;
