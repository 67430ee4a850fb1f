//! A caller's turn: it looks at the stored token, takes the lease or waits for another caller's result.

use std::time::Duration;

use diagnosis::{Cause, evidence};
use domain::{App, ConnectionState, Failure, FailureId, Stage, Surface};
use jiff::{SignedDuration, Timestamp};
use platform::Deadline;
use store::{ConnectionRecord, LeaseOutcome, StoreError, clocks, connections::PAUSE};
use telemetry::{Metric, emf::MILLISECOND, sample, step};
use tokio::time::{Instant, sleep};

use crate::record_failure::{FailureSubject, Observation, diagnose};
use crate::refresh::{
    Ask, Need, REFRESH, RefreshError, Refresher, Renewal, Stop, Stopped,
    need::USUAL_WAIT,
    single_flight::{Ended, Turn, Waiting},
    unknown_cause,
};

/// When a caller that waits for another's refresh looks at the table: with the read before, four reads at most. The first
/// look comes after the few hundred milliseconds that an exchange usually takes.
const WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_millis(600), Duration::from_millis(1800)];

/// Time between further looks of a caller that waits longer.
const NEXT_WAIT: Duration = Duration::from_millis(2400);

/// The pauses between looks, for a caller that waits this long.
fn waits(patience: Duration) -> Vec<Duration> {
    let usual: Duration = WAITS.iter().sum();
    if patience < usual {
        let share = patience.as_secs_f64() / usual.as_secs_f64();
        return WAITS.iter().map(|wait| wait.mul_f64(share)).collect();
    }
    let mut waits = WAITS.to_vec();
    let mut left = patience.saturating_sub(usual);
    while NEXT_WAIT <= left {
        waits.push(NEXT_WAIT);
        left = left.saturating_sub(NEXT_WAIT);
    }
    waits
}

/// How long after a refusal a blocked connection is tried again: the admin may have acted.
const RETRY_BLOCKED: SignedDuration = SignedDuration::from_mins(1);

/// Number of fresh tokens rejected in a row after which refreshing is paused: it does not help.
const REJECTIONS: u32 = 2;

impl Refresher {
    pub(super) async fn turn(
        &self,
        record: ConnectionRecord,
        app: &App,
        need: &Need,
        time: &Deadline,
    ) -> Result<Renewal, RefreshError> {
        let ask = Ask { app, need, time };
        let record = Box::new(record);
        let began = Instant::now();
        let (patience, _place) = self.flights.patience(&record.connection.id, need.wait());
        let waits = waits(patience);
        let reports = need.rejects(&record.access_fingerprint);
        match self.flights.join(&record.connection.id, reports) {
            Turn::First(flight) => {
                let renewal = Box::pin(self.renew_alone(record, ask, &waits)).await;
                match &renewal {
                    Ok(Renewal::Fresh(record)) => flight.land(Ended::Landed(record.clone())),
                    // It has looked for all of them. Who had no time to refresh speaks for itself alone.
                    Ok(Renewal::NotYet(later)) if time.has(REFRESH) => {
                        flight.land(Ended::NotYet(later.clone()));
                    }
                    _ => drop(flight),
                }
                renewal
            }
            // Who has a token that works does not wait for another's.
            Turn::After(_) if need.can_use(&record, time.now()) => {
                Box::pin(self.renew_alone(record, ask, &waits)).await
            }
            Turn::After(waiting) => {
                if waiting.is_first_report {
                    // The flight may end without a new token, and nobody may get this one meanwhile.
                    self.keep_report_if_new(&record, ask).await;
                }
                self.after(waiting, ask, (record, patience, began)).await
            }
        }
    }

