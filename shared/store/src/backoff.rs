//! When a refused refresh may be tried again. It is stored with the connection, so that every process keeps to it.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::FailureId;
use jiff::{SignedDuration, Timestamp};

use crate::{N, S, millis};

/// How long a connection waits after the first refusal.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// Maximum wait that we choose ourselves.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// Maximum `Retry-After` that is honored. A longer one would stop a connection for good.
pub const MAX_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Maximum calls of one try: a host, the one that it names, and the generic one.
const MAX_CALLS: u32 = 3;

/// After this long without a refusal the waits start short again.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// The attributes of [`Backoff`], to be removed once a refresh succeeds.
pub(crate) const BACKOFF: &str = "not_before, refusals, unexplained_since, retry_cause, retry_failure";

/// A transient refusal of a refresh, and until when nothing is sent because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Nothing is sent before this.
    pub not_before: Timestamp,
    /// How many refusals came in a row.
    pub refusals: u32,
    /// Since when Salesforce refuses the grant with a text that nobody knows to be final.
    pub unexplained_since: Option<Timestamp>,
    /// The cause of the last refusal.
    pub cause: Option<String>,
    /// The failure that was recorded for it, if one was.
    pub failure: Option<FailureId>,
}

impl Backoff {
    /// The wait after one more refusal: 5 s, doubled each time up to 5 min, less up to a fifth (`jitter` is 0 to 1);
    /// or what Salesforce asked for with `Retry-After`, if that is longer. A try that took several `calls`, because a host
    /// redirected it, waits so many times longer.
    pub fn after(
        before: Option<&Self>,
        now: Timestamp,
        (retry_after, calls): (Option<SignedDuration>, u32),
        jitter: f64,
    ) -> Self {
        let recent = before.filter(|before| now < before.latest() + FORGOTTEN_AFTER);
        let refusals = recent.map_or(0, |before| before.refusals).saturating_add(1);
        let doubled = FIRST_WAIT * (1 << (refusals - 1).min(6));
        let longest = doubled.min(LONGEST_WAIT) * i32::try_from(calls.clamp(1, MAX_CALLS)).unwrap_or(1);
        let wait = longest.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 5.0).max(FIRST_WAIT);
        let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        Self {
            not_before: now + wait.max(asked),
            refusals,
            unexplained_since: before.and_then(|before| before.unexplained_since),
            cause: None,
            failure: None,
        }
    }

    /// A fixed wait, where the connection is not to blame and must not wait longer each time.
    pub fn fixed(before: Option<&Self>, now: Timestamp, wait: SignedDuration) -> Self {
        let refusals = before.map_or(0, |before| before.refusals);
        let unexplained_since = before.and_then(|before| before.unexplained_since);
        Self { not_before: now + wait, refusals, unexplained_since, cause: None, failure: None }
    }

    /// Whether it stands in the way of a refresh. A time that no refusal can have set (another process's clock was
    /// wrong) does not.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.not_before && self.not_before <= now + MAX_RETRY_AFTER
    }

    /// In how many seconds a refresh may be tried, at least one.
    pub fn seconds(&self, now: Timestamp) -> u32 {
        u32::try_from(self.not_before.duration_since(now).as_secs()).unwrap_or(0).saturating_add(1)
    }

    fn latest(&self) -> Timestamp {
        self.not_before.min(Timestamp::MAX - FORGOTTEN_AFTER)
    }

    /// What an item says of it.
    pub(crate) fn attributes(&self) -> Vec<(&'static str, AttributeValue)> {
        let mut attributes = vec![("not_before", millis(self.not_before)), ("refusals", N(self.refusals))];
        if let Some(since) = self.unexplained_since {
            attributes.push(("unexplained_since", millis(since)));
        }
        if let Some(cause) = &self.cause {
            attributes.push(("retry_cause", S(cause)));
        }
        if let Some(failure) = &self.failure {
            attributes.push(("retry_failure", S(failure.as_str())));
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    /// The waits of so many refusals in a row, each tried as soon as it may be, with so many calls.
    fn waits(number: usize, calls: u32, jitter: f64) -> Vec<i64> {
        let (mut now, mut before) = (at(0), None);
        (0..number)
            .map(|_| {
                let next = Backoff::after(before.as_ref(), now, (None, calls), jitter);
                let wait = next.not_before.duration_since(now).as_secs();
                now = next.not_before;
                before = Some(next);
                wait
            })
            .collect()
    }

    #[test]
    fn waits_double_from_five_seconds_to_five_minutes() {
        assert_eq!(waits(9, 1, 0.0), [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(waits(8, 1, 1.0), [5, 8, 16, 32, 64, 128, 240, 240]);
    }

    #[test]
    fn hour_of_refusals_is_at_most_thirty_calls() {
        for calls in 1..=3 {
            let tries = waits(60, calls, 1.0).into_iter().scan(0, |sum, wait| {
                *sum += wait;
                Some(*sum)
            });
            let tries = 1 + tries.take_while(|sum| *sum <= 3600).count();
            assert!(tries * calls as usize <= 30, "{tries} tries of {calls} calls");
        }
    }

    #[test]
    fn a_longer_retry_after_is_honored_up_to_a_day() {
        let after = |seconds| {
            let asked = Some(SignedDuration::from_secs(seconds));
            Backoff::after(None, at(0), (asked, 1), 0.0).not_before
        };
        assert_eq!(after(3), at(5), "shorter than our own wait");
        assert_eq!(after(3600), at(3600));
        assert_eq!(after(i64::MAX), at(24 * 3600));
    }

    #[test]
    fn a_time_that_no_refusal_can_have_set_holds_nothing_back() {
        let until = |seconds| Backoff::fixed(None, at(0), SignedDuration::from_secs(seconds));
        assert!(until(60).holds(at(59)));
        assert!(!until(60).holds(at(60)));
        assert!(!until(40 * 24 * 3600).holds(at(0)));
    }

    #[test]
    fn after_an_hour_of_peace_the_waits_start_short_again() {
        let old = Backoff { refusals: 9, ..Backoff::after(None, at(0), (None, 1), 0.0) };
        assert_eq!(Backoff::after(Some(&old), at(60), (None, 1), 0.0).refusals, 10);
        assert_eq!(Backoff::after(Some(&old), at(4000), (None, 1), 0.0).refusals, 1);
    }
}
