//! `GET /oauth/callback`: a browser returns from Salesforce.

use diagnosis::evidence;
use domain::{Attempt, Evidence, Stage, Surface, secret::BrowserSecret};
use grants::exchange::{ExchangeError, Exchanged, PARKED, REDEEM, Trip};
use platform::Deadline;
use store::Claim;
use telemetry::step;
use web::{
    Request, Response,
    browser_binding::{AttemptCookie, held_secrets, is_prefetch},
    respond::redirect,
    return_to_product::Back,
};

use crate::{
    Callback,
    answer::{Answer, Issuer, Outcome},
    error::{CallbackError, Stray},
};

impl Callback {
    pub(crate) async fn oauth_callback(
        &self,
        request: &Request,
        time: &Deadline,
    ) -> Result<Response, CallbackError> {
        if is_prefetch(request) {
            return Err(CallbackError::Prefetch);
        }
        let answer = Answer::read(request).ok_or(CallbackError::Stray(Stray::NoState))?;
        let (attempt, cookie) = step!("claim", self.claim(request, &answer, time)).await?;
        if let Some(why) = self.distrust(&answer.issuer, &attempt.login_host) {
            return Err(failed(attempt, Stage::Callback, of_another_issuer(why, &answer.outcome)));
        }
        let issuer = match answer.issuer {
            Issuer::Named(issuer) => Some(issuer),
            Issuer::Absent | Issuer::Repeated => None,
        };
        let code = match answer.outcome {
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
        let held = held_secrets(request);
        let browser = (&cookie.secret, held.as_slice());
        let trip = Trip::new((&attempt, &app), browser, (&code, issuer.as_deref()), time);
        let id = trip.id.clone();
        match self.exchanger.connect(&trip, &code).await {
            Ok(Exchanged::Pending(receipt)) => {
                let back =
                    Back { session: &attempt.session, attempt: &attempt.id, return_to: &attempt.return_to };
                Ok(back.to_product(&id, &receipt, &cookie, REDEEM))
            }
            Ok(Exchanged::Parked) => {
                let mut response = redirect(&format!("/connect/{}/confirm", cookie.key.expose()));
                cookie.keep(&mut response, &attempt.id, (PARKED + REDEEM).as_secs());
                Ok(response)
            }
            Err(ExchangeError::Store(error)) => Err(error.into()),
            Err(ExchangeError::AlreadyConnected) => Err(CallbackError::Connected(attempt)),
            Err(error @ ExchangeError::Overtaken) => Err(failed(attempt, Stage::Callback, error.evidence())),
            Err(error) => Err(exchange_failed(attempt, error, cookie)),
        }
    }

    /// Why an answer is not from the login host that the browser was sent to (RFC 9207 §2.4). A generic login host may hand
    /// over to the org's own My Domain: the exchange compares that with the org's instance. `None`: it may be.
    fn distrust(&self, issuer: &Issuer, login_host: &str) -> Option<&'static str> {
        let issuer = match issuer {
            Issuer::Absent => return None,
            Issuer::Repeated => return Some("the answer names its issuer twice"),
            Issuer::Named(issuer) => issuer,
        };
        let hosts = self.platform.salesforce.hosts();
        let is_my_domain = |origin: &str| {
            hosts.readmit(origin).is_ok_and(|host| host.environment() == domain::Environment::MyDomain)
        };
        let may_be = issuer == login_host || (is_my_domain(issuer) && !is_my_domain(login_host));
        (!may_be).then_some("the answer names another issuer")
    }

    /// Claims the attempt that the answer names, in the browser that began it.
    async fn claim(
        &self,
        request: &Request,
        answer: &Answer,
        time: &Deadline,
    ) -> Result<(Box<Attempt>, AttemptCookie), CallbackError> {
        let id = answer.state.attempt();
        let cookie = AttemptCookie::of(request, &id);
        // A browser without the cookie asks with a secret that no attempt has: it learns where to start again.
        let browser = cookie.as_ref().map_or_else(BrowserSecret::mint, |cookie| cookie.secret.clone());
        match (self.platform.store.claim(&id, &browser.hash(), time.now()).await?, cookie) {
            (Claim::Yours(attempt), Some(cookie)) => Ok((attempt, cookie)),
            (Claim::Used(attempt), Some(cookie)) => Err(CallbackError::Used(attempt, cookie)),
            (Claim::Unknown, _) => Err(CallbackError::Stray(Stray::Unknown)),
            (Claim::OtherBrowser(attempt) | Claim::Yours(attempt) | Claim::Used(attempt), _) => {
                Err(CallbackError::OtherBrowser(attempt))
            }
            (Claim::Expired(attempt), _) => {
                let evidence = evidence::our_own(Surface::Callback, "attempt_expired", None);
                Err(failed(attempt, Stage::Callback, evidence))
            }
        }
    }
}

/// What is kept of an answer that is not from the host that was asked: nothing of it is Salesforce's word, but what it
/// says is on record.
fn of_another_issuer(why: &str, outcome: &Outcome) -> Evidence {
    let said = match outcome {
        Outcome::Declined { code, description } => {
            let said = evidence::callback(code, description.as_deref());
            let parts = [said.code, said.description].into_iter().flatten().collect::<Vec<_>>();
            format!("{why}; it says: {}", parts.join(": "))
        }
        Outcome::Approved(_) | Outcome::Unclear(_) => why.to_owned(),
    };
    evidence::our_own(Surface::Callback, evidence::NOT_THEIRS, Some(&said))
}

fn failed(attempt: Box<Attempt>, stage: Stage, evidence: Evidence) -> CallbackError {
    CallbackError::Failed { attempt, stage, evidence: Box::new(evidence), error: None, cookie: None }
}

fn exchange_failed(attempt: Box<Attempt>, error: ExchangeError, cookie: AttemptCookie) -> CallbackError {
    let evidence = Box::new(error.evidence());
    let cookie = matches!(error, ExchangeError::Kept(_)).then(|| Box::new(cookie));
    CallbackError::Failed { attempt, stage: Stage::Exchange, evidence, error: Some(error), cookie }
}
