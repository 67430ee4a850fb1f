//! **token**: a live token for the product, and its connections.
//!
//! | call | what it does |
//! | --- | --- |
//! | `GET /v1/connections/{id}/token` | one read while the token is fresh; else one refresh, over all functions |
//! | `POST /v1/connections/{id}/token` | the same, for a caller whose token Salesforce rejected, or who needs a minimum lifetime |
//! | `GET /v1/connections`, `GET /v1/connections/{id}` | list, show |
//! | `POST /v1/connections` | a refresh token that the product holds becomes a connection |
//! | `POST /v1/connections/{id}/check` | a connection, proved against Salesforce: what is wrong with it, or soon will be |
//! | `DELETE /v1/connections/{id}` | revoke at Salesforce, then delete |
//!
//! [`get_token`] decides what a caller gets; the refresh protocol is [`grants::refresh`]; [`import`] is the same care
//! for a token that comes from outside.

#![warn(missing_docs)]

mod check;
mod connections;
mod error;
mod get_token;
mod import;

use grants::{import::Importer, refresh::Refresher};
use jiff::Timestamp;
use platform::{Platform, SettingError, log::internal};
use runtime::HttpFunction;
use store::TokenCipher;
use web::{Function, Problem, Request, Response, Route};

use error::TokenError;

/// The function token.
#[derive(Debug, Clone)]
pub struct Token {
    platform: Platform,
    cipher: TokenCipher,
    refresher: Refresher,
    importer: Importer,
}

impl HttpFunction for Token {
    const NAME: &'static str = "token";

    fn new(platform: Platform) -> Result<Self, SettingError> {
        let (cipher, refresher) = (platform.token_cipher()?, Refresher::new(platform.clone())?);
        let importer = Importer::new(platform.clone(), cipher.clone(), refresher.clone());
        Ok(Self { platform, cipher, refresher, importer })
    }

    /// Fetches the keyring: nearly every call needs it. An error is reported to the call that needs it.
    async fn warm_up(&self) {
        let _ = self.cipher.ready().await;
    }

    async fn respond(&self, request: Request, now: Timestamp) -> Response {
        let route = match Route::of(&request, Function::Token) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        let answer = match route.parts() {
            ("GET", ["v1", "connections"]) => self.list(&request, route.query(), now).await,
            ("POST", ["v1", "connections"]) => self.import(&request, now).await,
            ("POST", ["v1", "connections", id, "check"]) => self.check(&request, id, now).await,
            ("GET", ["v1", "connections", id]) => self.show(&request, id, now).await,
            ("DELETE", ["v1", "connections", id]) => self.revoke(&request, id, now).await,
            ("GET" | "POST", ["v1", "connections", id, "token"]) => {
                self.get_token(&request, route.query(), id, now).await
            }
            _ => Err(Problem::not_found("resource").into()),
        };
        answer.unwrap_or_else(|failed| match failed {
            TokenError::Problem(problem) => (*problem).into(),
            failed => Problem::internal(&internal(&failed)).into(),
        })
    }
}
