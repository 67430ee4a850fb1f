//! The token endpoint (fact base 3.4): the `oauth2` crate speaks the protocol over our HTTP client, and
//! nothing that it brings back is used before it is checked.

use std::{pin::Pin, sync::OnceLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    Identity, Scopes,
    secret::{AccessToken, AuthorizationCode, ConsumerSecret, RawIdToken, RefreshToken},
};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use oauth2::{
    AsyncHttpClient, AuthType, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet, ExtraTokenFields,
    HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RequestTokenError, StandardErrorResponse,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
        BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    Distrust, Hosts, Http, LoginHost, Salesforce, SalesforceError, http::NoAnswer, probe::for_people,
};

/// An app's credentials.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The consumer key (`client_id`).
    pub consumer_key: &'a str,
    /// The consumer secret.
    pub secret: &'a ConsumerSecret,
}

/// A checked token answer.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token: at an exchange where the scope was granted, at a refresh where it was rotated.
    pub refresh: Option<RefreshToken>,
    /// Whose the tokens are.
    pub identity: Identity,
    /// The identity address that `identity` was read from.
    pub id: String,
    /// The origin where the org's API answers.
    pub instance_url: String,
    /// What was granted.
    pub scopes: Scopes,
    /// When Salesforce issued the access token.
    pub issued_at: Timestamp,
    /// The id_token as it was sent, where there was one.
    pub id_token: Option<RawIdToken>,
}

/// What Salesforce adds to RFC 6749's answer. It sends no `expires_in`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Extra {
    id: Option<String>,
    issued_at: Option<String>,
    signature: Option<String>,
    instance_url: Option<String>,
    id_token: Option<String>,
}

impl ExtraTokenFields for Extra {}

type Answer = StandardTokenResponse<Extra, BasicTokenType>;
type Refusal = StandardErrorResponse<BasicErrorResponseType>;
type Endpoint = Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl Grant {
    /// What was granted: what the answer says or, where it says nothing, what was asked for (RFC 6749 §5.1).
    pub fn granted(&self, asked: &[String]) -> Scopes {
        if self.scopes.iter().next().is_none() {
            asked.iter().cloned().collect()
        } else {
            self.scopes.clone()
        }
    }
}

impl Salesforce {
    /// Exchanges a code at the host that the attempt went to (RFC 6749 §4.1.3, RFC 7636 §4.5), and checks
    /// the answer. One call; a code is never sent twice.
    pub async fn exchange(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        code: &AuthorizationCode,
        verifier: String,
        redirect_uri: &str,
    ) -> Result<Grant, SalesforceError> {
        let caller = Caller::new(&self.http);
        let redirect_uri = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| not_an_address())?;
        let answer = endpoint(host, app)?
            .exchange_code(oauth2::AuthorizationCode::new(code.expose().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect_uri))
            .request_async(&caller)
            .await
            .map_err(|error| caller.error(error))?;
        let checked = check(&self.hosts, app.secret, &answer);
        if checked.is_err() {
            // Nobody will hold what is not believed. That its owner is not told of a failure here changes nothing.
            let token = answer.refresh_token().map_or(answer.access_token().secret(), |token| token.secret());
            let _ = self.revoke(host, token).await;
        }
        checked
    }

    /// Refreshes (RFC 6749 §6). No `scope` is sent: Salesforce refuses it (fact base 1.4).
    ///
    /// Who calls this holds the connection's lease, or an import's right to send: the store opens a refresh token
    /// for nobody else, and a product's own is journalled first.
    pub async fn refresh(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        token: &RefreshToken,
    ) -> Result<Grant, SalesforceError> {
        let caller = Caller::new(&self.http);
        let token = oauth2::RefreshToken::new(token.expose().to_owned());
        let answer = endpoint(host, app)?
            .exchange_refresh_token(&token)
            .request_async(&caller)
            .await
            .map_err(|error| caller.error(error))?;
        check(&self.hosts, app.secret, &answer)
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
        #[derive(Deserialize)]
        struct Told {
            active: bool,
            iat: Option<i64>,
            exp: Option<i64>,
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("token_type_hint", "access_token")
            .append_pair("client_id", app.consumer_key)
            .append_pair("client_secret", app.secret.expose())
            .finish();
        let request = http::Request::post(host.at("/services/oauth2/introspect"))
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json")
            .body(body.into_bytes())
            .map_err(|_| not_an_address())?;
        let answer = self.http.send(request).await?;
        let told: Told = serde_json::from_slice(answer.body()).map_err(|_| SalesforceError::Unreadable {
            status: answer.status().as_u16(),
            what: shape(answer.body()),
        })?;
        let life = told.exp.zip(told.iat).and_then(|(exp, iat)| exp.checked_sub(iat));
        let life = life.map(SignedDuration::from_secs);
        Ok(life.filter(|life| told.active && life.is_positive()))
    }

    /// Revokes a token (RFC 7009). A refresh token takes its access tokens with it. A token that Salesforce
    /// does not know any more is revoked, whoever did it.
    pub async fn revoke(&self, host: &LoginHost, token: &str) -> Result<(), SalesforceError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
        let request = http::Request::post(host.at("/services/oauth2/revoke"))
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.into_bytes())
            .map_err(|_| not_an_address())?;
        let answer = self.http.send(request).await?;
        match answer.status().as_u16() {
            200 => Ok(()),
            status => {
                let refusal: Option<Refusal> = serde_json::from_slice(answer.body()).ok();
                match refusal.map(|refusal| refusal.error().as_ref().to_owned()) {
                    Some(code) if code == "invalid_token" => Ok(()),
                    Some(code) => Err(SalesforceError::Refused { status, code, description: String::new() }),
                    None => Err(SalesforceError::Unreadable { status, what: shape(answer.body()) }),
                }
            }
        }
    }

    /// The user's name for signing in, from the identity address. It is for people to read, so whatever goes
    /// wrong is no reason to fail: the answer is then `None`.
    pub async fn username(&self, grant: &Grant) -> Option<String> {
        #[derive(Deserialize)]
        struct Who {
            username: String,
        }
        let address = self.hosts.own(&grant.id)?;
        let request = http::Request::get(address.as_str())
            .header(http::header::AUTHORIZATION, format!("Bearer {}", grant.access.expose()))
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .ok()?;
        let answer = self.http.send(request).await.ok()?;
        let who: Who = serde_json::from_slice(answer.body()).ok()?;
        Some(for_people(&who.username))
    }
}

