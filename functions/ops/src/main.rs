//! The deployed binary: reads the settings, builds the [`Ops`] once, answers requests with it.

use ops::Ops;
use platform::Platform;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    // It lives as long as the process.
    let ops: &'static Ops = Box::leak(Box::new(Ops::new(Platform::from_env()?)));
    runtime::http::serve("ops", |request, now| ops.respond(request, now)).await
}
