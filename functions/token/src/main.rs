//! The deployed binary: reads the settings, builds the [`Token`] once, answers requests with it.

use service::Platform;
use token::Token;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let token = Token::new(Platform::from_env()?)?;
    service::serve(|request, now| token.respond(request, now)).await
}
