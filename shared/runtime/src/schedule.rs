//! The Lambda loop of the functions that run on a schedule.

use std::future::Future;

use lambda_runtime::{LambdaEvent, service_fn};
use platform::{Deadline, Platform, SettingError, clock::now};
use serde_json::Value;

use crate::{
    Error,
    invocation_log::{Observer, print},
};

/// A function that runs on a schedule.
pub trait ScheduledFunction: Send + Sync + Sized + 'static {
    /// The function's name in logs and metrics.
    const NAME: &'static str;

    /// What a run answers, for the operator who invokes it by hand.
    type Done: serde::Serialize;

    /// Why a run failed.
    type Error: Into<Error>;

    /// Builds the function, once in a process. Fails if a setting is missing or unusable.
    fn new(platform: Platform) -> Result<Self, SettingError>;

    /// One run.
    fn run(&self, time: Deadline) -> impl Future<Output = Result<Self::Done, Self::Error>> + Send;

    /// The answer to a question of the operator's command. `None`: the event is the schedule's. A question is no run: it
    /// has no log line and no metrics that an alarm could count.
    fn answer(&self, event: &Value) -> impl Future<Output = Option<Value>> + Send;
}

/// Builds the function from the environment and runs its loop.
pub async fn schedule<F: ScheduledFunction>() -> Result<(), Error> {
    serve(F::new(Platform::from_env()?)?).await
}

/// Runs whenever the schedule says, until Lambda stops the sandbox.
pub async fn serve<F: ScheduledFunction>(function: F) -> Result<(), Error> {
    let observer = &Observer::from_env(F::NAME)?;
    let function = &function;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        if let Some(answer) = function.answer(&event.payload).await {
            return Ok(answer);
        }
        let now = now();
        let run = Box::pin(function.run(Deadline::until(event.context.deadline, now)));
        let (done, lines) = observer.run(&event.context.request_id, now, run).await;
        print(&lines);
        Ok::<_, Error>(serde_json::to_value(done.map_err(Into::into)?)?)
    }))
    .await
}
