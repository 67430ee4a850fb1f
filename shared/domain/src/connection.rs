//! A connection: a product's lasting grant on an org by one Salesforce user.

use std::{collections::BTreeSet, fmt};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    AppId, ConnectionId, Customer, Environment, FailureId, OrgId, ProductId, SalesforceUserId, SessionId,
};

/// A connection without its tokens: what may be shown and listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Whose it is.
    pub product: ProductId,
    /// The app that the grant was given to, and that refreshes it.
    pub app: AppId,
    /// The customer it is for.
    pub customer: Customer,
    /// The product's user who made it.
    pub user: String,
    /// The session that it was made in; none where the product brought its token (import).
    pub session: Option<SessionId>,
    /// Who it is at Salesforce.
    pub identity: Identity,
    /// The origin that the grant was given at, and where it is refreshed.
    pub login_host: String,
    /// Which kind of host that is.
    pub environment: Environment,
    /// Where the org's API answers, as Salesforce last said.
    pub instance_url: String,
    /// What Salesforce granted.
    pub scopes: Scopes,
    /// Whether it works.
    pub state: ConnectionState,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An org and a user in it, as Salesforce's `id` names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The org.
    pub org: OrgId,
    /// The user.
    pub user: SalesforceUserId,
    /// The user's name for signing in, where Salesforce told it.
    pub username: Option<String>,
}

impl Identity {
    /// Whether both are one user of one org.
    pub fn same_as(&self, other: &Self) -> bool {
        self.org.same_as(&other.org) && self.user.same_as(&other.user)
    }
}

/// Whether a connection works, and what stands in the way when it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Made, but not yet redeemed by the product: it hands out nothing.
    Pending {
        /// After this it is revoked at Salesforce and deleted.
        redeem_by: Timestamp,
    },
    /// A reconnect came back as another org or user, and nobody has confirmed it: it hands out nothing.
    Parked {
        /// After this it is revoked at Salesforce and deleted.
        until: Timestamp,
    },
    /// Works.
    Active,
    /// A refresh was begun and its answer never arrived: the refresh token may be spent.
    RefreshUnknown {
        /// When it was begun, or when another process found that it was not answered.
        since: Timestamp,
    },
    /// Only a person's new authorization helps.
    NeedsReauth {
        /// Since when.
        since: Timestamp,
        /// The failure that tells why.
        failure: FailureId,
    },
    /// Salesforce refuses it until an admin changes something.
    Blocked {
        /// Since when.
        since: Timestamp,
        /// The failure that tells why.
        failure: FailureId,
    },
    /// To be revoked at Salesforce, then deleted.
    Revoking {
        /// Since when.
        since: Timestamp,
    },
}

impl ConnectionState {
    /// The word for it in the API and the table.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Parked { .. } => "parked",
            Self::Active => "active",
            Self::RefreshUnknown { .. } => "refresh_unknown",
            Self::NeedsReauth { .. } => "needs_reauth",
            Self::Blocked { .. } => "blocked",
            Self::Revoking { .. } => "revoking",
        }
    }
}

/// On what the time rests until which an access token is taken to work. Salesforce sends no `expires_in`
/// (fact base 3.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryBasis {
    /// The app's configuration: nobody has said anything better.
    #[default]
    AppPolicy,
    /// The product reported a token of this connection that Salesforce had ended earlier.
    Rejection,
    /// Salesforce's introspection endpoint (RFC 7662).
    Introspection,
    /// The token's own `exp`: it is a JWT (RFC 9068).
    Token,
}

impl ExpiryBasis {
    /// The word for it in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::AppPolicy => "app_policy",
            Self::Rejection => "rejection",
            Self::Introspection => "introspection",
            Self::Token => "token",
        }
    }
}

/// How long this connection's access tokens live, where it was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntLife {
    /// From issue to end.
    pub life: SignedDuration,
    /// From what.
    pub basis: ExpiryBasis,
}

/// OAuth scopes: a set, written with spaces between (RFC 6749 §3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// Reads a space-separated list.
    pub fn parse(text: &str) -> Self {
        text.split_ascii_whitespace().collect()
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether this one was granted. `refresh_token` and `offline_access` are one scope at Salesforce, and
    /// `full` holds everything but those.
    pub fn grants(&self, scope: &str) -> bool {
        const OFFLINE: [&str; 2] = ["refresh_token", "offline_access"];
        if OFFLINE.contains(&scope) {
            return OFFLINE.iter().any(|name| self.0.contains(*name));
        }
        self.0.contains(scope) || self.0.contains("full")
    }

    /// Those of `wanted` that were not granted.
    pub fn missing<'a>(&self, wanted: &'a [String]) -> Vec<&'a str> {
        wanted.iter().map(String::as_str).filter(|scope| !self.grants(scope)).collect()
    }
}

impl<S: Into<String>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_org_and_user_whichever_form_their_ids_have() {
        let identity = |org: &str, user: &str| Identity {
            org: org.parse().unwrap(),
            user: user.parse().unwrap(),
            username: None,
        };
        let one = identity("00D000000000001", "005000000000001");
        assert!(one.same_as(&identity("00D000000000001EAA", "005000000000001AAA")));
        assert!(!one.same_as(&identity("00D000000000002", "005000000000001")), "another org");
        assert!(!one.same_as(&identity("00D000000000001", "005000000000002")), "another user");
    }

    #[test]
    fn full_holds_everything_but_the_refresh_token() {
        let granted = Scopes::parse("full openid");
        assert!(granted.grants("api"));
        assert!(!granted.grants("refresh_token"));
        assert_eq!(granted.missing(&["api".into(), "offline_access".into()]), ["offline_access"]);
        assert!(Scopes::parse("api offline_access").grants("refresh_token"));
    }
}
