//! Carries out the named faults: takes a request, has it answered or not, and spoils the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderName, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};
use tower::Service as _;

use super::{
    super::{
        Salesforce,
        hostile::{Change, Encoding, Misbehavior, Reply, Timing},
        params::Params,
        sign,
    },
    serve::infallible,
    token::{CloseConnection, TokenNote, cut_in_half, other_character},
};

/// Longer than any client waits.
const SILENCE: Duration = Duration::from_mins(1);

/// How many pieces a slow body comes in.
const PIECES: u32 = 4;

/// Answers one request as the fault says.
pub(super) async fn answer(
    salesforce: &Salesforce,
    routes: Router,
    misbehavior: &Misbehavior,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let sent = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let params = Params::read(&sent);
    let answer = if misbehavior.processed {
        let mut routes = routes;
        infallible(routes.call(Request::from_parts(parts, Body::from(sent.clone()))).await)
    } else {
        salesforce.change(|state| state.note_presented(&params));
        StatusCode::OK.into_response()
    };
    let note = answer.extensions().get::<TokenNote>().cloned().unwrap_or_default();
    let mut spoiled = spoil(salesforce, &params, misbehavior, answer).await;
    let grant_type = note.grant_type.or_else(|| super::token::known_grant_type(&params));
    spoiled.extensions_mut().insert(TokenNote { grant_type, error: None });
    spoiled
}

async fn spoil(
    salesforce: &Salesforce,
    params: &Params,
    misbehavior: &Misbehavior,
    answer: Response,
) -> Response {
    match &misbehavior.reply {
        Reply::Instead { status, headers, body } => {
            let mut response = Response::new(Body::from(body.clone()));
            *response.status_mut() = StatusCode::from_u16(*status).expect("a fault names an HTTP status");
            for (name, value) in headers {
                let value = HeaderValue::from_str(value).expect("a fault's header");
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
            response
        }
        Reply::Timed(timing) => late(*timing, answer).await,
        // A refusal is sent as it is: only a true answer can be spoiled.
        _ if !answer.status().is_success() => answer,
        Reply::Members(changes) => {
            let (mut parts, body) = whole(answer).await;
            parts.headers.remove(header::CONTENT_LENGTH);
            let members = Members::read(&body);
            let body =
                changes.iter().fold(members, |members, change| members.with(salesforce, params, change));
            Response::from_parts(parts, Body::from(body.to_string()))
        }
        Reply::Encoded(encoding) => encode(*encoding, answer).await,
    }
}

async fn whole(answer: Response) -> (axum::http::response::Parts, Bytes) {
    let (parts, body) = answer.into_parts();
    (parts, to_bytes(body, usize::MAX).await.expect("an answer in memory"))
}

async fn encode(encoding: Encoding, answer: Response) -> Response {
    let (mut parts, body) = whole(answer).await;
    parts.headers.remove(header::CONTENT_LENGTH);
    let joined = |before: &[u8], after: &[u8]| [before, &body, after].concat();
    let gzip = HeaderValue::from_static("gzip");
    let body = match encoding {
        Encoding::ByteOrderMark => joined("\u{feff}".as_bytes(), b""),
        Encoding::ContentType(kind) => {
            parts.headers.remove(header::CONTENT_TYPE);
            if let Some(kind) = kind {
                parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            body.to_vec()
        }
        Encoding::Gzip => {
            parts.headers.insert(header::CONTENT_ENCODING, gzip);
            gzipped(&body)
        }
        Encoding::GzipInName => {
            parts.headers.insert(header::CONTENT_ENCODING, gzip);
            body.to_vec()
        }
        Encoding::Utf16 => String::from_utf8_lossy(&body).encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Encoding::Trailing => joined(b"", b"\n<!-- served by a proxy -->"),
        Encoding::Status(status) => {
            parts.status = StatusCode::from_u16(status).expect("a fault names an HTTP status");
            body.to_vec()
        }
        Encoding::InList => joined(b"[", b"]"),
        Encoding::Padded(bytes) => joined(&vec![b' '; bytes], b""),
    };
    Response::from_parts(parts, Body::from(body))
}

/// One stored block in gzip's frame (RFC 1952): compressed by name, readable by whoever unpacks it.
fn gzipped(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("an answer of a few kB");
    let mut frame = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    frame.extend(length.to_le_bytes());
    frame.extend((!length).to_le_bytes());
    frame.extend(body);
    frame.extend(crc32fast::hash(body).to_le_bytes());
    frame.extend(u32::from(length).to_le_bytes());
    frame
}

async fn late(timing: Timing, answer: Response) -> Response {
    match timing {
        Timing::SlowHead(time) => {
            sleep(time).await;
            answer
        }
        Timing::SlowBody(time) => {
            let (parts, body) = whole(answer).await;
            Response::from_parts(parts, Body::new(Slow { rest: body, each: time / PIECES, wait: None }))
        }
        Timing::Half => cut_in_half(answer).await,
        Timing::Reset | Timing::Silence => {
            if matches!(timing, Timing::Silence) {
                sleep(SILENCE).await;
            }
            let mut answer = answer;
            answer.extensions_mut().insert(CloseConnection);
            answer
        }
    }
}

/// A body that comes in pieces, each after a pause.
struct Slow {
    rest: Bytes,
    each: Duration,
    wait: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for Slow {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let each = self.each;
        let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(each)));
        std::task::ready!(wait.as_mut().poll(context));
        self.wait = None;
        let piece = (self.rest.len() / 2).max(1);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }
}

