//! The deployed binary: reads the settings, builds the [`Tally`] once, counts what the table's stream brings.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use platform::{Platform, clock::now};
use runtime::invocation_log::{Observer, print};
use tally::{Event, Tally};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let observer = &Observer::from_env("tally")?;
    let tally = &Tally::new(Platform::from_env()?.store);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| async move {
        let now = now();
        let run = Box::pin(tally.run(event.payload, now));
        let (tallied, lines) = observer.run(&event.context.request_id, now, run).await;
        print(&lines);
        tallied?;
        // Lambda asks for the window's state back; ours is in the table.
        Ok::<_, Error>(serde_json::json!({ "state": {} }))
    }))
    .await
}
