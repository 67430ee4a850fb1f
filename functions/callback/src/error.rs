//! How a callback can end without a connection, and where the browser goes then.

use diagnosis::evidence;
use std::time::Duration;

use domain::{App, Attempt, Evidence, Failure, Product, SessionState, Stage, Surface};
use grants::{
    exchange::ExchangeError,
    record_failure::{FailureSubject, Observation, diagnose},
};
use http::StatusCode;
use jiff::Timestamp;
use pages::{NoticePage, Page, WayOn};
use platform::{
    Deadline,
    log::{about_attempt, internal, refused},
};
use store::StoreError;
use telemetry::Outcome;
use tokio::time::sleep;
use web::{
    Response,
    browser_binding::{AttemptCookie, clear},
    error_pages::{
        finish_in_product, finished_elsewhere, other_browser, unavailable, unknown_link, used_link,
    },
    respond::{Forms, page, redirect},
    return_to_product::Back,
};

use crate::Callback;

/// How long a second visit of a callback waits before it looks again whether the first one has ended. The token endpoint
/// usually answers within a second; an exchange may take 20 s, and then the pauses grow up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Maximum pause between two looks.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Minimum time left for one more look, and for what follows it.
const TIME_TO_LOOK: Duration = Duration::from_secs(5);

/// How long a browser keeps the cookie of an attempt whose answer is in quarantine: as long as the answer, and as long
/// as the product has to redeem it once it is released.
const KEEP_COOKIE: Duration = Duration::from_hours(48);

/// Why a callback ended without a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallbackError {
    /// It belongs to no attempt that we know, in this browser.
    #[error("{0}")]
    Stray(Stray),
    /// A prefetch: nobody has asked for the page yet.
    #[error("the page was prefetched")]
    Prefetch,
    /// The attempt began in another browser, or this one blocks cookies.
    #[error("the attempt belongs to another browser")]
    OtherBrowser(Box<Attempt>),
    /// The attempt was claimed before, by this browser: a reload, Back, a double click, two navigations at once.
    #[error("the attempt was used")]
    Used(Box<Attempt>, AttemptCookie),
    /// The session has its connection already, from another tab, or another browser has returned in it.
    #[error("the session is connected already")]
    Connected(Box<Attempt>),
    /// A known attempt failed: to be recorded, with a help page.
    #[error("the attempt failed")]
    Failed {
        /// The attempt.
        attempt: Box<Attempt>,
        /// Where on the way.
        stage: Stage,
        /// What was seen.
        evidence: Box<Evidence>,
        /// The error behind it, for the log.
        error: Option<ExchangeError>,
        /// The browser's cookie, which it keeps because the answer is kept.
        cookie: Option<Box<AttemptCookie>>,
    },
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The attempt's product or app is no longer configured.
    #[error("product {0} or its app is not configured")]
    Unconfigured(String),
}

/// Why a callback is nobody's.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum Stray {
    /// There is not exactly one state in it that could be ours.
    #[error("the query names no attempt")]
    NoState,
    /// We hold no attempt of that state.
    #[error("no attempt has this state")]
    Unknown,
}

impl Callback {
    /// Ends a callback: every failure of a known attempt is recorded and has a help page; a stranger's gets
    /// an unbranded page and a bounded counter.
    pub(crate) async fn end(&self, ended: CallbackError, time: &Deadline) -> Response {
        let now = time.now();
        match ended {
            CallbackError::Stray(why) => {
                refused(why);
                self.count_stray(now).await;
                page(StatusCode::BAD_REQUEST, Forms::Ours, |nonce| NoticePage::stray_callback(nonce).html())
            }
            // Not 2xx: a browser must not show what it prefetched instead of asking again.
            CallbackError::Prefetch => page(StatusCode::FORBIDDEN, Forms::Ours, |nonce| {
                refused(&ended);
                NoticePage::stray_callback(nonce).html()
            }),
            CallbackError::OtherBrowser(ref attempt) => {
                self.count_stray(now).await;
                match self.platform.products.get(&attempt.product, now).await {
                    Ok(Some(product)) => other_browser(&ended, &product, &attempt.return_to),
                    Ok(None) => unknown_link(&ended),
                    Err(error) => unavailable(&error),
                }
            }
            CallbackError::Used(ref attempt, ref cookie) => match self.again(attempt, cookie, time).await {
                Ok(Some(response)) => response,
                Ok(None) => self.already(&ended, attempt, time.now()).await,
                Err(error) => unavailable(&error),
            },
            CallbackError::Connected(ref attempt) => {
                // It has come to its end: the sweep must not take it for interrupted.
                if let Err(error) = self.platform.store.end_without_result(attempt).await {
                    internal(&error);
                }
                self.already(&ended, attempt, now).await
            }
            CallbackError::Failed { attempt, stage, evidence, error, cookie } => {
                match self.fail(&attempt, stage, *evidence, error.as_ref(), now).await {
                    Ok(mut response) => {
                        if let Some(cookie) = cookie {
                            keep_cookie(&mut response, &attempt.id, &cookie);
                        }
                        response
                    }
                    Err(error) => unavailable(&error),
                }
            }
            CallbackError::Store(_) | CallbackError::Unconfigured(_) => unavailable(&ended),
        }
    }

    async fn count_stray(&self, now: Timestamp) {
        telemetry::ended(Outcome::Stray);
        if let Err(error) = self.platform.store.count_stray(now).await {
            internal(&error);
        }
    }

