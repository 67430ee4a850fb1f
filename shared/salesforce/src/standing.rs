//! Whether a grant still stands, asked without using it up.

use domain::secret::AccessToken;
use http::{Request, StatusCode, header};
use serde::Deserialize;

use crate::{
    LoginHost, Registration, Salesforce, SalesforceError,
    token::{not_an_address, unreadable},
};

impl Salesforce {
    /// Whether an access token is taken at its org's userinfo (fact base 3.5). A 401 or 403 says no; it may mean
    /// that the token has ended, or that it may not ask. Salesforce being away is an error.
    pub async fn accepts(&self, instance_url: &str, access: &AccessToken) -> Result<bool, SalesforceError> {
        let address = self.hosts.own(instance_url).and_then(|url| url.join("/services/oauth2/userinfo").ok());
        let request = Request::get(address.ok_or_else(not_an_address)?.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", access.expose()))
            .header(header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| not_an_address())?;
        let answer = self.http.send(request).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
            status if status.is_server_error() => Err(unreadable(&answer)),
            _ => Ok(true),
        }
    }

    /// Whether Salesforce knows a refresh token of this app's (RFC 7662; fact base 3.5). It is not used up by
    /// the question.
    pub async fn knows(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        refresh: &str,
    ) -> Result<bool, SalesforceError> {
        #[derive(Deserialize)]
        struct Told {
            active: bool,
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", app.consumer_key)
            .append_pair("client_secret", app.secret.expose())
            .append_pair("token", refresh)
            .append_pair("token_type_hint", "refresh_token")
            .finish();
        let request = Request::post(host.at("/services/oauth2/introspect"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(body.into_bytes())
            .map_err(|_| not_an_address())?;
        let answer = self.http.send(request).await?;
        let told = serde_json::from_slice::<Told>(answer.body()).ok();
        told.filter(|_| answer.status() == StatusCode::OK)
            .map(|told| told.active)
            .ok_or_else(|| unreadable(&answer))
    }
}
