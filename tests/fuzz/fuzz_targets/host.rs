//! Any bytes, as a My Domain and wherever else a Salesforce host is named.

#![no_main]

#[path = "../held/host.rs"]
mod held;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| held::holds(bytes));
