//! `GET /connect/{key}`: what is being connected, and for whom. Mail scanners and previews open links too,
//! so nothing but the first opening's time is noted.

use domain::{App, ConnectSession, Product, SessionState, secret::ConnectKey};
use http::StatusCode;
use jiff::Timestamp;
use pages::{ConnectPage, HostForm, LastFailure, NoticePage, Page, SignIn, WayOn};
use platform::log::refused;
use salesforce::LoginHost;
use telemetry::{Outcome, ended};
use web::{
    Request, Response,
    browser_binding::{AttemptCookie, is_prefetch},
    error_pages::finish_in_product,
    respond::{Forms, page, redirect},
    return_to_product::Back,
};

use crate::{Authorize, connect_context::ConnectContext, error::AuthorizeError};

impl Authorize {
    pub(crate) async fn page(
        &self,
        request: &Request,
        key: &str,
        now: Timestamp,
    ) -> Result<Response, AuthorizeError> {
        let key = ConnectKey::new(key);
        let session = self
            .platform
            .store
            .open_session(&key.session(), now)
            .await?
            .ok_or(AuthorizeError::UnknownLink)?;
        let (product, app) = self.parties(&session, now).await?;
        if let Some(over) = over(request, &key, &session, &product, now) {
            return Ok(over);
        }
        ended(Outcome::Opened);
        let fixed = self.fixed_host(&session)?;
        let context = self.connect_context(&session, &product, &app).await;
        let chosen = context.renews.as_ref().map(|target| target.environment);
        let my_domain = session.known_host.as_deref().unwrap_or_default();
        let form = HostForm { allowed: &app.login_hosts, chosen, my_domain, refused: None };
        Ok(Self::connect_page(
            StatusCode::OK,
            &key,
            &session,
            (&product, &app),
            sign_in(fixed.as_ref(), form),
            &context,
        ))
    }

    pub(crate) fn fixed_host(&self, session: &ConnectSession) -> Result<Option<LoginHost>, AuthorizeError> {
        self.platform.salesforce.hosts().fixed(&session.host).map_err(|_| AuthorizeError::Unconfigured)
    }

    pub(crate) fn connect_page(
        status: StatusCode,
        key: &ConnectKey,
        session: &ConnectSession,
        (product, app): (&Product, &App),
        sign_in: SignIn<'_>,
        context: &ConnectContext,
    ) -> Response {
        let action = format!("/connect/{}", key.expose());
        let trouble = format!("{action}/trouble");
        let went_out = session.attempts > 0;
        let last = session.last_failure.as_ref().map(|last| {
            let title = diagnosis::cause(&last.cause).map_or("", |cause| cause.title);
            (title, format!("/help/{}", last.id))
        });
        page(status, Forms::Onwards, |nonce| {
            ConnectPage {
                nonce,
                brand: &product.brand,
                app,
                customer: &session.customer,
                action: &action,
                sign_in,
                fresh_login: came_back_as_another(session),
                trouble: went_out.then_some(trouble.as_str()),
                last_failure: last.as_ref().map(|(title, url)| LastFailure { title, url }),
                guide: context.guide.as_deref(),
                renews: context.renews.is_some(),
                crowded: context.crowded,
            }
            .html()
        })
    }
}

/// Whether the browser came back as another user or org than the connection's: then its Salesforce login is the wrong one.
fn came_back_as_another(session: &ConnectSession) -> bool {
    let wrong = |cause: &str| matches!(cause, "other_identity_refused" | "other_identity_unanswered");
    session.change.is_some() || session.last_failure.as_ref().is_some_and(|last| wrong(&last.cause))
}

/// The page for a session that begins nothing any more.
pub(crate) fn over(
    request: &Request,
    key: &ConnectKey,
    session: &ConnectSession,
    product: &Product,
    now: Timestamp,
) -> Option<Response> {
    let brand = &product.brand;
    match &session.state {
        SessionState::Returned { .. } => {
            // The browser that has returned gets its receipt again: an answer may have been released from quarantine.
            let own = AttemptCookie::of_session(request, session).zip(session.browser.as_ref());
            let again = own
                .filter(|_| !is_prefetch(request))
                .and_then(|(cookie, bound)| Back::again(session, &bound.attempt, &cookie, now));
            Some(again.unwrap_or_else(|| finish_in_product(product, &session.return_to)))
        }
        SessionState::Connected { .. } => Some(page(StatusCode::OK, Forms::Ours, |nonce| {
            let back = WayOn::Product(session.return_to.as_str());
            NoticePage::already_connected(nonce, brand, &session.customer, back).html()
        })),
        SessionState::Parked { until, .. } if now < *until => {
            Some(redirect(&format!("/connect/{}/confirm", key.expose())))
        }
        _ if !session.is_open(now) => {
            refused(format_args!("the connect session is over: {}", session.id));
            Some(page(StatusCode::GONE, Forms::Ours, |nonce| {
                let back = WayOn::Product(session.return_to.as_str());
                NoticePage::expired_link(nonce, brand).with_way_on(back).html()
            }))
        }
        _ => None,
    }
}

pub(crate) fn sign_in<'a>(fixed: Option<&'a LoginHost>, form: HostForm<'a>) -> SignIn<'a> {
    match fixed {
        Some(host) => SignIn::Fixed { environment: host.environment(), host: host.host() },
        None => SignIn::Choice(form),
    }
}
