//! Everything on this machine: [`Stack`] is all functions on one port, embedded DynamoDB, Secrets Manager's
//! calls answered, the Salesforce world, and an example product.
//!
//! `cargo run --locked -p local` starts one for a person; each journey starts one for itself.

#![expect(clippy::missing_panics_doc, reason = "a test tool: what cannot go on panics, and says why")]

pub mod functions;
mod kept;
pub mod logs;
pub mod month;
pub mod product;
pub mod queue;
pub mod stack;
pub mod tape;

pub use stack::{Options, Stack};
pub use sweep::Swept;
