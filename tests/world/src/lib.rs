//! The outside of Latchkey in one process: Salesforce as plain state with an HTTP face, the AWS services
//! that the functions call, a browser, and a clock that we move.
//!
//! Three users keep it honest: the journeys (in process), `cargo run -p local` (a person with a browser),
//! and the real-client tests (jsforce, simple-salesforce, Chromium).

pub mod clock;

pub use clock::Clock;
