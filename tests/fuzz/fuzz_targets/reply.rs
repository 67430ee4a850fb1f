//! Any status, headers and body, as what Salesforce's endpoints answer.

#![no_main]

#[path = "../held/reply.rs"]
mod held;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    held::holds(bytes);
});
