//! What can go wrong at the token endpoint on request, and the record of what was asked of it.

use std::time::Duration;

use jiff::Timestamp;

/// One misbehaviour of the token endpoint, for the next request that reaches it.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An HTML page with this status; the request is not processed. A 503 has `Retry-After`.
    Html(u16),
    /// A redirect to this address; the request is not processed.
    Redirect(u16, String),
    /// 200 with an empty body; the request is not processed.
    Empty,
    /// 200 with a body of so many bytes; the request is not processed.
    Huge(usize),
    /// This answer verbatim; the request is not processed.
    Answer { status: u16, error: String, description: String },
    /// The request is held in flight for so long, then processed, whether or not the caller still waits.
    Slow(Duration),
    /// Processed; then this is made of the answer.
    Rewritten(fn(serde_json::Value) -> (u16, Vec<u8>)),
    /// Processed; then the connection closes in the middle of the answer.
    Half,
    /// Processed, rotation included; then the connection closes without an answer.
    CommitThenDrop,
    /// Processed; the answer's signature is of another key.
    WrongSignature,
    /// Processed; the answer leaves out the refresh token.
    MissingRefreshToken,
    /// Processed; the `id`, rightly signed, is of another user of the org.
    AnotherUser,
    /// Processed; the answer names this `instance_url`.
    InstanceUrl(String),
    /// Processed; the `id_token` carries a nonce that nobody sent.
    WrongNonce,
}

/// Which requests of the token endpoint a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
}

impl GrantType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

/// One request that Salesforce received. Never holds a parameter's value but the grant type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub at: Timestamp,
    pub method: String,
    /// Without the port.
    pub host: String,
    /// Without the query.
    pub path: String,
    pub grant_type: Option<String>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Answered {
        status: u16,
        /// The OAuth error code, at the token endpoint.
        error: Option<String>,
    },
    /// The connection closed without an answer.
    Dropped,
}
