//! What an invocation did: counted, timed, traced, and told in lines that CloudWatch reads as metrics and Logs Insights as
//! fields (the embedded metric format, EMF).
//!
//! | module | holds |
//! | --- | --- |
//! | [`words`] | every metric, and every value that a dimension may have: bounded, so that a stranger cannot make one |
//! | [`meter`] | the invocation that runs, and what is counted in it |
//! | [`emf`] | an invocation's meter → its lines |
//! | [`trace`] | W3C trace context |
//! | [`spans`] | spans of `tracing` → OTLP, where a collector is configured |
//!
//! Whoever counts names no invocation: the meter goes with the task. Outside an invocation (the operator's command, a
//! test of one part) counting does nothing. No crate of ours is known here, so every other one may depend on this.
//!
//! Why not `metrics_cloudwatch_embedded`: its recorder is the process's, so of two invocations that run at once
//! (`AWS_LAMBDA_MAX_CONCURRENCY`, the sweep's tasks, the journeys) the first to end tells what both did, and it has no
//! place for one record a cause. What is left of it beyond that is a serializer, [`emf`].

#![warn(missing_docs)]

pub mod emf;
pub mod meter;
pub mod spans;
pub mod trace;
pub mod words;

#[doc(hidden)]
pub use tracing;

pub use emf::Line;
pub use meter::{Meter, about, add, carried, counted, ended, failed, most, refreshed, sample};
pub use words::{Fact, Metric, Outcome, Refresh};
