//! The deployed binary: reads the settings, builds the [`Authorize`] once, answers requests with it.

use authorize::Authorize;
use platform::Platform;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    // It lives as long as the process.
    let authorize: &'static Authorize = Box::leak(Box::new(Authorize::new(Platform::from_env()?)));
    runtime::http::serve("authorize", |request, now| authorize.respond(request, now)).await
}
