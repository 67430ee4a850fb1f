//! The token function as a process of its own, with this machine's Salesforce.

use runtime::HttpFunction as _;
use token::Token;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    runtime::http::serve(Token::new(journeys::here::platform()?)?).await
}
