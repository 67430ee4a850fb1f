//! Any bytes, as an answer of Salesforce's token endpoint.

#![no_main]

#[path = "../held/answer.rs"]
mod held;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| held::holds(bytes));
