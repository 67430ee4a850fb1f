//! Forged id_tokens, for whoever tests that none is believed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::sign;

/// The parts of an id_token, free to change before they are signed again.
#[derive(Debug, Clone)]
pub struct IdToken {
    pub header: Value,
    pub claims: Value,
    /// As it was given.
    pub genuine: String,
}

impl IdToken {
    /// The parts of a token answer's id_token.
    pub fn of(answer: &Value) -> Self {
        let genuine = answer["id_token"].as_str().expect("the answer has an id_token").to_owned();
        let mut parts = genuine.split('.').map(|part| {
            let json = URL_SAFE_NO_PAD.decode(part).expect("base64");
            serde_json::from_slice(&json).unwrap_or_default()
        });
        let (header, claims) = (parts.next().expect("a header"), parts.next().expect("claims"));
        Self { header, claims, genuine }
    }

    /// RS256, with Salesforce's own key.
    pub fn signed(&self) -> String {
        sign::jwt(&self.header, &self.claims, &sign::SIGNING_KEY)
    }

    /// RS256, with a key that Salesforce never published.
    pub fn signed_by_a_stranger(&self) -> String {
        sign::jwt(&self.header, &self.claims, &sign::STRANGERS_KEY)
    }

    /// With an empty signature.
    pub fn unsigned(&self) -> String {
        format!("{}.", self.unsigned_part())
    }

    /// HMAC with this secret, as `HS256` says.
    pub fn hs256(&self, secret: &[u8]) -> String {
        let signed = self.unsigned_part();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// The claims as they are here, under the genuine token's signature.
    pub fn under_the_genuine_signature(&self) -> String {
        let signature = self.genuine.rsplit('.').next().expect("a signature");
        format!("{}.{signature}", self.unsigned_part())
    }

    fn unsigned_part(&self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }
}

/// The stranger's public key as a JWK, under Salesforce's key id.
pub fn strangers_jwk() -> Value {
    sign::jwk(&sign::STRANGERS_KEY)
}

/// Salesforce's public key in the forms in which it could be taken for an HMAC secret.
pub fn public_key_as_secrets() -> Vec<Vec<u8>> {
    let jwk = sign::jwk(&sign::SIGNING_KEY);
    let modulus = jwk["n"].as_str().expect("a modulus");
    vec![
        sign::SIGNING_KEY.public().as_ref().to_vec(),
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).expect("base64"),
        jwk.to_string().into_bytes(),
        json!({ "keys": [jwk] }).to_string().into_bytes(),
    ]
}
