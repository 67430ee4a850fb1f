//! The Lambda loop: the one place that reads the clock and that logs a request.

use std::{convert::Infallible, future::Future};

use jiff::Timestamp;
use lambda_http::{
    Adapter, LambdaEvent,
    lambda_runtime::{self, tower::ServiceExt},
    service_fn, tracing,
};

use crate::{Request, Response, tame::Tamed};

/// Answers requests until Lambda stops the sandbox: one at a time or, where Lambda says so
/// (`AWS_LAMBDA_MAX_CONCURRENCY`, Managed Instances), several. Logs are JSON, one line a request: what was asked
/// for (method and first path segment, never a key or a query) and what was answered.
pub async fn serve<F, A>(respond: F) -> Result<(), lambda_http::Error>
where
    F: Fn(Request, Timestamp) -> A + Clone + Send + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    init_logs();
    let answers = Adapter::from(service_fn(move |request: Request| {
        let asked = (request.method().clone(), section(request.uri().path()).to_owned());
        let answer = respond(request, now());
        async move {
            let answer = answer.await;
            tracing::info!(method = %asked.0, section = asked.1, status = answer.status().as_u16(), "answered");
            Ok::<_, Infallible>(answer)
        }
    }));
    let tamed = |event: LambdaEvent<Tamed>| LambdaEvent::new(event.payload.0, event.context);
    lambda_runtime::run_concurrent(answers.map_request(tamed)).await
}

/// The time, read where a request or a scheduled run enters.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reading of the machine's clock in a deployed function"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Starts JSON logs at the level that `RUST_LOG` sets.
pub fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .without_time()
        .try_init();
}

fn section(path: &str) -> &str {
    let mut segments = path.trim_start_matches('/').splitn(3, '/');
    match (segments.next(), segments.next()) {
        (Some("v1"), Some(collection)) => collection,
        (Some(first), _) => first,
        (None, _) => "",
    }
}
