//! A failure: one thing that went wrong, at a stage, with the evidence for it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AppId, ConnectionId, Customer, Environment, FailureId, Incident, OrgId, ProductId, SessionId};

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

/// How sure a reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A guess among several.
    Possible,
    /// The likeliest by what is known.
    Likely,
    /// What Salesforce said can mean nothing else.
    Sure,
}

impl Confidence {
    /// The word for it in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Sure => "sure",
        }
    }
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
    /// The failure of which somebody told more on its help page, where that made this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refines: Option<FailureId>,
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
