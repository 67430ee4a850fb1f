//! A failure: one thing that went wrong, at a stage, with the evidence for it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AppId, ConnectionId, Customer, Environment, FailureId, Incident, OrgId, ProductId, SessionId,
    diagnosis::{Confidence, redact},
};

/// Where on the way it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// On Salesforce's side before it answered: sign-in, approval.
    Authorize,
    /// The browser went to Salesforce and never came back.
    Lost,
    /// Salesforce's answer in the browser.
    Callback,
    /// The exchange of the code for tokens, and the checks of its answer.
    Exchange,
    /// A refresh.
    Refresh,
    /// A call of Salesforce's API with the token.
    Api,
}

impl Stage {
    /// The word for it in the API and the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Lost => "lost",
            Self::Callback => "callback",
            Self::Exchange => "exchange",
            Self::Refresh => "refresh",
            Self::Api => "api",
        }
    }

    /// Every stage, in the order of the way.
    pub const ALL: [Self; 6] =
        [Self::Authorize, Self::Lost, Self::Callback, Self::Exchange, Self::Refresh, Self::Api];
}

/// Where the evidence was seen. The same cause shows on different surfaces by app kind and setting, so a
/// cause is read from (surface, code, description), never from the code alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// The redirect to our callback.
    Callback,
    /// Salesforce's own page `RemoteAccessErrorPage.apexp`: the app hears nothing.
    HostedPage,
    /// Bare text at `/services/oauth2/authorize`: the app hears nothing.
    RawBody,
    /// Another page of Salesforce's: sign-in, single sign-on, consent, install.
    OtherPage,
    /// The token endpoint's answer.
    TokenEndpoint,
    /// An API answer.
    Api,
    /// Setup's Login History.
    LoginHistory,
    /// We do not know: something was pasted, or chosen from a list.
    Unknown,
}

impl Surface {
    /// The word for it in the API and the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::HostedPage => "hosted_page",
            Self::RawBody => "raw_body",
            Self::OtherPage => "other_page",
            Self::TokenEndpoint => "token_endpoint",
            Self::Api => "api",
            Self::LoginHistory => "login_history",
            Self::Unknown => "unknown",
        }
    }
}

/// Who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// We, at Salesforce's endpoints or in a callback of a known attempt and browser.
    Observed,
    /// Somebody told us. It chooses a page; it raises no alarm and changes no connection.
    Reported,
}

impl Provenance {
    /// The word for it in the API and the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Reported => "reported",
        }
    }
}

/// What was seen, in Salesforce's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where.
    pub surface: Surface,
    /// By whom.
    pub provenance: Provenance,
    /// The error code, as it stood.
    pub code: Option<String>,
    /// The description, as it stood.
    pub description: Option<String>,
    /// The HTTP status, where there was one.
    pub http_status: Option<u16>,
    /// The Salesforce host that a pasted address named: it links the steps into the right org's Setup.
    pub host: Option<String>,
}

/// A code or a description is kept up to this many characters: it may come from anybody.
pub const MAX_EVIDENCE: usize = 500;

/// Codes that Salesforce never sends: what we find ourselves. The catalogue has a cause for each.
pub const OUR_OWN: [&str; 20] = [
    "answer_lost",
    "answer_malformed",
    "attempt_expired",
    "attempt_used",
    "callback_interrupted",
    "ended_by_revoke",
    "host_moved",
    "id_token_invalid",
    "identity_mismatch",
    "instance_unknown",
    "internal",
    "other_identity_refused",
    "other_identity_unanswered",
    "receipt_refused",
    "reconnect_overtaken",
    "refresh_token_missing",
    "scope_missing",
    "signature_mismatch",
    "tokens_rejected",
    "unexpected_answer",
];

impl Evidence {
    /// What a callback's query said. Whoever sits at the browser can write it, so it cannot claim one of our
    /// own codes: those are set by [`Evidence::our_own`] alone.
    pub fn callback(code: &str, description: Option<&str>) -> Self {
        Self::observed(Surface::Callback, Some(theirs(code)), description, None)
    }

    /// What a product says that Salesforce's API answered. Like a callback it cannot claim one of our own codes.
    pub fn reported(code: Option<&str>, description: Option<&str>, status: Option<u16>) -> Self {
        let said = Self::observed(Surface::Api, code.map(theirs), description, status);
        Self { provenance: Provenance::Reported, ..said }
    }

    /// What we found ourselves, in one of the catalogue's codes for it.
    pub fn our_own(surface: Surface, code: &'static str, description: Option<&str>) -> Self {
        debug_assert!(OUR_OWN.contains(&code), "{code}");
        Self::observed(surface, Some(code), description, None)
    }

