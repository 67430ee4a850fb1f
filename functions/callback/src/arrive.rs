//! `GET /oauth/callback`: the story of a browser's return.

use domain::{
    App, Attempt, AttemptId, Connection, ConnectionId, ConnectionState, Evidence, SessionId, Stage, Surface,
    secret::{BrowserSecret, Receipt},
};
use jiff::{SignedDuration, Timestamp};
use salesforce::Grant;
use service::{
    Invocation, Request, Response,
    browser::{AttemptCookie, is_prefetch},
    failures::internal,
    respond::redirect,
};
use store::{Claim, ConnectionRecord, NewConnection, StoreError, Tokens};
use telemetry::{Fact, Outcome::Returned, about, ended, step};
use url::Url;

use crate::{
    Callback,
    answer::{Answer, Outcome},
    error::{Ended, ExchangeError, Stray},
    reconnect::Return,
};

/// How long the product has to redeem a receipt. The browser is on its way there.
pub(crate) const REDEEM: SignedDuration = SignedDuration::from_mins(10);

/// How often the write of a new connection is tried: the tokens exist nowhere else yet.
pub(crate) const SAVES: u32 = 3;

impl Callback {
    pub(crate) async fn arrive(&self, request: &Request, time: &Invocation) -> Result<Response, Ended> {
        let now = time.now();
        if is_prefetch(request) {
            return Err(Ended::Prefetch);
        }
        let answer = Answer::read(request).ok_or(Ended::Stray(Stray::NoState))?;
        let (attempt, cookie) = step!("claim", self.claim(request, &answer, now)).await?;
        let browser = &cookie.secret;
        let code = match answer.outcome {
            Outcome::Approved(_) if !self.is_issuer(answer.issuer.as_deref(), &attempt.login_host) => {
                let why = Some("the answer names another issuer");
                let evidence = Evidence::our_own(Surface::Callback, "identity_mismatch", why);
                return Err(failed(attempt, Stage::Callback, evidence));
            }
            Outcome::Approved(code) => code,
            Outcome::Declined { code, description } => {
                let evidence = Evidence::callback(&code, description.as_deref());
                return Err(failed(attempt, Stage::Callback, evidence));
            }
            Outcome::Unclear(why) => {
                let evidence = Evidence::our_own(Surface::Callback, "unexpected_answer", Some(why));
                return Err(failed(attempt, Stage::Callback, evidence));
            }
        };
        let (_, app) = self.parties(&attempt, now).await?;
        let grant = match step!("exchange", self.exchange(&attempt, &app, &code, browser, now)).await {
            Ok(grant) => grant,
            Err(error) => return Err(exchange_failed(attempt, error)),
        };
        let record = match step!("seal", self.record(&attempt, &app, &grant, now)).await {
            Ok(record) => record,
            Err(error) => {
                self.give_back(&attempt, &grant).await;
                return Err(exchange_failed(attempt, error));
            }
        };
        if let Some(of) = attempt.reconnects.clone() {
            let back = Return { attempt, grant: &grant, cookie: &cookie };
            return Box::pin(self.reconnect(back, of, record, now)).await;
        }
        let receipt = Receipt::of(&record.connection.id, browser, &attempt.id);
        match step!("store", self.save(&attempt, &record, &receipt, now)).await {
            Ok(true) => {}
            Ok(false) => {
                self.give_back(&attempt, &grant).await;
                return Err(Ended::Connected(attempt));
            }
            Err(error) => {
                self.give_back(&attempt, &grant).await;
                return Err(error.into());
            }
        }
        let back = Back { session: &attempt.session, attempt: &attempt.id, return_to: &attempt.return_to };
        Ok(back.to_product(&record.connection.id, &receipt, &cookie, REDEEM))
    }

    /// Whether an answer's `iss`, where it has one, is the login host that the browser was sent to (RFC 9207 §2.4). A
    /// generic login host may hand over to the org's own My Domain, which is not known yet.
    fn is_issuer(&self, issuer: Option<&str>, login_host: &str) -> bool {
        let hosts = self.platform.salesforce.hosts();
        let is_my_domain = |origin: &str| {
            hosts.readmit(origin).is_ok_and(|host| host.environment() == domain::Environment::MyDomain)
        };
        issuer
            .is_none_or(|issuer| issuer == login_host || (is_my_domain(issuer) && !is_my_domain(login_host)))
    }

