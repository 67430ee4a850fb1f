//! The deployed binary: reads the settings, builds the [`Sweep`] once, runs it when the schedule says.

use lambda_runtime::Error;
use platform::Platform;
use salesforce::egress::Egress;
use sweep::Sweep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    sweep::serve(Sweep::new(Platform::from_env()?)?, Egress::deployed()).await
}
