//! `GET|POST /connect/{key}/confirm`: a reconnect came back as another org or user. The browser that went to
//! Salesforce, and no other, is shown both and says which is meant. Looking changes nothing.

use domain::{
    App, ConnectSession, ConnectionId, Evidence, Product, SessionState, Stage, Surface,
    secret::{ConnectKey, Receipt},
    session::Change,
};
use http::StatusCode;
use jiff::Timestamp;
use pages::{ConfirmPage, NoticePage, Page, WayOn};
use service::{
    Request, Response,
    failures::{Met, Of, diagnose, internal, refused},
    notices::{bad_request, unavailable, unknown_link},
    request::{Form, bound_key, is_same_origin},
    respond::{Forms, page, redirect},
};
use std::sync::Arc;
use store::{ConnectionRecord, Settled, StoreError};

use crate::{
    Callback,
    arrive::{REDEEM, back_to_product},
    reconnect::{TakeoverError, Took},
};

/// Why there is nothing to confirm.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unconfirmed {
    /// No session has this key.
    #[error("no session has this link")]
    UnknownLink,
    /// Another browser went to Salesforce.
    #[error("the session is another browser's")]
    OtherBrowser(Arc<Product>, Box<ConnectSession>),
    /// The form is not from our page, or says neither yes nor no.
    #[error("the form is not from our page, or cannot be read")]
    BadForm,
    /// It was decided, or its time is over.
    #[error("nothing of the session waits to be confirmed")]
    Over(Arc<Product>, Box<ConnectSession>),
    /// The session's product or app is no longer configured.
    #[error("the session's product or app is not configured")]
    Unconfigured,
    /// The table, or the secrets.
    #[error(transparent)]
    Failed(#[from] TakeoverError),
}

impl From<StoreError> for Unconfirmed {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// A session whose reconnect came back as another org or user, in its own browser.
struct Asked {
    key: ConnectKey,
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
                action: &format!("/connect/{}/confirm", asked.key.expose()),
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
            return Err(Unconfirmed::BadForm);
        }
        let form = Form::of_body(request).map_err(|_| Unconfirmed::BadForm)?;
        let asked = self.asked(request, key, now).await?;
        let (parked, connection) = match &asked.session.state {
            SessionState::Parked { connection, until } if now < *until => (true, connection.clone()),
            SessionState::Returned { connection, .. } => (false, connection.clone()),
            _ => return Err(asked.over()),
        };
        match form.only("confirm") {
            Some("yes") if asked.product.redeem => self.confirm(asked, &connection, now).await,
            Some("yes") if parked => self.change(asked, &connection, now).await,
            Some("no") if parked => self.keep(asked, &connection, now).await,
            Some("yes" | "no") => Err(asked.over()),
            _ => Err(Unconfirmed::BadForm),
        }
    }

    /// Yes: the grant is pending, and the product redeems it. A second click gets a receipt of its own, for the
    /// browser follows the last answer.
    async fn confirm(
        &self,
        asked: Asked,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<Response, Unconfirmed> {
        let store = &self.platform.store;
        let receipt = Receipt::mint(connection);
        let confirmed =
            store.confirm(&asked.session.id, connection, (&receipt.hash(), now + REDEEM), now).await?;
        let Some(record) = store.connection(connection).await?.filter(|_| confirmed) else {
            return Err(asked.over());
        };
        Ok(back_to_product(
            &asked.session.return_to,
            &asked.session.id,
            &record.connection.id,
            Some(&receipt),
        ))
    }

    /// Yes, where the product redeems nothing: the grant takes the old one's place at once.
    async fn change(
        &self,
        asked: Asked,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<Response, Unconfirmed> {
        let Some(parked) = self.platform.store.connection(connection).await? else {
            return Err(asked.over());
        };
        match self.take_over(&parked, Settled::Confirmed, now).await? {
            Took::Yes(taken) => {
                self.retire(&taken, now).await;
                Ok(back_to_product(&asked.session.return_to, &asked.session.id, &taken.after.id, None))
            }
            Took::Overtaken => self.refuse_parked(asked, &parked, "reconnect_overtaken", now).await,
            Took::Refused(_) => Err(asked.over()),
        }
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
        let evidence = Evidence::our_own(Surface::Callback, code, None);
        let met = Met::new(Of::Connection(&parked.connection), &asked.app, Stage::Callback, evidence);
        let (mut failure, _) = diagnose(met, now);
        failure.connection.clone_from(&asked.session.reconnects);
        let (store, connection) = (&self.platform.store, &parked.connection);
        if !store.refuse_parked(&asked.session.id, &connection.id, &failure, now).await? {
            return Err(asked.over());
        }
        if let Err(error) = self.platform.revoke_and_delete(&self.vault, parked, now).await {
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
        if bound_key(request, &session.id).is_none() {
            return Err(Unconfirmed::OtherBrowser(product, Box::new(session)));
        }
        match session.change.clone() {
            Some(change) => Ok(Asked { key, session, change, product, app }),
            None => Err(Unconfirmed::Over(product, Box::new(session))),
        }
    }
}

impl Asked {
    fn over(self) -> Unconfirmed {
        Unconfirmed::Over(self.product, Box::new(self.session))
    }
}

impl From<Unconfirmed> for Response {
    fn from(unconfirmed: Unconfirmed) -> Self {
        match &unconfirmed {
            Unconfirmed::UnknownLink => unknown_link(&unconfirmed),
            Unconfirmed::BadForm => bad_request(&unconfirmed),
            Unconfirmed::OtherBrowser(product, session) => {
                refused(&unconfirmed);
                page(StatusCode::FORBIDDEN, Forms::Ours, |nonce| {
                    let back = WayOn::Product(session.return_to.as_str());
                    NoticePage::other_browser(nonce, &product.brand).with_way_on(back).html()
                })
            }
            Unconfirmed::Over(product, session) => {
                refused(&unconfirmed);
                decided(product, session)
            }
            Unconfirmed::Failed(_) | Unconfirmed::Unconfigured => unavailable(&unconfirmed),
        }
    }
}

/// The page for a session in which nothing waits to be confirmed.
fn decided(product: &Product, session: &ConnectSession) -> Response {
    let back = WayOn::Product(session.return_to.as_str());
    match (&session.state, &session.last_failure) {
        (SessionState::Connected { .. } | SessionState::Returned { .. }, _) => {
            page(StatusCode::OK, Forms::Ours, |nonce| {
                NoticePage::already_connected(nonce, &product.brand, &session.customer, back).html()
            })
        }
        (_, Some(failure)) => redirect(&format!("/help/{}", failure.id)),
        _ => page(StatusCode::GONE, Forms::Ours, |nonce| {
            NoticePage::expired_link(nonce, &product.brand).with_way_on(back).html()
        }),
    }
}
