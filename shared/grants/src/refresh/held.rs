//! What a caller gets while nothing may be sent: after a refusal, and of a token that was reported as rejected.

use crate::record_failure::record_once;
use std::time::Duration;

use crate::record_failure::{Observation, RecordOutcome};
use diagnosis::{Actor, Cause};
use domain::{App, FailureId};
use jiff::Timestamp;
use platform::log::internal;
use salesforce::SalesforceError;
use secrecy::ExposeSecret;
use store::{Backoff, ConnectionRecord, Field, Owner, health::AppHealth};
use tokio::time::timeout;

use crate::refresh::{
    Ask, RefreshError, Refresher, Renewal, Stop, Stopped,
    health::{Held, evidence_of},
    met,
};

/// How long Salesforce may take to say whether it accepts a token that was reported as rejected.
const TEST_TIMEOUT: Duration = Duration::from_secs(5);

/// When to ask again, and why there is no token now.
#[derive(Debug, Clone, Default)]
pub struct RetryLater {
    /// After so many seconds.
    pub seconds: u32,
    /// The cause of the last refusal, where Salesforce refused.
    pub cause: Option<&'static Cause>,
    /// The failure that was recorded for it, with its help page.
    pub failure: Option<FailureId>,
}

impl From<u32> for RetryLater {
    fn from(seconds: u32) -> Self {
        Self { seconds, ..Self::default() }
    }
}

impl RetryLater {
    /// Once the backoff is over.
    pub fn of(backoff: &Backoff, now: Timestamp) -> Self {
        Self {
            seconds: backoff.seconds(now),
            cause: backoff.cause.as_deref().and_then(diagnosis::cause),
            failure: backoff.failure.clone(),
        }
    }
}

/// The failure of a record, if one was made.
pub(crate) fn recorded(recorded: RecordOutcome) -> Option<FailureId> {
    match recorded {
        RecordOutcome::Now(failure) | RecordOutcome::Before(failure) => Some(failure),
        RecordOutcome::TooMany => None,
    }
}

impl Refresher {
    /// What a caller gets while the connection waits after a refusal.
    pub(crate) fn held_back(record: Box<ConnectionRecord>, ask: Ask<'_>, backoff: &Backoff) -> Renewal {
        let now = ask.time.now();
        if ask.need.can_use(&record, now) {
            return Renewal::StillWorks(
                record,
                "Salesforce refused the last refresh; it is tried again later",
            );
        }
        Self::refused_until(ask.app, RetryLater::of(backoff, now))
    }

    /// A refusal that is tried again later, as the caller is told of it: one that does not pass by itself is for the
    /// app's owner, which is the product's engineers or the customer's admin.
    pub(crate) fn refused_until(app: &App, later: RetryLater) -> Renewal {
        match (later.cause, &later.failure) {
            (Some(cause), Some(failure)) if cause.actor == Actor::Vendor && cause.wait_minutes.is_none() => {
                let is_vendors = cause.actor_in(Some(app)) == Actor::Vendor;
                Renewal::Stopped(Stopped {
                    stop: if is_vendors { Stop::Incident } else { Stop::Blocked },
                    cause,
                    failure: failure.clone(),
                    incident: None,
                    retry_after: Some(later.seconds),
                })
            }
            _ => Renewal::NotYet(later),
        }
    }

    /// What a caller gets while nothing is sent for the app, or to the host.
    pub(crate) async fn held(
        &self,
        record: Box<ConnectionRecord>,
        ask: Ask<'_>,
        health: &AppHealth,
        held: Held,
    ) -> Result<Renewal, RefreshError> {
        let now = ask.time.now();
        let (why, seconds) = match held {
            Held::App(seconds) => ("Salesforce refuses the app's refreshes", seconds),
            Held::Untrusted(seconds) => ("Salesforce's answers for the app cannot be trusted", seconds),
            Held::Host(seconds) => ("Salesforce's login host is not answering", seconds),
        };
        if ask.need.can_use(&record, now) {
            return Ok(Renewal::StillWorks(record, why));
        }
        let Some(evidence) = evidence_of(held, health) else { return Ok(Renewal::NotYet(seconds.into())) };
        let met = met(&record, ask.app, evidence);
        let cause = met.diagnosis().cause();
        let failure = self.record(met, now).await;
        Ok(Self::refused_until(ask.app, RetryLater { seconds, cause: Some(cause), failure }))
    }

    /// Records what may be met again and again. It is bookkeeping: what goes wrong with it changes no answer.
    pub(crate) async fn record(&self, met: Observation<'_>, now: Timestamp) -> Option<FailureId> {
        match record_once(&self.platform, met, now).await {
            Ok(made) => recorded(made),
            Err(error) => {
                internal(&error);
                None
            }
        }
    }

    /// Where nothing newer can be had, the token that another caller reported as rejected, if a request of our own
    /// shows that Salesforce accepts it.
    pub(crate) async fn test_rejected(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
    ) -> Result<Option<Renewal>, RefreshError> {
        let now = ask.time.now();
        let testable = record.rejected.is_some_and(|rejected| !rejected.works && rejected.may_be_tested(now))
            && !ask.need.rejects(&record.access_fingerprint)
            && now < record.expires_at;
        if !testable || !self.platform.store.begin_test(record, now).await? {
            return Ok(None);
        }
        let accepted = match timeout(TEST_TIMEOUT, self.accepts(record)).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => {
                internal(&error);
                return Ok(None);
            }
            Err(_) => return Ok(None),
        };
        self.platform.store.end_test(record, accepted).await?;
        Ok(accepted.then(|| Renewal::StillWorks(Box::new(record.clone()), REPORTED)))
    }

    async fn accepts(&self, record: &ConnectionRecord) -> Result<bool, TestError> {
        let owner = Owner { product: &record.connection.product, connection: &record.connection.id };
        let token = self.cipher.open(owner, Field::AccessToken, &record.access_token).await?;
        let token = domain::secret::AccessToken::new(token.expose_secret());
        Ok(self.platform.salesforce.accepts(&record.connection.instance_url, &token).await?)
    }

    /// Keeps that a caller reported the stored token as rejected, where no lease did. Whether that can be written is no
    /// reason to answer worse than without.
    pub(crate) async fn keep_report_if_new(&self, record: &ConnectionRecord, ask: Ask<'_>) {
        if ask.need.rejects(&record.access_fingerprint)
            && record.rejected.is_none_or(|rejected| rejected.works)
            && let Err(error) = self.platform.store.mark_rejected(record, ask.time.now()).await
        {
            internal(&error);
        }
    }
}

/// The warning that goes with a token that was reported as rejected and tested since.
pub const REPORTED: &str =
    "a caller reported this token as rejected; Salesforce accepted it when Latchkey tested it since";

#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error(transparent)]
    Secret(#[from] store::SecretError),
    #[error(transparent)]
    Salesforce(#[from] SalesforceError),
}
