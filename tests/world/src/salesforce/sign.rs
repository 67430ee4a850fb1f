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
static SIGNING_KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| {
    let pem: String =
        include_str!("simulator_signing_key.pem").lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(pem).expect("the simulator's key is PEM");
    RsaKeyPair::from_der(&der).expect("the simulator's key is an RSA key")
});

/// Base64 of HMAC-SHA256 over identity URL and `issued_at`, under the consumer secret.
pub(super) fn signature(consumer_secret: &str, id: &str, issued_at: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(consumer_secret.as_bytes()).expect("HMAC takes any key");
    mac.update(id.as_bytes());
    mac.update(issued_at.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A JWT of these claims, RS256.
pub(super) fn id_token(claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; SIGNING_KEY.public().modulus_len()];
    SIGNING_KEY
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
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
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(SIGNING_KEY.public());
    json!({ "keys": [{
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": KEY_ID,
        "n": URL_SAFE_NO_PAD.encode(public.n),
        "e": URL_SAFE_NO_PAD.encode(public.e),
    }] })
}
