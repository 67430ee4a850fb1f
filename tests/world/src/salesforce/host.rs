//! The hosts that one port answers for, told apart by the Host header.

use super::{org::Org, state::State};

/// The name under which the whole world lives; its port is added when it is served.
pub(super) const SITE: &str = "salesforce.localhost";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// The site itself: a person's guide to this world, and its controls.
    Index,
    /// `login.*`: production and developer orgs.
    Login,
    /// `test.*`: sandboxes.
    Test,
    /// The My Domain of the org of this name.
    MyDomain(String),
}

impl Host {
    /// Reads a Host header, whatever its port. `None` for a host that is not part of this world.
    pub(super) fn read(header: &str, state: &State) -> Option<Self> {
        let name = header.rsplit_once(':').map_or(header, |(name, _)| name).to_ascii_lowercase();
        match name.strip_suffix(SITE)? {
            "" => Some(Self::Index),
            "login." => Some(Self::Login),
            "test." => Some(Self::Test),
            _ => state
                .orgs
                .iter()
                .find(|org| org.host(SITE) == name)
                .map(|org| Self::MyDomain(org.name.clone())),
        }
    }

    /// Whether this host logs the org's users in and answers for its grants.
    pub(super) fn serves(&self, org: &Org) -> bool {
        match self {
            Self::Index => false,
            Self::Login => !org.is_sandbox(),
            Self::Test => org.is_sandbox(),
            Self::MyDomain(name) => *name == org.name,
        }
    }

    /// Scheme, host and port, without a trailing slash.
    pub(super) fn origin(&self, state: &State) -> String {
        let site = &state.site;
        match self {
            Self::Index => format!("http://{site}"),
            Self::Login => format!("http://login.{site}"),
            Self::Test => format!("http://test.{site}"),
            Self::MyDomain(name) => state.origin(state.org(name).expect("a host names an org that exists")),
        }
    }
}
