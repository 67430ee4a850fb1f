//! Whether a grant still stands, asked without using it up.

use domain::secret::AccessToken;
use http::{Request, StatusCode, header};

use crate::{
    LoginHost, Registration, Salesforce, SalesforceError,
    token::{not_an_address, unreadable},
};

impl Salesforce {
    /// Whether an access token is accepted at its org's userinfo (fact base 3.5). Only 200 with a JSON object says yes. A 401
    /// or 403 says no; it may mean that the token has ended, or that it may not ask. Any other answer is an error: a
    /// redirect, a limit or a web page says nothing about the token.
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
            StatusCode::OK if is_json_object(answer.body()) => Ok(true),
            _ => Err(unreadable(&answer)),
        }
    }

    /// Whether a login host answers a request that changes nothing: the keys that it signs with. A maintenance page in
    /// their place is not an answer.
    pub async fn is_reachable(&self, host: &LoginHost) -> bool {
        let request = Request::get(host.at("/id/keys")).header(header::ACCEPT, "application/json");
        let Ok(request) = request.body(Vec::new()) else { return false };
        self.http
            .send(request)
            .await
            .is_ok_and(|answer| answer.status() == StatusCode::OK && is_json_object(answer.body()))
    }

    /// Whether Salesforce knows a refresh token of this app's (RFC 7662; fact base 3.5). It is not used up by
    /// the question.
    pub async fn knows(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        refresh: &str,
    ) -> Result<bool, SalesforceError> {
        Ok(self.introspect(host, app, refresh, "refresh_token").await?.active)
    }
}

fn is_json_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
}
