//! The refresh protocol (design: *Token*): of all callers, over all functions, one sends the refresh token.
//!
//! 1. Take the lease. Whoever does not get it uses the old token while that works, else waits for the
//!    holder's result.
//! 2. Write *began*; only then open and send the refresh token.
//! 3. Save the answer on condition that the stored refresh token is still the one that was sent; what the table
//!    does not take waits in the fallback. Only then hand anything out.
//! 4. An answer that never came leaves *began* standing: the connection becomes `refresh_unknown`, nobody
//!    sends in the ordinary way, and the old token is served while it works. Then, once the host is known to answer,
//!    one journaled recovery. Where the app does not rotate refresh tokens it is simply sent again.
//! 5. A refusal that is not known to be final sets a time before which nobody sends, growing from 5 s to 5 min.
//!
//! | module | holds |
//! | --- | --- |
//! | this file | what a caller goes through: its turn, its patience, its answer |
//! | `single_flight` | several requests at once in one process: one goes to the lease, the others wait for it |
//! | `health` | whether anything may be sent for an app and to a host, and what an answer tells of both |
//! | `held` | what a caller gets while nothing may be sent |
//! | `send` | the lease holder's part: send, save, hand out; what a refusal means |
//! | `quarantine` | answers that fail a check: kept, released, discarded |
//! | `recover` | after an answer was lost: the fallback, then the one recovery |
//! | [`need`] | what a caller needs of a token |
//! | [`token_lifetime`] | how long a token lives, learnt |

mod health;
mod held;
pub mod need;
mod quarantine;
mod recover;
mod send;
mod single_flight;
pub mod token_lifetime;

use crate::incidents::count_incident;
use diagnosis::evidence;
use std::time::Duration;

use crate::record_failure::{FailureSubject, Observation, diagnose};
use diagnosis::{Cause, Context};
use domain::{
    App, AppKind, ConnectionId, ConnectionState, Evidence, Failure, FailureId, Incident, SaturatingTime as _,
    Stage, Surface,
};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, Platform, SettingError, log::internal};
use store::{
    ConnectionRecord, Fallback, LeaseOutcome, SecretError, StoreError, TokenCipher, leases::BeginError,
};
use telemetry::{Metric, emf::MILLISECOND, refreshed, sample, step};
use tokio::time::{Instant, sleep};

use need::USUAL_WAIT;
use single_flight::{Ended, Flights, Turn};

pub use held::{REPORTED, RetryLater};
pub use need::{MAX_WAIT, Need};
pub use quarantine::ImportAnswer;
pub use recover::Emptied;

/// Refreshes connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Refresher {
    platform: Platform,
    cipher: TokenCipher,
    fallback: Fallback,
    flights: Flights,
}

/// What became of a call that needs a newer token than the stored one.
#[derive(Debug)]
pub enum Renewal {
    /// There is a newer token.
    Fresh(Box<ConnectionRecord>),
    /// There is none, but the old one works for all we know.
    StillWorks(Box<ConnectionRecord>, &'static str),
    /// There is none now.
    NotYet(RetryLater),
    /// Only a person helps.
    Stopped(Stopped),
    /// The connection is gone, or on its way out.
    Gone,
}

impl Renewal {
    /// The word that it is counted under.
    fn word(&self) -> telemetry::Refresh {
        use telemetry::Refresh;
        match self {
            Self::Fresh(_) => Refresh::Fresh,
            Self::StillWorks(..) => Refresh::StillWorks,
            Self::NotYet(_) => Refresh::NotYet,
            Self::Stopped(Stopped { stop: Stop::Reauthorize, .. }) => Refresh::Reauthorize,
            Self::Stopped(Stopped { stop: Stop::Blocked, .. }) => Refresh::Blocked,
            Self::Stopped(Stopped { stop: Stop::Incident, .. }) => Refresh::Incident,
            Self::Stopped(Stopped { stop: Stop::Rejected, .. }) => Refresh::Rejected,
            Self::Gone => Refresh::Gone,
        }
    }
}

/// Why there is no token, and who can change it.
#[derive(Debug)]
pub struct Stopped {
    /// Who has to act.
    pub stop: Stop,
    /// Why.
    pub cause: &'static Cause,
    /// The failure, with its help page.
    pub failure: FailureId,
    /// The wave that it is part of: then it is not this customer's alone.
    pub incident: Option<Incident>,
    /// After how many seconds it is tried again, where it is.
    pub retry_after: Option<u32>,
}

/// Who has to act before there is a token again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The user, by connecting again.
    Reauthorize,
    /// An admin of the org.
    Blocked,
    /// The product's own engineers: the customer's connection is as it was.
    Incident,
    /// Salesforce rejects fresh tokens too: refreshing is not the cure.
    Rejected,
}

