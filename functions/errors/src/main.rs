//! The deployed binary: reads the settings, builds the [`Errors`] once, answers requests with it.

use errors::Errors;
use platform::Platform;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    // It lives as long as the process.
    let errors: &'static Errors = Box::leak(Box::new(Errors::new(Platform::from_env()?)));
    runtime::http::serve("errors", |request, now| errors.respond(request, now)).await
}
