//! The token endpoint's rules: exchange, refresh, introspection, revocation (salesforce.md 1.3, 1.4 and 3.4 to 3.9).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    app::{AppRegistration, PermittedUsers, Standing},
    grant::{AccessToken, Ending, Grant},
    host::Host,
    ids::random_text,
    params::Params,
    sign,
    state::State,
};

/// How long after it was issued an id_token is good.
const ID_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_mins(2);

/// An OAuth error of the token endpoints; always status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenError(pub(super) &'static str, pub(super) &'static str);

const CLIENT_UNKNOWN: TokenError = TokenError("invalid_client_id", "client identifier invalid");
const SECRET_WRONG: TokenError = TokenError("invalid_client", "invalid client credentials");
const CODE_DEAD: TokenError = TokenError("invalid_grant", "expired authorization code");
const VERIFIER_WRONG: TokenError = TokenError("invalid_grant", "invalid code verifier");
const WRONG_HOST: TokenError = TokenError("invalid_grant", "authentication failure");
const REDIRECT_MISMATCH: TokenError =
    TokenError("redirect_uri_mismatch", "redirect_uri must match configuration");
const REFRESH_DEAD: TokenError = TokenError("invalid_grant", "expired access/refresh token");
const REFRESH_BUSY: TokenError = TokenError("invalid_grant", "token request is already being processed");
const SCOPE_ON_REFRESH: TokenError = TokenError("invalid_request", "scope parameter not supported");
const USER_INACTIVE: TokenError = TokenError("invalid_grant", "inactive user");
const NOT_ADMIN_APPROVED: TokenError =
    TokenError("invalid_app_access", "user is not admin approved to access this app");
const GRANT_TYPE_UNKNOWN: TokenError = TokenError("unsupported_grant_type", "grant type not supported");
const TOKEN_INVALID: TokenError = TokenError("invalid_token", "invalid token");

/// A request that may be carried out, once the endpoint has taken its time over it.
#[derive(Debug)]
pub(super) enum Accepted {
    Exchange { code: String },
    Refresh { grant: u64 },
}

/// What a client gets. Salesforce sends no `expires_in`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    pub(super) signature: String,
    pub(super) scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
    pub(super) instance_url: String,
    pub(super) id: String,
    pub(super) token_type: &'static str,
    /// Epoch milliseconds, as a string.
    pub(super) issued_at: String,
    /// Whose consumer secret signs. Not part of the answer.
    #[serde(skip)]
    pub(super) consumer_key: String,
}

impl State {
    /// Reads and checks a token request. A refresh that is accepted is in flight until [`State::carry_out`].
    pub(super) fn accept(
        &mut self,
        host: &Host,
        params: &Params,
        authorization: Option<&str>,
        now: Timestamp,
    ) -> Result<Accepted, TokenError> {
        let grant_type = params.get("grant_type").unwrap_or_default();
        if !["authorization_code", "refresh_token"].contains(&grant_type) {
            return Err(GRANT_TYPE_UNKNOWN);
        }
        let app = self.client(params, authorization)?.clone();
        match grant_type {
            "authorization_code" => self.accept_exchange(host, params, &app, now),
            _ => self.accept_refresh(host, params, &app, now),
        }
    }

    /// The app that the request's credentials prove. Those in the body win over the header's.
    fn client(&self, params: &Params, authorization: Option<&str>) -> Result<&AppRegistration, TokenError> {
        let basic = authorization.and_then(basic_credentials);
        let (key, secret) = match params.get("client_id") {
            Some(key) => (Some(key), params.get("client_secret")),
            None => (
                basic.as_ref().map(|(key, _)| key.as_str()),
                basic.as_ref().map(|(_, secret)| secret.as_str()),
            ),
        };
        let basic_secret =
            basic.as_ref().filter(|(of, _)| Some(of.as_str()) == key).map(|(_, secret)| secret.as_str());
        let app = key.and_then(|key| self.app(key)).ok_or(CLIENT_UNKNOWN)?;
        match secret.or(basic_secret) {
            Some(secret) if secret == app.consumer_secret => Ok(app),
            None if !app.require_secret => Ok(app),
            _ => Err(SECRET_WRONG),
        }
    }

