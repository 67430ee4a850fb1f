//! Any bytes, as the callback's query, a form, a Cookie header and a bearer token.

#![no_main]

// Private to its crate, and read here from the same file: nothing is made public for the fuzzer.
#[path = "../../../functions/callback/src/answer.rs"]
mod answer;
#[path = "../held/callback.rs"]
mod held;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| held::holds(bytes));
