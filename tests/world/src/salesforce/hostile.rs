//! An authorization server that misbehaves on request: named faults, each of which can happen at every endpoint.
//!
//! A fault says whether the request is carried out, and what becomes of the answer. Signatures stay valid unless the
//! fault is about the signature. Tests choose one by name, in Rust ([`Salesforce::misbehave`]) or over HTTP
//! (`POST /_world/misbehave`).
//!
//! [`Salesforce::misbehave`]: super::Salesforce::misbehave

use std::{collections::BTreeMap, time::Duration};

mod catalog;

pub use catalog::catalog;

/// An endpoint that can misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    Token,
    /// The token endpoint, for requests that exchange a code.
    Exchange,
    /// The token endpoint, for requests that refresh.
    Refresh,
    Revoke,
    Introspect,
    Keys,
    Identity,
    Userinfo,
    Discovery,
    /// The REST API.
    Data,
}

impl Endpoint {
    pub const ALL: [Self; 10] = [
        Self::Token,
        Self::Exchange,
        Self::Refresh,
        Self::Revoke,
        Self::Introspect,
        Self::Keys,
        Self::Identity,
        Self::Userinfo,
        Self::Discovery,
        Self::Data,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Exchange => "exchange",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Keys => "keys",
            Self::Identity => "identity",
            Self::Userinfo => "userinfo",
            Self::Discovery => "discovery",
            Self::Data => "data",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == name)
    }

    /// The endpoint that answers at this path.
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path {
            super::TOKEN_PATH => Self::Token,
            "/services/oauth2/revoke" => Self::Revoke,
            "/services/oauth2/introspect" => Self::Introspect,
            "/id/keys" => Self::Keys,
            "/services/oauth2/userinfo" => Self::Userinfo,
            "/.well-known/openid-configuration" => Self::Discovery,
            _ if path.starts_with("/id/") => Self::Identity,
            _ if path.starts_with("/services/data") => Self::Data,
            _ => return None,
        })
    }
}

/// One way in which an endpoint misbehaves.
#[derive(Debug, Clone)]
pub struct Misbehavior {
    pub name: String,
    /// Whether the request is carried out before the answer goes wrong.
    pub processed: bool,
    pub(super) reply: Reply,
}

impl Misbehavior {
    /// The fault of this name.
    pub fn named(name: &str) -> Option<Self> {
        catalog().into_iter().find(|known| known.name == name)
    }

    /// Whether the true answer, changed or not, is sent as a whole.
    pub fn delivers_answer(&self) -> bool {
        match &self.reply {
            Reply::Instead { .. } => false,
            Reply::Members(_) | Reply::Encoded(_) => self.processed,
            Reply::Timed(timing) => matches!(timing, Timing::SlowHead(_) | Timing::SlowBody(_)),
        }
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// This, in place of the true answer.
    Instead { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// The true answer with changed members.
    Members(Vec<Change>),
    /// The true answer in another form.
    Encoded(Encoding),
    /// The true answer, late or in part.
    Timed(Timing),
}

/// A change of one member of a JSON answer.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Remove(&'static str),
    /// Sets a member to this JSON. What is signed is signed again.
    Set(&'static str, serde_json::Value),
    /// Repeats a member with the value that it has.
    Repeat(&'static str),
    /// Repeats a member with another value.
    Contradict(&'static str),
    /// A value of the same form as the old one, for somebody else, and signed: the last character of the identity
    /// URL's org or user.
    AnotherOrg,
    AnotherUser,
    /// Signed with another secret.
    WrongSignature,
    /// Moves `issued_at` by so many seconds, and signs it.
    Issued(i64),
    /// The refresh token that was sent.
    SameRefreshToken,
    /// The instance URL of the org's host under another domain.
    Instance(&'static str),
}

/// Another form of the same bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    ByteOrderMark,
    ContentType(Option<&'static str>),
    /// Compressed, though nobody asked for it.
    Gzip,
    /// Says that it is compressed, and is not.
    GzipInName,
    Utf16,
    /// Followed by something that is not JSON.
    Trailing,
    /// The status, with the true body.
    Status(u16),
    /// The answer in a JSON list.
    InList,
    /// Filled up with so many bytes of white space.
    Padded(usize),
}

/// When and how much of an answer is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Timing {
    SlowHead(Duration),
    SlowBody(Duration),
    /// The connection closes without an answer.
    Reset,
    /// Half the body, then the connection closes.
    Half,
    /// The connection stays open and nothing is sent, for longer than any client waits.
    Silence,
}

/// Which endpoints misbehave now, and how often they still do.
#[derive(Debug, Default)]
pub struct Orders(BTreeMap<Endpoint, (Misbehavior, Option<u32>)>);

impl Orders {
    /// From now on, or for so many requests.
    pub(super) fn set(&mut self, endpoint: Endpoint, misbehavior: Misbehavior, times: Option<u32>) {
        self.0.insert(endpoint, (misbehavior, times));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a token request's grant type matters.
    pub(super) fn reads_grant_type(&self) -> bool {
        [Endpoint::Exchange, Endpoint::Refresh].iter().any(|endpoint| self.0.contains_key(endpoint))
    }

    /// What happens to a request that arrives now.
    pub(super) fn next(&mut self, endpoint: Endpoint) -> Option<Misbehavior> {
        let (misbehavior, times) = self.0.get_mut(&endpoint)?;
        let misbehavior = misbehavior.clone();
        match times {
            Some(left) if *left <= 1 => {
                self.0.remove(&endpoint);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Some(misbehavior)
    }
}
