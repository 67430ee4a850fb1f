//! Any request, as API Gateway's event.

#![no_main]

// Private to its crate, and read here from the same file: nothing is made public for the fuzzer.
#[path = "../held/event.rs"]
mod held;
#[path = "../../../shared/runtime/src/sanitize_event.rs"]
mod sanitize_event;

use sanitize_event::SanitizedEvent;
use telemetry::trace::TraceContext;
use web::{
    Function, Request, Route,
    browser_binding::is_prefetch,
    request::{bearer, cookie, is_same_origin, json as json_body},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    held::holds(bytes);
});
