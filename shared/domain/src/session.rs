//! The connect session (a product's wish that one of its users connects an org) and its attempts (trips to
//! Salesforce, each with a state, nonce, verifier and cookie of its own).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    AppId, AttemptId, ConnectionId, FailureId, HostChoice, ProductId, SessionId,
    secret::{Hash, Receipt},
};

/// The product's customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Its id in the product.
    pub id: String,
    /// Its name, for people to read.
    pub name: Option<String>,
}

/// Which kind of login host an org is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Production and Developer Edition: login.salesforce.com.
    Production,
    /// A sandbox: test.salesforce.com.
    Sandbox,
    /// The org's own host.
    MyDomain,
}

/// A connect session.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectSession {
    /// Its id, which is the digest of its connect key.
    pub id: SessionId,
    /// Whose it is.
    pub product: ProductId,
    /// Which app is connected.
    pub app: AppId,
    /// For which customer.
    pub customer: Customer,
    /// For which user of the product: an opaque id of the product's own.
    pub user: String,
    /// What is fixed of where the user signs in.
    pub host: HostChoice,
    /// Where the browser goes in the end: one of the product's registered addresses.
    pub return_to: Url,
    /// How far it has come.
    pub state: SessionState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its link stops working.
    pub expires_at: Timestamp,
    /// How many trips to Salesforce were begun.
    pub attempts: u32,
    /// The failure met last, while the session has not succeeded.
    pub last_failure: Option<LastFailure>,
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastFailure {
    /// The failure.
    pub id: FailureId,
    /// The id of its likeliest cause.
    pub cause: String,
}

/// How far a session has come.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionState {
    /// Made by the product's backend.
    Created,
    /// The connect page was seen.
    Opened,
    /// A browser was sent to Salesforce at this time and has not returned.
    Redirected {
        /// When.
        at: Timestamp,
    },
    /// Salesforce's answer made a pending connection; the product has not redeemed it.
    Returned {
        /// The pending connection.
        connection: ConnectionId,
        /// The digest of the receipt that redeems it.
        receipt: Hash,
        /// Until when.
        redeem_by: Timestamp,
    },
    /// The connection is active.
    Connected {
        /// The connection.
        connection: ConnectionId,
    },
    /// The last attempt failed; another may succeed.
    Failed,
    /// The browser went to Salesforce and never came back; another attempt may succeed.
    Lost,
}

impl SessionState {
    /// The word for it in the API.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Opened => "opened",
            Self::Redirected { .. } => "redirected",
            Self::Returned { .. } => "returned",
            Self::Connected { .. } => "connected",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

impl ConnectSession {
    /// Whether a new attempt may still start.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.expires_at
            && !matches!(self.state, SessionState::Connected { .. } | SessionState::Returned { .. })
    }
}

/// One trip to Salesforce. It carries what the callback needs, so that claiming it is the callback's only
/// look-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its id, which is the digest of its `state`.
    pub id: AttemptId,
    /// Its session.
    pub session: SessionId,
    /// Whose it is.
    pub product: ProductId,
    /// Which app is connected.
    pub app: AppId,
    /// For which customer.
    pub customer: Customer,
    /// For which user of the product.
    pub user: String,
    /// The origin of the login host that the browser was sent to, and where the code is exchanged.
    pub login_host: String,
    /// Which kind of host that is.
    pub environment: Environment,
    /// Where the browser goes in the end.
    pub return_to: Url,
    /// The digest of the cookie in the one browser that may come back.
    pub browser: Hash,
    /// When it began.
    pub began_at: Timestamp,
    /// After this its callback is refused.
    pub expires_at: Timestamp,
}

/// What redeeming a receipt needs to say.
#[derive(Debug, Clone)]
pub struct Redemption {
    /// The session.
    pub session: SessionId,
    /// The product whose API key asks.
    pub product: ProductId,
    /// What the browser brought.
    pub receipt: Receipt,
    /// The user of the product's own login session in that browser.
    pub user: String,
    /// When the connection is refreshed for the first time if nobody uses it.
    pub keep_alive: Timestamp,
}