    /// What another caller's flight brings to one that waits for it.
    async fn after(
        &self,
        waiting: Waiting,
        ask: Ask<'_>,
        (record, patience, began): (Box<ConnectionRecord>, Duration, Instant),
    ) -> Result<Renewal, RefreshError> {
        let Ask { need, time, .. } = ask;
        match waiting.wait(patience).await {
            Ended::Landed(record) if need.is_met_by(&record, time.now()) => Ok(Renewal::Fresh(record)),
            Ended::NotYet(later) => Ok(Renewal::NotYet(later)),
            Ended::Landed(_) | Ended::Cut => {
                match self.platform.store.connection(&record.connection.id).await? {
                    Some(current) if need.is_met_by(&current, time.now()) => {
                        Ok(Renewal::Fresh(Box::new(current)))
                    }
                    Some(current) => {
                        let left = patience.saturating_sub(began.elapsed());
                        // This read was one of the four, and the time is gone.
                        let usual = [left / 4, left * 3 / 4];
                        let waits = if left <= USUAL_WAIT { usual.to_vec() } else { self::waits(left) };
                        Box::pin(self.renew_alone(Box::new(current), ask, &waits)).await
                    }
                    None => Ok(Renewal::Gone),
                }
            }
        }
    }

    /// The same for one caller, whoever else asks: over the lease, with a look after each wait.
    async fn renew_alone(
        &self,
        mut record: Box<ConnectionRecord>,
        ask: Ask<'_>,
        waits: &[Duration],
    ) -> Result<Renewal, RefreshError> {
        let Ask { need, time, .. } = ask;
        for wait in waits {
            let now = time.now();
            match &record.connection.state {
                ConnectionState::NeedsReauth { failure, .. } => {
                    return self.still_stopped(Stop::Reauthorize, failure, now).await;
                }
                ConnectionState::Blocked { since, failure }
                    if clocks::is_within(RETRY_BLOCKED, record.refused_at.unwrap_or(*since), now) =>
                {
                    return self.still_stopped(Stop::Blocked, failure, now).await;
                }
                ConnectionState::RefreshUnknown { since } => {
                    let since = *since;
                    return self.recover(record, ask, since).await;
                }
                ConnectionState::Pending { .. }
                | ConnectionState::Parked { .. }
                | ConnectionState::Revoking { .. } => {
                    return Ok(Renewal::Gone);
                }
                ConnectionState::Active | ConnectionState::Blocked { .. } => {}
            }
            if record.refresh_token.is_none() {
                return self.without_refresh_token(record, ask).await;
            }
            if let Some(paused) = record.paused.clone().filter(|paused| paused.holds(now)) {
                return if need.can_use(&record, now) {
                    Ok(Renewal::StillWorks(
                        record,
                        "Salesforce rejects fresh tokens; it is tried again later",
                    ))
                } else {
                    self.still_stopped(Stop::Rejected, &paused.failure, now).await
                };
            }
            if need.rejections(&record, now) >= REJECTIONS {
                return self.pause(&record, ask).await;
            }
            if let Some(backoff) = record.backoff.clone().filter(|backoff| backoff.holds(now)) {
                return Ok(Self::held_back(record, ask, &backoff));
            }
            if !record.is_leased(now) {
                if !time.has(REFRESH) {
                    return Ok(Self::meanwhile(record, ask, "there is no time for a refresh"));
                }
                let health = self.health(&record, ask).await;
                if let Some(began) = record.began_at.filter(|_| health.app.rotates == Some(false)) {
                    // Where a refresh token cannot be spent, one that was not answered is sent again at once.
                    return self.recover(record, ask, began).await;
                }
                if record.began_at.is_none() {
                    if let Err(held) = self.may_send(&record, ask, &health).await {
                        return self.held(record, ask, &health.app, held).await;
                    }
                    let rejected = need.rejects(&record.access_fingerprint);
                    match step!("lease", self.platform.store.lease(&record, rejected, now)).await? {
                        LeaseOutcome::Yes(lease) => return self.refresh(&lease, ask, &health).await,
                        LeaseOutcome::Gone => return Ok(Renewal::Gone),
                        LeaseOutcome::No(current) => record = current,
                    }
                    let now = time.now();
                    if let Some(backoff) = record.backoff.clone().filter(|backoff| backoff.holds(now)) {
                        return Ok(Self::held_back(record, ask, &backoff));
                    }
                }
            }
            if need.is_met_by(&record, now) {
                return Ok(Renewal::Fresh(record));
            }
            if need.can_use(&record, now) {
                return Ok(Renewal::StillWorks(record, "a refresh is under way"));
            }
            // Whoever asks meanwhile must not get it.
            self.keep_report_if_new(&record, ask).await;
            if record.may_still_answer(time.now()) {
                // Spread out: a thousand callers of one token must not read in step. The few that wait longer wait it out.
                let spread = if need.wait() <= USUAL_WAIT { fastrand::f64() / 5.0 } else { 0.0 };
                let wait = wait.mul_f64(1.0 - spread);
                sample(Metric::LeaseWaits, wait.as_secs_f64() / MILLISECOND);
                sleep(wait).await;
            } else {
                self.platform.store.mark_refresh_unknown(&record, time.now()).await?;
                self.note_unanswered(&record, time.now()).await;
            }
            match self.platform.store.connection(&record.connection.id).await? {
                Some(current) => record = Box::new(current),
                None => return Ok(Renewal::Gone),
            }
            if need.is_met_by(&record, time.now()) {
                return Ok(Renewal::Fresh(record));
            }
        }
        Ok(Renewal::NotYet(2.into()))
    }

