//! What surrounds a handler, so that a function's `lib.rs` can tell its story and nothing else.
//!
//! | module | holds |
//! | --- | --- |
//! | [`settings`] | the environment → typed settings, or an error that names the variable |
//! | [`invocation`] | how much time is left before Lambda stops us |
//! | [`platform`] | the clients and caches that a function is made of |
//! | [`serve`] | the Lambda loop, the one reading of the clock |
//! | `front` | what did not come through the proxy before us, where there is one |
//! | [`https`] | the way to AWS |
//! | [`observe`] | every invocation is watched, and ends in its line |
//! | [`collector`] | where spans are sent, in a deployment that has a collector |
//! | `metered` | what calls of AWS cost |
//! | `tame` | any event makes a request: illegal bytes encoded, forged hosts forgotten |
//! | [`routes`] | every route with its query parameters; checks requests against them |
//! | [`request`] | forms, cookies, bodies: read strictly, with limits |
//! | [`respond`] | pages, redirects, JSON, problem documents: every answer's headers |
//! | [`asked`] | which app, which host, whose: what calls that lead to a connection ask for |
//! | [`notices`] | the pages on which a visit ends early |
//! | [`caller`] | the API key → the product that calls |
//! | [`views`] | connections and causes as the API shows them |
//! | [`grants`] | what a new grant is checked for before it becomes a connection |
//! | [`back`] | the way back to the product |
//! | [`revoke`] | taking a grant back: at Salesforce, then here |
//! | [`takeover`] | a new grant takes the place of a connection's old one |
//! | [`failures`] | evidence → a recorded failure with its help page |
//! | `incidents` | many stops that are one event |
//!
//! Arrows: functions → service → salesforce, store, pages → domain.

#![warn(missing_docs)]

pub mod asked;
pub mod back;
pub mod browser;
pub mod caller;
pub mod collector;
pub mod failures;
mod front;
pub mod grants;
pub mod https;
mod incidents;
pub mod invocation;
mod metered;
pub mod notices;
pub mod observe;
pub mod platform;
pub mod request;
pub mod respond;
pub mod revoke;
pub mod routes;
pub mod serve;
pub mod settings;
pub mod takeover;
mod tame;
pub mod views;

pub use invocation::Invocation;
pub use platform::{Platform, Products};
pub use request::Refused;
pub use respond::{Problem, Response};
pub use routes::{Function, Query, Route};
pub use serve::serve;
pub use settings::{SettingError, Settings};

/// A request as lambda_http gives it, on Lambda and on the local port alike.
pub type Request = lambda_http::Request;
