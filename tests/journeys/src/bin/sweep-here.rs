//! The sweep as a process of its own, with this machine's Salesforce.

use salesforce::egress::Egress;
use sweep::{Scheduled, Sweep};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let sweep = Sweep::new(journeys::here::platform()?)?;
    runtime::schedule::serve(Scheduled::with_egress(sweep, Egress::deployed())).await
}
