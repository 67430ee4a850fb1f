//! Arithmetic on times that somebody else gave: Salesforce, the table, a product. The operators of `jiff` panic
//! outside of the years -9999 to 9999; these stop at the first and last time instead.

use jiff::{SignedDuration, Timestamp};

/// Sums that saturate.
pub trait SaturatingTime: Sized {
    /// The time so much later, or the last time that there is.
    #[must_use]
    fn later_by(self, duration: SignedDuration) -> Self;

    /// The time so much earlier, or the first time that there is.
    #[must_use]
    fn earlier_by(self, duration: SignedDuration) -> Self;
}

impl SaturatingTime for Timestamp {
    fn later_by(self, duration: SignedDuration) -> Self {
        let limit = if duration.is_negative() { Self::MIN } else { Self::MAX };
        self.checked_add(duration).unwrap_or(limit)
    }

    fn earlier_by(self, duration: SignedDuration) -> Self {
        let limit = if duration.is_negative() { Self::MAX } else { Self::MIN };
        self.checked_sub(duration).unwrap_or(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_stop_at_the_first_and_last_time() {
        let day = SignedDuration::from_hours(24);
        assert_eq!(Timestamp::MAX.later_by(day), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.earlier_by(-day), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.earlier_by(day), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.later_by(-day), Timestamp::MIN);
        assert_eq!(Timestamp::UNIX_EPOCH.later_by(day).earlier_by(day), Timestamp::UNIX_EPOCH);
    }

    proptest! {
        #[test]
        fn no_sum_panics(at in any::<i64>(), seconds in any::<i64>(), nanos in 0..1_000_000_000_i32) {
            let duration = SignedDuration::new(seconds.clamp(i64::MIN + 1, i64::MAX - 1), nanos);
            if let Ok(at) = Timestamp::from_millisecond(at % 400_000_000_000_000) {
                prop_assert!(duration.is_negative() == (at.later_by(duration) < at) || duration.is_zero() || at == Timestamp::MAX || at == Timestamp::MIN);
                let _ = at.earlier_by(duration);
            }
        }
    }
}
