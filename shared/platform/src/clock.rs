//! The machine's clock.

use jiff::Timestamp;

/// The time. Read where a request, a scheduled run or a command enters; everything below takes `now` as an argument.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reading of the machine's clock in a deployed function"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}
