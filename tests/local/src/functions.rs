//! Every function on one port: the routes of `infra/template.yaml` (`web::routes`), and the same `respond(request, now)` that
//! runs under Lambda.

use runtime::HttpFunction as _;
use std::sync::{Arc, LazyLock};

use authorize::Authorize;
use axum::{Router, body::Body as AxumBody, extract::State};
use callback::Callback;
use errors::Errors;
use lambda_http::Body;
use ops::Ops;
use runtime::{
    invocation_log::{Observer, RequestFacts},
    otlp::Collector,
};
use token::Token;
use web::{Function, routes};
use world::Clock;

use crate::{logs::Lines, tape::Tape};

/// The name that the local stack has among deployments.
pub const DEPLOYMENT: &str = "local";

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
    /// The lines that the invocations ended in, as CloudWatch would have them.
    pub lines: Lines,
    /// What they answered.
    pub tape: Tape,
    /// Who watches them.
    pub observers: Arc<Observers>,
}

/// Each function's own.
#[derive(Debug)]
pub struct Observers {
    authorize: Observer,
    callback: Observer,
    token: Observer,
    errors: Observer,
    ops: Observer,
    /// The sweep's.
    pub sweep: Observer,
    /// Tally's.
    pub tally: Observer,
    /// Notify's.
    pub notify: Observer,
    /// Deliver's.
    pub deliver: Arc<Observer>,
}

impl Observers {
    /// Watched, and told to a collector of traces where there is one.
    pub fn new(collector: Option<&Collector>) -> Self {
        let of = |function| Observer::new(function, DEPLOYMENT).traced(collector.cloned());
        Self {
            authorize: of("authorize"),
            callback: of("callback"),
            token: of("token"),
            errors: of("errors"),
            ops: of("ops"),
            sweep: of("sweep"),
            tally: of("tally"),
            notify: of("notify"),
            deliver: Arc::new(of("deliver")),
        }
    }
}

/// The routes that API Gateway has, and the function that answers each; `$default` is every other request.
pub static ROUTES: LazyLock<Vec<(&str, &str, Function)>> =
    LazyLock::new(|| routes::ROUTES.iter().map(|route| (route.method, route.path, route.function)).collect());

/// The route key of a request, and who answers it.
fn owner(method: &str, path: &str) -> (String, Function) {
    match routes::find(method, path) {
        Some(route) => (format!("{method} {}", route.path), route.function),
        None => ("$default".into(), Function::Errors),
    }
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
    let (route, owner) = owner(head.method.as_str(), head.uri.path());
    let request = http::Request::from_parts(head, Body::Binary(body.to_vec()));
    // An invocation goes on when its caller has hung up, as Lambda's does.
    let invocation = tokio::spawn(async move {
        let now = functions.clock.now();
        let (asked, watch) = (RequestFacts::of(&request), &functions.observers);
        let (answer, lines) = match owner {
            Function::Authorize => {
                watch.authorize.request(asked, now, Box::pin(functions.authorize.respond(request, now))).await
            }
            Function::Callback => {
                watch.callback.request(asked, now, Box::pin(functions.callback.respond(request, now))).await
            }
            Function::Token => {
                watch.token.request(asked, now, Box::pin(functions.token.respond(request, now))).await
            }
            Function::Errors => {
                watch.errors.request(asked, now, Box::pin(functions.errors.respond(request, now))).await
            }
            Function::Ops => {
                watch.ops.request(asked, now, Box::pin(functions.ops.respond(request, now))).await
            }
        };
        functions.lines.keep(lines);
        let (head, body) = answer.into_parts();
        functions.tape.keep(route, &head, body.as_ref());
        (head, body)
    });
    let Ok((head, body)) = invocation.await else {
        return plain(502, r#"{"message":"Internal Server Error"}"#);
    };
    axum::response::Response::from_parts(head, AxumBody::from(body.as_ref().to_vec()))
}

fn plain(status: u16, body: &'static str) -> axum::response::Response {
    let mut response = axum::response::Response::new(AxumBody::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
}
