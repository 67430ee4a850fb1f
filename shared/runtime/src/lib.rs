//! The Lambda loop: from an event to a handler, with logs, metrics and traces around it.
//!
//! A function implements one of four traits, and its `main` is one call: [`http()`], [`stream()`], [`queue()`] or
//! [`schedule()`].
//!
//! | module | holds |
//! | --- | --- |
//! | [`mod@http`] | functions that answer HTTP requests |
//! | [`mod@stream`] | functions that read the table's stream |
//! | [`mod@queue`] | functions that take messages from a queue |
//! | [`mod@schedule`] | functions that run on a schedule |
//! | [`records`] | the changes that the table's stream brings |
//! | `sanitize_event` | API Gateway events are cleaned before lambda_http reads them |
//! | `origin_verify` | rejects requests that bypass CloudFront |
//! | [`invocation_log`] | the log line and the metrics of one invocation |
//! | [`otlp`] | spans to a collector, OTLP over HTTP |
//! | [`logs`] | the process's log |

#![warn(missing_docs)]

#[cfg(test)]
mod any_event;
pub mod http;
pub mod invocation_log;
pub mod logs;
mod origin_verify;
pub mod otlp;
pub mod queue;
pub mod records;
mod sanitize_event;
pub mod schedule;
pub mod stream;

pub use http::{HttpFunction, http};
pub use lambda_runtime::Error;
pub use queue::{QueueFunction, queue};
pub use schedule::{ScheduledFunction, schedule};
pub use stream::{StreamFunction, stream};
