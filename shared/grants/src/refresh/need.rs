//! What a caller needs of a token.

use std::time::Duration;

use domain::{ConnectionState, SaturatingTime as _, secret::Fingerprint};
use jiff::{SignedDuration, Timestamp};
use store::ConnectionRecord;

use crate::refresh::token_lifetime::{is_fresh, is_young};

/// Maximum time that a caller may wait for another's refresh.
pub const MAX_WAIT: Duration = Duration::from_secs(15);

/// How long a caller waits for another's refresh if it does not say: in the same process, in any other, or in both by
/// turns.
pub(crate) const USUAL_WAIT: Duration = Duration::from_secs(3);

/// A token with less than this left is refreshed first: the caller still has to use it, and two clocks may
/// differ.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Maximum time that an answer of the token endpoint is on its way ([`salesforce::TOKEN_ENDPOINT_TIMEOUT`]): by so much a life
/// that counts from when it came may be shorter than the policy's.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(15);

/// The warning with a token that is too young to be replaced for its lifetime alone.
const TOO_YOUNG: &str =
    "this token is less than a minute old, so it was not replaced, though it ends sooner than asked for";

/// The warning where tokens do not live as long as the caller asked.
const OUT_OF_REACH: &str =
    "tokens of this connection do not live as long as minimum_lifetime: see expires_at";

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

    /// Whether the stored token will do: a newer one would not be better, or is not worth a refresh.
    pub fn is_met_by(&self, record: &ConnectionRecord, now: Timestamp) -> bool {
        let newer = self.newer_than.as_ref() != Some(&record.access_fingerprint);
        newer
            && !is_deleted(record)
            && self.takes(record)
            && (self.lives_long_enough(record, now) || self.settles_for(record, now))
    }

    /// Why a token that will do lives shorter than asked for; `None`: it does not.
    pub fn shortfall(&self, record: &ConnectionRecord, now: Timestamp) -> Option<&'static str> {
        if self.lives_long_enough(record, now) {
            return None;
        }
        Some(if self.is_out_of_reach(record, now) { OUT_OF_REACH } else { TOO_YOUNG })
    }

    fn lives_long_enough(&self, record: &ConnectionRecord, now: Timestamp) -> bool {
        now.later_by(self.lifetime) < record.expires_at
    }

    /// Whether a token that lives shorter than asked for has to do.
    fn settles_for(&self, record: &ConnectionRecord, now: Timestamp) -> bool {
        !self.is_by_sweep() && (is_young(record, now) || self.is_out_of_reach(record, now))
    }

    /// Whether the token has a minute left, and a new one would live no longer than asked for either, as far as this one's
    /// life tells.
    fn is_out_of_reach(&self, record: &ConnectionRecord, now: Timestamp) -> bool {
        let is_usable = now.later_by(MARGIN) < record.expires_at;
        // A new token is used from when it comes, by our clock: Salesforce's may be ahead or behind.
        let fetched_at = record.fetched_at.unwrap_or(record.issued_at);
        is_usable && self.lifetime > record.expires_at.duration_since(fetched_at) + ON_ITS_WAY - MARGIN
    }

    /// Whether the stored token, though not fresh, still works for all we know.
    pub fn can_use(&self, record: &ConnectionRecord, now: Timestamp) -> bool {
        !is_deleted(record) && self.takes(record) && now < record.expires_at
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

/// A connection that its product deleted hands out nothing, though its token may still work.
fn is_deleted(record: &ConnectionRecord) -> bool {
    matches!(record.connection.state, ConnectionState::Revoking { .. })
}
