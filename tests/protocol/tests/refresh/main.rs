//! Refreshes, recoveries and imports: faults at every step, seeded schedules, and what a connection costs.

mod backoff;
mod breaker;
mod clocks;
mod conflicts;
mod cost;
mod deletions;
mod every_step;
mod import_answers;
mod imports;
mod introspection;
mod leases;
mod lifecycle;
mod outages;
mod panics;
mod recovery;
mod rejected;
mod schedules;
mod silence;
mod together;
mod unexplained;
mod waves;
