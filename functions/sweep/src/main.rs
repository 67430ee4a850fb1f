//! The deployed binary: reads the settings, builds the [`Sweep`] once, runs it when the schedule says.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use service::{
    Invocation, Platform,
    observe::{Observer, print},
    serve::now,
};
use sweep::{Sweep, Swept};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let observer = &Observer::from_env("sweep")?;
    let sweep = &Sweep::new(Platform::from_env()?)?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| async move {
        let now = now();
        let run = Box::pin(sweep.run(Invocation::until(event.context.deadline, now)));
        let (swept, lines) = observer.run(&event.context.request_id, now, run).await;
        print(&lines);
        Ok::<Swept, Error>(swept?)
    }))
    .await
}
