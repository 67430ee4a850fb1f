//! Reading a token answer.
//!
//! An answer may hold the only copy of a rotated refresh token, so nothing about its form alone loses it. Only what
//! Latchkey needs is read strictly: the tokens, their type, and whose they are. Everything else may have any JSON type,
//! an empty value is an absent one, and neither the content type, a byte order mark nor a member that is repeated
//! matters. What cannot be used is returned whole, as [`DoubtfulAnswer`].

mod text;

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use diagnosis::redact;
use domain::{
    Environment, Identity, Scopes,
    secret::{AccessToken, ConsumerSecret, RawIdToken, RawTokenAnswer, RefreshToken},
};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sha2::Sha256;

use self::text::{may_hold_tokens, texts_after, without_mark};
use crate::{
    Distrust, Hosts, LoginHost, SalesforceError,
    endpoint::Answered,
    error::{DoubtfulAnswer, ErrorFormat},
};

/// The members that hold a grant (RFC 6749 §5.1).
const TOKENS: [&str; 2] = ["access_token", "refresh_token"];

/// Maximum length of a token. Salesforce's longest are JWTs of a few kB.
const MAX_TOKEN: usize = 32 * 1024;

/// Maximum difference between our clock and the time at which Salesforce says it issued a token.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_hours(24);

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
    /// What the answer says about the instance, if that is no host of Salesforce's that we know. For the operators.
    pub unknown_instance: Option<String>,
    /// What was granted.
    pub scopes: Scopes,
    /// The id_token as it was sent, where there was one.
    pub id_token: Option<RawIdToken>,
    /// The login host that answered. Another one than was asked, if that one has moved.
    pub host: LoginHost,
    /// The answer as it came.
    pub raw: RawTokenAnswer,
    /// The origin where the org's API answers, if the answer names one of Salesforce's hosts.
    told_instance: Option<String>,
    issued_at: Option<Timestamp>,
}

impl Grant {
    /// What was granted: what the answer says or, where it says nothing, what was asked for (RFC 6749 §5.1).
    pub fn granted(&self, asked: &[String]) -> Scopes {
        if self.scopes.iter().next().is_none() {
            asked.iter().cloned().collect()
        } else {
            self.scopes.clone()
        }
    }

    /// The origin where the org's API answers: what the answer says, else the last known one, else the org's own My
    /// Domain, if it was asked.
    pub fn instance_url(&self, last_known: Option<&str>) -> Option<String> {
        let my_domain = (self.host.environment() == Environment::MyDomain).then(|| self.host.origin());
        let told = self.told_instance.as_deref();
        told.or(last_known).or(my_domain).map(ToOwned::to_owned)
    }

    /// This grant with the origin where the org's API answers, from another source than the answer.
    #[must_use]
    pub fn at_instance(self, origin: String) -> Self {
        Self { told_instance: Some(origin), ..self }
    }

    /// This answer as one that fails a check.
    pub fn doubt(&self, distrust: Distrust) -> SalesforceError {
        SalesforceError::Doubtful(Box::new(self.as_doubtful(distrust)))
    }

    /// The same without the error around it.
    pub fn as_doubtful(&self, distrust: Distrust) -> DoubtfulAnswer {
        DoubtfulAnswer {
            distrust,
            detail: self.unknown_instance.clone().filter(|_| distrust == Distrust::InstanceUrl),
            status: 200,
            host: self.host.clone(),
            raw: self.raw.clone(),
        }
    }

    /// When Salesforce issued the access token, by the earlier of both clocks: a token must not be taken to outlive
    /// itself. An absurd time, or none, is replaced by the time at which the answer was received.
    pub fn issued_at(&self, received: Timestamp) -> Timestamp {
        let told = self.issued_at.filter(|told| told.duration_since(received).abs() <= MAX_CLOCK_DIFFERENCE);
        told.unwrap_or(received).min(received)
    }
}

/// Reads what the token endpoint answered.
pub(crate) fn read(
    hosts: &Hosts,
    secret: &ConsumerSecret,
    answered: Answered,
) -> Result<Grant, SalesforceError> {
    let status = answered.status.as_u16();
    if !holds_tokens(&answered.body) {
        return Err(refusal(&answered));
    }
    let members = Members::read(&answered.body);
    let raw = raw(&answered.body);
    let checked = match &members {
        _ if !answered.status.is_success() => Err(Distrust::Form("its status")),
        Some(members) => check(hosts, secret, members, answered.host.clone(), &raw),
        None => Err(Distrust::Form("its JSON")),
    };
    checked.map_err(|distrust| {
        SalesforceError::Doubtful(Box::new(DoubtfulAnswer {
            distrust,
            detail: None,
            status,
            host: answered.host,
            raw,
        }))
    })
}

