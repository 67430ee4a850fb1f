//! The token endpoint and its neighbors: exchange, refresh, introspection, revocation (fact base 3.4 to 3.9). Requests
//! are written in `request.rs` and go out through `endpoint.rs`; `answer.rs` reads what comes back.

use domain::secret::{AccessToken, AuthorizationCode, ConsumerSecret, RawTokenAnswer, RefreshToken};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use url::form_urlencoded::Serializer;

use crate::{
    Distrust, Grant, LoginHost, Salesforce, SalesforceError,
    answer::{self, shape},
    endpoint::Answered,
    http::{ANSWER, NoAnswer},
    probe::for_people,
};

const REVOKE: &str = "/services/oauth2/revoke";

/// An app's credentials.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The consumer key (`client_id`).
    pub consumer_key: &'a str,
    /// The consumer secret.
    pub secret: &'a ConsumerSecret,
}

impl Salesforce {
    /// Exchanges a code at the host that the attempt went to (RFC 6749 §4.1.3, RFC 7636 §4.5), and checks
    /// the answer, within `timeout`. A code is sent once, but after a redirect. The caller revokes or keeps what is
    /// [doubtful](SalesforceError::Doubtful).
    pub async fn exchange(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        code: &AuthorizationCode,
        verifier: &str,
        redirect_uri: &str,
        timeout: Duration,
    ) -> Result<Grant, SalesforceError> {
        let answered = self.send_code(host, app, code, verifier, redirect_uri, timeout).await?;
        answer::read(&self.hosts, app.secret, answered)
    }

    /// Refreshes (RFC 6749 §6) within `timeout`. No `scope` is sent: Salesforce refuses it (fact base 1.4). The caller keeps what is
    /// [doubtful](SalesforceError::Doubtful): it may be the only copy of a rotated token.
    ///
    /// Who calls this holds the connection's lease, or an import's right to send: the store opens a refresh token
    /// for nobody else, and a product's own is journalled first.
    pub async fn refresh(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        token: &RefreshToken,
        timeout: Duration,
    ) -> Result<Grant, SalesforceError> {
        let answered = self.send_refresh_token(host, app, token, timeout).await?;
        answer::read(&self.hosts, app.secret, answered)
    }

    /// Repeats the checks of an answer that was set aside.
    pub fn check_again(
        &self,
        host: &LoginHost,
        secret: &ConsumerSecret,
        raw: &RawTokenAnswer,
    ) -> Result<Grant, Distrust> {
        answer::check_again(&self.hosts, secret, host.clone(), raw)
    }

    /// How long an access token lives from issue to end, where Salesforce tells (RFC 7662; fact base 3.7): the
    /// app must allow introspection. `None`: it does not say. The token's own clock counts, so that ours need
    /// not agree with Salesforce's.
    pub async fn introspected_life(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        token: &AccessToken,
    ) -> Result<Option<SignedDuration>, SalesforceError> {
        let told = self.introspect(host, app, token.expose(), "access_token").await?;
        let life = told.exp.zip(told.iat).and_then(|(exp, iat)| exp.checked_sub(iat));
        let life = life.map(SignedDuration::from_secs);
        Ok(life.filter(|life| told.active && life.is_positive()))
    }

    pub(crate) async fn introspect(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        token: &str,
        hint: &str,
    ) -> Result<Introspection, SalesforceError> {
        let answered = self.ask_about(host, app, token, hint).await?;
        let told = serde_json::from_slice(&answered.body).ok();
        told.filter(|_| answered.status == http::StatusCode::OK).ok_or_else(|| answer::refusal(&answered))
    }

    /// Revokes a token (RFC 7009). A refresh token takes its access tokens with it. A token that Salesforce
    /// does not know any more is revoked, whoever did it.
    pub async fn revoke(&self, host: &LoginHost, token: &str) -> Result<(), SalesforceError> {
        let form = Serializer::new(String::new()).append_pair("token", token).finish();
        let answered = self.post(host, REVOKE, form.as_bytes(), ANSWER).await?;
        match answer::refusal(&answered) {
            SalesforceError::Refused { ref code, .. } if code == "invalid_token" => Ok(()),
            SalesforceError::Unreadable { .. } if is_revoked(&answered) => Ok(()),
            refused => Err(refused),
        }
    }

