//! `GET|POST /connect/{key}/confirm`: a reconnect came back as another org or user. The browser that went to
//! Salesforce, and no other, is shown both and says which is meant. Looking changes nothing.

use diagnosis::evidence;
use domain::{
    App, AttemptId, ConnectSession, ConnectionId, Product, SessionState, Stage, Surface,
    secret::{ConnectKey, Receipt},
    session::{BoundBrowser, Change},
};
use grants::record_failure::{FailureSubject, Observation, diagnose};
use grants::revoke::revoke_and_delete;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use pages::{ConfirmPage, NoticePage, Page, WayOn};
use platform::log::{internal, refused};
use std::sync::Arc;
use store::{ConnectionRecord, StoreError};
use web::{
    Request, Response,
    browser_binding::AttemptCookie,
    error_pages::{bad_request, finish_in_product, foreign_form, other_browser, unavailable, unknown_link},
    request::{Form, is_same_origin},
    respond::{Forms, page, redirect},
    return_to_product::Back,
};

use grants::exchange::REDEEM;

use crate::Callback;

/// Why there is nothing to confirm.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unconfirmed {
    /// No session has this key.
    #[error("no session has this link")]
    UnknownLink,
    /// Another browser went to Salesforce.
    #[error("the session is another browser's")]
    OtherBrowser(Arc<Product>, Box<ConnectSession>),
    /// The form says neither yes nor no.
    #[error("the form cannot be read")]
    BadForm,
    /// Nothing proves that the form is from our page.
    #[error("the form is not from our page")]
    ForeignForm,
    /// It was decided, or its time is over.
    #[error("nothing of the session waits to be confirmed")]
    Over(Arc<Product>, Box<ConnectSession>),
    /// The session's product or app is no longer configured.
    #[error("the session's product or app is not configured")]
    Unconfigured,
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session whose reconnect came back as another org or user, in its own browser.
struct Asked {
    cookie: AttemptCookie,
    attempt: AttemptId,
    session: ConnectSession,
    change: Change,
    product: Arc<Product>,
    app: App,
}

impl Callback {
    /// The page that asks.
    pub(crate) async fn ask_which(
        &self,
        request: &Request,
        key: &str,
        now: Timestamp,
    ) -> Result<Response, Unconfirmed> {
        let asked = self.asked(request, key, now).await?;
        let SessionState::Parked { until, .. } = &asked.session.state else { return Err(asked.over()) };
        if now >= *until {
            return Err(asked.over());
        }
        let minutes = (*until - now).get_seconds().div_euclid(60).max(1);
        // Confirmed, it leads on to the product.
        Ok(page(StatusCode::OK, Forms::Onwards, |nonce| {
            ConfirmPage {
                nonce,
                brand: &asked.product.brand,
                app: &asked.app,
                customer: &asked.session.customer,
                action: &format!("/connect/{}/confirm", asked.cookie.key.expose()),
                change: &asked.change,
                minutes,
            }
            .html()
        }))
    }

