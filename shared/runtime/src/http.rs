//! The Lambda loop of the functions that answer HTTP requests.

use std::{convert::Infallible, future::Future, sync::Arc};

use jiff::Timestamp;
use lambda_http::{
    Adapter, LambdaEvent,
    lambda_runtime::{self, tower::ServiceExt},
    service_fn,
};
use platform::{Platform, SettingError, clock::now};
use web::{Request, Response};

use crate::{
    Error,
    invocation_log::{Observer, RequestFacts, print},
    origin_verify::{self, OriginVerifier},
    sanitize_event::SanitizedEvent,
};

/// A function that answers HTTP requests.
pub trait HttpFunction: Send + Sync + Sized + 'static {
    /// The function's name in logs and metrics.
    const NAME: &'static str;

    /// Builds the function, once in a process. Fails if a setting is missing or unusable.
    fn new(platform: Platform) -> Result<Self, SettingError>;

    /// Answers a request that came in at `now`. Every error is a response too, so this cannot fail.
    fn respond(&self, request: Request, now: Timestamp) -> impl Future<Output = Response> + Send;

    /// Work that the first request would otherwise wait for. Runs beside it.
    fn warm_up(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Builds the function from the environment and runs its loop.
pub async fn http<F: HttpFunction>() -> Result<(), Error> {
    serve(F::new(Platform::from_env()?)?).await
}

/// Answers requests until Lambda stops the sandbox: one at a time or, where Lambda says so
/// (`AWS_LAMBDA_MAX_CONCURRENCY`, Managed Instances), several. Logs are JSON, and each request ends in a line of
/// its own: what was asked for, what it was about, what was answered, what it took.
pub async fn serve<F: HttpFunction>(function: F) -> Result<(), Error> {
    let observer = Arc::new(Observer::from_env(F::NAME)?);
    let front = OriginVerifier::from_env()?;
    // It lives as long as the process.
    let function: &'static F = Box::leak(Box::new(function));
    tokio::spawn(function.warm_up());
    let answers = Adapter::from(service_fn(move |mut request: Request| {
        let (observer, asked, now) = (Arc::clone(&observer), RequestFacts::of(&request), now());
        let let_in = front.lets_in(&mut request);
        let answer = Box::pin(async move {
            if let_in { function.respond(request, now).await } else { origin_verify::refused().into() }
        });
        async move {
            let (answer, lines) = observer.request(asked, now, answer).await;
            print(&lines);
            Ok::<_, Infallible>(answer)
        }
    }));
    let tamed = |event: LambdaEvent<SanitizedEvent>| LambdaEvent::new(event.payload.0, event.context);
    lambda_runtime::run_concurrent(answers.map_request(tamed)).await
}
