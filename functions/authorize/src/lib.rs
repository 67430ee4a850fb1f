//! **authorize**: connect sessions, the connect page, off to Salesforce.
//!
//! 1. The product's backend makes a session: `POST /v1/connect-sessions` → [`create`].
//! 2. The user opens its link: `GET /connect/{key}` → [`connect_page`]. That binds nothing.
//! 3. The user goes on: `POST /connect/{key}` → [`start_attempt`] mints an attempt, ties it to this browser by a
//!    cookie, and sends the browser to Salesforce.
//! 4. The backend asks how it stands: `GET /v1/connect-sessions/{id}` → [`show`].
//!
//! This function cannot read tokens: it has neither keyring nor consumer secrets.

#![warn(missing_docs)]

mod connect_context;
mod connect_page;
mod create;
mod error;
mod show;
mod start_attempt;

use domain::{App, ConnectSession, Product};
use jiff::Timestamp;
use platform::{
    Platform, SettingError,
    log::{about_session, internal},
};
use runtime::HttpFunction;
use std::sync::Arc;
use web::{Function, Problem, Request, Response, Route, error_pages};

use error::AuthorizeError;

/// The function authorize.
#[derive(Debug, Clone)]
pub struct Authorize {
    platform: Platform,
}

impl HttpFunction for Authorize {
    const NAME: &'static str = "authorize";

    fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self { platform })
    }

    async fn respond(&self, request: Request, now: Timestamp) -> Response {
        let route = match Route::of(&request, Function::Authorize) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        match route.parts() {
            ("POST", ["v1", "connect-sessions"]) => or_problem(self.create(&request, now).await),
            ("GET", ["v1", "connect-sessions", id]) => or_problem(self.show(&request, id, now).await),
            ("GET", ["connect", key]) => or_page(self.page(&request, key, now).await),
            ("POST", ["connect", key]) => or_page(self.start_attempt(&request, key, now).await),
            _ => error_pages::not_found(),
        }
    }
}

impl Authorize {
    /// The product and the app that a session names.
    async fn parties(
        &self,
        session: &ConnectSession,
        now: Timestamp,
    ) -> Result<(Arc<Product>, App), AuthorizeError> {
        about_session(session);
        let found = self.platform.products.with_app(&session.product, &session.app, now).await?;
        found.ok_or(AuthorizeError::Unconfigured)
    }
}

fn or_problem(answer: Result<Response, AuthorizeError>) -> Response {
    answer.unwrap_or_else(|failed| match failed {
        AuthorizeError::Call(problem) => (*problem).into(),
        failed => Problem::internal(&internal(&failed)).into(),
    })
}

fn or_page(answer: Result<Response, AuthorizeError>) -> Response {
    answer.unwrap_or_else(|failed| error::page(&failed))
}
