//! **errors**: what went wrong, and what to do.
//!
//! | visit | what it does |
//! | --- | --- |
//! | `GET /connect/{key}/trouble` | Salesforce kept the user and told us nothing: what did you see? |
//! | `POST /connect/{key}/trouble` | reads the choice or the pasted text, records it as *reported*, leads to its help page |
//! | `GET /help/{id}` | the branded page for a failure: for the end user, and for the admin |
//! | `POST /help/{id}` | somebody pastes more: a new diagnosis of the same failure, with a page of its own |
//! | `GET /help/{id}/status` | whether the retry succeeded |
//! | `POST /v1/connections/{id}/failures` | what the product met when it used the API: a diagnosis and its page |
//! | `GET /guides/{product}/{app}` | the same steps as standing documentation, for the admin before the first connect |
//! | `GET /guides/{product}/{app}/vendor` | and for the product's own engineers |
//! | `GET /guides/{product}/{app}/packaging` | how they package an external client app |
//! | `GET /healthz` | that the function runs |
//!
//! This function cannot read tokens: it has neither keyring nor consumer secrets.

#![warn(missing_docs)]

mod error;
mod guide;
mod help;
mod report_failure;
mod trouble;

use std::sync::Arc;

use diagnosis::guide::Audience;
use domain::{App, AppId, Product, ProductId};
use http::StatusCode;
use jiff::Timestamp;
use platform::{Platform, SettingError};
use runtime::HttpFunction;
use web::{Function, Request, Response, Route, respond};

use error::ErrorsError;

/// The function errors.
#[derive(Debug, Clone)]
pub struct Errors {
    platform: Platform,
}

impl HttpFunction for Errors {
    const NAME: &'static str = "errors";

    fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self { platform })
    }

    async fn respond(&self, request: Request, now: Timestamp) -> Response {
        let route = match Route::of(&request, Function::Errors) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        let answer = match route.parts() {
            ("GET", ["connect", key, "trouble"]) => self.trouble(key, now).await,
            ("POST", ["connect", key, "trouble"]) => self.told(&request, key, now).await,
            ("GET", ["help", id]) => self.help(&request, id, now).await,
            ("POST", ["help", id]) => self.refine(&request, id, now).await,
            ("GET", ["help", id, "status"]) => self.status(id, now).await,
            ("GET", ["guides", product, app]) => self.guide(product, app, Audience::Admin, now).await,
            ("GET", ["guides", product, app, "packaging"]) => {
                self.guide(product, app, Audience::Packaging, now).await
            }
            ("GET", ["guides", product, app, "vendor"]) => {
                self.guide(product, app, Audience::Vendor, now).await
            }
            ("POST", ["v1", "connections", id, "failures"]) => {
                Ok(self.report_failure(&request, id, now).await.unwrap_or_else(Response::from))
            }
            ("GET", ["healthz"]) => Ok(respond::json(StatusCode::OK, &Healthy { status: "ok" })),
            _ => Err(ErrorsError::NotFound),
        };
        answer.unwrap_or_else(|failed| error::page(&failed))
    }
}

impl Errors {
    /// The product and the app that a session or failure names.
    async fn parties(
        &self,
        product: &ProductId,
        app: &AppId,
        now: Timestamp,
    ) -> Result<(Arc<Product>, App), ErrorsError> {
        self.platform.products.with_app(product, app, now).await?.ok_or(ErrorsError::Unconfigured)
    }
}

#[derive(Debug, serde::Serialize)]
struct Healthy {
    status: &'static str,
}
