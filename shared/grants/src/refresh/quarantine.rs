//! Answers that fail a check: kept sealed, shown to the operators, released or discarded by them.
//!
//! An operator's decision is written by `latchkey quarantine`; the sweep carries it out, since it has the keyring and
//! the way to Salesforce. Releasing repeats every check. Whose the tokens are is never taken on trust.

mod announce;
mod exchange;
mod import;

use diagnosis::evidence;
use std::time::Duration;

use domain::{
    App, Attempt, Connection, ProductId, Surface,
    secret::{RawTokenAnswer, RefreshToken},
};
use jiff::Timestamp;
use platform::{Deadline, log::internal};
use salesforce::{Distrust, DoubtfulAnswer, Grant, SalesforceError};
use secrecy::ExposeSecret;
use store::{
    ConnectionRecord, Decision, ExchangedAs, Field, Health, ImportedAs, Kept, Lease, Origin, Owner,
    Quarantined, RefreshedTokens, SaveOutcome, StoreError, imports::Import,
};
use telemetry::{Metric, add};
use tokio::time::sleep;

use exchange::Fate;

use crate::refresh::{
    Ask, REFRESH, RefreshError, Refresher, Renewal, RetryLater, fallback::PUT_OFF, health::Told, met,
    token_lifetime,
};

/// How much of an invocation is left for its answer when an answer of Salesforce's cannot be written into quarantine. Until
/// then it is tried: it exists nowhere else.
const ANSWER: Duration = Duration::from_secs(1);

/// How many seconds a caller waits before asking again about an answer that an operator has to review.
const REVIEW: u32 = 60;

/// What an import's answer belongs to.
#[derive(Debug, Clone, Copy)]
pub struct ImportAnswer<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// The app.
    pub app: &'a App,
    /// The journal.
    pub import: &'a Import,
    /// The token that was sent.
    pub token: &'a RefreshToken,
}

impl Refresher {
    /// Keeps a refresh's answer that fails a check. Nothing else is awaited before it is written.
    pub(crate) async fn quarantine(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        health: &Health,
        doubtful: &DoubtfulAnswer,
    ) -> Result<Renewal, RefreshError> {
        let record = lease.record();
        let quarantined = Quarantined {
            product: record.connection.product.clone(),
            app: record.connection.app.clone(),
            connection: record.connection.id.clone(),
            origin: Origin::Refresh,
            login_host: doubtful.host.origin().to_owned(),
            sent: lease.sent().clone(),
            answer: self.cipher.seal(lease.owner(), Field::Answer, doubtful.raw.expose()).await?,
            reason: doubtful.distrust.code().to_owned(),
            detail: doubtful.to_string(),
            status: doubtful.status,
            quarantined_at: ask.time.now(),
            import: None,
            exchange: None,
            instance_url: None,
            decision: None,
            outcome: None,
            not_before: None,
        };
        let kept = self.write_quarantine(&quarantined, ask.time).await;
        // *Began* stays, so nobody sends the token again: it may be spent.
        let left = self.abandon(lease).await;
        self.learn(record, ask, health, Told::Untrusted(doubtful.distrust.code())).await;
        kept?;
        self.still_quarantined(left, ask, &quarantined).await
    }

    /// Keeps an import's answer that fails a check, or that the table does not take: then the decision to release it is
    /// made already.
    pub async fn quarantine_import(
        &self,
        sent: ImportAnswer<'_>,
        imported: ImportedAs,
        doubtful: &DoubtfulAnswer,
        decision: Option<Decision>,
        time: &Deadline,
    ) -> Result<(), RefreshError> {
        let ImportAnswer { product, app, import, token } = sent;
        let owner = Owner { product, connection: &import.connection };
        let quarantined = Quarantined {
            product: product.clone(),
            app: app.id.clone(),
            connection: import.connection.clone(),
            origin: Origin::Import,
            login_host: doubtful.host.origin().to_owned(),
            sent: token.fingerprint(),
            answer: self.cipher.seal(owner, Field::Answer, doubtful.raw.expose()).await?,
            reason: doubtful.distrust.code().to_owned(),
            detail: doubtful.to_string(),
            status: doubtful.status,
            quarantined_at: time.now(),
            import: Some(imported),
            exchange: None,
            instance_url: None,
            decision,
            outcome: None,
            not_before: None,
        };
        Ok(self.write_quarantine(&quarantined, time).await?)
    }

    async fn write_quarantine(&self, quarantined: &Quarantined, time: &Deadline) -> Result<(), StoreError> {
        add(Metric::QuarantinedAnswers, 1.0);
        loop {
            match self.fallback.quarantine(quarantined).await {
                Err(error) if time.has(ANSWER) => {
                    internal(&error);
                    sleep(Duration::from_millis(200)).await;
                }
                written => return written,
            }
        }
    }