    /// A second visit of one callback in the same browser: it ends where the first one ended, with the same receipt.
    /// While the first is still exchanging the code, the second waits as long as its own invocation may last; if the first
    /// was interrupted, the user can try again at once. `None`: there is nothing to go on to.
    async fn again(
        &self,
        attempt: &Attempt,
        cookie: &AttemptCookie,
        time: &Deadline,
    ) -> Result<Option<Response>, CallbackError> {
        let mut pause = Duration::ZERO;
        while time.has(pause + TIME_TO_LOOK) {
            sleep(pause).await;
            pause = (pause + pause / 4).clamp(FIRST_PAUSE, MAX_PAUSE);
            let now = time.now();
            let Some(session) = self.platform.store.session(&attempt.session).await? else { return Ok(None) };
            let is_this_attempt = session.browser.as_ref().is_some_and(|bound| bound.attempt == attempt.id);
            let has_no_end = session.attempts_without_end().contains(&attempt.id);
            match &session.state {
                _ if session.is_open(now)
                    && has_no_end
                    && attempt.at_work_until().is_some_and(|until| until <= now) =>
                {
                    return self.interrupted(attempt, now).await;
                }
                _ if session.is_open(now) && has_no_end => {}
                SessionState::Returned { .. } => {
                    return Ok(Back::again(&session, &attempt.id, cookie, now));
                }
                SessionState::Parked { until, .. } if is_this_attempt && now < *until => {
                    return Ok(Some(redirect(&format!("/connect/{}/confirm", cookie.key.expose()))));
                }
                _ => return Ok(None),
            }
        }
        // Whether the first visit is still at work is not known. The connect page starts another attempt.
        Ok(Some(redirect(&format!("/connect/{}", cookie.key.expose()))))
    }

    /// The first visit of this callback was interrupted: that is on record now, with a page that leads on. `None`:
    /// another visit or the sweep has recorded it.
    async fn interrupted(
        &self,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Option<Response>, CallbackError> {
        let evidence = evidence::our_own(Surface::Callback, "callback_interrupted", None);
        let failure = self.failure(attempt, Stage::Callback, evidence, None, now).await?;
        let recorded = self.platform.store.end_attempt(attempt, &failure).await?;
        Ok(recorded.then(|| redirect(&format!("/help/{}", failure.id))))
    }

    /// A visit that came to nothing: the session's result counts, and the way on is in the product.
    async fn already(&self, ended: &CallbackError, attempt: &Attempt, now: Timestamp) -> Response {
        let product = match self.platform.products.get(&attempt.product, now).await {
            Ok(product) => product,
            Err(error) => return unavailable(&error),
        };
        let session = match self.platform.store.session(&attempt.session).await {
            Ok(session) => session,
            Err(error) => return unavailable(&error),
        };
        let (Some(product), Some(session)) = (product, session) else {
            return unknown_link(ended);
        };
        let waits = matches!(session.state, SessionState::Returned { .. } | SessionState::Parked { .. });
        if waits && matches!(ended, CallbackError::Connected(_)) {
            return finished_elsewhere(&product, &attempt.return_to);
        }
        let goes_on = session.is_open(now) || matches!(session.state, SessionState::Parked { .. });
        if session.last_failure.is_none() && goes_on {
            return used_link(ended, &product.brand, &attempt.return_to);
        }
        refused(ended);
        if let Some(failure) = &session.last_failure {
            return redirect(&format!("/help/{}", failure.id));
        }
        if matches!(session.state, SessionState::Returned { .. }) {
            return finish_in_product(&product, &attempt.return_to);
        }
        let back = WayOn::Product(attempt.return_to.as_str());
        let mut response = page(StatusCode::OK, Forms::Ours, |nonce| {
            NoticePage::already_connected(nonce, &product.brand, &attempt.customer, back).html()
        });
        // Redeemed: the browser needs its secret no more.
        clear(&mut response, &attempt.id);
        response
    }

    async fn fail(
        &self,
        attempt: &Attempt,
        stage: Stage,
        evidence: Evidence,
        error: Option<&ExchangeError>,
        now: Timestamp,
    ) -> Result<Response, CallbackError> {
        let failure = self.failure(attempt, stage, evidence, error, now).await?;
        self.platform.store.fail_session(attempt, &failure).await?;
        Ok(redirect(&format!("/help/{}", failure.id)))
    }

    async fn failure(
        &self,
        attempt: &Attempt,
        stage: Stage,
        evidence: Evidence,
        error: Option<&ExchangeError>,
        now: Timestamp,
    ) -> Result<Failure, CallbackError> {
        let (_, app) = self.parties(attempt, now).await?;
        let (product, host) = (&attempt.product, attempt.login_host.as_str());
        let connected_before = self.platform.connected_before(product, &app.id, Some(host)).await;
        let mut met = Observation::new(FailureSubject::Attempt(attempt), &app, stage, evidence)
            .in_an_org(connected_before);
        if let Some(error) = error {
            met = met.because(error);
        }
        let (failure, _) = diagnose(met, now);
        telemetry::ended(Outcome::Failed);
        Ok(failure)
    }

    /// The product and the app that an attempt names.
    pub(crate) async fn parties(
        &self,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<(std::sync::Arc<Product>, App), CallbackError> {
        about_attempt(attempt);
        let found = self.platform.products.with_app(&attempt.product, &attempt.app, now).await?;
        let (product, app) = found.ok_or_else(|| CallbackError::Unconfigured(attempt.product.to_string()))?;
        Ok((product, app.asking(attempt.scopes.as_deref())))
    }
}

/// Makes the browser keep its cookie, so that it gets the receipt once the answer is released.
fn keep_cookie(response: &mut Response, attempt: &domain::AttemptId, cookie: &AttemptCookie) {
    cookie.keep(response, attempt, i64::try_from(KEEP_COOKIE.as_secs()).unwrap_or(i64::MAX));
}
