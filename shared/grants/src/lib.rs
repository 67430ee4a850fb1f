//! The life of a grant. A grant is what Salesforce gave: refresh token, access token, scopes, identity.
//!
//! | module | holds |
//! | --- | --- |
//! | [`verify`] | the checks of a new grant before it becomes a connection |
//! | [`replace`] | a new grant replaces the old grant of a connection: reconnect, redeem and import of the same user |
//! | [`refresh`] | the refresh protocol: one process of all sends the refresh token |
//! | [`revoke`] | a grant is revoked at Salesforce, then deleted here |
//! | [`record_failure`] | evidence becomes a diagnosed, recorded failure |
//! | [`incidents`] | many connections that stop for the same cause |

#![warn(missing_docs)]

pub mod incidents;
pub mod record_failure;
pub mod refresh;
pub mod replace;
pub mod revoke;
pub mod verify;
