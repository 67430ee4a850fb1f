//! The deployed binary: reads the settings, builds the [`Callback`] once, answers requests with it.

use callback::Callback;
use platform::Platform;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    // It lives as long as the process.
    let callback: &'static Callback = Box::leak(Box::new(Callback::new(Platform::from_env()?)?));
    runtime::http::serve("callback", |request, now| callback.respond(request, now)).await
}
