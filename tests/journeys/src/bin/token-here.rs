//! The token function as a process of its own, with this machine's Salesforce.

use token::Token;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let token: &'static Token = Box::leak(Box::new(Token::new(journeys::here::platform()?)?));
    runtime::http::serve("token", |request, now| token.respond(request, now)).await
}
