//! The deployed binary: reads the settings, builds the [`Sweep`] once, runs it when the schedule says.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use service::{
    Invocation, Platform,
    serve::{init_logs, now},
};
use sweep::{Sweep, Swept};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_logs();
    let sweep = &Sweep::new(Platform::from_env()?)?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| async move {
        let time = Invocation::until(event.context.deadline, now());
        let swept: Swept = sweep.run(time).await?;
        tracing::info!(
            lost = swept.lost,
            unredeemed = swept.unredeemed,
            unconfirmed = swept.unconfirmed,
            revoked = swept.revoked,
            refreshed = swept.refreshed,
            stopped = swept.stopped,
            restored = swept.restored,
            put_off = swept.put_off,
            unread = swept.unread,
            cut_short = swept.cut_short,
            "swept"
        );
        Ok::<_, Error>(swept)
    }))
    .await
}