/// Whether a body may hold tokens: at its top, deeper within it, or in something that is not JSON.
pub(crate) fn holds_tokens(body: &[u8]) -> bool {
    let text = without_mark(body);
    match Members::read(body) {
        Some(members) => TOKENS.iter().any(|name| members.has(name) || !texts_after(&text, name).is_empty()),
        None => may_hold_tokens(&text),
    }
}

/// Checks an answer that was set aside once more.
pub(crate) fn check_again(
    hosts: &Hosts,
    secret: &ConsumerSecret,
    host: LoginHost,
    raw: &RawTokenAnswer,
) -> Result<Grant, Distrust> {
    let members = Members::read(raw.expose().as_bytes()).ok_or(Distrust::Form("its JSON"))?;
    check(hosts, secret, &members, host, raw)
}

/// The tokens by which what an answer holds can be revoked: the refresh token, which takes the rest with it, else the
/// access token. A member that is repeated with several values has several: nobody knows which one is live.
pub(crate) fn revocable(raw: &RawTokenAnswer) -> Vec<String> {
    let body = raw.expose();
    let members = Members::read(body.as_bytes());
    let texts = |name| {
        let mut texts: Vec<String> = match &members {
            Some(members) => members.all(name).filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            None => texts_after(body, name),
        };
        texts.dedup();
        texts
    };
    let refresh = texts("refresh_token");
    if refresh.is_empty() { texts("access_token") } else { refresh }
}

/// The id_token in an answer, unchecked.
pub(crate) fn id_token_in(raw: &RawTokenAnswer) -> Option<RawIdToken> {
    text_in(raw, "id_token").map(RawIdToken::new)
}

/// The identity address in an answer, unchecked.
pub(crate) fn id_in(raw: &RawTokenAnswer) -> Option<String> {
    text_in(raw, "id")
}

fn text_in(raw: &RawTokenAnswer, name: &str) -> Option<String> {
    match Members::read(raw.expose().as_bytes()) {
        Some(members) => members.last(name).and_then(Value::as_str).map(ToOwned::to_owned),
        None => texts_after(raw.expose(), name).pop(),
    }
}

/// The body as text. Bytes that are no text are replaced; the names and tokens are ASCII.
fn raw(body: &[u8]) -> RawTokenAnswer {
    RawTokenAnswer::new(without_mark(body))
}

fn check(
    hosts: &Hosts,
    secret: &ConsumerSecret,
    members: &Members,
    host: LoginHost,
    raw: &RawTokenAnswer,
) -> Result<Grant, Distrust> {
    let access = token(members, "access_token", "its access_token")?
        .map(AccessToken::new)
        .ok_or(Distrust::Form("its access_token"))?;
    let refresh = token(members, "refresh_token", "its refresh_token")?.map(RefreshToken::new);
    // Absent is Bearer: nothing else can be meant. Another type needs another way to use the token.
    match members.one("token_type", "its token_type")? {
        None => {}
        Some(Value::String(kind)) if kind.trim().eq_ignore_ascii_case("bearer") => {}
        Some(_) => return Err(Distrust::TokenType),
    }
    let (id, signed_at, signature) = (
        members.text("id", "its id")?.ok_or(Distrust::Form("its id"))?,
        members.text("issued_at", "its issued_at")?.ok_or(Distrust::Form("its issued_at"))?,
        members.text("signature", "its signature")?.ok_or(Distrust::Form("its signature"))?,
    );
    if !is_signed(secret, &id, &signed_at, &signature) {
        return Err(Distrust::Signature);
    }
    let identity = identity(hosts, &id).ok_or(Distrust::Id)?;
    let (told_instance, unknown_instance) = instance(hosts, members);
    Ok(Grant {
        access,
        refresh,
        identity,
        id,
        told_instance,
        unknown_instance,
        scopes: scopes(members),
        id_token: members.last("id_token").and_then(Value::as_str).map(RawIdToken::new),
        host,
        raw: raw.clone(),
        issued_at: signed_at.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok()),
    })
}

/// A token that can be sent in a header and stored.
fn token(members: &Members, name: &str, what: &'static str) -> Result<Option<String>, Distrust> {
    let Some(value) = members.one(name, what)? else { return Ok(None) };
    let usable = |text: &&str| text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    value.as_str().filter(usable).map(|text| Some(text.to_owned())).ok_or(Distrust::Form(what))
}

/// The instance's origin; else what stands in its place, cut short: a name for the operators, not an address to use.
fn instance(hosts: &Hosts, members: &Members) -> (Option<String>, Option<String>) {
    let not_an_address = || "something that is not an address".to_owned();
    let Some(value) = members.last("instance_url") else { return (None, Some("nothing".to_owned())) };
    let Some(address) = value.as_str() else { return (None, Some(not_an_address())) };
    if let Some(url) = hosts.own(address) {
        return (Some(url.origin().ascii_serialization()), None);
    }
    let host = url::Url::parse(address).ok().and_then(|url| url.host_str().map(ToOwned::to_owned));
    (None, Some(host.unwrap_or_else(not_an_address).chars().take(253).collect()))
}

