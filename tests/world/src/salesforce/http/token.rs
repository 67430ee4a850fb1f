//! The token endpoints over HTTP, and the faults that were ordered for them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use hyper::body::Frame;
use serde_json::json;

use super::super::{
    Salesforce, TOKEN_PATH,
    fault::Fault,
    host::Host,
    params::Params,
    token::{TokenAnswer, TokenError},
};

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route(TOKEN_PATH, post(token).get(must_post))
        .route("/services/oauth2/introspect", post(introspect))
        .route("/services/oauth2/revoke", get(revoke_by_query).post(revoke))
}

/// What the record of calls says about a token request.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenNote {
    pub(super) grant_type: Option<String>,
    pub(super) error: Option<String>,
}

/// On a response: it is not to be sent, and the connection is to be closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct CloseConnection;

async fn must_post() -> Response {
    TokenError("invalid_request", "must use HTTP POST").into_response()
}

async fn token(
    State(salesforce): State<Salesforce>,
    host: Host,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::read(&body);
    let fault = salesforce.change(|state| {
        state.note_presented(&params);
        let sent = params.get("grant_type");
        let next =
            state.token_faults.iter().position(|(of, _)| of.is_none_or(|of| sent == Some(of.as_str())));
        next.and_then(|at| state.token_faults.remove(at)).map(|(_, fault)| fault)
    });
    let mut response = match fault.as_ref().and_then(instead) {
        Some(response) => response,
        None => process(&salesforce, &host, &params, authorization(&headers), fault.as_ref()).await,
    };
    match fault {
        Some(Fault::Half) => response = cut_in_half(response).await,
        Some(Fault::CommitThenDrop) => {
            response.extensions_mut().insert(CloseConnection);
        }
        _ => {}
    }
    let mut note = response.extensions_mut().remove::<TokenNote>().unwrap_or_default();
    note.grant_type = known_grant_type(&params);
    response.extensions_mut().insert(note);
    response
}

pub(super) fn known_grant_type(params: &Params) -> Option<String> {
    let known = ["authorization_code", "refresh_token"];
    params.get("grant_type").map(|given| if known.contains(&given) { given } else { "other" }.to_owned())
}

/// The answers that take the place of processing.
fn instead(fault: &Fault) -> Option<Response> {
    let html = "<html><head><title>Down for Maintenance</title></head><body>\
                <h1>Sorry to interrupt</h1><p>We are down for maintenance.</p></body></html>";
    let status = |code: u16| StatusCode::from_u16(code).expect("a fault names an HTTP status");
    match fault {
        Fault::Html(503) => Some((status(503), [(header::RETRY_AFTER, "1")], Html(html)).into_response()),
        Fault::Html(code) => Some((status(*code), Html(html)).into_response()),
        Fault::Redirect(code, to) => Some((status(*code), [(header::LOCATION, to.as_str())]).into_response()),
        Fault::Empty => Some(StatusCode::OK.into_response()),
        Fault::Huge(bytes) => {
            let json = [(header::CONTENT_TYPE, "application/json;charset=UTF-8")];
            Some((json, format!("{{\"padding\":\"{}\"}}", "x".repeat(*bytes))).into_response())
        }
        Fault::Answer { status: code, error, description } => {
            let body = json!({ "error": error, "error_description": description });
            let mut response = (status(*code), Json(body)).into_response();
            response.extensions_mut().insert(TokenNote { grant_type: None, error: Some(error.clone()) });
            Some(response)
        }
        _ => None,
    }
}

