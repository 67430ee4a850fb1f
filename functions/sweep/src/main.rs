//! The deployed binary: reads the settings, builds the [`Sweep`] once, runs it when the schedule says.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use service::{
    Platform,
    serve::{init_logs, now},
};
use sweep::{Sweep, Swept};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_logs();
    let sweep = &Sweep::new(Platform::from_env()?)?;
    lambda_runtime::run(service_fn(|_: LambdaEvent<serde_json::Value>| async move {
        let swept: Swept = sweep.run(now()).await?;
        tracing::info!(
            lost = swept.lost,
            unredeemed = swept.unredeemed,
            revoked = swept.revoked,
            put_off = swept.put_off,
            "swept"
        );
        Ok::<_, Error>(swept)
    }))
    .await
}
