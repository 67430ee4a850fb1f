//! **callback**: back from Salesforce, and the product's word that it was the right user.
//!
//! `GET /oauth/callback` → [`arrive`]: claim the attempt once, exchange the code, check the answer, seal the
//! tokens, store a pending connection, send the browser to the product with a one-time receipt. An answer of doubtful form
//! goes into quarantine ([`kept`]), one that may be another's is revoked. [`trip`] says how long each part may take.
//!
//! Where the session authorizes a connection anew ([`reconnect`]), the new grant waits beside the connection, and takes
//! the old one's place when it is redeemed. If it is another org's or user's, the browser goes to
//! `/connect/{key}/confirm` first → [`confirm`]: both are shown, and the user says which is meant.
//!
//! `POST /v1/connect-sessions/{id}/redeem` → [`redeem`]: receipt and user together make it active; a right
//! receipt with another user means an attack, and the grant goes.

#![warn(missing_docs)]

mod answer;
mod arrive;
mod confirm;
mod error;
mod exchange;
mod kept;
mod reconnect;
mod redeem;
mod trip;
mod unredeemed;

use jiff::Timestamp;
use platform::{Platform, SettingError};
use runtime::HttpFunction;
use store::{Fallback, Vault};
use web::{Function, Request, Response, Route};

/// The function callback.
#[derive(Debug, Clone)]
pub struct Callback {
    platform: Platform,
    vault: Vault,
    fallback: Fallback,
}

impl HttpFunction for Callback {
    const NAME: &'static str = "callback";

    fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self { vault: platform.vault()?, fallback: platform.fallback()?, platform })
    }

    async fn respond(&self, request: Request, now: Timestamp) -> Response {
        let route = match Route::of(&request, Function::Callback) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        match route.parts() {
            ("GET", ["oauth", "callback"]) => {
                let time = web::request::deadline(&request, now);
                match self.arrive(&request, &time).await {
                    Ok(response) => response,
                    Err(ended) => self.end(ended, &time).await,
                }
            }
            ("GET", ["connect", key, "confirm"]) => {
                self.ask_which(&request, key, now).await.unwrap_or_else(Response::from)
            }
            ("POST", ["connect", key, "confirm"]) => {
                Box::pin(self.decide(&request, key, now)).await.unwrap_or_else(Response::from)
            }
            ("POST", ["v1", "connect-sessions", id, "redeem"]) => {
                match self.redeem(&request, id, now).await {
                    Ok(response) => response,
                    Err(refused) => refused.into(),
                }
            }
            _ => web::error_pages::not_found(),
        }
    }
}
