//! Latchkey's words, and the rules that need no network, table or clock of their own.
//!
//! | module | holds |
//! | --- | --- |
//! | [`id`] | prefixed, opaque, sortable ids |
//! | [`secret`] | what must never be printed, and the digests that may be stored |
//! | [`product`] | a SaaS product, its brand, its API keys and its apps at Salesforce |
//! | [`session`] | the connect session and its attempts |
//! | [`connection`] | a lasting grant on an org, and the tokens in it |
//! | [`failure`] | what went wrong, where, and the evidence for it |
//! | [`event`] | what products are told of: types, ids and the public form |
//! | [`incident`] | many stops that are one event |
//! | [`tally`] | what is counted, and how long fixes take |
//! | [`time`] | sums of times that do not panic |
//!
//! Nothing here is async and nothing knows an SDK: every other crate may depend on this one, and it on none.

#![warn(missing_docs)]

pub mod connection;
pub mod event;
pub mod failure;
pub mod id;
pub mod incident;
pub mod product;
pub mod secret;
pub mod session;
pub mod tally;
pub mod text;
pub mod time;

pub use connection::{Connection, ConnectionState, ExpiryBasis, Identity, LearntLife, Scopes};
pub use event::{Event, EventType};
pub use failure::{Confidence, Evidence, Failure, Provenance, Stage, Surface};
pub use id::{
    AppId, AttemptId, ConnectionId, EndpointId, EventId, FailureId, IncidentId, OrgId, ProductId,
    SalesforceUserId, SessionId,
};
pub use incident::Incident;
pub use product::{App, AppKind, Brand, HostChoice, Product, WebhookEndpoint};
pub use session::{Attempt, ConnectSession, Customer, Environment, SessionState};
pub use time::SaturatingTime;
