//! Answers: every one leaves here, so every one has the headers that keep it from being framed, cached,
//! sniffed, indexed, or told to the next site.

use http::{HeaderValue, StatusCode, header};
use lambda_http::Body;
use serde::Serialize;

/// An answer as lambda_http takes it.
pub type Response = http::Response<Body>;

/// An answer in JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    body(status, "application/json", to_json(value))
}

/// A CSV file (RFC 4180) that a browser saves under this name.
pub fn csv(name: &'static str, text: String) -> Response {
    let mut response = body(StatusCode::OK, "text/csv; charset=utf-8; header=present", text);
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// An answer without a body.
pub fn no_content() -> Response {
    let mut response = body(StatusCode::NO_CONTENT, "application/json", String::new());
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// Where a form of a page may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forms {
    /// To us.
    Ours,
    /// To us, and from there on to Salesforce and whatever sign-in the customer has put before it: browsers
    /// hold every redirect after a form against `form-action`, and nobody can list those hosts.
    Onwards,
}

/// A page. `html` is given the nonce of its own style and script: nothing else on it runs.
pub fn page(status: StatusCode, forms: Forms, html: impl FnOnce(&str) -> String) -> Response {
    let nonce = domain::id::base32(&domain::secret::random::<16>());
    // Every page leaves here, so no name of a product's or of Salesforce's can reorder or hide what a person reads.
    let html = html(&nonce);
    let html = domain::text::visible(&html).into_owned();
    let mut response = body(status, "text/html; charset=utf-8", html);
    let form_action = match forms {
        Forms::Ours => "; form-action 'self'",
        Forms::Onwards => "",
    };
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src https: data:; \
         connect-src 'self'; base-uri 'none'; frame-ancestors 'none'{form_action}"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A redirect of a browser: always 303, so that a form is not sent on.
pub fn redirect(to: &str) -> Response {
    let mut response = body(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    match HeaderValue::from_str(to) {
        Ok(to) => {
            response.headers_mut().insert(header::LOCATION, to);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    // Our own answer types have string keys and finite numbers: they always serialize.
    serde_json::to_string(value).unwrap_or_else(|_| "{}".into())
}

pub(crate) fn body(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut response = http::Response::new(Body::Text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("x-robots-tag", "noindex, nofollow"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=63072000; includeSubDomains"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
