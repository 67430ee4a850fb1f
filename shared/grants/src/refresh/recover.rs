//! After an answer was lost: the fallback is looked into, then, once and only if the host is known to answer, the refresh
//! token is sent again.

use diagnosis::evidence;
use std::time::Duration;

use domain::{SaturatingTime as _, Surface, secret::RefreshToken};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, log::internal};
use salesforce::SalesforceError;
use secrecy::ExposeSecret;
use store::{
    Backoff, ConnectionRecord, Field, Health, Kept, Lease, LeaseOutcome, Owner, SaveOutcome, StoreError,
    Waiting,
    leases::{LEASE, RECOVERY_AFTER},
};
use telemetry::{Metric, add, carried, step};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};

use crate::refresh::{
    Ask, REFRESH, RefreshError, Refresher, Renewal, SEND, Stop, Stopped,
    health::Told,
    met,
    quarantine::for_same_identity,
    send::SLOW_START,
    verdict::{Verdict, may_have_spent, told, told_by_silence, verdict},
};

/// How many waiting answers are looked up at once.
const BATCH: i32 = 25;

/// How many of them are dealt with at once.
const AT_ONCE: usize = 8;

/// How long one of them may take: what it replaces may have to be revoked at a host that does not answer.
const ONE_ANSWER: Duration = Duration::from_secs(12);

/// How long a run of the sweep spends on the fallback.
const EMPTY_FALLBACK: Duration = Duration::from_mins(1);

/// How long an answer that could not be dealt with is left alone.
const PUT_OFF: SignedDuration = SignedDuration::from_mins(15);

/// How long the right to the recovery is tried to be given back.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Maximum difference between the clocks of two processes that both work.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// For so long a lost table can be brought back (DynamoDB's point-in-time recovery). An answer whose connection is gone
/// is kept until then: it may be the only copy of a live grant.
const RESTORABLE: SignedDuration = SignedDuration::from_hours(24 * 35);

