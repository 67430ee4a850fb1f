//! The lease holder's part: send, save, and only then hand out.

use crate::{
    introspection::{TokenWord, ask_about},
    record_failure::record_once,
    refresh::{
        Ask, RefreshError, Refresher, Renewal, SEND,
        health::Told,
        met,
        quarantine::for_same_identity,
        token_lifetime,
        verdict::{may_have_spent, told_by_silence},
    },
};
use diagnosis::evidence;
use domain::{
    App, ExpiryBasis, LearntLife,
    secret::{ConsumerSecret, RefreshToken},
};
use platform::log::internal;
use salesforce::{Grant, LoginHost, Registration, SalesforceError, TOKEN_ENDPOINT_TIMEOUT};
use std::time::Duration;
use store::{Backoff, ConnectionRecord, Field, Health, Lease, RefreshedTokens, SaveOutcome, StoreError};
use telemetry::{Metric, add, step};
use tokio::time::{Instant, sleep, timeout};

/// How long *refresh started* may take to be written. After a longer wait the lease no longer covers an answer.
pub(crate) const SLOW_START: Duration = Duration::from_secs(3);

/// How long after *refresh started* an answer is in the table or the fallback at the latest, as long as either takes
/// it: a lease's length less a reserve.
pub(crate) const KEEP_WITHIN: Duration = Duration::from_secs(20);

/// How much of that is kept for the write into the fallback.
pub(crate) const FALLBACK: Duration = Duration::from_secs(3);

/// How long one try to write an answer may take.
pub(crate) const ONE_WRITE: Duration = Duration::from_secs(4);

/// Minimum time left for a refresh with another consumer secret: an answer that is cut off may be the only copy of a
/// rotated token.
const MIN_SECOND_TRY: Duration = Duration::from_secs(10);