/// A refresh could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What was superseded could not be revoked; it stays in the fallback.
    #[error(transparent)]
    Salesforce(#[from] salesforce::SalesforceError),
    /// The connection names a login host that is none of Salesforce's any more.
    #[error("connection {0}: its login host is not one of Salesforce's")]
    Unconfigured(String),
    /// An answer waits in the fallback for a connection that the table does not have; it stays there.
    #[error(
        "connection {0} is gone, and an answer waits for it: if the table was lost, restore it (docs/deploy.md)"
    )]
    Gone(ConnectionId),
}

impl RefreshError {
    /// Whether it says nothing of the connection: a table or a secret could not be used.
    fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(error, StoreError::Corrupt { .. }),
            Self::Secret(_) => true,
            Self::Salesforce(_) | Self::Unconfigured(_) | Self::Gone(_) => false,
        }
    }
}

impl Renewal {
    fn stopped(stop: Stop, cause: &'static Cause, failure: Failure) -> Self {
        let Failure { id, incident, .. } = failure;
        Self::Stopped(Stopped { stop, cause, failure: id, incident, retry_after: None })
    }
}

impl From<BeginError> for RefreshError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Secret(error) => error.into(),
            BeginError::Store(error) => error.into(),
        }
    }
}

/// A caller's need, and what it has to meet it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    app: &'a App,
    need: &'a Need,
    time: &'a Deadline,
}

impl Ask<'_> {
    /// When the sweep has to look at what was fetched: ahead of the token's end if it is in use, else to keep the
    /// grant alive.
    fn due(&self, issued_at: Timestamp, expires_at: Timestamp) -> Timestamp {
        if self.need.is_by_sweep() {
            self.time.now().later_by(self.app.keep_alive())
        } else {
            token_lifetime::ahead(issued_at, expires_at)
        }
    }
}

/// How often a caller looks while it waits for another's refresh: with the read before, four reads at most. The first look comes after a usual
/// exchange's few hundred milliseconds; who looks too soon pays with the whole second wait.
const WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_millis(600), Duration::from_millis(1800)];

/// How often it looks after that, where the caller waits longer.
const NEXT_WAIT: Duration = Duration::from_millis(2400);

/// The waits of a caller that waits so long.
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

/// What a send may take: an answer that comes at the last moment (15 s), and its way into table or fallback. With
/// less time left nothing is sent: Lambda would end the only process that has the answer.
pub const SEND: Duration = Duration::from_secs(22);

/// What a refresh may take, with the writes that come before its send. With less time left none is begun.
pub const REFRESH: Duration = Duration::from_secs(23);

/// After this long a refused connection is tried again: the admin may have acted.
const RETRY_BLOCKED: SignedDuration = SignedDuration::from_mins(1);

/// So many fresh tokens in a row, rejected, and refreshing is not the cure.
const REJECTIONS: u32 = 2;

/// For so long refreshing is then not tried.
const PAUSE: SignedDuration = SignedDuration::from_mins(10);

