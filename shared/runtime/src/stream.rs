//! The Lambda loop of the functions that read the table's stream.

use std::future::Future;

use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use platform::{Platform, SettingError, clock::now};
use serde::de::DeserializeOwned;

use crate::{
    Error,
    invocation_log::{Observer, print},
};

/// A function that reads the table's stream, in batches of records.
pub trait StreamFunction: Send + Sync + Sized + 'static {
    /// The function's name in logs and metrics.
    const NAME: &'static str;

    /// A batch of records.
    type Batch: DeserializeOwned;

    /// What processing a batch comes to; it is logged by the function itself.
    type Done;

    /// What Lambda is answered. By default nothing but the state of the tumbling window, which is in the table.
    fn answer(_done: &Self::Done) -> serde_json::Value {
        serde_json::json!({ "state": {} })
    }

    /// Why a batch is not processed. Lambda sends the batch again.
    type Error: Into<Error>;

    /// Builds the function, once in a process. Fails if a setting is missing or unusable.
    fn new(platform: Platform) -> Result<Self, SettingError>;

    /// Processes a batch that came in at `now`. Lambda may send any batch again, so this must be idempotent.
    fn run(
        &self,
        batch: Self::Batch,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self::Done, Self::Error>> + Send;
}

/// Builds the function from the environment and processes batches until Lambda stops the sandbox.
pub async fn stream<F: StreamFunction>() -> Result<(), Error> {
    let observer = &Observer::from_env(F::NAME)?;
    let function = &F::new(Platform::from_env()?)?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<F::Batch>| async move {
        let now = now();
        let run = Box::pin(function.run(event.payload, now));
        let (done, lines) = observer.run(&event.context.request_id, now, run).await;
        print(&lines);
        Ok::<_, Error>(F::answer(&done.map_err(Into::into)?))
    }))
    .await
}
