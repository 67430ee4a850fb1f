//! The Lambda loop: the one place that reads the clock and that logs a request.

use std::{convert::Infallible, future::Future};

use jiff::Timestamp;
use lambda_http::{
    Adapter, LambdaEvent,
    lambda_runtime::{self, tower::ServiceExt},
    service_fn,
};

use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

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

/// Starts JSON logs at the level that `RUST_LOG` sets: `info`, or `warn,refresh=debug`.
pub fn init_logs() {
    // Not EnvFilter: its regular expressions, for spans that nobody names, are a fifth of a megabyte to load.
    let filter: Targets = std::env::var("RUST_LOG")
        .ok()
        .and_then(|filter| filter.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).without_time();
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

fn section(path: &str) -> &str {
    let mut segments = path.trim_start_matches('/').splitn(3, '/');
    match (segments.next(), segments.next()) {
        (Some("v1"), Some(collection)) => collection,
        (Some(first), _) => first,
        (None, _) => "",
    }
}
