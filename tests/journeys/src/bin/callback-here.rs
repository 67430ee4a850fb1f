//! The callback function as a process of its own, with this machine's Salesforce.

use callback::Callback;
use runtime::HttpFunction as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    runtime::http::serve(Callback::new(journeys::here::platform()?)?).await
}
