//! What a caller needs of a token.

use std::time::Duration;

use domain::secret::Fingerprint;
use jiff::{SignedDuration, Timestamp};
use store::ConnectionRecord;

use crate::life::is_fresh;

/// Maximum time that a caller may wait for another's refresh.
pub const MAX_WAIT: Duration = Duration::from_secs(15);

/// How long a caller waits for another's refresh if it does not say: in the same process, in any other, or in both by
/// turns.
pub(crate) const USUAL_WAIT: Duration = Duration::from_secs(3);

/// A token with less than this left is refreshed first: the caller still has to use it, and two clocks may
/// differ.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// What a caller needs of a token, and what it knows of the last.
#[derive(Debug, Clone)]
pub struct Need {
    rejected: Option<Fingerprint>,
    lifetime: SignedDuration,
    /// The sweep's: the token that it found.
    newer_than: Option<Fingerprint>,
    wait: Duration,
}

impl Need {
    /// A product's need: not the token that Salesforce `rejected`, and one that lives for `lifetime` at least.
    pub fn of_product(rejected: Option<Fingerprint>, lifetime: SignedDuration) -> Self {
        Self { rejected, lifetime: lifetime.max(MARGIN), newer_than: None, wait: USUAL_WAIT }
    }

    /// The sweep's: a newer token than the stored one, whatever that is good for, and whoever fetches it.
    pub fn of_sweep(record: &ConnectionRecord) -> Self {
        let newer_than = Some(record.access_fingerprint.clone());
        Self { rejected: None, lifetime: MARGIN, newer_than, wait: USUAL_WAIT }
    }

    /// The same, for a caller that waits so long for another's refresh, up to [`MAX_WAIT`].
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait: wait.min(MAX_WAIT), ..self }
    }

    /// How long the caller waits for another's refresh.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// Whether the stored token will do.
    pub fn is_met_by(&self, record: &ConnectionRecord, now: Timestamp) -> bool {
        let newer = self.newer_than.as_ref() != Some(&record.access_fingerprint);
        newer && self.takes(record) && now + self.lifetime < record.expires_at
    }

    /// Whether the stored token, though not fresh, still works for all we know.
    pub fn can_use(&self, record: &ConnectionRecord, now: Timestamp) -> bool {
        self.takes(record) && now < record.expires_at
    }

    /// How many tokens in a row were rejected while they were fresh, with this report.
    pub(crate) fn rejections(&self, record: &ConnectionRecord, now: Timestamp) -> u32 {
        let fresh = !self.takes(record) && is_fresh(record.issued_at, now);
        if fresh { record.rejections + 1 } else { 0 }
    }

    /// Whether this is the token that was rejected.
    pub(crate) fn rejects(&self, token: &Fingerprint) -> bool {
        self.rejected.as_ref() == Some(token)
    }

    pub(crate) fn is_by_sweep(&self) -> bool {
        self.newer_than.is_some()
    }

    /// A token that any caller reported as rejected is nobody's, unless it was tested since.
    fn takes(&self, record: &ConnectionRecord) -> bool {
        !self.rejects(&record.access_fingerprint) && record.rejected.is_none_or(|rejected| rejected.works)
    }
}
