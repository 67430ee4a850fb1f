//! `GET /oauth/callback`: the story of a browser's return.

use diagnosis::evidence;
use grants::replace::reconnectable;
use std::time::Duration;

use domain::{
    Attempt, ConnectionId, Evidence, Stage, Surface,
    secret::{BrowserSecret, Receipt, RefreshToken},
};
use grants::{
    record_failure::{Met, Of, diagnose},
    verify::pending,
};
use jiff::SignedDuration;
use platform::{Deadline, log::internal};
use salesforce::Grant;
use store::{Claim, ConnectionRecord, NewConnection, StoreError, Tokens};
use telemetry::step;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use web::{
    Request, Response,
    browser_binding::{AttemptCookie, is_prefetch},
    return_to_product::Back,
};

use crate::{
    Callback,
    answer::{Answer, Outcome},
    error::{Ended, ExchangeError, Stray},
    exchange::Obtained,
    reconnect::Return,
    trip::Trip,
};

/// How long the product has to redeem a receipt. The browser is on its way there.
pub(crate) const REDEEM: SignedDuration = SignedDuration::from_mins(10);

/// How often the write of a new connection is tried: the tokens exist nowhere else yet.
const SAVES: u32 = 3;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// How long Salesforce may take to tell the user's name, which is for people to read.
const ASK_NAME: Duration = Duration::from_secs(3);

/// Minimum time left for what is only for people to read.
const TIME_FOR_PEOPLE: Duration = Duration::from_secs(2);

/// The table did not take a new grant.
#[derive(Debug)]
pub(crate) struct Unsaved {
    pub(crate) error: StoreError,
    /// Whether one of the tries may have been carried out.
    may_be_stored: bool,
}

impl Unsaved {
    /// No try can have stored it.
    pub(crate) fn certainly(error: StoreError) -> Self {
        Self { error, may_be_stored: false }
    }
}

impl Callback {
    pub(crate) async fn arrive(&self, request: &Request, time: &Deadline) -> Result<Response, Ended> {
        if is_prefetch(request) {
            return Err(Ended::Prefetch);
        }
        let answer = Answer::read(request).ok_or(Ended::Stray(Stray::NoState))?;
        let (attempt, cookie) = step!("claim", self.claim(request, &answer, time)).await?;
        let code = match answer.outcome {
            Outcome::Approved(_) if !self.is_issuer(answer.issuer.as_deref(), &attempt.login_host) => {
                let why = Some("the answer names another issuer");
                let evidence = evidence::our_own(Surface::Callback, "identity_mismatch", why);
                return Err(failed(attempt, Stage::Callback, evidence));
            }
            Outcome::Approved(code) => code,
            Outcome::Declined { code, description } => {
                let evidence = evidence::callback(&code, description.as_deref());
                return Err(failed(attempt, Stage::Callback, evidence));
            }
            Outcome::Unclear(why) => {
                let evidence = evidence::our_own(Surface::Callback, "unexpected_answer", Some(why));
                return Err(failed(attempt, Stage::Callback, evidence));
            }
        };
        let (_, app) = self.parties(&attempt, time.now()).await?;
        let before = match &attempt.reconnects {
            None => None,
            Some(of) => reconnectable(&self.platform, &attempt.product, of).await?,
        };
        let trip = Trip::new((&attempt, &app), &cookie, &code, time);
        let obtained = match step!("exchange", self.exchange(&trip, &code, before.as_ref())).await {
            Ok(obtained) => obtained,
            Err(error) => return Err(exchange_failed(attempt.clone(), error, cookie)),
        };
        if attempt.reconnects.is_some() && before.is_none() {
            // The connection was deleted. Only an exchanged code yields a grant that can be revoked.
            if self.give_back(&trip, &obtained.grant).await {
                self.forget(obtained.kept.as_ref()).await;
            }
            return Err(overtaken(attempt.clone()));
        }
        let record = match step!("seal", self.record(&trip, &obtained.grant)).await {
            Ok(record) => record,
            Err(error) => {
                self.give_back(&trip, &obtained.grant).await;
                return Err(exchange_failed(attempt.clone(), error, cookie));
            }
        };
        let response = match &before {
            Some(before) => {
                let back = Return { trip: &trip, obtained: &obtained, before };
                Box::pin(self.reconnect(back, record)).await?
            }
            None => self.connect(&trip, &obtained, &record).await?,
        };
        self.forget(obtained.kept.as_ref()).await;
        Ok(response)
    }

