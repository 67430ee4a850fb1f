//! After an answer was lost: the fallback is looked into, then, only if the host is known to answer, the refresh token is
//! sent again: once, and once more only where Salesforce says that it is still unspent.

use diagnosis::evidence;
use std::time::Duration;

use domain::{SaturatingTime as _, Surface, secret::RefreshToken};
use jiff::{SignedDuration, Timestamp};
use platform::log::internal;
use salesforce::SalesforceError;
use secrecy::ExposeSecret;
use store::{
    Backoff, ConnectionRecord, Field, Health, Kept, Lease, LeaseOutcome, Owner, StoreError,
    leases::RECOVERY_AFTER,
};
use telemetry::step;
use tokio::time::{Instant, sleep};

use crate::introspection::{TokenWord, ask_about};
use crate::refresh::{
    Ask, REFRESH, RefreshError, Refresher, Renewal, SEND, Stop, Stopped,
    health::Told,
    met,
    quarantine::for_same_identity,
    send::{Prepared, SLOW_START},
    verdict::{Verdict, may_have_spent, told, told_by_silence, verdict},
};

/// How long the right to the recovery is tried to be given back.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Maximum difference between the clocks of two processes that both work.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// Seconds between two questions about a token whose recovery was not answered.
pub(crate) const QUESTION_AGAIN: u32 = 60;

/// How long after an unanswered recovery Salesforce may leave open whether it knows the token.
pub(crate) const UNKNOWN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What became of a refresh token that was sent twice and not answered.
enum TokenFate {
    /// Salesforce still knows it.
    Unspent,
    /// Salesforce does not know it any more.
    Spent,
    /// Salesforce cannot be asked now.
    Unknown,
}

impl Refresher {
    /// A refresh was begun and never answered. The old token is served while it works; then, when the last sender cannot
    /// be alive and the host is known to answer again, the refresh token is sent again.
    pub(crate) async fn recover(
        &self,
        record: Box<ConnectionRecord>,
        ask: Ask<'_>,
        since: Timestamp,
    ) -> Result<Renewal, RefreshError> {
        let now = ask.time.now();
        if ask.need.can_use(&record, now) {
            return Ok(Renewal::StillWorks(record, "the last refresh was not answered"));
        }
        match self.kept(&record).await? {
            Some(Kept::Quarantined(quarantined)) => {
                return self.still_quarantined(record, ask, &quarantined).await;
            }
            Some(Kept::Waiting(waiting)) => {
                if let Some(stored) = self.restore(&waiting, now).await? {
                    return Ok(Renewal::Fresh(stored));
                }
            }
            None => {}
        }
        if record.is_leased(now) {
            return Ok(Renewal::NotYet(2.into()));
        }
        if let Some(backoff) = record.backoff.clone().filter(|backoff| backoff.holds(now)) {
            return Ok(Self::held_back(record, ask, &backoff));
        }
        let health = self.health(&record, ask).await;
        if health.app.rotates == Some(false) {
            return self.send_again(record, ask, &health).await;
        }
        // The last time that the token was sent: at first, or as a recovery that nobody heard of again. A time that is still
        // to come was written by a process whose clock is wrong; nobody knows when it was.
        let sent_at = record.recovered_at.unwrap_or(since);
        let sent_at = if sent_at <= now + CLOCKS_DIFFER { sent_at } else { now - RECOVERY_AFTER };
        let due = sent_at.later_by(RECOVERY_AFTER);
        if now < due {
            let seconds = (due - now).get_seconds();
            return Ok(Renewal::NotYet(u32::try_from(seconds).unwrap_or(1).max(1).into()));
        }
        if !ask.time.has(REFRESH) {
            return Ok(Renewal::NotYet(2.into()));
        }
        if let Err(seconds) = self.host_answers(&record, &health.host, sent_at, now).await {
            return Ok(Renewal::NotYet(seconds.into()));
        }
        if let Err(held) = Self::heed_stops(&record, ask, &health) {
            return self.held(record, ask, &health.app, held).await;
        }
        // Everything that can fail without spending anything comes before the mark.
        let prepared = self.prepare(&record, ask).await?;
        if record.recovered_at.is_some() {
            match self.token_fate(&record, ask, &prepared).await? {
                TokenFate::Unspent => {}
                TokenFate::Spent => return self.lost(&record, ask).await,
                TokenFate::Unknown => return Ok(Renewal::NotYet(QUESTION_AGAIN.into())),
            }
        }
        if let Err(held) = self.may_send(&record, ask, &health).await {
            return self.held(record, ask, &health.app, held).await;
        }
        let started = Instant::now();
        let LeaseOutcome::Yes(lease) = self.platform.store.lease_recovery(&record, ask.time.now()).await?
        else {
            return Ok(Renewal::NotYet(2.into()));
        };
        let token = match self.platform.store.open_for_recovery(&lease, &self.cipher).await {
            Ok(token) => token,
            Err(error) => {
                self.give_recovery_back(&lease, None).await;
                return Err(error.into());
            }
        };
        if !ask.time.has(SEND) || SLOW_START < started.elapsed() {
            self.give_recovery_back(&lease, None).await;
            return Ok(Renewal::NotYet(2.into()));
        }
        let sent = step!("send", self.exchange(&prepared.host, ask.app, &prepared.secret, &token)).await;
        match for_same_identity(&lease.record().connection, sent) {
            Ok(grant) => {
                let rotated = grant.refresh.as_ref().map(RefreshToken::fingerprint);
                let kept = step!("keep", self.keep(&lease, ask, &prepared, grant, started)).await;
                self.learn(lease.record(), ask, &health, Told::Granted(rotated.as_ref())).await;
                kept
            }
            Err(SalesforceError::Doubtful(doubtful)) => {
                self.quarantine(&lease, ask, &health, &doubtful).await
            }
            Err(error) if may_have_spent(&error, &health) => {
                internal(&error);
                // The mark stays: nobody sends it again before Salesforce has said that it is unspent.
                self.learn(lease.record(), ask, &health, told_by_silence(&error)).await;
                Ok(Renewal::NotYet(QUESTION_AGAIN.into()))
            }
            Err(error) => self.recovery_refused(&lease, ask, &error, &health).await,
        }
    }

