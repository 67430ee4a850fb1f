//! The address that a browser is sent to (fact base 3.2).

use url::Url;

use domain::App;

use crate::LoginHost;

/// One trip's own parameters.
#[derive(Debug)]
pub struct AuthorizeRequest<'a> {
    /// Where the answer comes back: our callback.
    pub redirect_uri: &'a str,
    /// The attempt's `state`.
    pub state: &'a str,
    /// The PKCE S256 challenge. Salesforce takes no other method.
    pub code_challenge: &'a str,
    /// The OpenID nonce; sent with the scope `openid` alone.
    pub nonce: &'a str,
    /// Ask for a fresh sign-in, whatever session the browser has.
    pub fresh_login: bool,
}

/// Salesforce's authorize address for an app and an attempt (RFC 6749 §4.1.1, RFC 7636 §4.3).
pub fn authorize_url(host: &LoginHost, app: &App, request: &AuthorizeRequest<'_>) -> Url {
    let mut url = host.url_at("/services/oauth2/authorize");
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &app.consumer_key)
        .append_pair("redirect_uri", request.redirect_uri)
        .append_pair("scope", &app.scopes.join(" "))
        .append_pair("state", request.state)
        .append_pair("code_challenge", request.code_challenge)
        .append_pair("code_challenge_method", "S256");
    if app.scopes.iter().any(|scope| scope == "openid") {
        url.query_pairs_mut().append_pair("nonce", request.nonce);
    }
    if request.fresh_login {
        url.query_pairs_mut().append_pair("prompt", "login");
    }
    url
}
