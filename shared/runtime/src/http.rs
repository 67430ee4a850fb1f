//! The Lambda loop of the functions that answer HTTP requests.

use std::{convert::Infallible, future::Future, sync::Arc};

use jiff::Timestamp;
use lambda_http::{
    Adapter, LambdaEvent,
    lambda_runtime::{self, tower::ServiceExt},
    service_fn,
};

use crate::{
    invocation_log::{Asked, Observer, print},
    origin_verify::{self, Front},
    sanitize_event::Tamed,
};
use platform::clock::now;
use web::{Request, Response};

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
        let answer = Box::pin(async move {
            if let_in { respond(request, now).await } else { origin_verify::refused().into() }
        });
        async move {
            let (answer, lines) = observer.request(asked, now, answer).await;
            print(&lines);
            Ok::<_, Infallible>(answer)
        }
    }));
    let tamed = |event: LambdaEvent<Tamed>| LambdaEvent::new(event.payload.0, event.context);
    lambda_runtime::run_concurrent(answers.map_request(tamed)).await
}
