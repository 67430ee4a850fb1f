//! OpenID Connect: an id_token is believed when it is signed by a key of the host that was asked, for this
//! app and this attempt, now (OpenID Connect Core §3.1.3.7).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use domain::{Identity, secret::RawIdToken};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::Deserialize;

use crate::{Distrust, LoginHost, Salesforce, SalesforceError, answer::identity};

/// How far the two clocks may be apart.
const SKEW: SignedDuration = SignedDuration::from_mins(3);

/// The keys of each host, as last fetched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Arc<Mutex<HashMap<String, Arc<JwkSet>>>>);

/// What must be true of an id_token.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The app's consumer key, as `aud`.
    pub audience: &'a str,
    /// The attempt's nonce.
    pub nonce: &'a str,
    /// Whose the token answer said that it is.
    pub identity: &'a Identity,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
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
        let header = jsonwebtoken::decode_header(token.expose()).map_err(|_| Distrust::IdToken("form"))?;
        let kid = header.kid.ok_or(Distrust::IdToken("key id"))?;
        let jwk = self.key(host, &kid).await?.ok_or(Distrust::IdToken("key"))?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| Distrust::IdToken("key"))?;

        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[expected.audience]);
        // The library would read the machine's clock; `now` is checked below.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token.expose(), &key, &validation)
            .map_err(|error| {
                Distrust::IdToken(match error.kind() {
                    jsonwebtoken::errors::ErrorKind::InvalidAudience => "audience",
                    jsonwebtoken::errors::ErrorKind::InvalidSignature => "signature",
                    jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => "algorithm",
                    _ => "form",
                })
            })?
            .claims;

        let now = now.as_second();
        if claims.exp < now - SKEW.as_secs() || claims.iat > now + SKEW.as_secs() {
            return Err(Distrust::IdToken("time").into());
        }
        if claims.nonce.as_deref() != Some(expected.nonce) {
            return Err(Distrust::IdToken("nonce").into());
        }
        // login.salesforce.com issues for every org; an org's own host issues for itself.
        let issuer = claims.iss.trim_end_matches('/');
        if issuer != host.origin() && self.hosts().readmit(issuer).is_err() {
            return Err(Distrust::IdToken("issuer").into());
        }
        let whose = identity(self.hosts(), &claims.sub).ok_or(Distrust::IdToken("subject"))?;
        if !whose.org.same_as(&expected.identity.org) || !whose.user.same_as(&expected.identity.user) {
            return Err(Distrust::IdToken("subject").into());
        }
        Ok(())
    }

    /// The host's key of that id. Unknown ids cause one fetch: keys are rotated.
    async fn key(
        &self,
        host: &LoginHost,
        kid: &str,
    ) -> Result<Option<jsonwebtoken::jwk::Jwk>, SalesforceError> {
        let held = self.keys.lock().get(host.origin()).cloned();
        if let Some(jwk) = held.and_then(|keys| keys.find(kid).cloned()) {
            return Ok(Some(jwk));
        }
        let request = http::Request::get(host.at("/id/keys"))
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| Distrust::IdToken("key"))?;
        let answer = self.http.send(request).await?;
        let status = answer.status().as_u16();
        let keys: JwkSet = serde_json::from_slice(answer.body()).map_err(|_| {
            SalesforceError::Unreadable { status, what: "something that is no key set", retry_after: None }
        })?;
        let keys = Arc::new(keys);
        self.keys.lock().insert(host.origin().to_owned(), Arc::clone(&keys));
        Ok(keys.find(kid).cloned())
    }
}

impl Keys {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<JwkSet>>> {
        // The map is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
