//! Problem documents (RFC 9457): every error of the API.

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use telemetry::{Fact, about};

use crate::{
    Request, Response,
    respond::{body, to_json},
};

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
