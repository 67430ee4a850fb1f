//! Answers: every one leaves here, so every one has the headers that keep it from being framed, cached,
//! sniffed, indexed, or told to the next site.

use http::{HeaderValue, StatusCode, header};
use lambda_http::Body;
use serde::Serialize;
use telemetry::{Fact, about};

use crate::Request;

/// An answer as lambda_http takes it.
pub type Response = http::Response<Body>;

/// A problem document (RFC 9457).
#[derive(Debug, Serialize)]
pub struct Problem {
    /// A stable name of the kind of problem: `urn:latchkey:problem:<slug>`, listed in docs/api.md.
    #[serde(rename = "type")]
    kind: String,
    /// What kind of problem, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// Members of the problem's own.
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    retry_after: Option<u32>,
    /// What `WWW-Authenticate` says, where the status is 401.
    #[serde(skip)]
    challenge: &'static str,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(status: StatusCode, slug: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:latchkey:problem:{slug}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            more: serde_json::Map::new(),
            retry_after: None,
            challenge: "Bearer",
        }
    }

    /// The call is not as documented.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not as documented", detail)
    }

    /// There is no such thing, or it is another product's: the two are not told apart.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            format!("This product has no such {what}."),
        )
    }

    /// The connection's receipt has not been redeemed.
    pub fn not_redeemed() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "not-redeemed",
            "The connection is not redeemed yet",
            "Redeem the receipt that the browser brought to the product's return address.",
        )
    }

    /// No valid API key. A key that was sent is called invalid (RFC 6750 §3.1); where none was, nothing is.
    pub fn unauthorized(request: &Request) -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "An API key is needed",
            "Send a valid API key of the product, once: Authorization: Bearer lk_….",
        );
        let was_sent = request.headers().contains_key(header::AUTHORIZATION);
        Self { challenge: if was_sent { r#"Bearer error="invalid_token""# } else { "Bearer" }, ..problem }
    }

    /// Something of ours failed; the log has the reason under the reference.
    pub fn internal(reference: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Latchkey cannot answer just now",
            "Nothing is lost. Try again in a few seconds; if it stays, give the reference to whoever runs Latchkey.",
        )
        .with("reference", reference)
        .retry_after(2)
    }

    /// What to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// When to come back, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = problem.kind.rsplit(':').next().unwrap_or_default();
        about(Fact::Problem, kind);
        tracing::info!(
            problem = kind,
            status = problem.status,
            detail = problem.detail,
            "{kind}: {}",
            problem.title
        );
        let mut response = body(status, "application/problem+json", to_json(&problem));
        if let Some(seconds) = problem.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(problem.challenge));
        }
        response
    }
}

/// An answer in JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    body(status, "application/json", to_json(value))
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

/// Adds a `__Host-` cookie that this browser keeps for `age` seconds.
pub fn set_cookie(response: &mut Response, name: &str, value: &str, age: i64) {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn to_json(value: &impl Serialize) -> String {
    // Our own answer types have string keys and finite numbers: they always serialize.
    serde_json::to_string(value).unwrap_or_else(|_| "{}".into())
}

fn body(status: StatusCode, kind: &'static str, text: String) -> Response {
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
