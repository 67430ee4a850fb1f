//! Salesforce as Latchkey talks to it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`hosts`] | which hosts are Salesforce's: the only ones that a code, secret or token is ever sent to |
//! | [`http`] | the one HTTP client: no redirects, bounded bodies, time-outs |
//! | [`authorize`] | the address that a browser is sent to |
//! | [`token`] | the token endpoint and its neighbors: exchange, refresh, introspection, revocation |
//! | `endpoint` | one POST to one of them, at the host that serves the org now |
//! | `answer` | reading a token answer, and its checks |
//! | `spent` | whether a request may have spent the refresh token that it carried |
//! | [`probe`] | what an access token can do, asked of Salesforce |
//! | [`standing`] | whether a grant still stands |
//! | [`egress`] | from which address Salesforce is called |
//! | [`id_token`] | OpenID Connect: the id_token against the host's JWKS |
//! | [`error`] | what can go wrong, split by who failed |
//!
//! Facts about Salesforce's behaviour are cited by their section of the fact base in `docs/salesforce.md`.

#![warn(missing_docs)]

mod answer;
pub mod authorize;
pub mod egress;
mod endpoint;
pub mod error;
mod finality;
pub mod hosts;
pub mod http;
pub mod id_token;
pub mod probe;
mod request;
mod spent;
pub mod standing;
pub mod token;

pub use answer::Grant;
pub use error::{Distrust, DoubtfulAnswer, SalesforceError};
pub use hosts::{HostRefused, Hosts, LoginHost};
pub use http::{Http, TOKEN_ENDPOINT_TIMEOUT};
pub use spent::Rotation;
pub use token::Registration;

/// The client: cheap to clone, one for each function.
#[derive(Debug, Clone)]
pub struct Salesforce {
    http: Http,
    hosts: Hosts,
    keys: id_token::Keys,
}

impl Salesforce {
    /// A client that talks to these hosts through this HTTP client.
    pub fn new(http: Http, hosts: Hosts) -> Self {
        Self { http, hosts, keys: id_token::Keys::default() }
    }

    /// Which hosts it talks to.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }
}
