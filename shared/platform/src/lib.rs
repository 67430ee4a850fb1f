//! What a function runs on: its settings, the clients of AWS and Salesforce, the cache of products, the log.
//!
//! | module | holds |
//! | --- | --- |
//! | `clients` | [`Platform`]: every client, built once; [`Aws`]: endpoints and credentials |
//! | `products` | [`Products`], cached for a minute |
//! | [`settings`] | environment variables as typed settings, or an error that names the variable |
//! | [`deadline`] | how much time is left before Lambda stops the invocation |
//! | [`log`] | log lines for our own failures and for refused requests; the ids of an invocation's log line |
//! | [`clock`] | the machine's clock |
//! | [`delivery_queue`] | [`DeliveryQueue`]: the webhook attempts that are due |
//! | [`event_bus`] | [`EventBus`]: the EventBridge bus that gets every event |
//! | [`aws_https`] | the HTTP client of the AWS SDKs |
//! | `aws_metrics` | counts of AWS calls and the capacity that they consume |

#![warn(missing_docs)]

pub mod aws_https;
mod aws_metrics;
mod clients;
pub mod clock;
pub mod deadline;
pub mod delivery_queue;
pub mod event_bus;
pub mod log;
mod products;
pub mod settings;

pub use clients::{Aws, Platform};
pub use deadline::Deadline;
pub use delivery_queue::{DeliveryQueue, DueDelivery, QueueError};
pub use event_bus::EventBus;
pub use products::{PRODUCT_AGE, Products};
pub use settings::{SettingError, Settings};
