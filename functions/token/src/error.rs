//! Why a call got no token.

use domain::{Connection, Product};
use grants::refresh::{RefreshError, RetryLater, Stop, Stopped};
use http::StatusCode;
use platform::settings::PublicUrl;
use serde_json::{Value, json};
use store::{SecretError, StoreError};
use web::Problem;

/// Why a call ended without what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The answer says why.
    #[error("refused")]
    Problem(Box<Problem>),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A refresh could not be tried.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// The connection names an app that its product has not.
    #[error("connection {0}: its app is not configured")]
    Unconfigured(String),
}

impl From<Problem> for TokenError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<web::RequestError> for TokenError {
    fn from(refused: web::RequestError) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}

/// No token can be had now: another call's refresh is not done, or Salesforce does not give one. With the last
/// refusal's cause and page, where there was one.
pub(crate) fn not_yet(later: &RetryLater, public_url: &PublicUrl) -> Problem {
    let mut problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "token-not-ready",
        "No token is ready yet",
        "A refresh is under way, or Salesforce did not give a token just now. Ask again after Retry-After seconds.",
    )
    .retry_after(later.seconds);
    if let Some(cause) = later.cause {
        problem = problem.with("cause", cause.id);
    }
    if let Some(failure) = &later.failure {
        problem = problem
            .with("reference", failure.reference())
            .with("help_url", public_url.at(&format!("/help/{failure}")));
    }
    problem
}

/// Salesforce says nothing that can be used. That is no finding about the customer's connection.
pub(crate) fn salesforce_is_away(what: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "salesforce-unavailable",
        "Salesforce is not answering just now",
        what,
    )
    .retry_after(30)
}

/// Only a person helps: the cause, who acts, and the page that tells them how.
pub(crate) fn stopped(
    reconnect: Value,
    Stopped { stop, cause, failure, incident, retry_after }: &Stopped,
    public_url: &PublicUrl,
) -> Problem {
    let (slug, title, detail) = match stop {
        Stop::Blocked => (
            "blocked-by-org",
            "Salesforce refuses until an admin of the org acts",
            "Send the customer's Salesforce admin to help_url; asking again later is enough once it is fixed.",
        ),
        Stop::Incident => (
            "vendor-incident",
            "Salesforce refuses because of the app's own set-up",
            "The customer can do nothing about it: see help_url and put the app right.",
        ),
        Stop::Rejected => (
            "tokens-rejected",
            "Salesforce rejects fresh tokens too",
            "Refreshing is not the cure: see help_url. For ten minutes no other token is fetched.",
        ),
        Stop::Reauthorize => (
            "reauthorization-needed",
            "The user has to connect again",
            "Create a connect session and send the user to its connect_url; help_url says why.",
        ),
    };
    let mut problem = Problem::new(StatusCode::CONFLICT, slug, title, detail)
        .with("cause", cause.id)
        .with("reference", failure.reference())
        .with("help_url", public_url.at(&format!("/help/{failure}")));
    if let Some(seconds) = retry_after {
        problem = problem.retry_after(*seconds);
    }
    if let Some(incident) = incident {
        problem = problem.with("incident", json!(incident));
    }
    match stop {
        Stop::Reauthorize => problem.with("reconnect", reconnect),
        Stop::Blocked | Stop::Incident | Stop::Rejected => problem,
    }
}

/// The call that makes the link with which a connection is authorized again. It works as it stands; `user` is the user
/// who connected last, for the product to replace if another one is signed in.
pub(crate) fn reconnect_call(product: &Product, connection: &Connection) -> Value {
    let mut body = json!({ "connection_id": connection.id.as_str(), "user": connection.user });
    if let [first, _, ..] = product.return_addresses.as_slice() {
        body["return_to"] = first.as_str().into();
    }
    json!({ "method": "POST", "path": "/v1/connect-sessions", "body": body })
}
