//! The refresh protocol, explored.
//!
//! What runs here is what is deployed: `Token` and `Sweep` with the crates under them, the AWS SDK with its tries
//! and time-outs included. Only the ways out are replaced: every request to DynamoDB and to Salesforce goes through
//! an [`ether`] that can delay it, refuse it, lose it or its answer, carry it out long after its sender has given up,
//! or end its sender. Tokio's clock is paused, so a minute's wait takes no time and a schedule is replayed by its
//! seed alone.
//!
//! | module | holds |
//! | --- | --- |
//! | [`ether`] | what befalls each request, and what was seen of it |
//! | [`rig`] | a connection at a Salesforce, and processes that are asked for its token |
//! | [`stream`] | the table's stream as Lambda brings it to `notify` |
//! | [`trip`] | a user's trip to Salesforce and back |
//! | [`laws`] | what may never happen, checked against what was seen |

#![expect(clippy::missing_panics_doc, reason = "a test tool: what cannot go on panics, and says why")]

pub mod ether;
pub mod laws;
pub mod rig;
pub mod stream;
pub mod trip;

pub use ether::{Effect, Ether, Fate, Kind, Script};
pub use rig::{Answer, Process, Rig};
pub use trip::Trip;

use std::time::Duration;

use tokio::time::sleep;

/// Runs a schedule on a clock of its own.
pub fn run<T>(schedule: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(schedule)
}

/// Everything is mended; a product and the sweep come by until it is clear what became of the connection.
pub async fn settle(rig: &mut Rig) -> Result<(laws::End, laws::Tally), String> {
    rig.ether.set(ether::Calm);
    let process = rig.process();
    if let Some(redeem) = rig.redeem() {
        // A product that does not know what became of its call makes it again.
        let redeemed = process.answer(redeem).await;
        if redeemed.status != 200 && redeemed.problem() != "receipt-used" {
            return Err(format!("the reconnect ended in {} {}", redeemed.status, redeemed.body));
        }
    }
    let mut answer = process.answer(rig.call(None)).await;
    for _ in 0..8 {
        if answer.status == 409 || (answer.status == 200 && answer.body["warning"].is_null()) {
            break;
        }
        sleep(Duration::from_secs(150)).await;
        answer = process.answer(rig.call(None)).await;
    }
    process.sweep().await;
    if rig.redeem().is_some() {
        // What could not be revoked at once is tried again; by then the token that was handed out is not the last.
        sleep(Duration::from_mins(16)).await;
        process.sweep().await;
        answer = process.answer(rig.call(None)).await;
    }
    laws::answer_is_durable(rig, &answer)?;
    laws::check(rig, &answer)
}
