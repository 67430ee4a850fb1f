//! The outside of Latchkey in one process: Salesforce as plain state with an HTTP face, the AWS services
//! that the functions call, a browser, and a clock that we move.
//!
//! Three users keep it honest: the journeys (in process), `cargo run --locked -p local` (a person with a browser),
//! and the real-client tests (jsforce, simple-salesforce, Chromium).

#![expect(clippy::missing_panics_doc, reason = "a test tool: what cannot go on panics, and says why")]

#[cfg(feature = "browser")]
pub mod browser;
pub mod clock;
pub mod dynamodb;
pub mod echo;
pub mod lambda;
pub mod loopback;
pub mod salesforce;
pub mod secrets;

pub use clock::Clock;
