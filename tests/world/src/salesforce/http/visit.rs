//! Who is asking: the host that was asked, the browser's login, the admin in Setup, the bearer of a token.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use super::{
    super::{Salesforce, host::Host, org::Org},
    Refusal, login, no_such_page,
};

/// The name of the cookie that holds a browser's login.
pub(super) const SESSION_COOKIE: &str = "sid";

/// A request from a browser.
pub(super) struct Visit {
    pub(super) host: Host,
    /// Org and user id of the browser's login, at whatever host it was made.
    pub(super) login: Option<(String, String)>,
}

impl FromRequestParts<Salesforce> for Visit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, salesforce: &Salesforce) -> Result<Self, Refusal> {
        let login = cookie(&parts.headers, SESSION_COOKIE).and_then(|sid| {
            salesforce.read(|state| {
                state.login(sid, salesforce.now()).map(|(org, user)| (org.name.clone(), user.id.clone()))
            })
        });
        Ok(Self { host: asked_host(parts), login })
    }
}

/// A request to an org's My Domain. Anywhere else the page does not exist.
pub(super) struct AtMyDomain {
    pub(super) org: Org,
}

impl FromRequestParts<Salesforce> for AtMyDomain {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, salesforce: &Salesforce) -> Result<Self, Refusal> {
        match asked_host(parts) {
            Host::MyDomain(name) => Ok(Self { org: salesforce.org(&name) }),
            Host::Index | Host::Login | Host::Test => Err(no_such_page().into()),
        }
    }
}

/// An admin of the org at whose My Domain the request arrives. Others are asked to log in, or turned away.
pub(super) struct Admin {
    pub(super) org: Org,
}

impl FromRequestParts<Salesforce> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, salesforce: &Salesforce) -> Result<Self, Refusal> {
        let AtMyDomain { org } = AtMyDomain::from_request_parts(parts, salesforce).await?;
        let visit = Visit::from_request_parts(parts, salesforce).await?;
        let here = parts.uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
        let Some((_, user)) = visit.login.filter(|(of, _)| *of == org.name) else {
            return Err(login::ask(&salesforce.my_domain(&org.name), here).into());
        };
        let allowed = org.user(&user).is_some_and(|user| org.may_administer(user));
        if allowed { Ok(Self { org }) } else { Err(login::insufficient_privileges(here).into()) }
    }
}

/// The host that was asked, which [`super::serve`] has told from the Host header.
pub(super) fn asked_host(parts: &Parts) -> Host {
    parts.extensions.get::<Host>().cloned().unwrap_or(Host::Index)
}

impl<S: Sync> FromRequestParts<S> for Host {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(asked_host(parts))
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The token of `Authorization: Bearer` (or `OAuth`, which older clients write).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    ["bearer", "oauth"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(token.trim())
}