/// Our HTTP client as the `oauth2` crate takes one. It notes what came, which the crate's errors drop.
struct Caller<'a> {
    http: &'a Http,
    came: OnceLock<Came>,
}

/// An answer's status, and what its body is.
#[derive(Debug, Clone, Copy)]
struct Came {
    status: u16,
    what: &'static str,
}

impl<'a> Caller<'a> {
    fn new(http: &'a Http) -> Self {
        Self { http, came: OnceLock::new() }
    }

    fn error(&self, error: RequestTokenError<NoAnswer, Refusal>) -> SalesforceError {
        let nothing = Came { status: 0, what: "nothing" };
        read_error(error, self.came.get().copied().unwrap_or(nothing))
    }
}

impl<'c> AsyncHttpClient<'c> for Caller<'_> {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.http.send(request).await?;
            let came = Came { status: answer.status().as_u16(), what: shape(answer.body()) };
            // One request a caller: the first is the only one.
            let _ = self.came.set(came);
            Ok(answer)
        })
    }
}

fn endpoint(host: &LoginHost, app: Registration<'_>) -> Result<Endpoint, SalesforceError> {
    let address = TokenUrl::new(host.at("/services/oauth2/token")).map_err(|_| not_an_address())?;
    Ok(Client::new(ClientId::new(app.consumer_key.to_owned()))
        .set_client_secret(ClientSecret::new(app.secret.expose().to_owned()))
        // In the body: some of Salesforce's stacks refuse HTTP Basic (fact base 1.3, `invalid_client_id`).
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(address))
}

pub(crate) fn not_an_address() -> SalesforceError {
    NoAnswer { what: "the request's address is not valid".into(), sent: false, oversized: false }.into()
}

fn read_error(error: RequestTokenError<NoAnswer, Refusal>, Came { status, what }: Came) -> SalesforceError {
    match error {
        RequestTokenError::ServerResponse(refusal) => SalesforceError::Refused {
            status,
            code: refusal.error().as_ref().to_owned(),
            description: refusal.error_description().cloned().unwrap_or_default(),
        },
        RequestTokenError::Request(no_answer) => no_answer.into(),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            SalesforceError::Unreadable { status, what }
        }
    }
}

/// An answer that is none of those that its endpoint gives.
pub(crate) fn unreadable(answer: &HttpResponse) -> SalesforceError {
    SalesforceError::Unreadable { status: answer.status().as_u16(), what: shape(answer.body()) }
}

pub(crate) fn shape(body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    match start.first() {
        None => "an empty body",
        Some(b'<') => "HTML",
        Some(b'{') => "JSON that is not a token answer",
        Some(_) => "an answer that is not JSON",
    }
}

