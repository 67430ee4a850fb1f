//! The lease holder's part: send, save, and only then hand out.

use std::time::Duration;

use domain::{
    App, ConnectionState, ExpiryBasis, LearntLife,
    diagnosis::Actor,
    secret::{ConsumerSecret, RefreshToken},
};
use salesforce::{Distrust, Grant, LoginHost, Registration, Rotation, SalesforceError};
use service::failures::{diagnose, internal};
use store::{ConnectionRecord, Field, Lease, Renewed, Saved};
use telemetry::{Metric, add, step};
use tokio::time::{Instant, sleep, timeout};

use crate::{Ask, RefreshError, Refresher, Renewal, SEND, Stop, life, met, quarantine::is_same_identity};

/// How long a refusal that passes is met by trying again, where the caller has nothing else.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the write into the fallback may take. So much of an invocation is kept for it.
const FALLBACK: Duration = Duration::from_secs(3);

/// How long Salesforce may take to say how long a token lives. The token itself is safe by then.
const INTROSPECTION: Duration = Duration::from_secs(2);

/// Everything that a send needs, and that can fail without spending anything.
pub(crate) struct Prepared {
    pub(crate) host: LoginHost,
    pub(crate) secret: ConsumerSecret,
}

/// Where an answer is durable.
enum Kept {
    Stored(Box<ConnectionRecord>),
    Waiting,
    Superseded,
}

