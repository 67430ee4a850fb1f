//! Requests with an app's credentials, written by the `oauth2` crate (RFC 6749 §4.1.3 and §6, RFC 7662 §2.1).
//!
//! The crate does not read the answer: it drops one for its content type, for a repeated member or for an absent
//! `token_type`, and the answer may hold the only copy of a rotated refresh token. So the answer leaves the crate as the
//! error of its HTTP client, and `answer.rs` reads it.

use std::{borrow::Cow, fmt, pin::Pin, time::Duration};

use domain::secret::{AuthorizationCode, RefreshToken};
use oauth2::{
    AccessToken, AsyncHttpClient, AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IntrospectionUrl, PkceCodeVerifier, RedirectUrl, RequestTokenError, TokenUrl,
    basic::BasicClient,
};

use crate::{
    LoginHost, Registration, Salesforce, SalesforceError,
    endpoint::Answered,
    http::{ANSWER, TOKEN_ENDPOINT_TIMEOUT},
    token::not_an_address,
};

const TOKEN: &str = "/services/oauth2/token";
const INTROSPECT: &str = "/services/oauth2/introspect";

/// A client that knows the token endpoint and the introspection endpoint.
type Client = BasicClient<EndpointNotSet, EndpointNotSet, EndpointSet, EndpointNotSet, EndpointSet>;

impl Salesforce {
    pub(crate) async fn send_code(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        code: &AuthorizationCode,
        verifier: &str,
        redirect_uri: &str,
        timeout: Duration,
    ) -> Result<Answered, SalesforceError> {
        let redirect_uri = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| not_an_address())?;
        let timeout = timeout.min(TOKEN_ENDPOINT_TIMEOUT);
        let sender = Sender { salesforce: self, host, path: TOKEN, timeout };
        let sent = client(host, app)?
            .exchange_code(oauth2::AuthorizationCode::new(code.expose().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .set_redirect_uri(Cow::Owned(redirect_uri))
            .request_async(&sender)
            .await;
        answer_of(sent)
    }

    pub(crate) async fn send_refresh_token(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        token: &RefreshToken,
        timeout: Duration,
    ) -> Result<Answered, SalesforceError> {
        let token = oauth2::RefreshToken::new(token.expose().to_owned());
        let timeout = timeout.min(TOKEN_ENDPOINT_TIMEOUT);
        let sender = Sender { salesforce: self, host, path: TOKEN, timeout };
        answer_of(client(host, app)?.exchange_refresh_token(&token).request_async(&sender).await)
    }

    pub(crate) async fn ask_about(
        &self,
        host: &LoginHost,
        app: Registration<'_>,
        token: &str,
        hint: &str,
    ) -> Result<Answered, SalesforceError> {
        let token = AccessToken::new(token.to_owned());
        let sender = Sender { salesforce: self, host, path: INTROSPECT, timeout: ANSWER };
        let client = client(host, app)?;
        answer_of(client.introspect(&token).set_token_type_hint(hint).request_async(&sender).await)
    }
}

fn client(host: &LoginHost, app: Registration<'_>) -> Result<Client, SalesforceError> {
    let token = TokenUrl::new(host.at(TOKEN)).map_err(|_| not_an_address())?;
    let introspect = IntrospectionUrl::new(host.at(INTROSPECT)).map_err(|_| not_an_address())?;
    Ok(BasicClient::new(ClientId::new(app.consumer_key.to_owned()))
        .set_client_secret(ClientSecret::new(app.secret.expose().to_owned()))
        // In the body: some of Salesforce's stacks refuse HTTP Basic (fact base 1.3, `invalid_client_id`).
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(token)
        .set_introspection_url(introspect))
}

/// Sends one request for the crate, to the host that serves the org now.
struct Sender<'a> {
    salesforce: &'a Salesforce,
    host: &'a LoginHost,
    path: &'static str,
    timeout: Duration,
}

impl<'c> AsyncHttpClient<'c> for Sender<'_> {
    type Error = Sent;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Sent>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            Err(Sent(self.salesforce.post(self.host, self.path, request.body(), self.timeout).await))
        })
    }
}

/// What came of a request. An error for the `oauth2` crate alone.
#[derive(thiserror::Error)]
#[error("the request was sent")]
struct Sent(Result<Answered, SalesforceError>);

/// Without the answer, which holds tokens.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent")
    }
}

fn answer_of<T, E: oauth2::ErrorResponse>(
    sent: Result<T, RequestTokenError<Sent, E>>,
) -> Result<Answered, SalesforceError> {
    match sent {
        Err(RequestTokenError::Request(Sent(answer))) => answer,
        // The crate refused to write the request.
        Ok(_) | Err(_) => Err(not_an_address()),
    }
}
