//! Salesforce refuses the refresh token: the connection stops, or is tried again after a backoff.

use crate::{
    record_failure::{Observation, diagnose},
    refresh::{
        Ask, RefreshError, Refresher, Renewal, Stop, met,
        verdict::{Verdict, told, verdict},
    },
};
use diagnosis::Cause;
use domain::ConnectionState;
use jiff::SignedDuration;
use platform::log::internal;
use salesforce::SalesforceError;
use store::{Backoff, ConnectionRecord, Health, Lease};

/// How long nothing is sent for a connection after Salesforce refused its app. The app's own stop is in its health item.
const APP_REFUSED_WAIT: SignedDuration = SignedDuration::from_secs(60);

impl Refresher {
    /// What a refusal means: it is transient, it is ours, or only a person helps. It spent nothing, and its meaning
    /// decides whether the customer's connection changes.
    pub(super) async fn refused(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        error: &SalesforceError,
        health: &Health,
    ) -> Result<Renewal, RefreshError> {
        let (record, now) = (lease.record(), ask.time.now());
        let met = met(record, ask.app, error.evidence()).because(error);
        let diagnosis = met.diagnosis();
        let cause = diagnosis.cause();
        let stop = match verdict(record, ask, error, &diagnosis) {
            Verdict::Blocked => Ok(Stop::Blocked),
            Verdict::Ended => Ok(Stop::Reauthorize),
            Verdict::Retry { unexplained } => Err(unexplained),
        };
        let renewal = match stop {
            Ok(stop) => {
                let unexplained = matches!(stop, Stop::Reauthorize);
                let stopped = self.stopped_by(record, ask, stop, met).await;
                if stopped.is_err() {
                    // The refusal spent nothing: the next caller may ask again, and is refused again.
                    let backoff = Self::backoff(record, ask, error, cause, unexplained);
                    self.give_back(lease, Some(&backoff)).await;
                }
                stopped
            }
            Err(unexplained) => {
                let backoff = Self::backoff(record, ask, error, cause, unexplained);
                // The release comes first: what is recorded beside it may fail, and decides nothing.
                let left = self.give_back(lease, Some(&backoff)).await;
                let failure = self.record(met, now).await.or_else(|| backoff.failure.clone());
                self.explain((lease, left), Backoff { failure, ..backoff }, ask).await
            }
        };
        self.learn(record, ask, health, told(error)).await;
        renewal
    }

    /// Until when nothing is sent after a refusal.
    pub(crate) fn backoff(
        record: &ConnectionRecord,
        ask: Ask<'_>,
        error: &SalesforceError,
        cause: &'static Cause,
        unexplained: bool,
    ) -> Backoff {
        let (before, now) = (record.backoff.as_ref(), ask.time.now());
        let backoff = if error.is_invalid_client() {
            Backoff::fixed(before, now, APP_REFUSED_WAIT)
        } else {
            let asked = error
                .retry_after()
                .map(|asked| SignedDuration::try_from(asked).unwrap_or(SignedDuration::MAX));
            Backoff::after(before, now, (asked, error.calls()), fastrand::f64())
        };
        // Any other answer ends the series of refusals: the grant is not known to be refused any more.
        let unexplained_since =
            unexplained.then(|| before.and_then(|before| before.refused_since(now)).unwrap_or(now));
        // The page of a failure is that of its cause.
        let same = before.filter(|before| before.cause.as_deref() == Some(cause.id));
        let failure = same.and_then(|before| before.failure.clone());
        Backoff { unexplained_since, cause: Some(cause.id.to_owned()), failure, ..backoff }
    }

    /// Adds the failure's page to a backoff that stands, and answers with it. That page is for people: where it cannot
    /// be stored, the connection waits all the same. `left`: the connection after the lease was given back.
    pub(crate) async fn explain(
        &self,
        (lease, left): (&Lease, Box<ConnectionRecord>),
        backoff: Backoff,
        ask: Ask<'_>,
    ) -> Result<Renewal, RefreshError> {
        let known = lease.record().backoff.as_ref().and_then(|before| before.failure.as_ref());
        if backoff.failure.is_some()
            && backoff.failure.as_ref() != known
            && let Err(error) = self.platform.store.explain_backoff(lease, &backoff, ask.time.now()).await
        {
            internal(&error);
        }
        Ok(Self::held_back(left, ask, &backoff))
    }

    /// Only a person helps: the connection stops.
    async fn stopped_by(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
        stop: Stop,
        met: Observation<'_>,
    ) -> Result<Renewal, RefreshError> {
        let (cause, now) = (met.diagnosis().cause(), ask.time.now());
        if let Some(before) = self.still_blocked(record, cause, now).await? {
            met.again(&before.id);
            return if self.platform.store.refused_again(record, now).await? {
                Ok(Renewal::stopped(Stop::Blocked, cause, before))
            } else {
                self.as_it_is(record, ask).await
            };
        }
        let (failure, _) = diagnose(met, now);
        let id = failure.id.clone();
        let state = match stop {
            Stop::Blocked => ConnectionState::Blocked { since: now, failure: id },
            _ => ConnectionState::NeedsReauth { since: now, failure: id },
        };
        let (stopped, failure) = self.stop(record, &state, failure).await?;
        if stopped {
            Ok(Renewal::stopped(stop, cause, failure))
        } else {
            // A reconnect came between, and may have revoked what was sent.
            self.as_it_is(record, ask).await
        }
    }
}
