//! The refresh protocol (design: *Token*): of all callers, over all functions, one sends the refresh token.
//!
//! 1. Take the lease. Whoever does not get it uses the old token while that works, else waits for the
//!    holder's result.
//! 2. Write *began*; only then open and send the refresh token.
//! 3. Save the answer on condition that the stored refresh token is still the one that was sent; only then
//!    hand anything out.
//! 4. An answer that never came leaves *began* standing: the connection becomes `refresh_unknown`, nobody
//!    sends in the ordinary way, and the old token is served while it works. Then one journalled recovery.

use std::time::Duration;

use domain::{
    App, AppKind, ConnectionState, Evidence, FailureId, Stage, Surface,
    diagnosis::{Actor, Cause, Context},
    secret::{ConsumerSecret, RefreshToken},
};
use jiff::{SignedDuration, Timestamp};
use salesforce::{Grant, LoginHost, Registration, SalesforceError};
use service::failures::{Met, Of, diagnose, internal};
use store::{
    ConnectionRecord, Field, Lease, Leased, Saved,
    leases::{LEASE, RECOVERY_AFTER, Renewed},
};
use tokio::time::{Instant, sleep};

use crate::{Token, error::Failed, hand_out::Need};

/// What became of a call that needs a newer token than the stored one.
#[derive(Debug)]
pub(crate) enum Renewal {
    /// There is a newer token.
    Fresh(Box<ConnectionRecord>),
    /// There is none, but the old one works for all we know.
    StillWorks(Box<ConnectionRecord>, &'static str),
    /// There is none yet; ask again after so many seconds.
    NotYet(u32),
    /// Only a person helps.
    Stopped(Stop, &'static Cause, FailureId),
    /// The connection is gone.
    Gone,
}

/// Who has to act before there is a token again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The user, by connecting again.
    Reauthorize,
    /// An admin of the org.
    Blocked,
    /// The product's own engineers: the customer's connection is as it was.
    Incident,
}

/// How long a caller waits for another's refresh, and how often it looks: four reads at most.
const WAITS: [Duration; 4] = [
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_millis(900),
    Duration::from_millis(1100),
];

/// How often the write of a refreshed token is tried beyond the SDK's own tries: the answer is nowhere else.
const SAVES: u32 = 4;

/// After this long a refused connection is tried again: the admin may have acted.
const RETRY_BLOCKED: SignedDuration = SignedDuration::from_mins(1);

impl Token {
    pub(crate) async fn renew(
        &self,
        record: ConnectionRecord,
        app: &App,
        need: &Need,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        let entered = Instant::now();
        let later = || now + SignedDuration::try_from(entered.elapsed()).unwrap_or_default();
        let mut record = Box::new(record);
        for wait in WAITS {
            match &record.connection.state {
                ConnectionState::NeedsReauth { failure, .. } => {
                    return self.still_stopped(Stop::Reauthorize, failure, now).await;
                }
                ConnectionState::Blocked { since, failure } if now < *since + RETRY_BLOCKED => {
                    return self.still_stopped(Stop::Blocked, failure, now).await;
                }
                ConnectionState::RefreshUnknown { since } => {
                    let since = *since;
                    return self.recover(record, app, need, since, now).await;
                }
                _ => {}
            }
            if record.refresh_token.is_none() {
                return self.without_refresh_token(record, app, need, now).await;
            }
            match self.platform.store.lease(&record, later()).await? {
                Leased::Yes(lease) => return self.refresh(&lease, app, need, later()).await,
                Leased::Gone => return Ok(Renewal::Gone),
                Leased::No(current) => record = current,
            }
            if need.is_met_by(&record, now) {
                return Ok(Renewal::Fresh(record));
            }
            if need.can_use(&record, now) {
                return Ok(Renewal::StillWorks(record, "a refresh is under way; this token still works"));
            }
            if record.may_still_answer(later()) {
                // Spread out: a thousand callers of one token must not read in step.
                let spread = u64::from(domain::secret::random::<1>()[0]);
                sleep(wait * 3 / 4 + Duration::from_millis(spread)).await;
            } else {
                self.platform.store.mark_refresh_unknown(&record, later()).await?;
            }
            match self.platform.store.connection(&record.connection.id).await? {
                Some(current) => record = Box::new(current),
                None => return Ok(Renewal::Gone),
            }
            if let Some(refused) = Self::refused(&record) {
                return Err(refused.into());
            }
            if need.is_met_by(&record, now) {
                return Ok(Renewal::Fresh(record));
            }
        }
        Ok(Renewal::NotYet(2))
    }

