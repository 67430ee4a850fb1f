//! The Lambda loop: the one place that reads the clock, and where every invocation is watched.

use std::{convert::Infallible, future::Future, sync::Arc};

use jiff::Timestamp;
use lambda_http::{
    Adapter, LambdaEvent,
    lambda_runtime::{self, tower::ServiceExt},
    service_fn,
};

use telemetry::spans::{Spans, TARGET};
use tracing::Subscriber;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    Request, Response,
    front::{self, Front},
    observe::{Asked, Observer, print},
    tame::Tamed,
};

/// Answers requests until Lambda stops the sandbox: one at a time or, where Lambda says so
/// (`AWS_LAMBDA_MAX_CONCURRENCY`, Managed Instances), several. Logs are JSON, and each request ends in a line of
/// its own: what was asked for, what it was about, what was answered, what it took.
pub async fn serve<F, A>(function: &'static str, respond: F) -> Result<(), lambda_http::Error>
where
    F: Fn(Request, Timestamp) -> A + Clone + Send + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let observer = Arc::new(Observer::from_env(function)?);
    let front = Front::from_env()?;
    let answers = Adapter::from(service_fn(move |mut request: Request| {
        let (observer, asked, now) = (Arc::clone(&observer), Asked::of(&request), now());
        let let_in = front.lets_in(&mut request);
        let respond = respond.clone();
        let answer =
            Box::pin(
                async move { if let_in { respond(request, now).await } else { front::refused().into() } },
            );
        async move {
            let (answer, lines) = observer.request(asked, now, answer).await;
            print(&lines);
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

/// Starts [`logs`] for the process. A second start in one process (tests) keeps the first.
pub fn init_logs(traced: bool) {
    let _ = logs(traced).try_init();
}

/// JSON logs at the level that `RUST_LOG` sets (`info`, or `warn,refresh=debug`), and spans where there is a
/// collector for them. Where there is none their target is off, so that a span costs the reading of a flag.
pub fn logs(traced: bool) -> impl Subscriber + Send + Sync {
    // Not EnvFilter: its regular expressions, for spans that nobody names, are a fifth of a megabyte to load.
    let filter: Targets = std::env::var("RUST_LOG")
        .ok()
        .and_then(|filter| filter.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let filter = filter.with_target(TARGET, LevelFilter::OFF);
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).without_time().with_filter(filter);
    // A list, not `Option`: beside a layer that is `None` nothing counts as off for good, and a span that is off takes
    // 3,200 instructions to find out, each time.
    let mut layers = vec![lines.boxed()];
    if traced {
        layers.push(Spans.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO)).boxed());
    }
    tracing_subscriber::registry().with(layers)
}

#[cfg(test)]
mod tests {
    use tracing::{
        Level, Metadata,
        callsite::{Callsite, Identifier},
        field::FieldSet,
        metadata::Kind,
        subscriber::Interest,
    };

    use super::*;

    struct Here;

    static HERE: Here = Here;
    static SPAN: Metadata<'_> = Metadata::new(
        "here",
        TARGET,
        Level::INFO,
        None,
        None,
        None,
        FieldSet::new(&[], Identifier(&HERE)),
        Kind::SPAN,
    );

    impl Callsite for Here {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            &SPAN
        }
    }

    #[test]
    fn without_a_collector_a_span_is_off_for_good() {
        assert!(logs(false).register_callsite(&SPAN).is_never());
        assert!(!logs(true).register_callsite(&SPAN).is_never());
    }
}
