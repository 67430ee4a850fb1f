//! The sweep as a process of its own, with this machine's Salesforce.

use salesforce::egress::Egress;
use sweep::Sweep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    sweep::serve(Sweep::new(journeys::here::platform()?)?, Egress::deployed()).await
}