    /// Stores a new connection; only then is asked for what people read.
    async fn connect(
        &self,
        trip: &Trip<'_>,
        obtained: &Obtained,
        record: &ConnectionRecord,
    ) -> Result<Response, Ended> {
        let receipt = Receipt::of(&trip.id, &trip.cookie.secret, &trip.attempt.id);
        match step!("store", self.save(trip, record, &receipt)).await {
            Ok(true) => {}
            Ok(false) => {
                self.give_back(trip, &obtained.grant).await;
                return Err(Ended::Connected(Box::new(trip.attempt.clone())));
            }
            Err(unsaved) => return Err(self.unsaved(trip, obtained, unsaved).await),
        }
        self.tell_people(trip, record, &obtained.grant).await;
        Ok(trip.back().to_product(&trip.id, &receipt, trip.cookie, REDEEM))
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
        time: &Deadline,
    ) -> Result<(Box<Attempt>, AttemptCookie), Ended> {
        let id = answer.state.attempt();
        let cookie = AttemptCookie::of(request, &id);
        // A browser without the cookie asks with a secret that no attempt has: it learns where to start again.
        let browser = cookie.as_ref().map_or_else(BrowserSecret::mint, |cookie| cookie.secret.clone());
        match (self.platform.store.claim(&id, &browser.hash(), time.now()).await?, cookie) {
            (Claim::Yours(attempt), Some(cookie)) => Ok((attempt, cookie)),
            (Claim::Used(attempt), Some(cookie)) => Err(Ended::Used(attempt, cookie)),
            (Claim::Unknown, _) => Err(Ended::Stray(Stray::Unknown)),
            (Claim::OtherBrowser(attempt) | Claim::Yours(attempt) | Claim::Used(attempt), _) => {
                Err(Ended::OtherBrowser(attempt))
            }
            (Claim::Expired(attempt), _) => {
                let evidence = evidence::our_own(Surface::Callback, "attempt_expired", None);
                Err(failed(attempt, Stage::Callback, evidence))
            }
        }
    }

    /// The connection to be stored, its tokens sealed.
    async fn record(&self, trip: &Trip<'_>, grant: &Grant) -> Result<ConnectionRecord, ExchangeError> {
        let now = trip.time.now();
        let connection = pending(trip.attempt, trip.app, grant, trip.id.clone(), now + REDEEM, now);
        let issued_at = grant.issued_at(now);
        let tokens = Tokens { access: &grant.access, refresh: grant.refresh.as_ref(), issued_at };
        let record = ConnectionRecord::seal(&self.vault, connection, tokens, trip.app).await?;
        Ok(ConnectionRecord { another: trip.attempt.another, ..record })
    }

    pub(crate) async fn save(
        &self,
        trip: &Trip<'_>,
        record: &ConnectionRecord,
        receipt: &Receipt,
    ) -> Result<bool, Unsaved> {
        let redeem_by = record.connection.created_at + REDEEM;
        let new = NewConnection {
            record,
            session: &trip.attempt.session,
            browser: &trip.attempt.bound_browser(),
            receipt: (receipt.hash(), redeem_by),
            due: redeem_by,
        };
        self.keep_newest(trip, record, || self.platform.store.save_connection(&new)).await
    }

