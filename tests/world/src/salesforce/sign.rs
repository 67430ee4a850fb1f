//! What Salesforce signs: the `signature` of a token answer, and id_tokens.

use std::sync::LazyLock;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const KEY_ID: &str = "simulator";

/// The simulator's own key, in the open: it vouches for nothing outside this world.
pub(super) static SIGNING_KEY: LazyLock<RsaKeyPair> =
    LazyLock::new(|| key_pair(include_str!("simulator_signing_key.pem")));

/// A key that is in nobody's key set.
pub(super) static STRANGERS_KEY: LazyLock<RsaKeyPair> =
    LazyLock::new(|| key_pair(include_str!("stranger_signing_key.pem")));

fn key_pair(pem: &str) -> RsaKeyPair {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(base64).expect("a key is PEM");
    RsaKeyPair::from_der(&der).expect("a key is an RSA key")
}

/// Base64 of HMAC-SHA256 over identity URL and `issued_at`, under the consumer secret.
pub(super) fn signature(consumer_secret: &str, id: &str, issued_at: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(consumer_secret.as_bytes()).expect("HMAC takes any key");
    mac.update(id.as_bytes());
    mac.update(issued_at.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A JWT of these claims, RS256.
pub(super) fn id_token(claims: &Value) -> String {
    jwt(&json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID }), claims, &SIGNING_KEY)
}

/// A JWT of this header and these claims, signed as RS256 whatever the header says.
pub(super) fn jwt(header: &Value, claims: &Value, key: &RsaKeyPair) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .expect("the signature has the modulus's length");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The same id_token with another nonce, rightly signed.
pub(super) fn with_nonce(token: &str, nonce: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims = claims.and_then(|claims| serde_json::from_slice::<Value>(&claims).ok());
    let mut claims = claims.expect("an id_token of ours holds JSON claims");
    claims["nonce"] = nonce.into();
    id_token(&claims)
}

/// OpenID Connect's `at_hash`: the left half of the access token's SHA-256.
pub(super) fn at_hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(access_token)[..16])
}

/// RFC 7636's S256 challenge of a verifier.
pub(super) fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// The key set at `/id/keys`.
pub(super) fn jwks() -> Value {
    json!({ "keys": [jwk(&SIGNING_KEY)] })
}

/// The public half of a key, under the one key id.
pub(super) fn jwk(key: &RsaKeyPair) -> Value {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
    json!({
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": KEY_ID,
        "n": URL_SAFE_NO_PAD.encode(public.n),
        "e": URL_SAFE_NO_PAD.encode(public.e),
    })
}