impl Refresher {
    /// A refresh was begun and never answered. The old token is served while it works; then, once, when the first
    /// sender cannot be alive and the host is known to answer again, the refresh token is sent again.
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
        // A time that is still to come was written by a process whose clock is wrong; nobody knows when it was.
        let since = if since <= now + CLOCKS_DIFFER { since } else { now - RECOVERY_AFTER };
        let due = since.later_by(RECOVERY_AFTER);
        if now < due {
            let seconds = (due - now).get_seconds();
            return Ok(Renewal::NotYet(u32::try_from(seconds).unwrap_or(1).max(1).into()));
        }
        if let Some(recovered_at) = record.recovered_at {
            // Whoever recovers is alive for as long as its lease; after that nobody knows, and there is no second.
            return if recovered_at <= now + CLOCKS_DIFFER && now < recovered_at.later_by(LEASE) {
                Ok(Renewal::NotYet(2.into()))
            } else {
                self.lost(&record, ask).await
            };
        }
        if !ask.time.has(REFRESH) {
            return Ok(Renewal::NotYet(2.into()));
        }
        if let Err(seconds) = self.host_answers(&record, &health.host, since, now).await {
            return Ok(Renewal::NotYet(seconds.into()));
        }
        if let Err(held) = self.may_send(&record, ask, &health).await {
            return self.held(record, ask, &health.app, held).await;
        }
        // Everything that can fail without spending anything comes before the mark.
        let prepared = self.prepare(&record, ask).await?;
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
                self.learn(lease.record(), ask, &health, told_by_silence(&error)).await;
                self.lost(lease.record(), ask).await
            }
            Err(error) => self.recovery_refused(&lease, ask, &error, &health).await,
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
        let verdict = verdict(record, error, &diagnosis, now);
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
                _ => self.explain(lease, Backoff { failure, ..backoff }, ask).await,
            }
        };
        self.learn(record, ask, health, told(error)).await;
        renewal
    }

    /// Gives the right to the one recovery back after nothing was spent. If that fails the grant is taken to be lost, so
    /// it is tried for as long as the lease lasts.
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

    /// Stores an answer out of the fallback, then forgets it there. `None`: a newer grant had come, or the connection
    /// was deleted so long ago that no backup has it, and what waited was revoked.
    async fn restore(
        &self,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Result<Option<Box<ConnectionRecord>>, RefreshError> {
        let saved = if waiting.superseded {
            SaveOutcome::Superseded
        } else {
            self.platform.store.restore(waiting).await?
        };
        let stored = match saved {
            SaveOutcome::Yes(record) => Some(record),
            SaveOutcome::Gone if now < waiting.renewed.issued_at.later_by(RESTORABLE) => {
                return Err(RefreshError::Gone(waiting.connection.clone()));
            }
            SaveOutcome::Superseded | SaveOutcome::Gone => {
                self.revoke_superseded(waiting).await?;
                None
            }
        };
        self.fallback.forget(waiting).await?;
        Ok(stored)
    }

    async fn revoke_superseded(&self, waiting: &Waiting) -> Result<(), RefreshError> {
        let Some((sealed, _)) = &waiting.renewed.refresh_token else { return Ok(()) };
        let owner = Owner { product: &waiting.product, connection: &waiting.connection };
        let token = self.cipher.open(owner, Field::RefreshToken, sealed).await?;
        let hosts = self.platform.salesforce.hosts();
        let host = hosts
            .readmit(&waiting.login_host)
            .map_err(|_| RefreshError::Unconfigured(waiting.connection.to_string()))?;
        Ok(self.platform.salesforce.revoke(&host, token.expose_secret()).await?)
    }

    /// Empties the fallback, as far as there is time: each answer goes where it belongs, several at once, none for
    /// longer than [`ONE_ANSWER`]. What cannot be dealt with is left alone for a while, and hides nothing behind it.
    pub async fn empty_fallback(&self, time: &Deadline) -> Result<Emptied, RefreshError> {
        let (mut emptied, mut after) = (Emptied::default(), None);
        let until = Instant::now() + EMPTY_FALLBACK.min(time.left() / 2);
        loop {
            let page = self.fallback.all(BATCH, after).await?;
            let now = time.now();
            let due = page.items.into_iter().filter(|item| item.as_ref().map_or(true, |one| one.is_due(now)));
            let mut running = JoinSet::new();
            for kept in due {
                match kept {
                    Ok(Kept::Quarantined(quarantined)) => {
                        let (this, time) = (self.clone(), *time);
                        running.spawn(carried(async move {
                            this.review(&quarantined, &time).await;
                            Some(false)
                        }));
                    }
                    Ok(Kept::Waiting(waiting)) => {
                        add(Metric::FallbackAnswers, 1.0);
                        let (this, time) = (self.clone(), *time);
                        running.spawn(carried(async move { this.empty_one(&waiting, &time).await }));
                    }
                    Err(error) => {
                        internal(&error);
                        emptied.unreadable += 1;
                    }
                }
                if running.len() == AT_ONCE {
                    emptied.count(running.join_next().await.as_ref());
                }
            }
            while let Some(done) = running.join_next().await {
                emptied.count(Some(&done));
            }
            after = page.next;
            if after.is_none() || until <= Instant::now() {
                return Ok(emptied);
            }
        }
    }

    /// One answer; `None`: it could not be dealt with now.
    async fn empty_one(&self, waiting: &Waiting, time: &Deadline) -> Option<bool> {
        match timeout(ONE_ANSWER, self.restore(waiting, time.now())).await {
            Ok(Ok(record)) => return Some(record.is_some()),
            Ok(Err(error)) => drop(internal(&error)),
            Err(_) => drop(internal(&StoreError::timed_out("the fallback's answer"))),
        }
        let until = time.now() + PUT_OFF;
        if let Ok(Err(error)) = timeout(ONE_ANSWER, self.fallback.put_off(waiting, until)).await {
            internal(&error);
        }
        None
    }
}

/// What became of the answers that the fallback held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Emptied {
    /// They are where they belong.
    pub stored: u32,
    /// They could not be dealt with; they are tried again later.
    pub put_off: u32,
    /// They cannot be read.
    pub unreadable: u32,
}

impl Emptied {
    fn count(&mut self, done: Option<&Result<Option<bool>, JoinError>>) {
        match done {
            Some(Ok(Some(stored))) => self.stored += u32::from(*stored),
            Some(Ok(None)) => self.put_off += 1,
            // A panic is a bug in the handling of one answer. The others are dealt with, and the next run tries it again.
            Some(Err(panicked)) => {
                internal(panicked);
                self.put_off += 1;
            }
            None => {}
        }
    }
}
