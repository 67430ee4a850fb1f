//! The Lambda loop of the functions that take messages from a queue.

use std::future::Future;

use lambda_runtime::{LambdaEvent, service_fn};
use platform::{Deadline, Platform, SettingError, clock::now};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Error,
    invocation_log::{Observer, print},
};

/// A function that takes messages from a queue, one at a time.
pub trait QueueFunction: Send + Sync + Sized + 'static {
    /// The function's name in logs and metrics.
    const NAME: &'static str;

    /// A message.
    type Message: DeserializeOwned + Send;

    /// Why a message was not handled. SQS gives it out again.
    type Error: Into<Error> + std::fmt::Display;

    /// Builds the function, once in a process. Fails if a setting is missing or unusable.
    fn new(platform: Platform) -> Result<Self, SettingError>;

    /// Handles a message. SQS may give any message out again, so this must be idempotent. `receipt` names this message
    /// to the queue. `false`: the message stays in the queue.
    fn run(
        &self,
        message: Self::Message,
        receipt: &str,
        time: Deadline,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// What SQS brings.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
}

/// Builds the function from the environment and handles messages until Lambda stops the sandbox.
pub async fn queue<F: QueueFunction>() -> Result<(), Error> {
    serve(F::new(Platform::from_env()?)?).await
}

/// The same with a function that was built already: tests bring another guard.
pub async fn serve<F: QueueFunction>(function: F) -> Result<(), Error> {
    let observer = &Observer::from_env(F::NAME)?;
    let function = &function;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        let batch: Batch = serde_json::from_value(event.payload)?;
        let mut kept = Vec::new();
        for record in batch.records {
            let now = now();
            let time = Deadline::until(event.context.deadline, now);
            let run = Box::pin(async {
                let message =
                    serde_json::from_str(&record.body).map_err(|_| "unreadable message".to_owned())?;
                let done = function.run(message, &record.receipt_handle, time).await;
                done.map_err(|error| error.to_string())
            });
            let (done, lines) = observer.run(&event.context.request_id, now, run).await;
            print(&lines);
            match done {
                Ok(true) => {}
                Ok(false) => kept.push(json!({ "itemIdentifier": record.message_id })),
                Err(error) => {
                    tracing::error!(error, "failed: {error}");
                    kept.push(json!({ "itemIdentifier": record.message_id }));
                }
            }
        }
        Ok::<_, Error>(json!({ "batchItemFailures": kept }))
    }))
    .await
}