/// The members of a JSON object in their order, so that one can stand twice.
struct Members(Vec<(String, Value)>);

impl std::fmt::Display for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        write!(f, "{{{}}}", members.join(","))
    }
}

impl Members {
    fn read(body: &[u8]) -> Self {
        let object: serde_json::Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        Self(object.into_iter().collect())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> String {
        self.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn with(mut self, salesforce: &Salesforce, params: &Params, change: &Change) -> Self {
        match change {
            Change::Remove(name) => self.0.retain(|(known, _)| known != name),
            Change::Set(name, value) => self.set(name, value.clone()),
            Change::Repeat(name) => {
                if let Some(value) = self.get(name).cloned() {
                    self.0.push(((*name).to_owned(), value));
                }
            }
            Change::Contradict(name) => self.0.push(((*name).to_owned(), json!("another value"))),
            Change::AnotherOrg | Change::AnotherUser => {
                let id = self.text("id");
                // The org stands before the user, each 18 characters long.
                let from_the_end = if matches!(change, Change::AnotherUser) { 4 } else { 23 };
                self.set("id", json!(other_character(&id, from_the_end)));
            }
            Change::WrongSignature => {
                let signature = sign::signature("another secret", &self.text("id"), &self.text("issued_at"));
                self.set("signature", json!(signature));
            }
            Change::Issued(seconds) => {
                let at: i64 = self.text("issued_at").parse().unwrap_or_default();
                self.set("issued_at", json!((at + seconds * 1000).to_string()));
            }
            Change::SameRefreshToken => {
                if let Some(sent) = params.get("refresh_token") {
                    self.set("refresh_token", json!(sent));
                }
            }
            Change::Instance(domain) => self.set("instance_url", json!(format!("https://acme.{domain}"))),
        }
        let is_signed = matches!(
            change,
            Change::AnotherOrg | Change::AnotherUser | Change::Issued(_) | Change::Set("id" | "issued_at", _)
        );
        if is_signed && self.get("signature").is_some() {
            self.sign(salesforce, params);
        }
        self
    }

    /// Signs what the members say now. A member that is no text is signed as it is written.
    fn sign(&mut self, salesforce: &Salesforce, params: &Params) {
        let secret = salesforce.read(|state| {
            params.get("client_id").and_then(|key| state.app(key)).map(|app| app.consumer_secret.clone())
        });
        let written = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let (id, issued_at) = (written(self.get("id")), written(self.get("issued_at")));
        self.set("signature", json!(sign::signature(&secret.unwrap_or_default(), &id, &issued_at)));
    }
}
