//! Sign-in to the operators' page: a one-time link, then a session in this browser, for one product or for all.
//!
//! `POST /v1/ops-links` makes a link for the product whose API key asks; the operator's command makes one for all. Opening it
//! shows a button and does not use the link: previews open links too. The button (POST, from our own page) uses the link, once, and
//! gives the browser a `__Host-` cookie, which is all that `/ops` asks for. A session ends after eight hours, after 30 minutes
//! without use, with a click, with `latchkey ops sessions end`, or with the API key that its link was made with.

use std::sync::Arc;

use domain::{
    Product,
    secret::{BrowserSecret, OpsKey},
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use pages::{
    Page,
    ops::{DoorPage, SignedOut},
};
use platform::log::refused;
use serde::Serialize;
use store::{StoreError, operator_sessions::OpsScope};
use web::{
    Problem, Request, Response,
    cookies::set_cookie,
    request::{cookie, is_same_origin},
    respond::{self, Forms, page, redirect},
    views,
};

use crate::{Ops, error::OpsError};

/// How long a link is valid. It works once.
const LINK_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// How long a session lasts.
const SESSION_LIFETIME: SignedDuration = SignedDuration::from_hours(8);

const COOKIE: &str = "__Host-lk-ops";

#[derive(Debug, Serialize)]
struct LinkView {
    url: String,
    expires_at: String,
}

/// The operator who is signed in.
#[derive(Debug)]
pub(crate) struct Viewer {
    /// The only product that they may see; `None`: all products.
    pub(crate) product: Option<Arc<Product>>,
    pub(crate) until: Timestamp,
}

impl Ops {
    /// `POST /v1/ops-links`.
    pub(crate) async fn make_link(&self, request: &Request, now: Timestamp) -> Result<Response, OpsError> {
        let caller = self.caller(request, now).await?;
        let digest = caller.key.hash();
        let key = caller.product.api_keys.iter().find(|key| key.hash.matches(&digest));
        let key = key.cloned().ok_or_else(|| Problem::unauthorized(request))?;
        let owner = format!("API key {}", key.id);
        let scope = OpsScope { product: Some(caller.product.id.clone()), made_with: Some(key), owner };
        let (link, until) = (OpsKey::mint(), now + LINK_LIFETIME);
        self.platform.store.create_ops_link(&link.hash(), &scope, until).await?;
        let url = self.platform.settings.public_url.at(&format!("/ops/sign-in/{}", link.expose()));
        Ok(respond::json(StatusCode::CREATED, &LinkView { url, expires_at: views::time(until) }))
    }

    /// `GET /ops/sign-in/{key}`: a button, if the link is valid.
    pub(crate) async fn sign_in_page(&self, key: &str, now: Timestamp) -> Result<Response, StoreError> {
        match self.platform.store.ops_link(&OpsKey::new(key).hash(), now).await? {
            Some(_) => Ok(page(StatusCode::OK, Forms::Ours, |nonce| {
                DoorPage { nonce, action: Some(&format!("/ops/sign-in/{key}")), why: SignedOut::Not }.html()
            })),
            None => Ok(Self::signed_out_page(SignedOut::LinkUsed, StatusCode::GONE)),
        }
    }

    /// `POST /ops/sign-in/{key}`: uses the link.
    pub(crate) async fn sign_in(
        &self,
        request: &Request,
        key: &str,
        now: Timestamp,
    ) -> Result<Response, StoreError> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            refused("a sign-in that is not from our page");
            return Ok(Self::signed_out_page(SignedOut::NoSession, StatusCode::BAD_REQUEST));
        }
        let (link, session) = (OpsKey::new(key).hash(), BrowserSecret::mint());
        let until = now + SESSION_LIFETIME;
        let claimed = self.platform.store.claim_ops_link(&link, &session.hash(), until, now).await?;
        if claimed.is_none() {
            return Ok(Self::signed_out_page(SignedOut::LinkUsed, StatusCode::GONE));
        }
        let mut response = redirect("/ops");
        set_cookie(&mut response, COOKIE, session.expose(), SESSION_LIFETIME.as_secs());
        Ok(response)
    }

    /// `POST /ops/sign-out`.
    pub(crate) async fn sign_out(&self, request: &Request) -> Result<Response, StoreError> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            refused("a sign-out that is not from our page");
            return Ok(Self::signed_out_page(SignedOut::NoSession, StatusCode::BAD_REQUEST));
        }
        if let Some(session) = cookie(request, COOKIE) {
            self.platform.store.end_ops_session(session.hash().as_str()).await?;
        }
        let mut response = Self::signed_out_page(SignedOut::Left, StatusCode::OK);
        set_cookie(&mut response, COOKIE, "", 0);
        Ok(response)
    }

    /// The operator who is signed in; `None`: nobody is.
    pub(crate) async fn viewer(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> Result<Option<Viewer>, StoreError> {
        let Some(session) = cookie(request, COOKIE) else { return Ok(None) };
        let Some((scope, until)) = self.platform.store.ops_session(&session.hash(), now).await? else {
            return Ok(None);
        };
        let Some(id) = &scope.product else { return Ok(Some(Viewer { product: None, until })) };
        let product = self.platform.products.get(id, now).await?;
        // A revoked key takes its sessions along. Its id may stand for another key by then; its digest cannot.
        let admitted = |product: &Arc<Product>| {
            scope
                .made_with
                .as_ref()
                .is_none_or(|key| product.api_keys.iter().any(|known| known.hash.matches(&key.hash)))
        };
        Ok(product.filter(admitted).map(|product| Viewer { product: Some(product), until }))
    }

    /// A page that says why nobody is signed in.
    pub(crate) fn signed_out_page(why: SignedOut, status: StatusCode) -> Response {
        page(status, Forms::Ours, |nonce| DoorPage { nonce, action: None, why }.html())
    }
}
