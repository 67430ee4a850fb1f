//! What the operators see: the page, figures, log lines, traces, and what each flow costs.

mod figures;
mod ops;
mod ops_page;
mod ops_search;
mod tallies;
mod telemetry;
mod traces;
