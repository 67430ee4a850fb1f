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
//! | this file | what a caller asks for and what it gets |
//! | `turn` | a caller's turn: the stored token, the lease, or another caller's result |
//! | `refusal` | what a refusal does: a stop or a backoff |
//! | `verdict` | what an error of the token endpoint means |
//! | `single_flight` | several requests at once in one process: one goes to the lease, the others wait for it |
//! | `health` | whether anything may be sent for an app and to a host, and what an answer tells of both |
//! | `held` | what a caller gets while nothing may be sent |
//! | `send` | the lease holder's part: send, save, hand out; what a refusal means |
//! | `quarantine` | answers that fail a check: kept, released, discarded |
//! | `recover` | after an answer was lost: the fallback, then the recovery |
//! | `fallback` | the sweep's part: answers that wait go where they belong |
//! | [`need`] | what a caller needs of a token |
//! | [`token_lifetime`] | how long a token lives, learnt |

mod fallback;
pub(crate) mod health;
mod held;
pub mod need;
mod quarantine;
mod recover;
mod refusal;
mod send;
mod single_flight;
pub mod token_lifetime;
mod turn;
pub(crate) mod verdict;

use crate::incidents::count_incident;
use diagnosis::evidence;
use std::time::Duration;

use crate::record_failure::{FailureSubject, Observation, diagnose};
use diagnosis::{Cause, Context};
use domain::{
    App, AppKind, ConnectionId, ConnectionState, Evidence, Failure, FailureId, Incident, SaturatingTime as _,
    Stage,
};
use jiff::Timestamp;
use platform::{Deadline, Platform, SettingError, log::internal};
use store::{ConnectionRecord, Fallback, SecretError, StoreError, TokenCipher, leases::BeginError};
use telemetry::{refreshed, step};

use single_flight::Flights;

pub use fallback::Emptied;
pub use held::{REPORTED, RetryLater};
pub use need::{MAX_WAIT, Need};
pub use quarantine::ImportAnswer;
pub(crate) use recover::{UNKNOWN_FOR, question_wait};
pub(crate) use send::{FALLBACK, KEEP_WITHIN, ONE_WRITE, SLOW_START};

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

/// What a send may take: an answer that comes at the last moment (15 s), and its way into table or fallback. With
/// less time left nothing is sent: Lambda would end the only process that has the answer.
pub const SEND: Duration = Duration::from_secs(22);

/// What a refresh may take, with the writes that come before its send. With less time left none is begun.
pub const REFRESH: Duration = Duration::from_secs(23);

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
            self.keep_report_if_new(read, ask).await;
            return Ok(None);
        }
        if matches!(renewed, Ok(Renewal::StillWorks(..))) {
            return Ok(None);
        }
        self.test_rejected(read, ask).await
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
