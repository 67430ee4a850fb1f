//! The deployed binary: reads the settings, builds the [`Token`] once, answers requests with it.

use platform::Platform;
use token::Token;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    // It lives as long as the process.
    let token: &'static Token = Box::leak(Box::new(Token::new(Platform::from_env()?)?));
    tokio::spawn(token.warm_up());
    runtime::http::serve("token", |request, now| token.respond(request, now)).await
}