/// Accepts, takes its time, carries out. Between the first and the last a refresh token is in flight.
async fn process(
    salesforce: &Salesforce,
    host: &Host,
    params: &Params,
    authorization: Option<&str>,
    fault: Option<&Fault>,
) -> Response {
    let now = salesforce.now();
    let accepted = salesforce.change(|state| state.accept(host, params, authorization, now));
    let mut time = salesforce.read(|state| state.token_latency);
    if let Some(Fault::Slow(more)) = fault {
        time += *more;
    }
    if time > Duration::ZERO {
        tokio::time::sleep(time).await;
    } else {
        // Requests that arrived together get to see each other.
        tokio::task::yield_now().await;
    }
    let now = salesforce.now();
    let answer = accepted.and_then(|accepted| {
        salesforce.change(|state| {
            let mut answer = state.carry_out(accepted, host, now)?;
            if matches!(fault, Some(Fault::AnotherUser)) {
                answer.id = another_user(&answer.id);
                state.sign(&mut answer);
            }
            Ok(answer)
        })
    });
    match answer {
        Ok(answer) if let Some(Fault::Rewritten(rewrite)) = fault => {
            let answer = serde_json::to_value(answer).expect("an answer is JSON");
            let (status, body) = rewrite(answer);
            (StatusCode::from_u16(status).expect("a status"), body).into_response()
        }
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(twist(answer, fault))).into_response(),
        Err(error) => error.into_response(),
    }
}

fn twist(mut answer: TokenAnswer, fault: Option<&Fault>) -> TokenAnswer {
    match fault {
        Some(Fault::WrongSignature) => {
            answer.signature = super::super::sign::signature("another secret", &answer.id, &answer.issued_at);
        }
        Some(Fault::MissingRefreshToken) => answer.refresh_token = None,
        Some(Fault::InstanceUrl(url)) => answer.instance_url.clone_from(url),
        Some(Fault::WrongNonce) => {
            answer.id_token =
                answer.id_token.map(|token| super::super::sign::with_nonce(&token, "nobody-sent-this"));
        }
        _ => {}
    }
    answer
}

/// The identity URL with the last character of the user's 15 changed.
fn another_user(id: &str) -> String {
    other_character(id, 4)
}

/// The text with the character so far from its end changed.
pub(super) fn other_character(text: &str, from_the_end: usize) -> String {
    let Some(at) = text.len().checked_sub(from_the_end) else { return text.to_owned() };
    let (before, after) = text.split_at(at);
    let other = if after.starts_with('z') { "y" } else { "z" };
    format!("{before}{other}{}", &after[1..])
}

async fn introspect(
    State(salesforce): State<Salesforce>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, TokenError> {
    let now = salesforce.now();
    let told =
        salesforce.read(|state| state.introspect(&Params::read(&body), authorization(&headers), now))?;
    Ok(Json(told).into_response())
}

async fn revoke(State(salesforce): State<Salesforce>, body: Bytes) -> Result<StatusCode, TokenError> {
    let now = salesforce.now();
    let params = Params::read(&body);
    salesforce.change(|state| state.revoke(params.get("token").unwrap_or_default(), now))?;
    Ok(StatusCode::OK)
}

async fn revoke_by_query(
    state: State<Salesforce>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, TokenError> {
    revoke(state, query.unwrap_or_default().into()).await
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let Self(error, description) = self;
        let body = Json(json!({ "error": error, "error_description": description }));
        let mut response =
            (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], body).into_response();
        response.extensions_mut().insert(TokenNote { grant_type: None, error: Some(error.to_owned()) });
        response
    }
}

/// Promises the whole body and sends half of it.
pub(super) async fn cut_in_half(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.expect("an answer in memory");
    parts.headers.insert(header::CONTENT_LENGTH, whole.len().into());
    let half = Half::Unsent(whole.slice(..whole.len() / 2));
    Response::from_parts(parts, Body::new(half))
}

/// A body that breaks off.
enum Half {
    Unsent(Bytes),
    /// Sent to hyper, which writes it out when it is told to wait.
    Sent,
    Written,
}

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match std::mem::replace(&mut *self, Self::Written) {
            Self::Unsent(half) => {
                *self = Self::Sent;
                Poll::Ready(Some(Ok(Frame::data(half))))
            }
            Self::Sent => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Written => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
        }
    }
}
