//! When a failed attempt is repeated: ten attempts over three days.

use jiff::{SignedDuration, Timestamp};

/// How long the attempts wait after the one before them: 5 s, 5 min, 30 min, 2, 5, 10, 14 and 20 hours, and the rest of
/// three days.
const WAITS: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(14),
    SignedDuration::from_hours(20),
    SignedDuration::from_mins(20 * 60 + 45),
];

/// How long an endpoint may fail without a success in between. Then it is disabled.
pub const MAX_FAILING: SignedDuration = SignedDuration::from_hours(72);

/// Maximum jitter, as a part of the wait: many events that failed together are not repeated together.
const JITTER: f64 = 0.1;

/// When the next attempt is due after `failed` attempts, the last of which ended at `now`. `None`: that was the last one.
/// Waits are only ever lengthened, so the last attempt comes after [`MAX_FAILING`].
pub fn next_attempt(failed: u32, now: Timestamp) -> Option<Timestamp> {
    let wait = *WAITS.get(usize::try_from(failed.checked_sub(1)?).ok()?)?;
    Some(now + wait + wait.mul_f64(JITTER * fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end_after_three_days() {
        let start: Timestamp = "2026-11-22T09:00:00Z".parse().expect("a time");
        let (mut now, mut failed) = (start, 1);
        while let Some(next) = next_attempt(failed, now) {
            assert!(next > now);
            (now, failed) = (next, failed + 1);
        }
        assert_eq!(failed, 10);
        let lasted = now.duration_since(start);
        assert!(lasted > MAX_FAILING && lasted < SignedDuration::from_hours(81), "{lasted:?}");
    }

    #[test]
    fn first_retry_comes_within_seconds() {
        let now = Timestamp::UNIX_EPOCH;
        let wait = next_attempt(1, now).expect("a retry").duration_since(now);
        assert!((5.0..=5.5).contains(&wait.as_secs_f64()), "{wait:?}");
    }
}