/// How long Salesforce may take to say what it knows of a token. The token itself is safe by then, or superseded.
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
    pub(crate) async fn refresh(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        health: &Health,
    ) -> Result<Renewal, RefreshError> {
        // Everything that can fail without spending anything comes before *began*.
        let prepared = match self.prepare(lease.record(), ask).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.give_back(lease, None).await;
                return Err(error);
            }
        };
        let started = Instant::now();
        let began = self.platform.store.begin_refresh(lease, &self.cipher, ask.time.now());
        let token = match step!("begin", began).await {
            Ok(Some(token)) => token,
            Ok(None) => return Ok(Renewal::NotYet(1.into())),
            Err(error) => {
                // Nothing was sent. A *began* that arrives after this finds no lease and is refused.
                self.give_back(lease, None).await;
                return Err(error.into());
            }
        };
        if !ask.time.has(SEND) || SLOW_START < started.elapsed() {
            let record = self.give_back(lease, None).await;
            return Ok(Self::meanwhile(record, ask, "the table is slow"));
        }
        let sent = step!("send", self.exchange(&prepared.host, ask.app, &prepared.secret, &token)).await;
        match for_same_identity(&lease.record().connection, sent) {
            Ok(grant) => {
                let rotated = grant.refresh.as_ref().map(RefreshToken::fingerprint);
                let kept = step!("keep", self.keep(lease, ask, &prepared, grant, started)).await;
                self.learn(lease.record(), ask, health, Told::Granted(rotated.as_ref())).await;
                kept
            }
            Err(SalesforceError::Doubtful(doubtful)) => self.quarantine(lease, ask, health, &doubtful).await,
            Err(error) if may_have_spent(&error, health) => {
                internal(&error);
                // *Began* stays: the refresh token may be spent, and sending it again could end the grant.
                let record = self.abandon(lease).await;
                self.learn(lease.record(), ask, health, told_by_silence(&error)).await;
                Ok(Self::meanwhile(record, ask, "the last refresh was not answered"))
            }
            Err(error) => self.refused(lease, ask, &error, health).await,
        }
    }

    /// Gives the lease back after nothing was spent. If that fails, the lease ends by itself: whoever has a token that
    /// works, or an answer for the caller, does not depend on it. Returns the connection as it is then: its token may have
    /// been reported as rejected meanwhile.
    pub(crate) async fn give_back(&self, lease: &Lease, backoff: Option<&Backoff>) -> Box<ConnectionRecord> {
        Self::as_left(lease, self.platform.store.release(lease, backoff).await)
    }

    /// Says that a refresh was not answered. If that fails, the next caller finds it out once the lease has ended.
    pub(crate) async fn abandon(&self, lease: &Lease) -> Box<ConnectionRecord> {
        Self::as_left(lease, self.platform.store.abandon(lease).await)
    }

    fn as_left(
        lease: &Lease,
        written: Result<Option<Box<ConnectionRecord>>, StoreError>,
    ) -> Box<ConnectionRecord> {
        let left = written.unwrap_or_else(|error| {
            internal(&error);
            None
        });
        left.unwrap_or_else(|| Box::new(lease.record().clone()))
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

    /// Sends a refresh token once; once more if, and only if, Salesforce refused the consumer secret, there is another
    /// by now, and the two requests together take no longer than one may. Who calls this may use the token: by a lease, or
    /// by an import's journal.
    pub async fn exchange(
        &self,
        host: &LoginHost,
        app: &App,
        secret: &ConsumerSecret,
        token: &RefreshToken,
    ) -> Result<Grant, SalesforceError> {
        let until = Instant::now() + TOKEN_ENDPOINT_TIMEOUT;
        let registration = Registration { consumer_key: &app.consumer_key, secret };
        let salesforce = &self.platform.salesforce;
        let refused = match salesforce.refresh(host, registration, token, TOKEN_ENDPOINT_TIMEOUT).await {
            Err(error) if error.is_invalid_client() => error,
            answer => return answer,
        };
        let other = match self.platform.secrets.other_consumer(&app.secret, secret).await {
            Ok(other) => other,
            Err(unread) => {
                internal(&unread);
                None
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        match other {
            Some(other) if MIN_SECOND_TRY <= left => {
                let registration = Registration { secret: &other, ..registration };
                salesforce.refresh(host, registration, token, left).await
            }
            _ => Err(refused),
        }
    }

    /// Makes an answer durable, then hands it out.
    pub(crate) async fn keep(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        prepared: &Prepared,
        grant: Grant,
        started: Instant,
    ) -> Result<Renewal, RefreshError> {
        let renewed = self.seal(lease, ask, &grant).await?;
        match self.save(lease, &renewed, ask, started).await? {
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
                    && !self.is_spent(lease, ask, prepared, refresh).await
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

    /// Whether Salesforce says that it does not know the token of a superseded answer. It may be the forebear of the
    /// connection's own: this holder's write was carried out and not heard, and a later refresh has spent the token.
    /// Revoking it then could end the grant.
    async fn is_spent(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        prepared: &Prepared,
        refresh: &RefreshToken,
    ) -> bool {
        let app = (&lease.record().connection.product, ask.app);
        let asked = ask_about(&self.platform, app, &prepared.host, &prepared.secret, refresh.expose());
        matches!(timeout(INTROSPECTION, Box::pin(asked)).await, Ok(Ok(TokenWord::Ended)))
    }

    /// Tells the operators about an instance that is no host of Salesforce's that we know. The grant is kept, with the
    /// last known one.
    async fn report_instance(&self, record: &ConnectionRecord, ask: Ask<'_>, grant: &Grant) {
        let Some(unknown) = &grant.unknown_instance else { return };
        let detail = format!("the answer's instance_url names {unknown}");
        let evidence = evidence::our_own(domain::Surface::TokenEndpoint, "instance_unknown", Some(&detail));
        if let Err(error) = record_once(&self.platform, met(record, ask.app, evidence), ask.time.now()).await
        {
            internal(&error);
        }
    }

    /// What a caller gets of a connection that a reconnect has changed meanwhile.
    pub(super) async fn as_it_is(
        &self,
        before: &ConnectionRecord,
        ask: Ask<'_>,
    ) -> Result<Renewal, RefreshError> {
        Ok(match self.platform.store.connection(&before.connection.id).await? {
            Some(record) if ask.need.can_use(&record, ask.time.now()) => Renewal::Fresh(Box::new(record)),
            Some(_) => Renewal::NotYet(1.into()),
            None => Renewal::Gone,
        })
    }

    /// Writes an answer until the table takes it or, once the lease nears its end, the fallback does; then either, until
    /// the invocation ends. What Salesforce returned exists nowhere else.
    async fn save(
        &self,
        lease: &Lease,
        renewed: &RefreshedTokens,
        ask: Ask<'_>,
        started: Instant,
    ) -> Result<Kept, RefreshError> {
        let mut wait = Duration::from_millis(100);
        let keep_by = started + KEEP_WITHIN;
        loop {
            // An answer that came late still has one try at the table.
            let until_fallback = keep_by.saturating_duration_since(Instant::now()).saturating_sub(FALLBACK);
            let left = ask.time.left().saturating_sub(FALLBACK);
            let one = until_fallback.clamp(Duration::from_secs(1), ONE_WRITE).min(left);
            // A write that is given up may still be carried out: its condition lets it do no harm.
            match timeout(one, self.platform.store.save_renewed(lease, renewed)).await {
                Ok(Ok(SaveOutcome::Yes(record))) => return Ok(Kept::Stored(record)),
                Ok(Ok(SaveOutcome::Superseded | SaveOutcome::Gone)) => return Ok(Kept::Superseded),
                Ok(Err(error)) => drop(internal(&error)),
                Err(_) => {}
            }
            let now = Instant::now();
            if keep_by < now + wait + ONE_WRITE.min(FALLBACK) + FALLBACK || !ask.time.has(wait + 2 * FALLBACK)
            {
                let one = ONE_WRITE.max(FALLBACK).min(ask.time.left());
                match timeout(one, self.fallback.keep(lease, renewed)).await {
                    Ok(Ok(())) => {
                        add(Metric::FallbackAnswers, 1.0);
                        return Ok(Kept::Waiting);
                    }
                    Ok(Err(error)) if !ask.time.has(wait + FALLBACK) => return Err(error.into()),
                    Ok(Err(error)) => drop(internal(&error)),
                    Err(_) if !ask.time.has(wait + FALLBACK) => {
                        return Err(StoreError::timed_out("PutItem").into());
                    }
                    Err(_) => {}
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    async fn seal(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        grant: &Grant,
    ) -> Result<RefreshedTokens, RefreshError> {
        let (owner, record, now) = (lease.owner(), lease.record(), ask.time.now());
        let refresh_token = match &grant.refresh {
            Some(token) => {
                let sealed = self.cipher.seal(owner, Field::RefreshToken, token.expose()).await?;
                Some((sealed, token.fingerprint()))
            }
            None => None,
        };
        let learnt = if ask.need.rejects(&record.access_fingerprint) {
            token_lifetime::learnt_from_rejection(record.issued_at, now).or(record.learnt)
        } else {
            record.learnt
        };
        let (life, expiry_basis) = token_lifetime::of_token(&grant.access, learnt, ask.app);
        // Counted from the earlier of the two clocks: a token must not be taken to outlive itself.
        let issued_at = grant.issued_at(now);
        let expires_at = issued_at + life;
        let instance_url = grant.instance_url(Some(&record.connection.instance_url));
        Ok(RefreshedTokens {
            access_token: self.cipher.seal(owner, Field::AccessToken, grant.access.expose()).await?,
            access_fingerprint: grant.access.fingerprint(),
            refresh_token,
            instance_url: instance_url.unwrap_or_else(|| record.connection.instance_url.clone()),
            login_host: self.platform.salesforce.new_login_host(grant, &record.connection.login_host),
            scopes: grant.scopes.iter().next().is_some().then(|| grant.scopes.clone()),
            issued_at,
            fetched_at: Some(now),
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
            Ok(Ok(Some(life))) => token_lifetime::believed(life),
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
}
