//! The Lambda loop: from an event to a handler, with logs, metrics and traces around it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`http`] | the loop of functions that answer HTTP requests |
//! | `sanitize_event` | API Gateway events are cleaned before lambda_http reads them |
//! | `origin_verify` | rejects requests that bypass CloudFront |
//! | [`invocation_log`] | the log line and the metrics of one invocation |
//! | [`otlp`] | spans to a collector, OTLP over HTTP |
//! | [`logs`] | the process's log |

#![warn(missing_docs)]

pub mod http;
pub mod invocation_log;
pub mod logs;
mod origin_verify;
pub mod otlp;
mod sanitize_event;
