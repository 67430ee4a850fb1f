//! Signed webhooks: what a product's endpoint receives, and how it is called.
//!
//! | module | holds |
//! | --- | --- |
//! | [`address_guard`] | which addresses may be called: public ones on port 443 |
//! | [`client`] | the one HTTP client that calls an endpoint |
//! | [`signature`] | the signature of Standard Webhooks 1.0 |
//! | [`retry`] | when a failed attempt is repeated, and when an endpoint is given up |

#![warn(missing_docs)]

pub mod address_guard;
pub mod client;
pub mod retry;
pub mod signature;

pub use address_guard::AddressGuard;
pub use client::{Answer, EndpointClient, NoAnswer};
pub use signature::{SigningSecret, SigningSecretError};