    fn accept_exchange(
        &mut self,
        host: &Host,
        params: &Params,
        app: &AppRegistration,
        now: Timestamp,
    ) -> Result<Accepted, TokenError> {
        let given = params.get("code").unwrap_or_default();
        let code = self.codes.get(given).filter(|code| code.request.consumer_key == app.consumer_key);
        let code = code.filter(|code| code.is_live(now)).ok_or(CODE_DEAD)?;
        let grant = self.grant(code.grant).filter(|grant| grant.is_live()).ok_or(CODE_DEAD)?;
        self.check_holder(host, grant, app)?;
        if params.get("redirect_uri") != Some(code.request.redirect_uri.as_str()) {
            return Err(REDIRECT_MISMATCH);
        }
        let verified = code.request.code_challenge.as_ref().is_none_or(|challenge| {
            params.get("code_verifier").is_some_and(|verifier| sign::code_challenge(verifier) == *challenge)
        });
        // Spent from here on, also by a wrong verifier: nobody gets a second guess.
        let spent = verified || !self.other_behavior.wrong_verifier_spares_the_code;
        self.codes.get_mut(given).expect("found above").used = spent;
        if verified { Ok(Accepted::Exchange { code: given.to_owned() }) } else { Err(VERIFIER_WRONG) }
    }

    fn accept_refresh(
        &mut self,
        host: &Host,
        params: &Params,
        app: &AppRegistration,
        now: Timestamp,
    ) -> Result<Accepted, TokenError> {
        if params.get("scope").is_some() {
            return Err(SCOPE_ON_REFRESH);
        }
        let given = params.get("refresh_token").unwrap_or_default().to_owned();
        let of_app = |grant: &&Grant| grant.consumer_key == app.consumer_key && grant.is_live();
        if let Some(replayed) = self.grants.iter().filter(of_app).find(|grant| grant.spent.contains(&given)) {
            let replayed = replayed.id;
            if !self.other_behavior.replay_spares_the_grant {
                self.end(replayed, Ending::Replayed);
            }
            return Err(REFRESH_DEAD);
        }
        let mut grants = self.grants.iter().filter(of_app);
        let held = grants.find(|grant| grant.refresh_token.as_ref() == Some(&given));
        let grant = held.ok_or(REFRESH_DEAD)?.clone();
        self.check_holder(host, &grant, app)?;
        if app.idle_expiry.is_some_and(|idle| grant.used_at + idle <= now) {
            self.end(grant.id, Ending::Idle);
            return Err(REFRESH_DEAD);
        }
        if !self.in_flight.insert(grant.id) {
            return Err(REFRESH_BUSY);
        }
        Ok(Accepted::Refresh { grant: grant.id })
    }

    /// What the org, the user and the app's policy say about a grant that is about to be used.
    fn check_holder(&self, host: &Host, grant: &Grant, app: &AppRegistration) -> Result<(), TokenError> {
        let (org, user) = self.holder(grant);
        if !host.serves(org) {
            return Err(WRONG_HOST);
        }
        if !user.active {
            return Err(USER_INACTIVE);
        }
        match org.standing(app) {
            Standing::Blocked(_) => Err(REFRESH_DEAD),
            Standing::Installed(policy)
                if policy.permitted_users == PermittedUsers::AdminApprovedPreAuthorized
                    && !org.assigns(&policy, user) =>
            {
                Err(NOT_ADMIN_APPROVED)
            }
            _ => Ok(()),
        }
    }

    /// Issues what an accepted request asked for. Rotation happens here.
    pub(super) fn carry_out(
        &mut self,
        accepted: Accepted,
        host: &Host,
        now: Timestamp,
    ) -> Result<TokenAnswer, TokenError> {
        match accepted {
            Accepted::Exchange { code } => {
                let code = self.codes.get(&code).ok_or(CODE_DEAD)?;
                let (grant, nonce) = (code.grant, code.request.nonce.clone());
                self.grant(grant).filter(|grant| grant.is_live()).ok_or(CODE_DEAD)?;
                Ok(self.issue_first(grant, nonce.as_deref(), host, now))
            }
            Accepted::Refresh { grant } => {
                self.in_flight.remove(&grant);
                let live = self.grant(grant).filter(|grant| grant.is_live()).ok_or(REFRESH_DEAD)?;
                let rotates = self.rotates(live);
                let grant = self.grant_mut(grant).expect("found above");
                grant.used_at = now;
                let rotated = rotates.then(new_refresh_token);
                if let Some(rotated) = &rotated {
                    grant.spent.extend(grant.refresh_token.replace(rotated.clone()));
                }
                let grant = grant.clone();
                Ok(self.issue(&grant, rotated, None, host, now))
            }
        }
    }

    /// The first tokens of a grant.
    pub(super) fn issue_first(
        &mut self,
        grant: u64,
        nonce: Option<&str>,
        host: &Host,
        now: Timestamp,
    ) -> TokenAnswer {
        let grant = self.grant_mut(grant).expect("its caller has found it");
        grant.used_at = now;
        grant.refresh_token = grant.is_offline().then(new_refresh_token);
        let grant = grant.clone();
        if self.other_behavior.evicts_at_exchange {
            self.evict(&grant.user, &grant.consumer_key);
        }
        self.issue(&grant, grant.refresh_token.clone(), nonce, host, now)
    }

