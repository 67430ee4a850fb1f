//! What the documents claim is there.

mod readme;
mod seeds;
mod threat_model;
