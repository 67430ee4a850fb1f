//! **ops**: what fails, where, why, and whether it gets better.
//!
//! | call | what it does |
//! | --- | --- |
//! | `GET /v1/failures` | a product's failures, filtered, page by page |
//! | `GET /v1/failures/summary` | how many, by cause, app, environment, stage and time; sessions, refreshes, time to fix |
//! | `POST /v1/ops-links` | a one-time link to the page, for this product |
//! | `GET\|POST /ops/sign-in/{key}`, `POST /ops/sign-out` | in and out |
//! | `GET /ops` | the operators' page |
//!
//! This function reads figures and failures. It cannot read sessions, connections or tokens, and has neither keyring nor
//! consumer secrets; of the connections it could read what an index carries, and does not.

#![warn(missing_docs)]

mod error;
mod failures;
mod figures;
mod rows;
mod sign_in;
mod spread;
mod summary;
mod timeline;
mod view;
mod words;

use http::HeaderValue;
use jiff::Timestamp;
use service::{
    Function, Platform, Problem, Query, Request, Response, Route, caller::Caller, failures::internal, notices,
};

use error::Failed;

/// The function.
#[derive(Debug, Clone)]
pub struct Ops {
    platform: Platform,
}

impl Ops {
    /// The function on this platform.
    pub fn new(platform: Platform) -> Self {
        Self { platform }
    }

    /// Every visit ends in a page or a document, so this cannot fail.
    pub async fn respond(&self, request: Request, now: Timestamp) -> Response {
        let route = match Route::of(&request, Function::Ops) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        let query = route.query();
        let answer = match route.parts() {
            ("GET", ["v1", "failures"]) => self.list(&request, query, now).await,
            ("GET", ["v1", "failures", "summary"]) => self.summary(&request, query, now).await,
            ("POST", ["v1", "ops-links"]) => self.make_link(&request, now).await,
            (method, path) => return self.visit(method, path, &request, query, now).await,
        };
        answer.unwrap_or_else(|failed| match failed {
            Failed::Problem(problem) => (*problem).into(),
            failed @ Failed::Store(_) => Problem::internal(&internal(&failed)).into(),
        })
    }

    /// A browser's visit ends in a page.
    async fn visit(
        &self,
        method: &str,
        path: &[&str],
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Response {
        let answer = match (method, path) {
            ("GET", ["ops"]) => self.page(request, query, now).await,
            ("GET", ["ops", "sign-in", key]) => self.door(key, now).await,
            ("POST", ["ops", "sign-in", key]) => self.enter(request, key, now).await,
            ("POST", ["ops", "sign-out"]) => self.leave(request).await,
            _ => Ok(notices::not_found()),
        };
        let mut answer = answer.unwrap_or_else(|error| notices::unavailable(&error));
        // Nobody opens these pages as a popup. A connect page has no such header: products open it with window.open.
        let policy = HeaderValue::from_static("same-origin");
        answer.headers_mut().insert("cross-origin-opener-policy", policy);
        answer
    }

    async fn caller(&self, request: &Request, now: Timestamp) -> Result<Caller, Failed> {
        Ok(self
            .platform
            .products
            .caller(request, now)
            .await?
            .ok_or_else(|| Problem::unauthorized(request))?)
    }
}
