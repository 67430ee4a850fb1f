//! Any bytes, as a product file.

#![no_main]

#[path = "../held/product.rs"]
mod held;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| held::holds(bytes));
