//! Any bytes, as a file of `latchkey import`, and each row of it as the body of `POST /v1/connections`.

#![no_main]

// Private to their crates, and read here from the same files: nothing is made public for the fuzzer.
#[path = "../../../functions/token/src/import/call.rs"]
mod call;
#[allow(dead_code, reason = "the fuzzer reads rows alone")]
#[path = "../../../infra/latchkey/src/import/error.rs"]
mod error;
#[path = "../held/row.rs"]
mod held;
#[path = "../held/line.rs"]
mod line;
#[allow(dead_code, reason = "the fuzzer has no files")]
#[path = "../../../infra/latchkey/src/import/rows.rs"]
mod rows;
#[path = "../../../infra/latchkey/src/import/strict_json.rs"]
mod strict_json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    held::holds(bytes);
    for body in line::holds(bytes) {
        held::holds(body.as_bytes());
    }
});