    /// What an endpoint of Salesforce's answered.
    pub fn token_endpoint(code: Option<&str>, description: Option<&str>, status: Option<u16>) -> Self {
        Self::observed(Surface::TokenEndpoint, code, description, status)
    }

    /// What we saw ourselves. Texts lose their secrets as pasted ones do ([`redact`]). They are cut at [`MAX_EVIDENCE`] characters and cleared of control characters and of whom
    /// they name ([`nameless`]).
    pub fn observed(
        surface: Surface,
        code: Option<&str>,
        description: Option<&str>,
        http_status: Option<u16>,
    ) -> Self {
        let keep = |text: &str| -> String {
            let text: String =
                nameless(&redact(text)).chars().filter(|c| !c.is_control()).take(MAX_EVIDENCE).collect();
            text.trim().to_owned()
        };
        Self {
            surface,
            provenance: Provenance::Observed,
            code: code.map(keep).filter(|text| !text.is_empty()),
            description: description.map(keep).filter(|text| !text.is_empty()),
            http_status,
            host: None,
        }
    }
}

/// What stands for a mail address.
const SOMEBODY: &str = "(a user)";

/// A text without mail addresses: a Salesforce user name has the form of one, and a failure is read by people to whom it
/// does not belong.
fn nameless(text: &str) -> String {
    let is_of_address = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let name = before.trim_end_matches(is_of_address);
        let end = after.find(|c| !is_of_address(c)).unwrap_or(after.len());
        // A full stop after an address ends the sentence.
        let domain = after[..end].trim_end_matches('.');
        if name.len() == before.len() || domain.is_empty() {
            kept.push_str(&rest[..=at]);
            rest = after;
        } else {
            kept.push_str(name);
            kept.push_str(SOMEBODY);
            rest = &after[domain.len()..];
        }
    }
    kept + rest
}

/// A code that somebody else wrote: never one of our own.
fn theirs(code: &str) -> &str {
    if OUR_OWN.contains(&code) { "unexpected_answer" } else { code }
}

/// A failure as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Its id, and the key of its help page.
    pub id: FailureId,
    /// When.
    pub at: Timestamp,
    /// When the browser was sent to Salesforce, where it was.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// In which product.
    pub product: ProductId,
    /// With which app.
    pub app: AppId,
    /// For which customer.
    pub customer: Customer,
    /// In which connect session, if it was in one.
    pub session: Option<SessionId>,
    /// Of which connection, if it was of one.
    pub connection: Option<ConnectionId>,
    /// Which org, where known.
    pub org: Option<OrgId>,
    /// The origin of the login host, where known.
    pub login_host: Option<String>,
    /// Which kind of host.
    pub environment: Option<Environment>,
    /// Whether this app was connected from this org before, where known.
    #[serde(default)]
    pub connected_before: Option<bool>,
    /// Where on the way.
    pub stage: Stage,
    /// What was seen.
    pub evidence: Evidence,
    /// The id of the likeliest cause.
    pub cause: String,
    /// The wave that it is part of, where many stopped alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    /// How sure that is; a record of before it was kept has none.
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// That the customer has succeeded since.
    #[serde(default)]
    pub resolved: Option<Resolved>,
}

/// The next success of the same customer and app: a session that connected, or the connection's own refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// When.
    pub at: Timestamp,
    /// The session that connected.
    pub session: Option<SessionId>,
    /// The connection that works since.
    pub connection: Option<ConnectionId>,
    /// Milliseconds from the failure to the success, in the first failure of its cause since the last success: how
    /// long the fix took.
    pub took: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_nobody() {
        for (said, kept) in [
            (
                "user uma.o'neil+sf@acme.example.full is not admin approved",
                "user (a user) is not admin approved",
            ),
            ("uma@acme.example", "(a user)"),
            ("ask <ada@acme.example>, or uma@acme.example.", "ask <(a user)>, or (a user)."),
            ("ümit@bücher.example: no", "(a user): no"),
            ("a@b@c.example", "(a user)@c.example"),
            ("at 5 @ noon, @home, me@", "at 5 @ noon, @home, me@"),
        ] {
            let evidence = Evidence::callback(said, Some(said));
            assert_eq!(evidence.description.as_deref(), Some(kept));
            assert_eq!(evidence.code.as_deref(), Some(kept));
        }
    }

    #[test]
    fn an_address_that_is_cut_is_gone_all_the_same() {
        let long = format!("{} uma@acme.example", "x".repeat(MAX_EVIDENCE - 6));
        let description = Evidence::callback("e", Some(&long)).description.expect("a text");
        assert!(!description.contains("uma"), "{description}");
    }
}