    /// The app rotates its refresh tokens, or the org makes every app do so.
    fn rotates(&self, grant: &Grant) -> bool {
        self.holder(grant).0.rotate_refresh_tokens
            || self.app(&grant.consumer_key).is_some_and(|app| app.refresh_token_rotation)
    }

    fn issue(
        &mut self,
        grant: &Grant,
        refresh_token: Option<String>,
        nonce: Option<&str>,
        host: &Host,
        now: Timestamp,
    ) -> TokenAnswer {
        let (org, user) = self.holder(grant);
        let access_token = format!("{}!AQE{}", &org.id[..15], random_text(63));
        let expires_at = now + org.session_timeout;
        let id = self.identity_url(org, user);
        let id_token = grant.has_scope("openid").then(|| {
            let mut claims = json!({
                "iss": host.origin(self),
                "sub": id,
                "aud": grant.consumer_key,
                "iat": now.as_second(),
                "exp": (now + ID_TOKEN_LIFETIME).as_second(),
                "at_hash": sign::at_hash(&access_token),
            });
            if let Some(nonce) = nonce {
                claims["nonce"] = nonce.into();
            }
            sign::id_token(&claims)
        });
        let mut answer = TokenAnswer {
            access_token: access_token.clone(),
            refresh_token,
            signature: String::new(),
            scope: grant.scopes.join(" "),
            id_token,
            instance_url: self.origin(org),
            id,
            token_type: "Bearer",
            issued_at: (now + self.clock_error).as_millisecond().to_string(),
            consumer_key: grant.consumer_key.clone(),
        };
        self.sign(&mut answer);
        self.handed_out.push(("access token", access_token.clone()));
        self.handed_out.extend(answer.id_token.clone().map(|token| ("id_token", token)));
        self.access_tokens.insert(access_token, AccessToken { grant: grant.id, issued_at: now, expires_at });
        answer
    }

    /// Signs an answer with the consumer secret of its app.
    pub(super) fn sign(&self, answer: &mut TokenAnswer) {
        let secret = self.app(&answer.consumer_key).map_or("", |app| &app.consumer_secret);
        answer.signature = sign::signature(secret, &answer.id, &answer.issued_at);
    }

    /// What is known of a token, to the app that it was issued to.
    pub(super) fn introspect(
        &self,
        params: &Params,
        authorization: Option<&str>,
        now: Timestamp,
    ) -> Result<Value, TokenError> {
        let app = self.client(params, authorization)?;
        let given = params.get("token").unwrap_or_default();
        let describe = |grant: &Grant, kind: &str, issued_at: Timestamp| {
            let (org, user) = self.holder(grant);
            json!({
                "active": true,
                "scope": grant.scopes.join(" "),
                "client_id": grant.consumer_key,
                "username": user.username,
                "sub": self.identity_url(org, user),
                "token_type": kind,
                "iat": issued_at.as_second(),
                "nbf": issued_at.as_second(),
            })
        };
        let access = self.live_token(given, now).filter(|(_, grant)| grant.consumer_key == app.consumer_key);
        if let Some((token, grant)) = access {
            let mut told = describe(grant, "access_token", token.issued_at);
            told["exp"] = token.expires_at.as_second().into();
            return Ok(told);
        }
        let mut grants =
            self.grants.iter().filter(|grant| grant.is_live() && grant.consumer_key == app.consumer_key);
        let refresh = grants.find(|grant| grant.refresh_token.as_deref() == Some(given));
        Ok(refresh
            .map_or(json!({ "active": false }), |grant| describe(grant, "refresh_token", grant.approved_at)))
    }

    /// Ends what the token stands for: a refresh token ends its grant, an access token only itself.
    pub(super) fn revoke(&mut self, token: &str, now: Timestamp) -> Result<(), TokenError> {
        if self.live_token(token, now).is_some() {
            self.access_tokens.remove(token);
            return Ok(());
        }
        let mut grants = self.grants.iter().filter(|grant| grant.is_live());
        let grant =
            grants.find(|grant| grant.refresh_token.as_deref() == Some(token)).ok_or(TOKEN_INVALID)?.clone();
        self.end(grant.id, Ending::Revoked);
        if self.revoking_ends_all {
            self.end_all(Ending::Revoked, |other| {
                other.user == grant.user && other.consumer_key == grant.consumer_key
            });
        }
        Ok(())
    }
}

fn new_refresh_token() -> String {
    format!("5Aep861{}", random_text(60))
}

fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (key, secret) = decoded.split_once(':')?;
    // RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
    let decode = |half: &str| {
        let pair = format!("v={half}");
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    scheme.eq_ignore_ascii_case("basic").then_some((decode(key)?, decode(secret)?))
}
