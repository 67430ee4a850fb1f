//! OpenID Connect: an id_token is believed when it is signed by a key of the host that was asked, for this
//! app and this attempt, now (OpenID Connect Core §3.1.3.7).
//!
//! Only `kid` of the header is used, and only to choose one of the host's own keys: a key or an address that the token
//! brings along (`jwk`, `jku`, `x5u`) is ignored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    Identity,
    secret::{AccessToken, Hash, RawIdToken, RawTokenAnswer},
};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Distrust, LoginHost, Salesforce, SalesforceError,
    answer::{self, identity},
    http::ANSWER,
};

/// Maximum difference between the two clocks.
const SKEW: SignedDuration = SignedDuration::from_mins(3);

/// Maximum age of a host's keys: a key that Salesforce has withdrawn is not believed for longer.
const MAX_KEY_AGE: SignedDuration = SignedDuration::from_hours(24);

/// The keys of each host, as last fetched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Arc<Mutex<HashMap<String, Arc<FetchedKeys>>>>);

#[derive(Debug)]
struct FetchedKeys {
    set: JwkSet,
    at: Timestamp,
}

/// What must be true of an id_token.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The app's consumer key, as `aud`.
    pub audience: &'a str,
    /// The digest of the attempt's nonce.
    pub nonce: &'a Hash,
    /// Whose the token answer said that it is.
    pub identity: &'a Identity,
    /// Who may issue it: the login host that the browser was sent to, and the org's own My Domain, if the answer names it.
    /// Not whichever host answered: after a redirect that may be any org's.
    pub issuers: &'a [&'a str],
    /// The access token that came with it, for `at_hash`.
    pub access: &'a AccessToken,
}

/// The claims that are checked. Others are ignored.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    at_hash: Option<String>,
}

impl Salesforce {
    /// Checks an id_token against the keys of the host that gave it.
    pub async fn check_id_token(
        &self,
        host: &LoginHost,
        token: &RawIdToken,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<(), SalesforceError> {
        let kid = key_id(token)?;
        let jwk = self.key(host, &kid, now).await?.ok_or(Distrust::IdToken("key"))?;
        let claims = verify(token, &jwk)?;
        Ok(self.check_claims(&claims, expected, now)?)
    }

    /// Checks an id_token as far as that needs no network: with the keys that are held. `false`: its key is not held. Its
    /// claims are right, and whether its signature is remains to be seen.
    pub fn check_id_token_with_held_keys(
        &self,
        host: &LoginHost,
        token: &RawIdToken,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<bool, Distrust> {
        let kid = key_id(token)?;
        let held = self.held_keys(host, now).and_then(|keys| keys.set.find(&kid).cloned());
        let claims = match &held {
            Some(jwk) => verify(token, jwk)?,
            None => unverified(token)?,
        };
        self.check_claims(&claims, expected, now)?;
        Ok(held.is_some())
    }

    /// Whether the id_token in an answer of doubtful form was made for another app, attempt or user. Only that is looked
    /// at: nothing in the answer is believed.
    pub fn is_for_another(&self, raw: &RawTokenAnswer, audience: &str, nonce: &Hash) -> Result<(), Distrust> {
        let Some(claims) = answer::id_token_in(raw).and_then(|token| unverified(&token).ok()) else {
            return Ok(());
        };
        check_audience(&claims, audience)?;
        check_nonce(&claims, nonce)?;
        let Some(told) = answer::id_in(raw).and_then(|id| identity(self.hosts(), &id)) else { return Ok(()) };
        let whose = identity(self.hosts(), &claims.sub);
        require(whose.is_some_and(|whose| whose.same_as(&told)), "subject")
    }

    /// Fetches the keys of a host if they are not held, so that an id_token can be checked without the network.
    pub async fn fetch_keys(
        &self,
        host: &LoginHost,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<(), SalesforceError> {
        if self.held_keys(host, now).is_some() {
            return Ok(());
        }
        self.fetch(host, now, timeout).await.map(drop)
    }

    fn check_claims(&self, claims: &Claims, expected: &Expected<'_>, now: Timestamp) -> Result<(), Distrust> {
        check_claims(claims, expected, now)?;
        let whose = identity(self.hosts(), &claims.sub).ok_or(Distrust::IdToken("subject"))?;
        if !whose.org.same_as(&expected.identity.org) || !whose.user.same_as(&expected.identity.user) {
            return Err(Distrust::IdToken("subject"));
        }
        Ok(())
    }

    fn held_keys(&self, host: &LoginHost, now: Timestamp) -> Option<Arc<FetchedKeys>> {
        let held = self.keys.lock().get(host.origin()).cloned();
        held.filter(|keys| now.duration_since(keys.at).abs() < MAX_KEY_AGE)
    }

    /// The host's key of that id. Keys are rotated, so unknown ids and old keys cause one fetch.
    async fn key(&self, host: &LoginHost, kid: &str, now: Timestamp) -> Result<Option<Jwk>, SalesforceError> {
        if let Some(jwk) = self.held_keys(host, now).and_then(|keys| keys.set.find(kid).cloned()) {
            return Ok(Some(jwk));
        }
        let keys = self.fetch(host, now, ANSWER).await?;
        Ok(keys.set.find(kid).cloned())
    }

    async fn fetch(
        &self,
        host: &LoginHost,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Arc<FetchedKeys>, SalesforceError> {
        let request = http::Request::get(host.at("/id/keys"))
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| Distrust::IdToken("key"))?;
        let answer = self.http.send_within(request, Some(timeout)).await?;
        let status = answer.status().as_u16();
        let set: JwkSet = serde_json::from_slice(answer.body()).map_err(|_| SalesforceError::Unreadable {
            status,
            what: "something that is not a key set",
            retry_after: None,
            calls: 1,
        })?;
        let keys = Arc::new(FetchedKeys { set, at: now });
        self.keys.lock().insert(host.origin().to_owned(), Arc::clone(&keys));
        Ok(keys)
    }
}

/// The id of the key that the header names. Whoever marks a header field as critical demands that it is understood
/// (RFC 7515 §4.1.11), and none is.
fn key_id(token: &RawIdToken) -> Result<String, Distrust> {
    let header = token.expose().split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Distrust::IdToken("form"))?;
    let header: serde_json::Map<String, Value> =
        serde_json::from_slice(&header).map_err(|_| Distrust::IdToken("form"))?;
    if header.contains_key("crit") {
        return Err(Distrust::IdToken("critical header fields"));
    }
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err(Distrust::IdToken("algorithm"));
    }
    let kid = header.get("kid").and_then(Value::as_str);
    kid.map(ToOwned::to_owned).ok_or(Distrust::IdToken("key id"))
}

/// Verifies the signature: RS256, with a key that is meant for it.
fn verify(token: &RawIdToken, jwk: &Jwk) -> Result<Claims, Distrust> {
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let is_rs256 = jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == KeyAlgorithm::RS256);
    if !signs || !is_rs256 {
        return Err(Distrust::IdToken("key"));
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|_| Distrust::IdToken("key"))?;
    let mut validation = Validation::new(Algorithm::RS256);
    // The claims are checked by us: the library would read the machine's clock, and takes an absent `aud`.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Claims>(token.expose(), &key, &validation).map_err(|error| {
        Distrust::IdToken(match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => "signature",
            jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => "algorithm",
            _ => "form",
        })
    })?;
    Ok(decoded.claims)
}

