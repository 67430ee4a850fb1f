//! The deployed binary: reads the settings, builds the [`Tally`] once, counts what the table's stream brings.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use service::{
    Platform,
    serve::{init_logs, now},
};
use tally::{Event, Tally};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_logs(false);
    let tally = &Tally::new(Platform::from_env()?.store);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| async move {
        tally.run(event.payload, now()).await?;
        // Lambda asks for the window's state back; ours is in the table.
        Ok::<_, Error>(serde_json::json!({ "state": {} }))
    }))
    .await
}