/// The checks that every token answer passes before anything in it is used.
fn check(hosts: &Hosts, secret: &ConsumerSecret, answer: &Answer) -> Result<Grant, SalesforceError> {
    let extra = answer.extra_fields();
    let (Some(id), Some(issued_at), Some(signature)) = (&extra.id, &extra.issued_at, &extra.signature) else {
        return Err(Distrust::Signature.into());
    };
    if !is_signed(secret, id, issued_at, signature) {
        return Err(Distrust::Signature.into());
    }
    let identity = identity(hosts, id).ok_or(Distrust::Id)?;
    let issued_at = issued_at
        .parse()
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .ok_or(Distrust::Signature)?;
    let instance_url = extra
        .instance_url
        .as_deref()
        .and_then(|address| hosts.own(address))
        .map(|url| url.origin().ascii_serialization())
        .ok_or(Distrust::InstanceUrl)?;
    Ok(Grant {
        access: AccessToken::new(answer.access_token().secret()),
        refresh: answer.refresh_token().map(|token| RefreshToken::new(token.secret())),
        identity,
        id: id.clone(),
        instance_url,
        scopes: answer.scopes().into_iter().flatten().map(|scope| scope.as_str()).collect(),
        issued_at,
        id_token: extra.id_token.as_deref().map(RawIdToken::new),
    })
}

/// `signature` is base64 of HMAC-SHA256 over `id` + `issued_at` under the consumer secret (fact base 3.4).
fn is_signed(secret: &ConsumerSecret, id: &str, issued_at: &str, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    mac.update(id.as_bytes());
    mac.update(issued_at.as_bytes());
    mac.verify_slice(&signature).is_ok()
}

/// Org and user are the last two segments of `https://…/id/00D…/005…` (fact base 3.4).
pub(crate) fn identity(hosts: &Hosts, id: &str) -> Option<Identity> {
    let url = hosts.own(id)?;
    let mut segments = url.path_segments()?;
    let (kind, org, user) = (segments.next()?, segments.next()?, segments.next()?);
    (kind == "id" && segments.next().is_none())
        .then(|| Some(Identity { org: org.parse().ok()?, user: user.parse().ok()?, username: None }))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ";

    fn answer(change: impl FnOnce(&mut serde_json::Value)) -> Answer {
        let secret = ConsumerSecret::new("secret");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).unwrap();
        mac.update(ID.as_bytes());
        mac.update(b"1667600739962");
        let mut json = serde_json::json!({
            "access_token": "00D!AQ", "token_type": "Bearer", "scope": "api openid",
            "instance_url": "https://acme.my.salesforce.com", "id": ID, "issued_at": "1667600739962",
            "signature": STANDARD.encode(mac.finalize().into_bytes()), "sfdc_community_id": "0DB",
        });
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    fn checked(change: impl FnOnce(&mut serde_json::Value)) -> Result<Grant, SalesforceError> {
        check(&Hosts::salesforce(), &ConsumerSecret::new("secret"), &answer(change))
    }

    #[test]
    fn a_signed_answer_is_read() {
        let grant = checked(|_| ()).unwrap();
        assert_eq!(grant.identity.org.as_str(), "00D50000000IZ3ZEAW");
        assert_eq!(grant.instance_url, "https://acme.my.salesforce.com");
        assert_eq!(grant.issued_at.as_millisecond(), 1_667_600_739_962);
        assert!(grant.refresh.is_none());
    }

    #[test]
    fn an_answer_that_was_changed_on_the_way_is_not_believed() {
        let distrust = |change: fn(&mut serde_json::Value)| match checked(change) {
            Err(SalesforceError::Untrusted(distrust)) => distrust,
            other => panic!("{other:?}"),
        };
        assert_eq!(distrust(|json| json["issued_at"] = "1667600739963".into()), Distrust::Signature);
        assert_eq!(distrust(|json| json["signature"] = "AAAA".into()), Distrust::Signature);
        assert_eq!(distrust(|json| json["signature"] = "not base64!".into()), Distrust::Signature);
        assert_eq!(distrust(|json| json["instance_url"] = "https://evil.com".into()), Distrust::InstanceUrl);
        let unsigned = |json: &mut serde_json::Value| {
            json.as_object_mut().unwrap().remove("signature");
        };
        assert_eq!(distrust(unsigned), Distrust::Signature);
    }

    #[test]
    fn an_id_names_an_org_and_a_user_and_nothing_else() {
        let hosts = Hosts::salesforce();
        for bad in [
            "https://evil.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ",
            "https://login.salesforce.com/id/00550000001fg5OAAQ/00D50000000IZ3ZEAW",
            "https://login.salesforce.com/id/00D50000000IZ3ZEAW",
            "https://login.salesforce.com/id/00D50000000IZ3ZEAW/00550000001fg5OAAQ/more",
            "https://login.salesforce.com/x/00D50000000IZ3ZEAW/00550000001fg5OAAQ",
        ] {
            assert!(identity(&hosts, bad).is_none(), "{bad}");
        }
    }
}
