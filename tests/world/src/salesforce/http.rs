//! The HTTP face: one port, plain and TLS, every host told apart by its Host header.

mod authorize;
mod control;
mod fault_control;
mod hostile;
mod identity;
mod index;
mod login;
mod packages;
mod permission_sets;
mod policies;
mod rest;
mod serve;
mod setup;
mod tls;
mod token;
mod visit;

use askama::Template;
use axum::{
    Router,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};

pub use self::serve::{Closed, Desk, Running};
use super::Salesforce;

/// What login hosts and My Domains answer.
fn org_routes(salesforce: Salesforce) -> Router {
    Router::new()
        .merge(authorize::routes())
        .merge(login::routes())
        .merge(token::routes())
        .merge(identity::routes())
        .merge(rest::routes())
        .merge(setup::routes())
        .merge(policies::routes())
        .merge(permission_sets::routes())
        .merge(packages::routes())
        .fallback(|| async { no_such_page() })
        .with_state(salesforce)
}

/// What `salesforce.localhost` itself answers.
fn index_routes(salesforce: Salesforce) -> Router {
    index::routes().merge(control::routes()).merge(fault_control::routes()).with_state(salesforce)
}

fn no_such_page() -> Response {
    let told = "You have attempted to reach a URL that no longer exists on salesforce.com.";
    message(StatusCode::NOT_FOUND, "URL No Longer Exists", &[told])
}

/// A rendered page that nobody may cache or frame.
fn page(template: &impl Template) -> Response {
    let html = template.render().expect("a page renders into memory");
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_FRAME_OPTIONS, "DENY")];
    (headers, Html(html)).into_response()
}

#[derive(Template)]
#[template(path = "salesforce/message.html")]
struct Message<'a> {
    title: &'a str,
    paragraphs: &'a [&'a str],
}

/// A page that says something and leads nowhere.
fn message(status: StatusCode, title: &str, paragraphs: &[&str]) -> Response {
    (status, page(&Message { title, paragraphs })).into_response()
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain;charset=UTF-8")], body.into()).into_response()
}

/// The page that a request gets instead of what it asked for.
struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// 302, as Salesforce answers GET and POST alike.
fn redirect(to: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, to.to_owned()), (header::CACHE_CONTROL, "no-store".to_owned())])
        .into_response()
}

/// The URL with these parameters, spaces as `+`.
fn with_query(url: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{url}?{query}")
}
