//! The callback function as a process of its own, with this machine's Salesforce.

use callback::Callback;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let callback: &'static Callback = Box::leak(Box::new(Callback::new(journeys::here::platform()?)?));
    runtime::http::serve("callback", |request, now| callback.respond(request, now)).await
}