    /// The answer.
    pub(crate) async fn decide(
        &self,
        request: &Request,
        key: &str,
        now: Timestamp,
    ) -> Result<Response, Unconfirmed> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            return Err(Unconfirmed::ForeignForm);
        }
        let form = Form::of_body(request).map_err(|_| Unconfirmed::BadForm)?;
        let asked = self.asked(request, key, now).await?;
        match (form.only("confirm"), asked.session.state.clone()) {
            (Some("yes"), SessionState::Parked { connection, until }) if now < until => {
                self.confirm(asked, &connection, now).await
            }
            (Some("yes"), SessionState::Returned { .. }) => asked.back_again(now),
            (Some("no"), SessionState::Parked { connection, until }) if now < until => {
                Box::pin(self.keep(asked, &connection, now)).await
            }
            (Some("yes" | "no"), _) => Err(asked.over()),
            _ => Err(Unconfirmed::BadForm),
        }
    }

    /// Yes: the grant is pending, and the product redeems it. A second click gets the same receipt.
    async fn confirm(
        &self,
        mut asked: Asked,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<Response, Unconfirmed> {
        let store = &self.platform.store;
        let receipt = asked.receipt(connection);
        if store.confirm(&asked.session.id, connection, (&receipt.hash(), now + REDEEM), now).await? {
            return Ok(asked.to_product(connection, &receipt, REDEEM));
        }
        // A second click came first, or a write that the SDK repeated.
        if let Some(session) = store.session(&asked.session.id).await? {
            asked.session = session;
        }
        asked.back_again(now)
    }

    /// No: the grant is given back, and the connection stays what it was.
    async fn keep(
        &self,
        asked: Asked,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<Response, Unconfirmed> {
        match self.platform.store.connection(connection).await? {
            Some(parked) => self.refuse_parked(asked, &parked, "other_identity_refused", now).await,
            None => Err(asked.over()),
        }
    }

    async fn refuse_parked(
        &self,
        asked: Asked,
        parked: &ConnectionRecord,
        code: &'static str,
        now: Timestamp,
    ) -> Result<Response, Unconfirmed> {
        let evidence = evidence::our_own(Surface::Callback, code, None);
        let met = Observation::new(
            FailureSubject::Connection(&parked.connection),
            &asked.app,
            Stage::Callback,
            evidence,
        );
        let (mut failure, _) = diagnose(met, now);
        failure.connection.clone_from(&asked.session.reconnects);
        let (store, connection) = (&self.platform.store, &parked.connection);
        if !store.refuse_parked(&asked.session.id, &connection.id, &failure, now).await? {
            return Err(asked.over());
        }
        if let Err(error) = revoke_and_delete(&self.platform, &self.cipher, parked, now).await {
            internal(&error);
        }
        Ok(redirect(&format!("/help/{}", failure.id)))
    }

    /// The session behind the link, in its own browser, if it came back as another org or user.
    async fn asked(&self, request: &Request, key: &str, now: Timestamp) -> Result<Asked, Unconfirmed> {
        let key = ConnectKey::new(key);
        let session = self.platform.store.session(&key.session()).await?.ok_or(Unconfirmed::UnknownLink)?;
        let found = self.platform.products.with_app(&session.product, &session.app, now).await?;
        let (product, app) = found.ok_or(Unconfirmed::Unconfigured)?;
        let (Some(cookie), Some(BoundBrowser { attempt, .. })) =
            (AttemptCookie::of_session(request, &session), session.browser.clone())
        else {
            return Err(Unconfirmed::OtherBrowser(product, Box::new(session)));
        };
        match session.change.clone() {
            Some(change) => Ok(Asked { cookie, attempt, session, change, product, app }),
            None => Err(Unconfirmed::Over(product, Box::new(session))),
        }
    }
}

impl Asked {
    /// The one receipt of this return.
    fn receipt(&self, connection: &ConnectionId) -> Receipt {
        Receipt::of(connection, &self.cookie.secret, &self.attempt)
    }

    fn to_product(&self, connection: &ConnectionId, receipt: &Receipt, left: SignedDuration) -> Response {
        let Self { session, attempt, .. } = self;
        let back = Back { session: &session.id, attempt, return_to: &session.return_to };
        back.to_product(connection, receipt, &self.cookie, left)
    }

    /// The same way on as the first click, until the receipt's deadline.
    fn back_again(self, now: Timestamp) -> Result<Response, Unconfirmed> {
        Back::again(&self.session, &self.attempt, &self.cookie, now).ok_or_else(|| self.over())
    }

    fn over(self) -> Unconfirmed {
        Unconfirmed::Over(self.product, Box::new(self.session))
    }
}

impl From<Unconfirmed> for Response {
    fn from(unconfirmed: Unconfirmed) -> Self {
        match &unconfirmed {
            Unconfirmed::UnknownLink => unknown_link(&unconfirmed),
            Unconfirmed::BadForm => bad_request(&unconfirmed),
            Unconfirmed::ForeignForm => foreign_form(&unconfirmed),
            Unconfirmed::OtherBrowser(product, session) => {
                other_browser(&unconfirmed, product, &session.return_to)
            }
            Unconfirmed::Over(product, session) => {
                refused(&unconfirmed);
                decided(product, session)
            }
            Unconfirmed::Store(_) | Unconfirmed::Unconfigured => unavailable(&unconfirmed),
        }
    }
}

/// The page for a session in which nothing waits to be confirmed.
fn decided(product: &Product, session: &ConnectSession) -> Response {
    let back = WayOn::Product(session.return_to.as_str());
    match (&session.state, &session.last_failure) {
        (SessionState::Returned { .. }, _) => finish_in_product(product, &session.return_to),
        (SessionState::Connected { .. }, _) => page(StatusCode::OK, Forms::Ours, |nonce| {
            NoticePage::already_connected(nonce, &product.brand, &session.customer, back).html()
        }),
        (_, Some(failure)) => redirect(&format!("/help/{}", failure.id)),
        _ => page(StatusCode::GONE, Forms::Ours, |nonce| {
            NoticePage::expired_link(nonce, &product.brand).with_way_on(back).html()
        }),
    }
}
