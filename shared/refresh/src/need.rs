//! What a caller needs of a token.

use domain::secret::Fingerprint;
use jiff::{SignedDuration, Timestamp};
use store::ConnectionRecord;

use crate::life::is_fresh;

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
}

impl Need {
    /// A product's need: not the token that Salesforce `rejected`, and one that lives for `lifetime` at least.
    pub fn of_product(rejected: Option<Fingerprint>, lifetime: SignedDuration) -> Self {
        Self { rejected, lifetime: lifetime.max(MARGIN), newer_than: None }
    }

    /// The sweep's: a newer token than the stored one, whatever that is good for, and whoever fetches it.
    pub fn of_sweep(record: &ConnectionRecord) -> Self {
        Self { rejected: None, lifetime: MARGIN, newer_than: Some(record.access_fingerprint.clone()) }
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

    fn takes(&self, record: &ConnectionRecord) -> bool {
        !self.rejects(&record.access_fingerprint)
    }
}