    /// Claims the attempt that the answer names, in the browser that began it.
    async fn claim(
        &self,
        request: &Request,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<(Box<Attempt>, AttemptCookie), Ended> {
        let id = answer.state.attempt();
        let cookie = AttemptCookie::of(request, &id);
        // A browser without the cookie asks with a secret that no attempt has: it learns where to start again.
        let browser = cookie.as_ref().map_or_else(BrowserSecret::mint, |cookie| cookie.secret.clone());
        match (self.platform.store.claim(&id, &browser.hash(), now).await?, cookie) {
            (Claim::Yours(attempt), Some(cookie)) => Ok((attempt, cookie)),
            (Claim::Used(attempt), Some(cookie)) => Err(Ended::Used(attempt, cookie)),
            (Claim::Unknown, _) => Err(Ended::Stray(Stray::Unknown)),
            (Claim::OtherBrowser(attempt) | Claim::Yours(attempt) | Claim::Used(attempt), _) => {
                Err(Ended::OtherBrowser(attempt))
            }
            (Claim::Expired(attempt), _) => {
                let evidence = Evidence::our_own(Surface::Callback, "attempt_expired", None);
                Err(failed(attempt, Stage::Callback, evidence))
            }
        }
    }

    /// The connection to be stored, its tokens sealed.
    async fn record(
        &self,
        attempt: &Attempt,
        app: &App,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<ConnectionRecord, ExchangeError> {
        let mut identity = grant.identity.clone();
        identity.username = self.platform.salesforce.username(grant).await;
        let connection = Connection {
            id: ConnectionId::mint(now),
            product: attempt.product.clone(),
            app: attempt.app.clone(),
            customer: attempt.customer.clone(),
            user: attempt.user.clone(),
            session: Some(attempt.session.clone()),
            identity,
            login_host: grant.host.origin().to_owned(),
            environment: attempt.environment,
            instance_url: grant.instance_url(None).unwrap_or_default(),
            scopes: grant.granted(&app.scopes),
            state: ConnectionState::Pending { redeem_by: now + REDEEM },
            created_at: now,
        };
        Ok(ConnectionRecord::seal(&self.vault, connection, tokens(grant, now), app).await?)
    }

    pub(crate) async fn save(
        &self,
        attempt: &Attempt,
        record: &ConnectionRecord,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let redeem_by = now + REDEEM;
        let new = NewConnection {
            record,
            session: &attempt.session,
            browser: &attempt.bound_browser(),
            receipt: (receipt.hash(), redeem_by),
            due: redeem_by,
        };
        self.insist(&record.connection.id, || self.platform.store.save_connection(&new)).await
    }

    /// Tries a write of a new grant until it is known whether it was carried out.
    pub(crate) async fn insist<W>(&self, id: &ConnectionId, write: impl Fn() -> W) -> Result<bool, StoreError>
    where
        W: Future<Output = Result<bool, StoreError>>,
    {
        let mut tries = 1;
        loop {
            match write().await {
                Err(error) if tries < SAVES => {
                    internal(&error);
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                // A try whose answer was lost may have stored it: then it is this very connection that stands.
                Ok(false) if tries > 1 => {
                    return Ok(self.platform.store.connection(id).await?.is_some());
                }
                result => return result,
            }
        }
    }

    /// Revokes a grant that nobody will hold. If Salesforce cannot be reached either, the log has it.
    pub(crate) async fn give_back(&self, attempt: &Attempt, grant: &Grant) {
        let token = grant.refresh.as_ref().map_or(grant.access.expose(), |refresh| refresh.expose());
        let Ok(host) = self.platform.salesforce.hosts().readmit(&attempt.login_host) else { return };
        if let Err(error) = self.platform.salesforce.revoke(&host, token).await {
            internal(&error);
        }
    }
}

fn tokens(grant: &Grant, now: Timestamp) -> Tokens<'_> {
    Tokens { access: &grant.access, refresh: grant.refresh.as_ref(), issued_at: grant.issued_at(now) }
}

/// A browser's way back to the product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) attempt: &'a AttemptId,
    /// The registered address.
    pub(crate) return_to: &'a Url,
}

impl Back<'_> {
    /// On to the product, with what its backend needs to redeem. The browser keeps its cookie for as long as it can get
    /// the receipt again.
    pub(crate) fn to_product(
        self,
        connection: &ConnectionId,
        receipt: &Receipt,
        cookie: &AttemptCookie,
        left: SignedDuration,
    ) -> Response {
        about(Fact::Session, self.session.as_str());
        about(Fact::Connection, connection.as_str());
        ended(Returned);
        let mut url = self.return_to.clone();
        url.query_pairs_mut()
            .append_pair("connect_session", self.session.as_str())
            .append_pair("receipt", receipt.expose());
        let mut response = redirect(url.as_str());
        cookie.keep(&mut response, self.attempt, left.as_secs().max(1));
        response
    }
}

pub(crate) fn failed(attempt: Box<Attempt>, stage: Stage, evidence: Evidence) -> Ended {
    Ended::Failed { attempt, stage, evidence: Box::new(evidence), error: None }
}

fn exchange_failed(attempt: Box<Attempt>, error: ExchangeError) -> Ended {
    let evidence = Box::new(error.evidence());
    Ended::Failed { attempt, stage: Stage::Exchange, evidence, error: Some(error) }
}