/// The scopes, as RFC 6749 writes them or as a list.
fn scopes(members: &Members) -> Scopes {
    let texts: Vec<&str> = match members.last("scope") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().flat_map(str::split_whitespace).collect()
}

/// An answer without tokens: Salesforce's refusal, or nothing that the endpoint gives.
pub(crate) fn refusal(answered: &Answered) -> SalesforceError {
    let (status, retry_after, calls) = (answered.status.as_u16(), answered.retry_after, answered.calls);
    match error_of(&answered.body) {
        Some((format, code, description)) => {
            SalesforceError::Refused { status, code, description, format, retry_after, calls }
        }
        None => SalesforceError::Unreadable { status, what: shape(&answered.body), retry_after, calls },
    }
}

impl Answered {
    /// Whether this is the endpoint's own refusal.
    pub(crate) fn is_oauth_error(&self) -> bool {
        matches!(error_of(&self.body), Some((ErrorFormat::OAuth, ..)))
    }
}

/// The error that a body tells: `{"error": …, "error_description": …}`, or `[{"errorCode": …, "message": …}]`.
fn error_of(body: &[u8]) -> Option<(ErrorFormat, String, String)> {
    // What is observed is logged and recorded: a secret in it goes, as it does from a paste.
    let text = |value: Option<&Value>| redact(value.and_then(Value::as_str).unwrap_or_default());
    if let Some(members) = Members::read(body) {
        let code = text(members.last("error"));
        return is_error_code(&code)
            .then(|| (ErrorFormat::OAuth, code, text(members.last("error_description"))));
    }
    let list: Vec<Value> = serde_json::from_str(&without_mark(body)).ok()?;
    let first = list.first()?;
    let code = text(first.get("errorCode"));
    is_error_code(&code).then(|| (ErrorFormat::Api, code, text(first.get("message"))))
}

/// Whether this is a code that OAuth or Salesforce would use. A gateway's `{"error": "Bad Gateway"}` is none: it says
/// nothing about what became of the request behind it.
fn is_error_code(code: &str) -> bool {
    let one_case =
        !(code.contains(|c: char| c.is_ascii_lowercase()) && code.contains(|c: char| c.is_ascii_uppercase()));
    (3..=100).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && code.contains(|c: char| c.is_ascii_alphabetic())
        && (one_case || code.contains('_'))
}

/// What a body is, for the log. It is never repeated: it may hold a token.
pub(crate) fn shape(body: &[u8]) -> &'static str {
    let text = without_mark(body);
    match text.trim_start().bytes().next() {
        None => "an empty body",
        Some(b'<') => "HTML",
        Some(b'{') => "JSON that is not a token answer",
        Some(_) => "an answer that is not JSON",
    }
}

/// The members of a JSON object in their order, repeated ones included. What follows the object is ignored.
struct Members(Vec<(String, Value)>);

impl Members {
    fn read(body: &[u8]) -> Option<Self> {
        let text = without_mark(body);
        Self::deserialize(&mut serde_json::Deserializer::from_str(&text)).ok()
    }

    /// All values that are not empty: `null`, `""` and white space are as good as absent.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            _ => false,
        };
        self.0.iter().filter(move |(known, value)| known == name && !is_empty(value)).map(|(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    fn last<'a>(&'a self, name: &'a str) -> Option<&'a Value> {
        self.all(name).last()
    }

    /// The value of a member that matters: repeated, it must say the same each time.
    fn one<'a>(&'a self, name: &'a str, what: &'static str) -> Result<Option<&'a Value>, Distrust> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|other| Some(other) != first) { Err(Distrust::Form(what)) } else { Ok(first) }
    }

    /// The same as text, a number included.
    fn text(&self, name: &str, what: &'static str) -> Result<Option<String>, Distrust> {
        match self.one(name, what)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Distrust::Form(what)),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// `signature` is base64 of HMAC-SHA256 over `id` + `issued_at` under the consumer secret (fact base 3.4).
fn is_signed(secret: &ConsumerSecret, id: &str, issued_at: &str, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    is_authentic(secret.expose().as_bytes(), &[id.as_bytes(), issued_at.as_bytes()], &signature)
}

/// Whether `tag` is HMAC-SHA256 of these parts, one after another. It takes as long for a wrong tag as for a right one.
fn is_authentic(secret: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(tag).is_ok()
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
mod tests;
#[cfg(test)]
mod vectors;