    /// What became of a refresh token whose recovery was not answered either. Salesforce is asked, which spends nothing
    /// (introspection, RFC 7662), at most once a minute; where it answers for a day and will not say, the token is taken to
    /// be spent.
    async fn token_fate(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
        prepared: &Prepared,
    ) -> Result<TokenFate, RefreshError> {
        let now = ask.time.now();
        let Some(sealed) = &record.refresh_token else { return Ok(TokenFate::Spent) };
        let until = now + SignedDuration::from_secs(QUESTION_AGAIN.into());
        if !self.platform.store.put_off_recovery(record, until, now).await? {
            return Ok(TokenFate::Unknown);
        }
        let owner = Owner { product: &record.connection.product, connection: &record.connection.id };
        let token = self.cipher.open(owner, Field::RefreshToken, sealed).await?;
        let Prepared { host, secret } = prepared;
        let app = (&record.connection.product, ask.app);
        match ask_about(&self.platform, app, host, secret, token.expose_secret()).await {
            Ok(TokenWord::Known) => Ok(TokenFate::Unspent),
            Ok(TokenWord::Ended) => Ok(TokenFate::Spent),
            Ok(TokenWord::Unsaid) => {
                // Without an answer the question ends the series, so a day of an outage is no day of refusals.
                let before = record.backoff.as_ref().and_then(|backoff| backoff.refused_since(now));
                let since = before.unwrap_or(now);
                if since.later_by(UNKNOWN_FOR) <= now {
                    return Ok(TokenFate::Spent);
                }
                if let Err(error) = self.platform.store.note_unsaid(record, until, since).await {
                    internal(&error);
                }
                Ok(TokenFate::Unknown)
            }
            Err(error) => {
                internal(&error);
                Ok(TokenFate::Unknown)
            }
        }
    }

    /// Where the app does not rotate refresh tokens, one that was sent cannot be spent: it is sent again as if nothing
    /// had happened.
    async fn send_again(
        &self,
        record: Box<ConnectionRecord>,
        ask: Ask<'_>,
        health: &Health,
    ) -> Result<Renewal, RefreshError> {
        if !ask.time.has(REFRESH) {
            return Ok(Renewal::NotYet(2.into()));
        }
        if let Err(held) = self.may_send(&record, ask, health).await {
            return self.held(record, ask, &health.app, held).await;
        }
        let leased = step!("lease", self.platform.store.lease_again(&record, ask.time.now())).await?;
        match leased {
            LeaseOutcome::Yes(lease) => self.refresh(&lease, ask, health).await,
            LeaseOutcome::Gone => Ok(Renewal::Gone),
            LeaseOutcome::No(_) => Ok(Renewal::NotYet(2.into())),
        }
    }

    /// The recovery was answered with a refusal, which spent nothing. One that is known to be final and speaks of the
    /// token ends the grant; any other says nothing of it, and the right to recover is given back.
    async fn recovery_refused(
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
        let verdict = verdict(record, ask, error, &diagnosis);
        let renewal = if verdict == Verdict::Ended {
            self.lost(record, ask).await
        } else {
            let unexplained = verdict == Verdict::Retry { unexplained: true };
            let backoff = Self::backoff(record, ask, error, cause, unexplained);
            self.give_recovery_back(lease, Some(&backoff)).await;
            let failure = self.record(met, now).await;
            match &failure {
                Some(failure) if verdict == Verdict::Blocked => Ok(Renewal::Stopped(Stopped {
                    stop: Stop::Blocked,
                    cause,
                    failure: failure.clone(),
                    incident: None,
                    retry_after: Some(backoff.seconds(now)),
                })),
                _ => {
                    let left = Box::new(record.clone());
                    self.explain((lease, left), Backoff { failure, ..backoff }, ask).await
                }
            }
        };
        self.learn(record, ask, health, told(error)).await;
        renewal
    }

    /// Gives the right to the one recovery back after nothing was spent. If that fails, Salesforce is asked about the token
    /// before it is sent again.
    async fn give_recovery_back(&self, lease: &Lease, backoff: Option<&Backoff>) {
        let until = Instant::now() + GIVE_BACK;
        while let Err(error) = self.platform.store.release_recovery(lease, backoff).await {
            internal(&error);
            if until <= Instant::now() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn lost(&self, record: &ConnectionRecord, ask: Ask<'_>) -> Result<Renewal, RefreshError> {
        self.end(record, ask, evidence::our_own(Surface::TokenEndpoint, "answer_lost", None)).await
    }

    async fn kept(&self, record: &ConnectionRecord) -> Result<Option<Kept>, StoreError> {
        match &record.refresh_fingerprint {
            Some(sent) => self.fallback.kept(&record.connection.id, sent).await,
            None => Ok(None),
        }
    }
}