impl Refresher {
    pub(crate) async fn refresh(&self, lease: &Lease, ask: Ask<'_>) -> Result<Renewal, RefreshError> {
        // Everything that can fail without spending anything comes before *began*.
        let prepared = match self.prepare(lease.record(), ask).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.platform.store.release(lease).await?;
                return Err(error);
            }
        };
        let began = self.platform.store.begin_refresh(lease, &self.vault, ask.time.now());
        let Some(token) = step!("begin", began).await? else {
            return Ok(Renewal::NotYet(1));
        };
        if !ask.time.has(SEND) {
            self.platform.store.release(lease).await?;
            return Ok(Self::meanwhile(Box::new(lease.record().clone()), ask, "the table is slow"));
        }
        match step!("send", self.send(&prepared, lease, ask, &token)).await {
            Ok(grant) => step!("keep", self.keep(lease, ask, &prepared, grant)).await,
            Err(SalesforceError::Doubtful(doubtful)) => self.quarantine(lease, ask, &doubtful).await,
            Err(error) if error.may_have_spent(Rotation::Possible) => {
                internal(&error);
                // *Began* stays: the refresh token may be spent, and sending it again could end the grant.
                self.platform.store.abandon(lease).await?;
                let record = Box::new(lease.record().clone());
                Ok(Self::meanwhile(record, ask, "the last refresh was not answered"))
            }
            Err(error) => self.refused(lease, ask, &error).await,
        }
    }

    pub(crate) async fn prepare(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
    ) -> Result<Prepared, RefreshError> {
        let connection = &record.connection;
        let host = self
            .platform
            .salesforce
            .hosts()
            .readmit(&connection.login_host)
            .map_err(|_| RefreshError::Unconfigured(connection.id.to_string()))?;
        Ok(Prepared { host, secret: self.platform.secrets.consumer(&ask.app.secret).await?.current })
    }

    /// Sends the refresh token. Again only after an answer that spent nothing: while Salesforce says that it
    /// passes and the caller has no other token.
    pub(crate) async fn send(
        &self,
        prepared: &Prepared,
        lease: &Lease,
        ask: Ask<'_>,
        token: &RefreshToken,
    ) -> Result<Grant, SalesforceError> {
        let mut wait = Duration::from_millis(300);
        let began = Instant::now();
        loop {
            let error = match self.exchange(&prepared.host, ask.app, &prepared.secret, token).await {
                Err(error) if error.passes() => error,
                answer => return answer,
            };
            let patient = began.elapsed() + wait < PATIENCE && ask.time.has(wait + SEND);
            if !patient || ask.need.can_use(lease.record(), ask.time.now()) {
                return Err(error);
            }
            internal(&error);
            add(Metric::Retries, 1.0);
            sleep(wait).await;
            wait *= 2;
        }
    }

    /// Sends a refresh token once; once more if, and only if, Salesforce refused the consumer secret and there is
    /// another by now. Who calls this may use the token: by a lease, or by an import's journal.
    pub async fn exchange(
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
            Err(unread) => {
                internal(&unread);
                Err(refused)
            }
        }
    }

    /// Makes an answer durable, then hands it out.
    pub(crate) async fn keep(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        prepared: &Prepared,
        grant: Grant,
    ) -> Result<Renewal, RefreshError> {
        if !is_same_identity(&lease.record().connection, &grant) {
            return self.quarantine(lease, ask, &grant.as_doubtful(Distrust::Identity)).await;
        }
        let renewed = self.seal(lease, ask, &grant).await?;
        match self.save(lease, &renewed, ask).await? {
            Kept::Stored(record) => {
                self.report_instance(&record, ask, &grant).await;
                if ask.need.rejects(&record.access_fingerprint) {
                    // Salesforce handed the rejected token back: it is alive, and something else keeps it out.
                    return self.pause(&record, ask).await;
                }
                Ok(Renewal::Fresh(self.learn_life(record, ask, prepared, &grant).await))
            }
            Kept::Waiting => Ok(Renewal::Fresh(Box::new(renewed.on(lease.record())))),
            Kept::Superseded => {
                // A reconnect came between, and what it stored is newer; or the connection was deleted, which this holder
                // read when it took the lease. Either way this answer must not live on.
                if let Some(refresh) = &grant.refresh
                    && let Err(error) =
                        self.platform.salesforce.revoke(&prepared.host, refresh.expose()).await
                {
                    internal(&error);
                    self.fallback.keep_superseded(lease, &renewed).await?;
                }
                self.as_it_is(lease.record(), ask).await
            }
        }
    }

    /// Tells the operators about an instance that is no host of Salesforce's that we know. The grant is kept, with the
    /// last known one.
    async fn report_instance(&self, record: &ConnectionRecord, ask: Ask<'_>, grant: &Grant) {
        let Some(unknown) = &grant.unknown_instance else { return };
        let detail = format!("the answer's instance_url names {unknown}");
        let evidence =
            domain::Evidence::our_own(domain::Surface::TokenEndpoint, "instance_unknown", Some(&detail));
        if let Err(error) = self.platform.record_once(met(record, ask.app, evidence), ask.time.now()).await {
            internal(&error);
        }
    }

    /// What a caller gets of a connection that a reconnect has changed meanwhile.
    async fn as_it_is(&self, before: &ConnectionRecord, ask: Ask<'_>) -> Result<Renewal, RefreshError> {
        Ok(match self.platform.store.connection(&before.connection.id).await? {
            Some(record) if ask.need.can_use(&record, ask.time.now()) => Renewal::Fresh(Box::new(record)),
            Some(_) => Renewal::NotYet(1),
            None => Renewal::Gone,
        })
    }

    /// Writes an answer until the table takes it, or there is just time left to put it into the fallback.
    async fn save(&self, lease: &Lease, renewed: &Renewed, ask: Ask<'_>) -> Result<Kept, RefreshError> {
        let mut wait = Duration::from_millis(100);
        while ask.time.has(wait + FALLBACK) {
            // A write that is given up may still be carried out: its condition lets it do no harm.
            let write = self.platform.store.save_renewed(lease, renewed);
            match timeout(ask.time.left().saturating_sub(FALLBACK), write).await {
                Ok(Ok(Saved::Yes(record))) => return Ok(Kept::Stored(record)),
                Ok(Ok(Saved::Superseded | Saved::Gone)) => return Ok(Kept::Superseded),
                Ok(Err(error)) => {
                    internal(&error);
                    sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
                Err(_) => break,
            }
        }
        add(Metric::FallbackAnswers, 1.0);
        self.fallback.keep(lease, renewed).await?;
        Ok(Kept::Waiting)
    }

    async fn seal(&self, lease: &Lease, ask: Ask<'_>, grant: &Grant) -> Result<Renewed, RefreshError> {
        let (owner, record, now) = (lease.owner(), lease.record(), ask.time.now());
        let refresh_token = match &grant.refresh {
            Some(token) => {
                let sealed = self.vault.seal(owner, Field::RefreshToken, token.expose()).await?;
                Some((sealed, token.fingerprint()))
            }
            None => None,
        };
        let learnt = if ask.need.rejects(&record.access_fingerprint) {
            life::learnt_from_rejection(record.issued_at, now).or(record.learnt)
        } else {
            record.learnt
        };
        let (life, expiry_basis) = life::of_token(&grant.access, learnt, ask.app);
        // Counted from the earlier of the two clocks: a token must not be taken to outlive itself.
        let issued_at = grant.issued_at(now);
        let expires_at = issued_at + life;
        let instance_url = grant.instance_url(Some(&record.connection.instance_url));
        Ok(Renewed {
            access_token: self.vault.seal(owner, Field::AccessToken, grant.access.expose()).await?,
            access_fingerprint: grant.access.fingerprint(),
            refresh_token,
            instance_url: instance_url.unwrap_or_else(|| record.connection.instance_url.clone()),
            login_host: self.platform.salesforce.new_login_host(grant, &record.connection.login_host),
            scopes: grant.scopes.iter().next().is_some().then(|| grant.scopes.clone()),
            issued_at,
            expires_at,
            expiry_basis,
            learnt,
            rejections: ask.need.rejections(record, now),
            unasked: ask.need.is_by_sweep(),
            due: ask.due(issued_at, expires_at),
        })
    }

    /// Asks Salesforce how long the token lives, where the app allows it. Whatever goes wrong leaves what was
    /// taken before.
    async fn learn_life(
        &self,
        mut record: Box<ConnectionRecord>,
        ask: Ask<'_>,
        prepared: &Prepared,
        grant: &Grant,
    ) -> Box<ConnectionRecord> {
        if !ask.app.introspect || record.expiry_basis == ExpiryBasis::Token {
            return record;
        }
        let Prepared { host, secret } = prepared;
        let registration = Registration { consumer_key: &ask.app.consumer_key, secret };
        let salesforce = &self.platform.salesforce;
        let asked = salesforce.introspected_life(host, registration, &grant.access);
        let life = match timeout(INTROSPECTION, asked).await {
            Ok(Ok(Some(life))) => life::believed(life),
            Ok(Ok(None)) | Err(_) => return record,
            Ok(Err(error)) => {
                internal(&error);
                return record;
            }
        };
        let learnt = LearntLife { life, basis: ExpiryBasis::Introspection };
        let expires_at = record.issued_at + life;
        if (record.learnt, record.expires_at) == (Some(learnt), expires_at) {
            return record;
        }
        let due = ask.due(record.issued_at, expires_at);
        if let Err(error) = self.platform.store.learn_life(&record, learnt, expires_at, due).await {
            internal(&error);
            return record;
        }
        (record.learnt, record.expires_at, record.expiry_basis) = (Some(learnt), expires_at, learnt.basis);
        record
    }

    /// What a refusal means: it passes, it is ours, or only a person helps. It spent nothing, and its meaning
    /// decides whether the customer's connection changes.
    async fn refused(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        error: &SalesforceError,
    ) -> Result<Renewal, RefreshError> {
        let (record, now) = (lease.record(), ask.time.now());
        let met = met(record, ask.app, error.evidence()).because(error);
        let cause = met.diagnosis().cause();
        match cause.actor {
            Actor::EndUser | Actor::Admin => {
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
                let (stop, state) = if cause.actor == Actor::EndUser {
                    (Stop::Reauthorize, ConnectionState::NeedsReauth { since: now, failure: id })
                } else {
                    (Stop::Blocked, ConnectionState::Blocked { since: now, failure: id })
                };
                let (stopped, failure) = self.stop(record, &state, failure).await?;
                if stopped {
                    Ok(Renewal::stopped(stop, cause, failure))
                } else {
                    // A reconnect came between, and may have revoked what was sent.
                    self.as_it_is(record, ask).await
                }
            }
            Actor::Wait => {
                self.platform.store.release(lease).await?;
                self.platform.record_once(met, now).await?;
                let record = Box::new(record.clone());
                Ok(Self::meanwhile(record, ask, "Salesforce could not refresh it just now"))
            }
            Actor::Vendor => {
                self.platform.store.release(lease).await?;
                let recorded = self.platform.record_once(met, now).await?;
                Ok(if ask.need.can_use(record, now) {
                    Renewal::StillWorks(Box::new(record.clone()), "Salesforce refuses the app's refreshes")
                } else {
                    Renewal::refused(Stop::Incident, cause, recorded)
                })
            }
        }
    }
}
