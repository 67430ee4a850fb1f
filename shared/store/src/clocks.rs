//! Times that other processes wrote. Their clocks may differ from this one's, and may be wrong.

use domain::SaturatingTime as _;
use jiff::{SignedDuration, Timestamp};

/// Maximum difference between the clocks of two processes that both work.
pub const MAX_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// Whether something can have happened at that time. A time that is still to come was written by a process whose clock
/// is wrong.
pub fn may_be_past(at: Timestamp, now: Timestamp) -> bool {
    at <= now.later_by(MAX_SKEW)
}

/// The latest of the times at which something can have happened.
pub fn latest(times: [Option<Timestamp>; 2], now: Timestamp) -> Option<Timestamp> {
    times.into_iter().flatten().filter(|at| may_be_past(*at, now)).max()
}

/// Whether something happened less than `time` ago.
pub fn is_within(time: SignedDuration, at: Timestamp, now: Timestamp) -> bool {
    may_be_past(at, now) && now < at.later_by(time)
}

/// Whether a time is still to come that was set at most `longest` ahead.
pub fn is_ahead(until: Timestamp, longest: SignedDuration, now: Timestamp) -> bool {
    now < until && until <= now.later_by(longest).later_by(MAX_SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn time_of_a_clock_that_is_far_ahead_says_nothing() {
        assert_eq!(latest([Some(at(10)), Some(at(70))], at(10)), Some(at(70)), "clocks differ by a minute");
        assert_eq!(latest([Some(at(10)), Some(at(71))], at(10)), Some(at(10)));
        assert_eq!(latest([Some(at(71)), None], at(10)), None);
        assert_eq!(latest([Some(at(-900)), Some(at(9))], at(10)), Some(at(9)));
    }

    #[test]
    fn wait_that_nobody_can_have_set_is_over() {
        assert!(is_ahead(at(120), MINUTE, at(0)) && !is_ahead(at(121), MINUTE, at(0)));
        assert!(!is_ahead(at(0), MINUTE, at(0)));
        assert!(is_within(MINUTE, at(0), at(59)) && !is_within(MINUTE, at(0), at(60)));
        assert!(is_within(MINUTE, at(60), at(0)) && !is_within(MINUTE, at(61), at(0)));
    }
}