    /// What a caller gets while an answer is in quarantine: the old token while it works, else the operators' incident.
    pub(crate) async fn still_quarantined(
        &self,
        record: Box<ConnectionRecord>,
        ask: Ask<'_>,
        quarantined: &Quarantined,
    ) -> Result<Renewal, RefreshError> {
        let now = ask.time.now();
        let code = diagnosis::evidence::OUR_OWN.into_iter().find(|code| *code == quarantined.reason);
        let evidence = evidence::our_own(
            Surface::TokenEndpoint,
            code.unwrap_or("unexpected_answer"),
            Some(&quarantined.detail),
        );
        let met = met(&record, ask.app, evidence);
        let cause = met.diagnosis().cause();
        let failure = self.record(met, now).await;
        if ask.need.can_use(&record, now) {
            return Ok(Renewal::StillWorks(record, "the answer to the last refresh is in quarantine"));
        }
        Ok(Self::refused_until(ask.app, RetryLater { seconds: REVIEW, cause: Some(cause), failure }))
    }

    /// Counts an answer that is in quarantine, and carries out what an operator has decided about it. What fails is
    /// tried again by the next run.
    pub(crate) async fn review(&self, quarantined: &Quarantined, time: &Deadline) {
        add(Metric::QuarantinedAnswers, 1.0);
        if let Err(error) = self.announce(quarantined, time).await {
            internal(&error);
        }
        let over = quarantined.is_over(time.now()).then_some(Decision::Discard);
        let decision = over.or(quarantined.decision).filter(|_| time.has(REFRESH));
        let Some(decision) = decision else { return };
        let carried_out = match &quarantined.exchange {
            Some(exchanged) => self.review_exchange(quarantined, exchanged, decision, time).await,
            None => match decision {
                Decision::Release => self.release(quarantined, time, None).await,
                Decision::Discard => self.discard(quarantined).await,
            },
        };
        let written = match carried_out {
            Ok(None) => self.fallback.forget_quarantined(quarantined).await,
            Ok(why) => self.fallback.decide(quarantined, None, why).await.map(drop),
            Err(error) => {
                internal(&error);
                self.fallback.put_off_quarantined(quarantined, time.now() + PUT_OFF).await
            }
        };
        if let Err(error) = written {
            internal(&error);
        }
    }

    /// Revokes the answer to a refresh or an import, unless its connection goes on with it: an import may have stored it
    /// after a second look and ended before it could forget it here.
    async fn discard(&self, quarantined: &Quarantined) -> Result<Option<String>, RefreshError> {
        let is_imported = quarantined.import.is_some()
            && self.platform.store.connection(&quarantined.connection).await?.is_some();
        if is_imported { Ok(None) } else { self.revoke(quarantined).await }
    }

    /// Carries out a decision about the answer of an exchange. One that is stored is not revoked.
    async fn review_exchange(
        &self,
        quarantined: &Quarantined,
        exchanged: &ExchangedAs,
        decision: Decision,
        time: &Deadline,
    ) -> Result<Option<String>, RefreshError> {
        let fate = self.fate(exchanged).await?;
        match (decision, &fate) {
            (_, Fate::Stored) => Ok(None),
            // Its user has connected otherwise: nobody can use it any more.
            (Decision::Discard, _) | (Decision::Release, Fate::Superseded) => self.revoke(quarantined).await,
            (Decision::Release, Fate::Open(attempt)) => {
                self.release(quarantined, time, Some((exchanged, attempt))).await
            }
            (Decision::Release, Fate::Gone) => Ok(Some("its session is deleted; discard it".to_owned())),
        }
    }

    /// Stores a quarantined answer, if it passes every check now. `Some`: why it does not.
    async fn release(
        &self,
        quarantined: &Quarantined,
        time: &Deadline,
        exchange: Option<(&ExchangedAs, &Attempt)>,
    ) -> Result<Option<String>, RefreshError> {
        let now = time.now();
        let found = self.platform.products.with_app(&quarantined.product, &quarantined.app, now).await?;
        let Some((_, app)) = found else { return Ok(Some("its app is no longer configured".to_owned())) };
        let grant = match self.check_again(quarantined, &app).await? {
            Ok(grant) => grant,
            Err(distrust) => return Ok(Some(distrust.to_string())),
        };
        match (&quarantined.import, exchange) {
            (_, Some(exchange)) => {
                let grant = self.at_told_instance(quarantined, grant);
                self.release_exchange(quarantined, exchange, &app, grant, time).await
            }
            (Some(imported), None) => {
                Box::pin(self.release_import(quarantined, imported, &app, grant, now)).await
            }
            (None, None) => self.release_refresh(quarantined, &app, &grant, now).await,
        }
    }

    /// The grant with the address of the org's API that an operator gave, if the answer names none.
    fn at_told_instance(&self, quarantined: &Quarantined, grant: Grant) -> Grant {
        let hosts = self.platform.salesforce.hosts();
        let told = quarantined.instance_url.as_deref().and_then(|told| hosts.own(told));
        match (grant.instance_url(None), told) {
            (None, Some(told)) => grant.at_instance(told.origin().ascii_serialization()),
            _ => grant,
        }
    }

