//! The connect session (a product's wish that one of its users connects an org) and its attempts (trips to
//! Salesforce, each with a state, nonce, verifier and cookie of its own).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    AppId, AttemptId, ConnectionId, FailureId, HostChoice, Identity, ProductId, SaturatingTime as _,
    SessionId,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// That user's name, as the product calls them: an admin who is asked for help reads who asked.
    pub user_name: Option<String>,
    /// The connection that is authorized anew; `None`: a new one is made.
    pub reconnects: Option<ConnectionId>,
    /// Whether this makes one more connection of a user who has one.
    pub another: bool,
    /// What is fixed of where the user signs in.
    pub host: HostChoice,
    /// The My Domain at which the connection signs in that is authorized anew: the page has it filled in.
    pub known_host: Option<String>,
    /// The scopes to ask for; `None`: all of the app's.
    pub scopes: Option<Vec<String>>,
    /// Which kind of host that is, or the browser was sent to last; `None`: the user has not chosen yet.
    pub environment: Option<Environment>,
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
    /// That the reconnect came back as another org or user than the connection's.
    pub change: Option<Change>,
    /// The browser of the attempt that began last or, once one has returned, of that one. Only this browser is shown
    /// an identity, a receipt or the way back to the connect page.
    pub browser: Option<BoundBrowser>,
    /// The attempts that began and whose end is not on record: the browser is still out, is back just now, or the
    /// callback was interrupted.
    pub open_attempts: Vec<AttemptId>,
}

/// The browser that went to Salesforce in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundBrowser {
    /// The attempt, whose cookie holds the browser's secret.
    pub attempt: AttemptId,
    /// The digest of that secret.
    pub secret: Hash,
}

/// Whose a connection was before a reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// The app that held the old grant.
    pub app: AppId,
    /// The org and the user of the old grant.
    pub identity: Identity,
}

/// A reconnect that came back as another org or user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Whose the connection was.
    pub before: Whose,
    /// Whose the new grant is.
    pub after: Whose,
}

/// A Salesforce user, and the org that it is of, as far as people need it to tell one from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The org and the user.
    pub identity: Identity,
    /// Which kind of host they signed in at.
    pub environment: Environment,
    /// Where the org's API answers.
    pub instance_url: String,
}

impl Change {
    /// Whether a sandbox was refreshed, for all that can be told: the same username in a sandbox whose org id
    /// is a new one.
    pub fn is_sandbox_refresh(&self) -> bool {
        let Self { before, after } = self;
        let name = |whose: &Whose| whose.identity.username.as_deref().map(str::to_lowercase);
        !before.identity.org.same_as(&after.identity.org)
            && before.is_sandbox()
            && after.is_sandbox()
            && name(before).is_some_and(|before| Some(before) == name(after))
    }
}

impl Whose {
    /// The host of the org's API, for people to read: `acme.my.salesforce.com`.
    pub fn host(&self) -> &str {
        let host = self.instance_url.split_once("://").map_or(self.instance_url.as_str(), |(_, host)| host);
        host.split_once(':').map_or(host, |(host, _)| host)
    }

    /// Whether the org is a sandbox: by where its user signed in, or by its host, in which a double hyphen
    /// stands before the sandbox's name (fact base 3.1).
    pub fn is_sandbox(&self) -> bool {
        let label = self.host().split('.').next().unwrap_or_default();
        self.environment == Environment::Sandbox || label.contains("--")
    }
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
    /// A reconnect came back as another org or user: the user has to confirm it.
    Parked {
        /// The parked connection.
        connection: ConnectionId,
        /// Until when it can be confirmed.
        until: Timestamp,
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
            Self::Parked { .. } => "parked",
            Self::Connected { .. } => "connected",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

impl Environment {
    /// The word for it in the API and the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::MyDomain => "my_domain",
        }
    }
}

impl Attempt {
    /// The browser that may come back.
    pub fn bound_browser(&self) -> BoundBrowser {
        BoundBrowser { attempt: self.id.clone(), secret: self.browser.clone() }
    }

    /// Until when its callback can be at work; `None`: it has not come.
    pub fn at_work_until(&self) -> Option<Timestamp> {
        self.claimed_at.map(|claimed_at| claimed_at.later_by(MAX_CALLBACK))
    }
}

impl ConnectSession {
    /// Whether a new attempt may still start.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.expires_at
            && !matches!(
                self.state,
                SessionState::Connected { .. } | SessionState::Returned { .. } | SessionState::Parked { .. }
            )
    }

    /// The attempts whose end is not on record. A session of an earlier version lists none: there the attempt that
    /// began last counts, as long as the session waits for it.
    pub fn attempts_without_end(&self) -> Vec<AttemptId> {
        match (&self.state, &self.browser) {
            (SessionState::Redirected { .. }, Some(bound)) if self.open_attempts.is_empty() => {
                vec![bound.attempt.clone()]
            }
            _ => self.open_attempts.clone(),
        }
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
    /// The connection that is authorized anew.
    pub reconnects: Option<ConnectionId>,
    /// Whether this makes one more connection of a user who has one.
    pub another: bool,
    /// The scopes that are asked for; `None`: all of the app's.
    pub scopes: Option<Vec<String>>,
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
    /// When its callback came; `None`: not yet.
    pub claimed_at: Option<Timestamp>,
}

/// How long after its claim an attempt's callback can still be at work: its timeout (28 s), and the two clocks.
const MAX_CALLBACK: SignedDuration = SignedDuration::from_secs(30);

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

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(org: &str, username: Option<&str>, environment: Environment, host: &str) -> Whose {
        Whose {
            identity: Identity {
                org: org.parse().expect("an org id"),
                user: "005gK00000000001".get(..15).expect("15").parse().expect("a user id"),
                username: username.map(str::to_owned),
            },
            environment,
            instance_url: format!("https://{host}:8443"),
        }
    }

    #[test]
    fn a_refreshed_sandbox_is_known_by_its_username_and_its_new_org_id() {
        const ONE: &str = "00DgK0000000001UAA";
        const TWO: &str = "00DgK0000000002UAA";
        const UAT: &str = "acme--uat.sandbox.my.salesforce.com";
        let uma = Some("uma@acme.example.uat");
        let sandbox = |org, name| whose(org, name, Environment::Sandbox, UAT);
        let refreshed = |before, after| Change { before, after }.is_sandbox_refresh();

        assert!(refreshed(sandbox(ONE, uma), sandbox(TWO, Some("Uma@acme.example.UAT"))));
        let by_its_own_host = whose(TWO, uma, Environment::MyDomain, UAT);
        assert!(refreshed(sandbox(ONE, uma), by_its_own_host));

        assert!(!refreshed(sandbox(ONE, uma), sandbox(ONE, uma)), "the org is the same");
        assert!(!refreshed(sandbox(ONE, uma), sandbox(TWO, Some("sam@acme.example.uat"))));
        assert!(!refreshed(sandbox(ONE, None), sandbox(TWO, None)), "nobody knows who it was");
        let production = whose(TWO, uma, Environment::Production, "acme.my.salesforce.com");
        assert!(!refreshed(sandbox(ONE, uma), production));
    }

    #[test]
    fn an_orgs_host_is_read_without_scheme_and_port() {
        let acme = whose("00DgK0000000001", None, Environment::MyDomain, "acme.my.salesforce.com");
        assert_eq!(acme.host(), "acme.my.salesforce.com");
    }
}