/// The claims of a token whose signature has not been looked at.
fn unverified(token: &RawIdToken) -> Result<Claims, Distrust> {
    let payload = token.expose().split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Distrust::IdToken("form"))?;
    serde_json::from_slice(&payload).map_err(|_| Distrust::IdToken("form"))
}

fn require(holds: bool, what: &'static str) -> Result<(), Distrust> {
    if holds { Ok(()) } else { Err(Distrust::IdToken(what)) }
}

/// For us, and for nobody else: others are not trusted with what is ours.
fn check_audience(claims: &Claims, expected: &str) -> Result<(), Distrust> {
    let audience = match &claims.aud {
        Value::String(one) => Some(one.as_str()),
        Value::Array(list) if list.len() == 1 => list[0].as_str(),
        _ => None,
    };
    require(audience == Some(expected), "audience")?;
    require(claims.azp.as_deref().is_none_or(|azp| azp == expected), "authorized party")
}

fn check_nonce(claims: &Claims, expected: &Hash) -> Result<(), Distrust> {
    require(claims.nonce.as_deref().is_some_and(|nonce| Hash::of(nonce).matches(expected)), "nonce")
}

fn check_claims(claims: &Claims, expected: &Expected<'_>, now: Timestamp) -> Result<(), Distrust> {
    check_audience(claims, expected.audience)?;
    require(expected.issuers.contains(&claims.iss.as_str()), "issuer")?;

    // Seconds are far below 2^53.
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    let (now, skew) = (now.as_second() as f64, SKEW.as_secs() as f64);
    let in_time = claims.exp > now - skew
        && claims.iat < now + skew
        && claims.exp > claims.iat
        && claims.nbf.is_none_or(|nbf| nbf < now + skew);
    require(in_time, "time")?;
    check_nonce(claims, expected.nonce)?;
    let at_hash = || {
        let digest = Sha256::digest(expected.access.expose().as_bytes());
        URL_SAFE_NO_PAD.encode(&digest[..digest.len() / 2])
    };
    require(claims.at_hash.as_ref().is_none_or(|told| *told == at_hash()), "access token's hash")
}

/// Who says to have issued a token. Not verified.
pub fn issuer(token: &RawIdToken) -> Option<String> {
    unverified(token).ok().map(|claims| claims.iss)
}

impl Keys {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<FetchedKeys>>> {
        // The map is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