    /// Refused as before: where that is why the connection is blocked, its failure stands, with the page that it made.
    pub(super) async fn still_blocked(
        &self,
        record: &ConnectionRecord,
        cause: &'static Cause,
        now: Timestamp,
    ) -> Result<Option<Failure>, StoreError> {
        let ConnectionState::Blocked { failure, .. } = &record.connection.state else { return Ok(None) };
        let before = self.platform.store.failure(failure, now).await?;
        Ok(before.filter(|before| before.cause == cause.id))
    }

    /// Stops refreshing for a while: the token is good, and something else keeps it out.
    pub(super) async fn pause(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
    ) -> Result<Renewal, RefreshError> {
        let now = ask.time.now();
        let why = (!record.connection.scopes.grants("api")).then_some("the scope api was not granted");
        let evidence = evidence::our_own(Surface::Api, "tokens_rejected", why);
        let met =
            Observation::new(FailureSubject::Connection(&record.connection), ask.app, Stage::Api, evidence);
        let (failure, diagnosis) = diagnose(met, now);
        if self.platform.store.pause_refreshing(record, now + PAUSE, &failure).await? {
            return Ok(Renewal::stopped(Stop::Rejected, diagnosis.cause(), failure));
        }
        // Another caller with the same token came first, or there is a newer one.
        match self.platform.store.connection(&record.connection.id).await? {
            Some(current) => match &current.paused {
                Some(paused) => self.still_stopped(Stop::Rejected, &paused.failure, now).await,
                None => Ok(Self::meanwhile(Box::new(current), ask, "a refresh came between")),
            },
            None => Ok(Renewal::Gone),
        }
    }

    /// A grant without a refresh token ends with its access token.
    pub(super) async fn without_refresh_token(
        &self,
        record: Box<ConnectionRecord>,
        ask: Ask<'_>,
    ) -> Result<Renewal, RefreshError> {
        if ask.need.can_use(&record, ask.time.now()) {
            return Ok(Renewal::StillWorks(record, "this grant has no refresh token and will end"));
        }
        let evidence = evidence::our_own(Surface::TokenEndpoint, "refresh_token_missing", None);
        self.end(&record, ask, evidence).await
    }

    /// What an earlier call has found: the same answer, with the page that it made.
    pub(super) async fn still_stopped(
        &self,
        stop: Stop,
        failure: &FailureId,
        now: Timestamp,
    ) -> Result<Renewal, RefreshError> {
        // Failures are kept for a set time; the connection still says that it was stopped.
        let found = self.platform.store.failure(failure, now).await?;
        let cause = found.as_ref().and_then(|failure| diagnosis::cause(&failure.cause));
        Ok(Renewal::Stopped(Stopped {
            stop,
            cause: cause.unwrap_or_else(unknown_cause),
            failure: failure.clone(),
            incident: found.and_then(|failure| failure.incident),
            retry_after: None,
        }))
    }

    /// The old token while it works; else nothing for the moment.
    pub(super) fn meanwhile(record: Box<ConnectionRecord>, ask: Ask<'_>, why: &'static str) -> Renewal {
        if ask.need.can_use(&record, ask.time.now()) {
            Renewal::StillWorks(record, why)
        } else {
            Renewal::NotYet(5.into())
        }
    }
}