    /// Tries a write of a new grant until it is known whether it was carried out, or the fallback's turn comes.
    pub(crate) async fn insist<W>(&self, trip: &Trip<'_>, write: impl Fn() -> W) -> Result<bool, Unsaved>
    where
        W: Future<Output = Result<bool, StoreError>>,
    {
        let until = trip.table_until();
        let (mut tries, mut may_be_stored) = (1, false);
        loop {
            let error = match timeout_at(until, write()).await {
                // A try whose answer was lost may have stored it: then it is this very connection that stands.
                Ok(Ok(false)) if tries > 1 => return self.is_stored(&trip.id, may_be_stored).await,
                Ok(Ok(saved)) => return Ok(saved),
                Ok(Err(error)) => error,
                Err(_) => StoreError::timed_out("TransactWriteItems"),
            };
            may_be_stored |= error.may_be_carried_out();
            if tries == SAVES || until <= Instant::now() + PAUSE {
                return Err(Unsaved { error, may_be_stored });
            }
            internal(&error);
            tries += 1;
            sleep(PAUSE).await;
        }
    }

    async fn is_stored(&self, id: &ConnectionId, may_be_stored: bool) -> Result<bool, Unsaved> {
        let found = self.platform.store.connection(id).await;
        found.map(|found| found.is_some()).map_err(|error| Unsaved { error, may_be_stored })
    }

    /// The table did not take a grant: it waits in the fallback, and the sweep stores it. Only if that is not possible
    /// either, and no try can have stored it, is it revoked.
    pub(crate) async fn unsaved(&self, trip: &Trip<'_>, obtained: &Obtained, unsaved: Unsaved) -> Ended {
        if !self.keep_unstored(trip, obtained).await && !unsaved.may_be_stored {
            self.give_back(trip, &obtained.grant).await;
        }
        unsaved.error.into()
    }

    /// What is only for people to read, once the grant is stored: the user's name, and for the operators an address of the
    /// org's API that is not known. Whatever goes wrong costs nothing else.
    pub(crate) async fn tell_people(&self, trip: &Trip<'_>, record: &ConnectionRecord, grant: &Grant) {
        let told = async {
            self.report_instance(trip, record, grant).await;
            let patience = ASK_NAME.min(trip.all_but(TIME_FOR_PEOPLE));
            let Some(username) = self.platform.salesforce.identity(grant, patience).await.username else {
                return;
            };
            let named = match &record.connection.state {
                domain::ConnectionState::Parked { .. } => {
                    let session = &trip.attempt.session;
                    self.platform.store.name_parked_user(session, &trip.id, &username).await
                }
                _ => self.platform.store.name_user(&trip.id, &username).await,
            };
            if let Err(error) = named {
                internal(&error);
            }
        };
        if let Err(late) = timeout(trip.all_but(TIME_FOR_PEOPLE / 2), told).await {
            internal(&late);
        }
    }

    /// Tells the operators about an address of the org's API that is no host of Salesforce's that we know.
    async fn report_instance(&self, trip: &Trip<'_>, record: &ConnectionRecord, grant: &Grant) {
        let Some(unknown) = &grant.unknown_instance else { return };
        let detail = format!("the answer's instance_url names {unknown}");
        let evidence = evidence::our_own(Surface::TokenEndpoint, "instance_unknown", Some(&detail));
        let met = Met::new(Of::Connection(&record.connection), trip.app, Stage::Exchange, evidence);
        let (failure, _) = diagnose(met, trip.time.now());
        if let Err(error) = self.platform.store.record_failure(&failure).await {
            internal(&error);
        }
    }

    /// Revokes a grant that nobody will hold, unless the connection that it was to renew holds its refresh token.
    pub(crate) async fn give_back_new(&self, trip: &Trip<'_>, grant: &Grant, before: &ConnectionRecord) {
        let refresh = grant.refresh.as_ref().map(RefreshToken::fingerprint);
        if refresh.is_none() || refresh != before.refresh_fingerprint {
            self.give_back(trip, grant).await;
        }
    }
}

impl Trip<'_> {
    pub(crate) fn back(&self) -> Back<'_> {
        let Attempt { session, id: attempt, return_to, .. } = self.attempt;
        Back { session, attempt, return_to }
    }
}

pub(crate) fn failed(attempt: Box<Attempt>, stage: Stage, evidence: Evidence) -> Ended {
    Ended::Failed { attempt, stage, evidence: Box::new(evidence), error: None, cookie: None }
}

/// The connection that was to be renewed is gone.
pub(crate) fn overtaken(attempt: Box<Attempt>) -> Ended {
    let evidence = evidence::our_own(Surface::Callback, "reconnect_overtaken", None);
    failed(attempt, Stage::Callback, evidence)
}

fn exchange_failed(attempt: Box<Attempt>, error: ExchangeError, cookie: AttemptCookie) -> Ended {
    let evidence = Box::new(error.evidence());
    let cookie = matches!(error, ExchangeError::Kept(_)).then(|| Box::new(cookie));
    Ended::Failed { attempt, stage: Stage::Exchange, evidence, error: Some(error), cookie }
}
