//! **callback**: back from Salesforce, and the product's word that it was the right user.
//!
//! `GET /oauth/callback` → [`oauth_callback`]: claims the attempt once, lets [`grants::exchange`] turn the code into a
//! pending connection, and sends the browser to the product with a one-time receipt.
//!
//! If the session renews a connection and the grant is another org's or user's, the browser goes to
//! `/connect/{key}/confirm` first → [`confirm`]: both are shown, and the user says which is meant.
//!
//! `POST /v1/connect-sessions/{id}/redeem` → [`redeem`]: receipt and user together make it active; a right
//! receipt with another user means an attack, and the grant goes.

#![warn(missing_docs)]

mod answer;
mod confirm;
mod error;
mod oauth_callback;
mod redeem;

use grants::exchange::Exchanger;
use jiff::Timestamp;
use platform::{Platform, SettingError};
use runtime::HttpFunction;
use store::TokenCipher;
use web::{Function, Request, Response, Route};

/// The function callback.
#[derive(Debug, Clone)]
pub struct Callback {
    platform: Platform,
    cipher: TokenCipher,
    exchanger: Exchanger,
}

impl HttpFunction for Callback {
    const NAME: &'static str = "callback";

    fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self { cipher: platform.token_cipher()?, exchanger: Exchanger::new(platform.clone())?, platform })
    }

    async fn respond(&self, request: Request, now: Timestamp) -> Response {
        let route = match Route::of(&request, Function::Callback) {
            Ok(route) => route,
            Err(answer) => return *answer,
        };
        match route.parts() {
            ("GET", ["oauth", "callback"]) => {
                let time = web::request::deadline(&request, now);
                match self.oauth_callback(&request, &time).await {
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
