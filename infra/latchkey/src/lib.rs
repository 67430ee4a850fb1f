//! What the operator's command is made of.
//!
//! | module | holds |
//! | --- | --- |
//! | [`product_file`] | the product files' format, documented in `infra/products/README.md`; `cargo run --locked -p local` applies the same files |
//! | [`apply`], [`key`], [`app`], [`keyring`], [`failures`], [`quarantine`], [`ops`], [`doctor`], [`restore`], [`events`], [`webhook_secret`] | one for each subcommand |
//! | [`egress`] | from which addresses Salesforce is called, for the doctor |
//! | [`lambda`] | one call of a function of the deployment |
//! | [`probe`] | an app's configuration, asked of Salesforce without a user |
//! | [`deployment`] | which deployment is operated, and its secrets |
//! | [`scan`] | a whole table, page by page |
//! | `aws_error` | AWS's errors in one sentence, with what to do |
//! | [`report`] | what a command says, for people and machines |

pub mod app;
pub mod apply;
mod aws_error;
pub mod deployment;
pub mod doctor;
pub mod egress;
pub mod events;
pub mod failures;
pub mod key;
pub mod keyring;
pub mod lambda;
pub mod ops;
pub mod probe;
pub mod product_file;
pub mod quarantine;
pub mod report;
pub mod restore;
pub mod scan;
pub mod webhook_secret;

pub use ops::ops_link;
pub use product_file::{FileErrors, read_product, read_products};
