//! What can go wrong at Salesforce, split by who failed: that is the first question of whoever reads it.

use domain::{Evidence, Surface};

use crate::http::NoAnswer;

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
    },
    /// Salesforce was not reached, or no whole answer came.
    #[error("no answer from Salesforce: {0}")]
    Unreachable(#[from] NoAnswer),
    /// An answer came that we do not understand. Its body is not repeated: it may hold a token.
    #[error("Salesforce answered {status} with {what}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// What the body was: `HTML`, `an empty body`.
        what: &'static str,
    },
    /// An answer came that we do not believe.
    #[error("Salesforce's answer cannot be trusted: {0}")]
    Untrusted(#[from] Distrust),
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
    /// `instance_url` is not one of Salesforce's hosts.
    #[error("its instance_url is not a Salesforce host")]
    InstanceUrl,
    /// The id_token fails a check.
    #[error("its id_token fails the check of {0}")]
    IdToken(&'static str),
}

impl SalesforceError {
    /// Whether Salesforce refused the app itself: its consumer secret may have been rotated.
    pub fn is_invalid_client(&self) -> bool {
        matches!(self, Self::Refused { code, description, .. }
            if code == "invalid_client" && !description.contains("installed"))
    }

    /// Whether the request may have done its work though no usable answer came. A refresh token that was
    /// sent with it may be spent. An error that Salesforce names, or a 5xx, spends nothing.
    pub fn may_have_spent(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Unreachable(no_answer) => no_answer.sent,
            Self::Unreadable { status, .. } => *status < 400,
            Self::Untrusted(_) => true,
        }
    }

    /// Whether Salesforce did not answer, or with nothing that says anything of the request: it passes.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Untrusted(_) => false,
        }
    }

    /// Whether the same request may succeed in a moment: Salesforce was busy with it or with itself, or was not
    /// reached (fact base 1.4: `invalid_grant` has two texts that pass, and `unknown_error` is a 400).
    pub fn passes(&self) -> bool {
        match self {
            Self::Refused { status, code, description } => {
                let says = |text: &str| description.to_ascii_lowercase().contains(text);
                let refresh_under_way = says("already being processed") || says("expired authorization code");
                match code.as_str() {
                    "invalid_grant" => refresh_under_way,
                    "unknown_error"
                    | "server_error"
                    | "service_unavailable"
                    | "system_down"
                    | "temporarily_unavailable" => true,
                    _ => *status == 429 || *status >= 500,
                }
            }
            Self::Unreachable(no_answer) => !no_answer.sent,
            Self::Unreadable { status, .. } => *status == 429 || *status >= 500,
            Self::Untrusted(_) => false,
        }
    }

    /// What an API's error tells a diagnosis.
    pub fn api_evidence(&self) -> Evidence {
        Evidence { surface: Surface::Api, ..self.evidence() }
    }

    /// What the token endpoint's error tells a diagnosis.
    pub fn evidence(&self) -> Evidence {
        match self {
            Self::Refused { status, code, description } => {
                Evidence::token_endpoint(Some(code), Some(description), Some(*status))
            }
            Self::Unreachable(NoAnswer { oversized: true, .. }) => {
                Evidence::token_endpoint(Some("unexpected_answer"), Some(&self.to_string()), None)
            }
            Self::Unreachable(_) => {
                Evidence::token_endpoint(Some("service_unavailable"), Some(&self.to_string()), None)
            }
            Self::Unreadable { status: 429, .. } => {
                Evidence::token_endpoint(Some("rate_limit_exceeded"), None, Some(429))
            }
            Self::Unreadable { status, .. } => {
                Evidence::token_endpoint(Some("unexpected_answer"), Some(&self.to_string()), Some(*status))
            }
            Self::Untrusted(distrust) => Evidence::token_endpoint(
                Some(match distrust {
                    Distrust::Signature => "signature_mismatch",
                    Distrust::Id | Distrust::InstanceUrl => "identity_mismatch",
                    Distrust::IdToken(_) => "id_token_invalid",
                }),
                Some(&distrust.to_string()),
                None,
            ),
        }
    }
}