    /// Revokes what the body of an answer holds. `false`: no token can be read in it.
    pub async fn revoke_answer(
        &self,
        host: &LoginHost,
        raw: &RawTokenAnswer,
    ) -> Result<bool, SalesforceError> {
        let tokens = answer::revocable(raw);
        for token in &tokens {
            self.revoke(host, token).await?;
        }
        Ok(!tokens.is_empty())
    }

    /// The login host that a connection has from now on, if another one answered than the one that it had: the org's
    /// own My Domain, where that is known.
    pub fn new_login_host(&self, grant: &Grant, held: &str) -> Option<String> {
        if grant.host.origin() == held {
            return None;
        }
        let own = grant.instance_url(None).and_then(|own| self.hosts.readmit(&own).ok());
        Some(own.as_ref().unwrap_or(&grant.host).origin().to_owned())
    }

    /// What the identity address says about the user and the org of a grant, within `timeout`. Nothing depends on it, so
    /// whatever goes wrong is no reason to fail: nothing is known then.
    pub async fn identity(&self, grant: &Grant, timeout: Duration) -> UserInfo {
        self.ask_identity(grant, timeout).await.unwrap_or_default()
    }

    async fn ask_identity(&self, grant: &Grant, timeout: Duration) -> Option<UserInfo> {
        #[derive(Deserialize)]
        struct Told {
            #[serde(default)]
            username: Value,
            #[serde(default)]
            urls: Value,
        }
        let address = self.hosts.own(&grant.id)?;
        let request = http::Request::get(address.as_str())
            .header(http::header::AUTHORIZATION, format!("Bearer {}", grant.access.expose()))
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .ok()?;
        let answer = self.http.send_within(request, Some(timeout)).await.ok()?;
        let told: Told =
            serde_json::from_slice(answer.body()).ok().filter(|_| answer.status().is_success())?;
        let instance = ["custom_domain", "rest"]
            .iter()
            .filter_map(|name| told.urls[*name].as_str())
            .find_map(|address| self.hosts.own(address));
        Some(UserInfo {
            username: told.username.as_str().map(for_people).filter(|name| !name.is_empty()),
            instance_url: instance.map(|url| url.origin().ascii_serialization()),
        })
    }
}

/// For the log: an answer is given up of which nothing can be revoked.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not revoked: no token can be read in the answer")]
pub struct NothingToRevoke;

/// What the identity address says, as far as it can be used.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name for signing in, for people to read.
    pub username: Option<String>,
    /// The origin where the org's API answers: one of Salesforce's hosts.
    pub instance_url: Option<String>,
}

/// What introspection tells about a token.
#[derive(Debug, Deserialize)]
pub(crate) struct Introspection {
    pub(crate) active: bool,
    iat: Option<i64>,
    exp: Option<i64>,
}

/// Whether an answer says that a token was revoked: 200, and a body that is empty or JSON (RFC 7009 §2.2). A web page
/// with 200 comes from something in front of Salesforce.
fn is_revoked(answered: &Answered) -> bool {
    let body = answered.body.trim_ascii();
    answered.status == http::StatusCode::OK
        && (body.is_empty() || serde_json::from_slice::<Value>(body).is_ok())
}

pub(crate) fn not_an_address() -> SalesforceError {
    NoAnswer { what: "the request's address is not valid".into(), sent: false, oversized: false }.into()
}

/// An answer that is none of those that its endpoint gives.
pub(crate) fn unreadable(answer: &http::Response<Vec<u8>>) -> SalesforceError {
    let status = answer.status().as_u16();
    SalesforceError::Unreadable { status, what: shape(answer.body()), retry_after: None, calls: 1 }
}