    /// Repeats the checks of the answer, with each of the app's consumer secrets: it may have been signed with the one
    /// that was staged.
    async fn check_again(
        &self,
        quarantined: &Quarantined,
        app: &App,
    ) -> Result<Result<Grant, Distrust>, RefreshError> {
        let owner = Owner { product: &quarantined.product, connection: &quarantined.connection };
        let raw = self.cipher.open(owner, Field::Answer, &quarantined.answer).await?;
        let raw = RawTokenAnswer::new(raw.expose_secret());
        let salesforce = &self.platform.salesforce;
        let host = salesforce.hosts().readmit(&quarantined.login_host);
        let host = host.map_err(|_| RefreshError::Unconfigured(quarantined.connection.to_string()))?;
        let current = self.platform.secrets.consumer(&app.secret).await?.current;
        let checked = salesforce.check_again(&host, &current, &raw);
        if !matches!(checked, Err(Distrust::Signature)) {
            return Ok(checked);
        }
        Ok(match self.platform.secrets.other_consumer(&app.secret, &current).await? {
            Some(other) => salesforce.check_again(&host, &other, &raw),
            None => checked,
        })
    }

    async fn release_refresh(
        &self,
        quarantined: &Quarantined,
        app: &App,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Option<String>, RefreshError> {
        let Some(record) = self.platform.store.connection(&quarantined.connection).await? else {
            return Ok(Some("its connection is gone; discard it".to_owned()));
        };
        if !record.connection.identity.same_as(&grant.identity) {
            return Ok(Some(Distrust::Identity.to_string()));
        }
        let owner = Owner { product: &quarantined.product, connection: &quarantined.connection };
        let refresh_token = match &grant.refresh {
            Some(token) => {
                let sealed = self.cipher.seal(owner, Field::RefreshToken, token.expose()).await?;
                Some((sealed, token.fingerprint()))
            }
            None => None,
        };
        let (life, expiry_basis) = token_lifetime::of_token(&grant.access, record.learnt, app);
        let issued_at = grant.issued_at(quarantined.quarantined_at);
        let last_known = &record.connection.instance_url;
        let renewed = RefreshedTokens {
            access_token: self.cipher.seal(owner, Field::AccessToken, grant.access.expose()).await?,
            access_fingerprint: grant.access.fingerprint(),
            refresh_token,
            instance_url: grant.instance_url(Some(last_known)).unwrap_or_else(|| last_known.clone()),
            login_host: self.platform.salesforce.new_login_host(grant, &record.connection.login_host),
            scopes: grant.scopes.iter().next().is_some().then(|| grant.scopes.clone()),
            issued_at,
            fetched_at: Some(quarantined.quarantined_at),
            expires_at: issued_at + life,
            expiry_basis,
            learnt: record.learnt,
            rejections: 0,
            unasked: true,
            due: now + app.keep_alive(),
        };
        let (connection, sent) = (&quarantined.connection, &quarantined.sent);
        Ok(match self.platform.store.renew(connection, sent, &renewed, false).await? {
            SaveOutcome::Yes(_) => None,
            SaveOutcome::Superseded => Some("a newer grant has taken its place; discard it".to_owned()),
            SaveOutcome::Gone => Some("its connection is gone; discard it".to_owned()),
        })
    }

    /// Whether the answer to an import that has begun is in quarantine: then its token is not sent again.
    pub async fn import_in_quarantine(
        &self,
        import: &Import,
        token: &RefreshToken,
    ) -> Result<Option<Box<Quarantined>>, StoreError> {
        let kept = self.fallback.kept(&import.connection, &token.fingerprint()).await?;
        Ok(match kept {
            Some(Kept::Quarantined(quarantined)) => Some(quarantined),
            Some(Kept::Waiting(_)) | None => None,
        })
    }

    /// Forgets the answer to an import that was imported after a second look.
    pub async fn forget_import(&self, import: &Import, token: &RefreshToken) -> Result<(), StoreError> {
        match self.import_in_quarantine(import, token).await? {
            Some(quarantined) => self.fallback.forget_quarantined(&quarantined).await,
            None => Ok(()),
        }
    }

    /// Revokes what a quarantined answer holds. Where no token can be read in it, nothing can be revoked; the log says so.
    async fn revoke(&self, quarantined: &Quarantined) -> Result<Option<String>, RefreshError> {
        let owner = Owner { product: &quarantined.product, connection: &quarantined.connection };
        let raw = self.cipher.open(owner, Field::Answer, &quarantined.answer).await?;
        let salesforce = &self.platform.salesforce;
        let host = salesforce.hosts().readmit(&quarantined.login_host);
        let host = host.map_err(|_| RefreshError::Unconfigured(quarantined.connection.to_string()))?;
        if !salesforce.revoke_answer(&host, &RawTokenAnswer::new(raw.expose_secret())).await? {
            internal(&salesforce::token::NothingToRevoke);
        }
        Ok(None)
    }
}

/// An answer, if it is for the org and the user of the connection.
pub(crate) fn for_same_identity(
    connection: &Connection,
    sent: Result<Grant, SalesforceError>,
) -> Result<Grant, SalesforceError> {
    match sent {
        Ok(grant) if !connection.identity.same_as(&grant.identity) => {
            Err(SalesforceError::Doubtful(Box::new(grant.as_doubtful(Distrust::Identity))))
        }
        sent => sent,
    }
}
