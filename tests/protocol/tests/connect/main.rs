//! Exchanges at the callback and reconnects, with faults at every step.

mod callback;
mod exchanges;
mod reconnects;
