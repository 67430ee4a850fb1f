//! Who may look: a one-time link, then a session in this browser, for one product or for all.
//!
//! `POST /v1/ops-links` makes a link for the product whose API key asks; the operator's command makes one for all. Opening it
//! shows a button and uses nothing up: previews open links too. The button (POST, from our own page) uses the link, once, and
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
use serde::Serialize;
use service::{
    Problem, Request, Response,
    failures::refused,
    request::{cookie, is_same_origin},
    respond::{self, Forms, page, redirect, set_cookie},
    views,
};
use store::{StoreError, ops::OpsScope};

use crate::{Ops, error::Failed};

/// How long a link waits for its one use.
const LINK_LIVES: SignedDuration = SignedDuration::from_mins(10);

/// How long a browser may look.
const SESSION_LIVES: SignedDuration = SignedDuration::from_hours(8);

const COOKIE: &str = "__Host-lk-ops";

#[derive(Debug, Serialize)]
struct LinkView {
    url: String,
    expires_at: String,
}

/// Who looks.
#[derive(Debug)]
pub(crate) struct Viewer {
    /// Their product; `None`: they may look at all.
    pub(crate) product: Option<Arc<Product>>,
    pub(crate) until: Timestamp,
}

impl Ops {
    /// `POST /v1/ops-links`.
    pub(crate) async fn make_link(&self, request: &Request, now: Timestamp) -> Result<Response, Failed> {
        let caller = self.caller(request, now).await?;
        let digest = caller.key.hash();
        let key = caller.product.api_keys.iter().find(|key| key.hash.matches(&digest));
        let key = key.cloned().ok_or_else(|| Problem::unauthorized(request))?;
        let owner = format!("API key {}", key.id);
        let scope = OpsScope { product: Some(caller.product.id.clone()), made_with: Some(key), owner };
        let (link, until) = (OpsKey::mint(), now + LINK_LIVES);
        self.platform.store.create_ops_link(&link.hash(), &scope, until).await?;
        let url = self.platform.settings.public_url.at(&format!("/ops/sign-in/{}", link.expose()));
        Ok(respond::json(StatusCode::CREATED, &LinkView { url, expires_at: views::time(until) }))
    }

    /// `GET /ops/sign-in/{key}`: whether the link opens, and a button.
    pub(crate) async fn door(&self, key: &str, now: Timestamp) -> Result<Response, StoreError> {
        match self.platform.store.ops_link(&OpsKey::new(key).hash(), now).await? {
            Some(_) => Ok(page(StatusCode::OK, Forms::Ours, |nonce| {
                DoorPage { nonce, action: Some(&format!("/ops/sign-in/{key}")), why: SignedOut::Not }.html()
            })),
            None => Ok(Self::shut(SignedOut::LinkUsed, StatusCode::GONE)),
        }
    }

    /// `POST /ops/sign-in/{key}`: uses the link.
    pub(crate) async fn enter(
        &self,
        request: &Request,
        key: &str,
        now: Timestamp,
    ) -> Result<Response, StoreError> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            refused("a sign-in that is not from our page");
            return Ok(Self::shut(SignedOut::NoSession, StatusCode::BAD_REQUEST));
        }
        let (link, session) = (OpsKey::new(key).hash(), BrowserSecret::mint());
        let until = now + SESSION_LIVES;
        let claimed = self.platform.store.claim_ops_link(&link, &session.hash(), until, now).await?;
        if claimed.is_none() {
            return Ok(Self::shut(SignedOut::LinkUsed, StatusCode::GONE));
        }
        let mut response = redirect("/ops");
        set_cookie(&mut response, COOKIE, session.expose(), SESSION_LIVES.as_secs());
        Ok(response)
    }

    /// `POST /ops/sign-out`.
    pub(crate) async fn leave(&self, request: &Request) -> Result<Response, StoreError> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            refused("a sign-out that is not from our page");
            return Ok(Self::shut(SignedOut::NoSession, StatusCode::BAD_REQUEST));
        }
        if let Some(session) = cookie(request, COOKIE) {
            self.platform.store.end_ops_session(session.hash().as_str()).await?;
        }
        let mut response = Self::shut(SignedOut::Left, StatusCode::OK);
        set_cookie(&mut response, COOKIE, "", 0);
        Ok(response)
    }

    /// Who looks; `None`: nobody who may.
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

    /// A page that says why there is nothing to see.
    pub(crate) fn shut(why: SignedOut, status: StatusCode) -> Response {
        page(status, Forms::Ours, |nonce| DoorPage { nonce, action: None, why }.html())
    }
}
