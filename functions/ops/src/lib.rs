//! **ops**: failures, figures and events, for the product and on the operators' page.
//!
//! | call | what it does |
//! | --- | --- |
//! | `GET /v1/failures` | a product's failures, filtered, page by page |
//! | `GET /v1/failures/summary` | how many, by cause, app, environment, stage and time; sessions, refreshes, time to fix |
//! | `GET /v1/events`, `GET /v1/events/{id}` | a product's events, in the order in which they were recorded; one with its deliveries |
//! | `POST /v1/events/{id}/redeliver`, `POST /v1/webhooks/test` | sends an event again; sends a test |
//! | `POST /v1/ops-links` | a one-time link to the page, for this product |
//! | `GET\|POST /ops/sign-in/{key}`, `POST /ops/sign-out` | sign in and out |
//! | `GET /ops` | the operators' page |
//! | `GET /ops/failures` | the failures of one cause, or all, page by page |
//! | `GET /ops/customers/{digest}` | one customer's history on one timeline |
//! | `GET /ops/endpoints/{endpoint}` | what a webhook endpoint missed |
//! | `POST /ops/search` | finds a customer, an org or a reference; by POST, so that nothing that is typed gets into a log |
//!
//! This function reads counters, failures, events, sessions, and what the indexes carry of connections. Its role cannot
//! read connections or tokens, and has neither the keyring nor consumer secrets. It reads no name of a Salesforce user.

mod acts;
mod counts;
mod csv;
mod customer;
mod dashboard;
mod endpoints;
mod error;
mod events;
mod failure_list;
mod failures;
mod figures;
mod format;
mod lists;
mod outages;
mod query;
mod redeliver;
mod search;
mod session;
mod summary;
mod timeline;
mod visit;

use http::HeaderValue;
use jiff::Timestamp;
use platform::{Platform, SettingError, log::internal};
use runtime::HttpFunction;
use web::{Function, Problem, Query, Request, Response, Route, api_auth, api_auth::Caller, error_pages};

use error::OpsError;
use visit::Refused;

/// The handler of all routes.
#[derive(Debug, Clone)]
pub struct Ops {
    platform: Platform,
}

impl HttpFunction for Ops {
    const NAME: &'static str = "ops";

    fn new(platform: Platform) -> Result<Self, SettingError> {
        platform.deliveries()?;
        Ok(Self { platform })
    }

    async fn respond(&self, request: Request, now: Timestamp) -> Response {
        let route = match Route::of(&request, Function::Ops) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        let query = route.query();
        let answer = match route.parts() {
            ("GET", ["v1", "failures"]) => self.list(&request, query, now).await,
            ("GET", ["v1", "failures", "summary"]) => self.summary(&request, query, now).await,
            ("GET", ["v1", "events"]) => self.list_events(&request, query, now).await,
            ("GET", ["v1", "events", id]) => self.show_event(&request, id, now).await,
            ("POST", ["v1", "events", id, "redeliver"]) => self.redeliver(&request, id, now).await,
            ("POST", ["v1", "webhooks", "test"]) => self.test_webhooks(&request, now).await,
            ("POST", ["v1", "ops-links"]) => self.make_link(&request, now).await,
            (method, path) => return self.show(method, path, &request, query, now).await,
        };
        answer.unwrap_or_else(|error| match error {
            OpsError::Problem(problem) => (*problem).into(),
            error @ OpsError::Store(_) => Problem::internal(&internal(&error)).into(),
        })
    }
}

impl Ops {
    /// Answers a browser with a page.
    async fn show(
        &self,
        method: &str,
        path: &[&str],
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Response {
        let answer = match (method, path) {
            ("GET", ["ops"]) => Box::pin(self.dashboard(request, query, now)).await,
            ("GET", ["ops", "failures"]) => self.failure_list(request, query, now).await,
            ("GET", ["ops", "endpoints", id]) => self.endpoint_page(request, id, query, now).await,
            ("GET", ["ops", "customers", digest]) => self.customer(request, digest, query, now).await,
            ("POST", ["ops", "search"]) => self.search(request, now).await,
            ("GET", ["ops", "sign-in", key]) => self.sign_in_page(key, now).await.map_err(Refused::Store),
            ("POST", ["ops", "sign-in", key]) => {
                self.sign_in(request, key, now).await.map_err(Refused::Store)
            }
            ("POST", ["ops", "sign-out"]) => self.sign_out(request).await.map_err(Refused::Store),
            _ => Ok(error_pages::not_found()),
        };
        let mut answer = answer.unwrap_or_else(|refused| match refused {
            Refused::Because(page) => *page,
            Refused::Store(error) => error_pages::unavailable(&error),
        });
        // Nobody opens these pages as a popup. A connect page has no such header: products open it with window.open.
        let policy = HeaderValue::from_static("same-origin");
        answer.headers_mut().insert("cross-origin-opener-policy", policy);
        answer
    }

    async fn caller(&self, request: &Request, now: Timestamp) -> Result<Caller, OpsError> {
        Ok(api_auth::caller(&self.platform.products, request, now)
            .await?
            .ok_or_else(|| Problem::unauthorized(request))?)
    }
}