impl Refresher {
    /// The protocol on this platform.
    pub fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self {
            cipher: platform.token_cipher()?,
            fallback: platform.fallback()?,
            flights: Flights::default(),
            platform,
        })
    }

    /// A newer token than the stored one, from whoever fetches it. `record` was read at `time.now()`.
    pub async fn renew(
        &self,
        record: ConnectionRecord,
        app: &App,
        need: &Need,
        time: &Deadline,
    ) -> Result<Renewal, RefreshError> {
        let read = record.clone();
        let mut renewed = Box::pin(step!("refresh", self.turn(record, app, need, time))).await;
        if !matches!(&renewed, Ok(Renewal::Fresh(_) | Renewal::Gone)) {
            let ask = Ask { app, need, time };
            match Box::pin(self.heed_reports(&read, ask, &renewed)).await {
                Ok(Some(tested)) => renewed = Ok(tested),
                Ok(None) => {}
                // Whether a token was reported is no reason to answer worse than without.
                Err(error) => drop(internal(&error)),
            }
        }
        refreshed(renewed.as_ref().map_or(telemetry::Refresh::Error, Renewal::word));
        match renewed {
            // A table or a secret that cannot be used takes no token away that works.
            Err(error) if error.is_transient() && need.can_use(&read, time.now()) => {
                internal(&error);
                Ok(Renewal::StillWorks(Box::new(read), "the refresh could not be finished"))
            }
            renewed => renewed,
        }
    }

    /// After a call that brought no new token: keeps what its caller reported, or, where another caller's report keeps
    /// the stored token from this one, tests that token.
    async fn heed_reports(
        &self,
        read: &ConnectionRecord,
        ask: Ask<'_>,
        renewed: &Result<Renewal, RefreshError>,
    ) -> Result<Option<Renewal>, RefreshError> {
        if ask.need.rejects(&read.access_fingerprint) {
            if read.rejected.is_none_or(|rejected| rejected.works) {
                self.keep_report(read, ask.time.now()).await?;
            }
            return Ok(None);
        }
        if matches!(renewed, Ok(Renewal::StillWorks(..))) {
            return Ok(None);
        }
        self.test_rejected(read, ask).await
    }

    async fn turn(
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
        match self.flights.join(&record.connection.id) {
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
            Turn::After(waiting) => match waiting.wait(patience).await {
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
            },
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
                    if now < record.refused_at.unwrap_or(*since) + RETRY_BLOCKED =>
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
            if let Some(paused) = record.paused.clone().filter(|paused| now < paused.until) {
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
                // Where a refresh token cannot be spent, one that was not answered is sent again at once.
                let again = record.began_at.is_some() && health.app.rotates == Some(false);
                if record.began_at.is_none() || again {
                    if let Err(held) = self.may_send(&record, ask, &health).await {
                        return self.held(record, ask, &health.app, held).await;
                    }
                    let rejected = need.rejects(&record.access_fingerprint);
                    let store = &self.platform.store;
                    let leased = if again {
                        step!("lease", store.lease_again(&record, now)).await?
                    } else {
                        step!("lease", store.lease(&record, rejected, now)).await?
                    };
                    match leased {
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
    async fn still_blocked(
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
    async fn pause(&self, record: &ConnectionRecord, ask: Ask<'_>) -> Result<Renewal, RefreshError> {
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
    async fn without_refresh_token(
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

    /// Ends a grant that can give no more tokens, whoever is to blame: only connecting again helps.
    async fn end(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
        evidence: Evidence,
    ) -> Result<Renewal, RefreshError> {
        let now = ask.time.now();
        let (failure, diagnosis) = diagnose(met(record, ask.app, evidence), now);
        let state = ConnectionState::NeedsReauth { since: now, failure: failure.id.clone() };
        let (stopped, failure) = self.stop(record, &state, failure).await?;
        if stopped {
            return Ok(Renewal::stopped(Stop::Reauthorize, diagnosis.cause(), failure));
        }
        // Another process was first, and this failure was not recorded: its help page does not exist.
        match self.platform.store.connection(&record.connection.id).await? {
            Some(current) => match &current.connection.state {
                ConnectionState::NeedsReauth { failure, .. } => {
                    self.still_stopped(Stop::Reauthorize, failure, now).await
                }
                _ if ask.need.can_use(&current, now) => Ok(Renewal::Fresh(Box::new(current))),
                _ => Ok(Renewal::NotYet(1.into())),
            },
            None => Ok(Renewal::Gone),
        }
    }

    /// Moves a connection to the state that a permanent refusal means, and records the failure with the wave that it
    /// is part of. `false`: a reconnect came between, and the connection is as that left it.
    async fn stop(
        &self,
        record: &ConnectionRecord,
        state: &ConnectionState,
        mut failure: Failure,
    ) -> Result<(bool, Failure), StoreError> {
        // A connection that is tried while it is blocked has been counted.
        if !matches!(record.connection.state, ConnectionState::Blocked { .. }) {
            failure.incident = count_incident(&self.platform, &failure, failure.at).await;
        }
        let stopped = self.platform.store.stop_connection(record, state, &failure).await?;
        Ok((stopped, failure))
    }

    /// What an earlier call has found: the same answer, with the page that it made.
    async fn still_stopped(
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
    fn meanwhile(record: Box<ConnectionRecord>, ask: Ask<'_>, why: &'static str) -> Renewal {
        if ask.need.can_use(&record, ask.time.now()) {
            Renewal::StillWorks(record, why)
        } else {
            Renewal::NotYet(5.into())
        }
    }
}

fn met<'a>(record: &'a ConnectionRecord, app: &'a App, evidence: Evidence) -> Observation<'a> {
    Observation::new(FailureSubject::Connection(&record.connection), app, Stage::Refresh, evidence)
}

fn unknown_cause() -> &'static Cause {
    let evidence = evidence::token_endpoint(None, None, None);
    let context = Context {
        stage: Stage::Refresh,
        app_kind: AppKind::ConnectedApp,
        environment: None,
        connected_before: None,
    };
    diagnosis::diagnose(&evidence, &context).cause()
}
