//! What can go wrong in a call to Salesforce.
//!
//! [`SalesforceError::may_have_spent`] is in `spent.rs`.

use diagnosis::evidence;
use std::time::Duration;

use domain::{Evidence, Surface, secret::RawTokenAnswer};

use crate::{LoginHost, http::NoAnswer};

/// A call to Salesforce that gave nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum SalesforceError {
    /// Salesforce answered with an error (RFC 6749 §5.2).
    #[error("Salesforce answered {status} {code}: {description}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its `error`.
        code: String,
        /// Its `error_description`; empty where there was none.
        description: String,
        /// Which kind of JSON it stood in.
        format: ErrorFormat,
        /// How long Salesforce asked to be left alone (`Retry-After`).
        retry_after: Option<Duration>,
        /// How many hosts were asked: more than one after a redirect.
        calls: u32,
    },
    /// Salesforce was not reached, or no whole answer came.
    #[error("no answer from Salesforce: {0}")]
    Unreachable(#[from] NoAnswer),
    /// The host redirects to another one that cannot be used.
    #[error("{0}")]
    Moved(Moved),
    /// An answer came that we do not understand. Its body is not repeated: it may hold a token.
    #[error("Salesforce answered {status} with {what}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// What the body was: `HTML`, `an empty body`.
        what: &'static str,
        /// How long Salesforce asked to be left alone (`Retry-After`).
        retry_after: Option<Duration>,
        /// How many hosts were asked: more than one after a redirect.
        calls: u32,
    },
    /// An answer came that we do not believe.
    #[error("Salesforce's answer cannot be trusted: {0}")]
    Untrusted(#[from] Distrust),
    /// Tokens came in an answer that we do not believe or understand. It may hold the only copy of a grant.
    #[error("Salesforce's answer cannot be trusted: {0}")]
    Doubtful(Box<DoubtfulAnswer>),
}

/// In which JSON an error stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorFormat {
    /// OAuth's object (RFC 6749 §5.2).
    OAuth,
    /// The list that Salesforce's APIs send.
    Api,
}

/// A redirect that led nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The HTTP status.
    pub status: u16,
    /// The host that it named, for the operators to read. It is not one that secrets are sent to.
    pub to: Option<String>,
    /// How many hosts were asked.
    pub calls: u32,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let to = self.to.as_deref().unwrap_or("no host");
        write!(formatter, "Salesforce answered {} and named {to}", self.status)
    }
}

/// A token answer that fails a check, whole.
#[derive(Debug, Clone)]
pub struct DoubtfulAnswer {
    /// The check.
    pub distrust: Distrust,
    /// What stood there instead, where the operators need to know it.
    pub detail: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The login host that answered.
    pub host: LoginHost,
    /// The body.
    pub raw: RawTokenAnswer,
}

/// Why an answer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// `signature` is not the HMAC of `id` and `issued_at` under the consumer secret, or is absent.
    #[error("its signature does not match")]
    Signature,
    /// `id` is not an identity address of Salesforce's.
    #[error("its id is not a Salesforce identity address")]
    Id,
    /// The answer is for another org or user than the one whose token was sent.
    #[error("it is for another org or user")]
    Identity,
    /// `instance_url` is not one of Salesforce's hosts.
    #[error("its instance_url is not a Salesforce host")]
    InstanceUrl,
    /// A part that is needed is missing, has another form, or is repeated with another value.
    #[error("{0} is missing or malformed")]
    Form(&'static str),
    /// `token_type` is not Bearer.
    #[error("its token_type is not Bearer")]
    TokenType,
    /// The id_token fails a check.
    #[error("its id_token fails the check of {0}")]
    IdToken(&'static str),
}

impl std::fmt::Display for DoubtfulAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.detail {
            Some(detail) => write!(formatter, "{}: it names {detail}", self.distrust),
            None => write!(formatter, "{}", self.distrust),
        }
    }
}

impl SalesforceError {
    /// Whether Salesforce refused the app itself: its consumer secret may have been rotated.
    pub fn is_invalid_client(&self) -> bool {
        matches!(self, Self::Refused { code, description, .. }
            if code == "invalid_client" && !description.contains("installed"))
    }

    /// How long Salesforce asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Unreadable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// How many requests were sent: more than one after a redirect.
    pub fn calls(&self) -> u32 {
        match self {
            Self::Refused { calls, .. } | Self::Unreadable { calls, .. } => *calls,
            Self::Moved(moved) => moved.calls,
            _ => 1,
        }
    }

    /// Whether Salesforce did not answer, or with nothing that says anything of the request: it passes.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unreadable { .. } | Self::Moved(_) => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Untrusted(_) | Self::Doubtful(_) => false,
        }
    }

    /// What an API's error tells a diagnosis.
    pub fn api_evidence(&self) -> Evidence {
        Evidence { surface: Surface::Api, ..self.evidence() }
    }

    /// What the token endpoint's error tells a diagnosis.
    pub fn evidence(&self) -> Evidence {
        match self {
            Self::Refused { status, code, description, .. } => {
                evidence::token_endpoint(Some(code), Some(description), Some(*status))
            }
            Self::Unreachable(NoAnswer { oversized: true, .. }) => {
                evidence::token_endpoint(Some("unexpected_answer"), Some(&self.to_string()), None)
            }
            Self::Unreachable(_) => {
                evidence::token_endpoint(Some("service_unavailable"), Some(&self.to_string()), None)
            }
            Self::Unreadable { status: 429, .. } => {
                evidence::token_endpoint(Some("rate_limit_exceeded"), None, Some(429))
            }
            Self::Unreadable { status, .. } => {
                evidence::token_endpoint(Some("unexpected_answer"), Some(&self.to_string()), Some(*status))
            }
            Self::Moved(moved) => {
                evidence::token_endpoint(Some("host_moved"), Some(&moved.to_string()), Some(moved.status))
            }
            Self::Untrusted(distrust) => {
                evidence::token_endpoint(Some(distrust.code()), Some(&distrust.to_string()), None)
            }
            Self::Doubtful(doubtful) => evidence::token_endpoint(
                Some(doubtful.distrust.code()),
                Some(&doubtful.to_string()),
                Some(doubtful.status),
            ),
        }
    }
}

impl Distrust {
    /// Whether the answer may speak for somebody else than the one who was asked for: a sign of an attack. Every other
    /// doubt is about the answer's form.
    pub fn is_of_identity(self) -> bool {
        matches!(self, Self::Id | Self::Identity | Self::IdToken(_))
    }

    /// The catalogue's code for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Signature => "signature_mismatch",
            Self::Id | Self::Identity => "identity_mismatch",
            Self::InstanceUrl => "instance_unknown",
            Self::Form(_) | Self::TokenType => "answer_malformed",
            Self::IdToken(_) => "id_token_invalid",
        }
    }
}
