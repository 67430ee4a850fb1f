//! Somebody wants what is not theirs, or sends what nobody should send.

mod attacker;
mod attacks;
mod bad_input;
mod secrets;