    /// The holder's part: send once, save, and only then hand out.
    async fn refresh(
        &self,
        lease: &Lease,
        app: &App,
        need: &Need,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        // Everything that can fail without spending anything comes before *began*.
        let prepared = self.prepare(lease.record(), app).await;
        let (host, secret) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.platform.store.release(lease).await?;
                return Err(error);
            }
        };
        let Some(token) = self.platform.store.begin_refresh(lease, &self.vault, now).await? else {
            return Ok(Renewal::NotYet(1));
        };
        match self.send(&host, app, &secret, &token).await {
            Ok(grant) => self.keep(lease, app, need, &host, grant, now).await,
            Err(error) => self.refused_by_salesforce(lease, app, need, &error, now).await,
        }
    }

    async fn prepare(
        &self,
        record: &ConnectionRecord,
        app: &App,
    ) -> Result<(LoginHost, ConsumerSecret), Failed> {
        let connection = &record.connection;
        let host = self
            .platform
            .salesforce
            .hosts()
            .readmit(&connection.login_host)
            .map_err(|_| Failed::Unconfigured(connection.id.to_string()))?;
        Ok((host, self.platform.secrets.consumer(&app.secret).await?.current))
    }

    /// Sends the refresh token; once more if, and only if, Salesforce refused the consumer secret and there is
    /// another by now.
    async fn send(
        &self,
        host: &LoginHost,
        app: &App,
        secret: &ConsumerSecret,
        token: &RefreshToken,
    ) -> Result<Grant, SalesforceError> {
        let registration = Registration { consumer_key: &app.consumer_key, secret };
        let refused = match self.platform.salesforce.refresh(host, registration, token).await {
            Err(error) if error.is_invalid_client() => error,
            answer => return answer,
        };
        match self.platform.secrets.other_consumer(&app.secret, secret).await {
            Ok(Some(other)) => {
                let registration = Registration { secret: &other, ..registration };
                self.platform.salesforce.refresh(host, registration, token).await
            }
            Ok(None) => Err(refused),
            Err(error) => {
                internal(&error);
                Err(refused)
            }
        }
    }

    /// Makes an answer durable, then hands it out.
    async fn keep(
        &self,
        lease: &Lease,
        app: &App,
        need: &Need,
        host: &LoginHost,
        grant: Grant,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        let held = &lease.record().connection.identity;
        if !grant.identity.org.same_as(&held.org) || !grant.identity.user.same_as(&held.user) {
            let evidence = Evidence::our_own(Surface::TokenEndpoint, "identity_mismatch", None);
            return self.end(lease.record(), app, evidence, now).await;
        }
        let renewed = self.seal(lease, app, &grant).await?;
        let mut tries = 1;
        let saved = loop {
            match self.platform.store.save_renewed(lease, &renewed).await {
                Err(error) if tries < SAVES => {
                    internal(&error);
                    sleep(Duration::from_millis(100) * tries).await;
                    tries += 1;
                }
                result => break result?,
            }
        };
        match saved {
            Saved::Yes(record) => Ok(Renewal::Fresh(record)),
            Saved::Superseded => {
                // A reconnect came between: what it stored is newer, and this answer must not live on.
                if let Some(refresh) = &grant.refresh
                    && let Err(error) = self.platform.salesforce.revoke(host, refresh.expose()).await
                {
                    internal(&error);
                }
                self.as_it_is(lease.record(), need, now).await
            }
        }
    }

    /// What a caller gets of a connection that a reconnect has changed meanwhile.
    async fn as_it_is(
        &self,
        before: &ConnectionRecord,
        need: &Need,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        Ok(match self.platform.store.connection(&before.connection.id).await? {
            Some(record) if need.can_use(&record, now) => Renewal::Fresh(Box::new(record)),
            Some(_) => Renewal::NotYet(1),
            None => Renewal::Gone,
        })
    }

    async fn seal(&self, lease: &Lease, app: &App, grant: &Grant) -> Result<Renewed, Failed> {
        let owner = lease.owner();
        let refresh_token = match &grant.refresh {
            Some(token) => {
                let sealed = self.vault.seal(owner, Field::RefreshToken, token.expose()).await?;
                Some((sealed, token.fingerprint()))
            }
            None => None,
        };
        Ok(Renewed {
            access_token: self.vault.seal(owner, Field::AccessToken, grant.access.expose()).await?,
            access_fingerprint: grant.access.fingerprint(),
            refresh_token,
            instance_url: grant.instance_url.clone(),
            scopes: grant.scopes.iter().next().is_some().then(|| grant.scopes.clone()),
            issued_at: grant.issued_at,
            expires_at: grant.issued_at + app.access_token_life(),
        })
    }

    /// What an error means: it passes, it is ours, only a person helps, or nobody knows whether the token
    /// was spent.
    async fn refused_by_salesforce(
        &self,
        lease: &Lease,
        app: &App,
        need: &Need,
        error: &SalesforceError,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        if error.may_have_spent() {
            internal(error);
            // *Began* stays: the refresh token may be spent, and sending it again could end the grant.
            self.platform.store.abandon(lease).await?;
            return Ok(Self::meanwhile(lease, need, now, "the last refresh was not answered"));
        }
        // A refusal: it spent nothing. What it means decides whether the customer's connection changes.
        let record = lease.record();
        let (failure, diagnosis) = diagnose(met(record, app, error.evidence()).because(error), now);
        let (cause, since) = (diagnosis.cause(), now);
        match cause.actor {
            Actor::EndUser => {
                let state = ConnectionState::NeedsReauth { since, failure: failure.id.clone() };
                if self.platform.store.stop_connection(record, &state, &failure).await? {
                    Ok(Renewal::Stopped(Stop::Reauthorize, cause, failure.id))
                } else {
                    // A reconnect came between and has revoked what was sent.
                    self.as_it_is(record, need, now).await
                }
            }
            Actor::Admin => {
                let state = ConnectionState::Blocked { since, failure: failure.id.clone() };
                self.platform.store.stop_connection(record, &state, &failure).await?;
                Ok(Renewal::Stopped(Stop::Blocked, cause, failure.id))
            }
            Actor::Wait => {
                self.platform.store.release(lease).await?;
                Ok(Self::meanwhile(lease, need, now, "Salesforce could not refresh it just now"))
            }
            Actor::Vendor => {
                self.platform.store.release(lease).await?;
                self.platform.store.record_failure(&failure).await?;
                Ok(if need.can_use(record, now) {
                    Renewal::StillWorks(Box::new(record.clone()), "Salesforce refuses the app's refreshes")
                } else {
                    Renewal::Stopped(Stop::Incident, cause, failure.id)
                })
            }
        }
    }

    /// Ends a grant that can give no more tokens, whoever is to blame: only connecting again helps.
    async fn end(
        &self,
        record: &ConnectionRecord,
        app: &App,
        evidence: Evidence,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        let (failure, diagnosis) = diagnose(met(record, app, evidence), now);
        let state = ConnectionState::NeedsReauth { since: now, failure: failure.id.clone() };
        self.platform.store.stop_connection(record, &state, &failure).await?;
        Ok(Renewal::Stopped(Stop::Reauthorize, diagnosis.cause(), failure.id))
    }

    fn meanwhile(lease: &Lease, need: &Need, now: Timestamp, why: &'static str) -> Renewal {
        if need.can_use(lease.record(), now) {
            Renewal::StillWorks(Box::new(lease.record().clone()), why)
        } else {
            Renewal::NotYet(5)
        }
    }

    /// A refresh was begun and never answered. The old token is served while it works; then, once, and no
    /// sooner than the first sender can still be alive, the refresh token is sent again.
    async fn recover(
        &self,
        record: Box<ConnectionRecord>,
        app: &App,
        need: &Need,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        if need.can_use(&record, now) {
            return Ok(Renewal::StillWorks(record, "a refresh was not answered; this token still works"));
        }
        let due = since + RECOVERY_AFTER;
        if now < due {
            let seconds = (due - now).get_seconds();
            return Ok(Renewal::NotYet(u32::try_from(seconds).unwrap_or(1).max(1)));
        }
        if let Some(recovered_at) = record.recovered_at {
            // Whoever recovers is alive for as long as its lease; after that nobody knows, and there is no second.
            if now < recovered_at + LEASE {
                return Ok(Renewal::NotYet(2));
            }
            let evidence = Evidence::our_own(Surface::TokenEndpoint, "answer_lost", None);
            return self.end(&record, app, evidence, now).await;
        }
        // Everything that can fail without spending anything comes before the mark.
        let (host, secret) = self.prepare(&record, app).await?;
        let Leased::Yes(lease) = self.platform.store.lease_recovery(&record, now).await? else {
            return Ok(Renewal::NotYet(2));
        };
        let token = self.platform.store.open_for_recovery(&lease, &self.vault).await?;
        match self.send(&host, app, &secret, &token).await {
            Ok(grant) => self.keep(&lease, app, need, &host, grant, now).await,
            Err(error) => {
                internal(&error);
                let evidence = Evidence::our_own(Surface::TokenEndpoint, "answer_lost", None);
                self.end(lease.record(), app, evidence, now).await
            }
        }
    }

    /// A grant without a refresh token ends with its access token.
    async fn without_refresh_token(
        &self,
        record: Box<ConnectionRecord>,
        app: &App,
        need: &Need,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        if need.can_use(&record, now) {
            return Ok(Renewal::StillWorks(record, "this grant has no refresh token and will end"));
        }
        let evidence = Evidence::our_own(Surface::TokenEndpoint, "refresh_token_missing", None);
        self.end(&record, app, evidence, now).await
    }

    /// What an earlier call has found: the same answer, with the page that it made.
    async fn still_stopped(
        &self,
        stop: Stop,
        failure: &FailureId,
        now: Timestamp,
    ) -> Result<Renewal, Failed> {
        let cause = self.platform.store.failure(failure, now).await?.map(|failure| failure.cause);
        let cause = cause.and_then(|id| domain::diagnosis::cause(&id));
        // Failures are kept for a set time; the connection still says that it was stopped.
        Ok(Renewal::Stopped(stop, cause.unwrap_or_else(unknown_cause), failure.clone()))
    }
}

fn met<'a>(record: &'a ConnectionRecord, app: &'a App, evidence: Evidence) -> Met<'a> {
    Met::new(Of::Connection(&record.connection), app, Stage::Refresh, evidence)
}

fn unknown_cause() -> &'static Cause {
    let evidence = Evidence::token_endpoint(None, None, None);
    let context = Context {
        stage: Stage::Refresh,
        app_kind: AppKind::ConnectedApp,
        environment: None,
        connected_before: None,
    };
    domain::diagnosis::diagnose(&evidence, &context).cause()
}
