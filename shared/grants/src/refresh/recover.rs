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
    Backoff, ConnectionRecord, Field, Health, Kept, Lease, LeaseOutcome, Owner, StoreError, clocks,
    leases::RECOVERY_AFTER,
};
use telemetry::step;
use tokio::time::{Instant, sleep};

use crate::introspection::{TokenWord, ask_about};
use crate::refresh::{
    Ask, REFRESH, RefreshError, Refresher, Renewal, SEND, Stop, Stopped,
    health::{Told, seconds},
    met,
    quarantine::for_same_identity,
    send::{Prepared, SLOW_START},
    verdict::{Verdict, may_have_spent, told, told_by_silence, verdict},
};

/// How long the right to the recovery is tried to be given back.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Seconds until the first question about a token whose recovery was not answered.
pub(crate) const QUESTION_AGAIN: u32 = 60;

/// Maximum time between two questions about one token.
const LONGEST_QUESTION_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// How long after an unanswered recovery Salesforce may leave open whether it knows the token.
pub(crate) const UNKNOWN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What became of a refresh token that was sent twice and not answered.
enum TokenFate {
    /// Salesforce still knows it.
    Unspent,
    /// Salesforce does not know it any more.
    Spent,
    /// Salesforce cannot be asked now, or does not say. Ask again after so many seconds.
    Unknown(u32),
}

/// How long the next question about a token waits that was last sent at that time: a minute, more after an outage of some
/// length, less up to a fifth (`jitter` is 0 to 1). Thousands of connections are not asked about in step.
pub(crate) fn question_wait(sent_at: Timestamp, now: Timestamp, jitter: f64) -> SignedDuration {
    let shortest = SignedDuration::from_secs(QUESTION_AGAIN.into());
    let wait = (now.duration_since(sent_at) / 4).clamp(shortest, LONGEST_QUESTION_WAIT);
    wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 5.0).max(shortest)
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
        if !ask.time.has(REFRESH) {
            return Ok(Renewal::NotYet(2.into()));
        }
        let Some(sent_at) = self.last_sent(&record, since, now).await? else {
            return Ok(Renewal::NotYet(2.into()));
        };
        // A host that does not answer is asked meanwhile: ten minutes pass after its answer.
        let host = &record.connection.login_host;
        let answers = self.host_answers(host, &health.host, sent_at, now).await;
        let due = sent_at.later_by(RECOVERY_AFTER);
        if let Some(wait) = answers.err().max((now < due).then(|| seconds(due, now))) {
            return Ok(Renewal::NotYet(wait.into()));
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
                TokenFate::Unknown(wait) => return Ok(Renewal::NotYet(wait.into())),
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

    /// The last time that the token may have been sent: when the refresh or its recovery began, or when another process
    /// found that it was not answered. Each of the two was written by one clock, and clocks may differ: the later one that
    /// can be true counts. Thus a refresh whose sender is still alive is not overtaken although one clock is wrong. `None`:
    /// another process has changed the connection.
    async fn last_sent(
        &self,
        record: &ConnectionRecord,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let times = match record.recovered_at {
            Some(recovered_at) if record.lease_until.is_some() => {
                // Nobody has looked at it since its lease ended.
                if !self.platform.store.mark_recovery_unknown(record, now).await? {
                    return Ok(None);
                }
                [Some(recovered_at), Some(now)]
            }
            Some(recovered_at) => [Some(recovered_at), Some(since)],
            None => [record.began_at, Some(since)],
        };
        Ok(Some(clocks::latest(times, now).unwrap_or_else(|| now.earlier_by(RECOVERY_AFTER))))
    }

    /// What became of a refresh token whose recovery was not answered either. Salesforce is asked, which spends nothing
    /// (introspection, RFC 7662): after a minute, and less often the longer it takes. Where it answers for a day and will
    /// not say, the token is taken to be spent.
    async fn token_fate(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
        prepared: &Prepared,
    ) -> Result<TokenFate, RefreshError> {
        let now = ask.time.now();
        let Some(sealed) = &record.refresh_token else { return Ok(TokenFate::Spent) };
        let wait = question_wait(record.recovered_at.unwrap_or(now), now, fastrand::f64());
        let until = now + wait;
        let unknown = TokenFate::Unknown(seconds(until, now));
        if !self.platform.store.put_off_recovery(record, until, now).await? {
            return Ok(unknown);
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
                Ok(unknown)
            }
            Err(error) => {
                internal(&error);
                Ok(unknown)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_about_a_token_become_rare_in_a_long_outage() {
        let sent_at = Timestamp::UNIX_EPOCH;
        let asked = |jitter: f64, hours: i64| {
            let (mut now, mut number) = (sent_at + RECOVERY_AFTER, 0);
            while now < sent_at + SignedDuration::from_hours(hours) {
                now += question_wait(sent_at, now, jitter);
                number += 1;
            }
            number
        };
        assert!(asked(0.0, 1) <= 20 && asked(1.0, 1) <= 20, "{} {}", asked(0.0, 1), asked(1.0, 1));
        assert!(asked(1.0, 24) <= 20 + 24 * 5, "{}", asked(1.0, 24));
        let ahead = sent_at + SignedDuration::from_hours(9);
        assert_eq!(question_wait(ahead, sent_at, 1.0).as_secs(), 60, "a wrong clock's time");
    }
}
