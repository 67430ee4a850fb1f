//! Every function on one port: the routes of `infra/template.yaml`, and the same `respond(request, now)` that
//! runs under Lambda.

use authorize::Authorize;
use axum::{Router, body::Body as AxumBody, extract::State};
use callback::Callback;
use errors::Errors;
use lambda_http::Body;
use ops::Ops;
use token::Token;
use world::Clock;

/// API Gateway takes 10 MB.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// The deployed functions that answer HTTP.
#[derive(Debug, Clone)]
pub struct Functions {
    /// Connect sessions, the connect page.
    pub authorize: Authorize,
    /// Back from Salesforce; redeem.
    pub callback: Callback,
    /// Tokens and connections.
    pub token: Token,
    /// Trouble and help pages, guides.
    pub errors: Errors,
    /// Failures and figures.
    pub ops: Ops,
    /// The time that every request is answered at.
    pub clock: Clock,
}

/// Which function answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// `functions/authorize`.
    Authorize,
    /// `functions/callback`.
    Callback,
    /// `functions/token`.
    Token,
    /// `functions/errors`.
    Errors,
    /// `functions/ops`.
    Ops,
}

/// The template's routes.
pub const ROUTES: [(&str, &str, Owner); 30] = [
    ("POST", "/v1/connect-sessions", Owner::Authorize),
    ("GET", "/v1/connect-sessions/{id}", Owner::Authorize),
    ("GET", "/connect/{key}", Owner::Authorize),
    ("POST", "/connect/{key}", Owner::Authorize),
    ("GET", "/oauth/callback", Owner::Callback),
    ("GET", "/connect/{key}/confirm", Owner::Callback),
    ("POST", "/connect/{key}/confirm", Owner::Callback),
    ("POST", "/v1/connect-sessions/{id}/redeem", Owner::Callback),
    ("GET", "/v1/connections", Owner::Token),
    ("POST", "/v1/connections", Owner::Token),
    ("GET", "/v1/connections/{id}", Owner::Token),
    ("DELETE", "/v1/connections/{id}", Owner::Token),
    ("GET", "/v1/connections/{id}/token", Owner::Token),
    ("POST", "/v1/connections/{id}/token", Owner::Token),
    ("POST", "/v1/connections/{id}/check", Owner::Token),
    ("GET", "/connect/{key}/trouble", Owner::Errors),
    ("POST", "/connect/{key}/trouble", Owner::Errors),
    ("GET", "/help/{id}", Owner::Errors),
    ("GET", "/help/{id}/status", Owner::Errors),
    ("POST", "/v1/connections/{id}/failures", Owner::Errors),
    ("GET", "/guides/{product}/{app}", Owner::Errors),
    ("GET", "/guides/{product}/{app}/vendor", Owner::Errors),
    ("GET", "/healthz", Owner::Errors),
    ("GET", "/v1/failures", Owner::Ops),
    ("GET", "/v1/failures/summary", Owner::Ops),
    ("POST", "/v1/ops-links", Owner::Ops),
    ("GET", "/ops", Owner::Ops),
    ("GET", "/ops/sign-in/{key}", Owner::Ops),
    ("POST", "/ops/sign-in/{key}", Owner::Ops),
    ("POST", "/ops/sign-out", Owner::Ops),
];

fn owner(method: &str, path: &str) -> Option<Owner> {
    let segments = |path: &str| path.trim_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    let asked = segments(path);
    ROUTES
        .iter()
        .find(|(verb, route, _)| {
            let route = segments(route);
            *verb == method
                && route.len() == asked.len()
                && route.iter().zip(&asked).all(|(part, given)| part.starts_with('{') || part == given)
        })
        .map(|(_, _, owner)| *owner)
}

impl Functions {
    /// All of them behind one router.
    pub fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }
}

async fn answer(
    State(functions): State<Functions>,
    request: axum::extract::Request,
) -> axum::response::Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return plain(413, r#"{"message":"Request Too Long"}"#);
    };
    let Some(owner) = owner(head.method.as_str(), head.uri.path()) else {
        return plain(404, r#"{"message":"Not Found"}"#);
    };
    let request = http::Request::from_parts(head, Body::Binary(body.to_vec()));
    // An invocation goes on when its caller has hung up, as Lambda's does.
    let invocation = tokio::spawn(async move {
        let now = functions.clock.now();
        match owner {
            Owner::Authorize => functions.authorize.respond(request, now).await,
            Owner::Callback => functions.callback.respond(request, now).await,
            Owner::Token => functions.token.respond(request, now).await,
            Owner::Errors => functions.errors.respond(request, now).await,
            Owner::Ops => functions.ops.respond(request, now).await,
        }
    });
    let Ok(answer) = invocation.await else {
        return plain(502, r#"{"message":"Internal Server Error"}"#);
    };
    let (head, body) = answer.into_parts();
    axum::response::Response::from_parts(head, AxumBody::from(body.as_ref().to_vec()))
}

fn plain(status: u16, body: &'static str) -> axum::response::Response {
    let mut response = axum::response::Response::new(AxumBody::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
}
