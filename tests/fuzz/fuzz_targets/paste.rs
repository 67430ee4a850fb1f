//! Any bytes, as a person's paste and as a stranger's error code and description.

#![no_main]

#[path = "../held/paste.rs"]
mod held;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| held::holds(bytes));
