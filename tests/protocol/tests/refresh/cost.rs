//! What a run of the sweep asks of the table: by what is due, and by nothing else. The figures are those of
//! `docs/costs.md`.

use std::time::Duration;

use protocol::{Rig, ether::Calm, run};
use tokio::time::sleep;

/// One look into the fallback, and one at each partition of the due index.
const LOOK: usize = 1 + 16;

/// For each connection that is refreshed: its item is read, and what is known of its app and host; the lease, *began*
/// and the answer are written.
const REFRESH: usize = 5;

/// The product is read, and the app's first refresh ever notes whether it rotates refresh tokens.
const ONCE: usize = 2;

/// The table's requests and Salesforce's of one run over so many connections, of which so many are due.
async fn swept(connections: usize, due: usize) -> usize {
    let mut rig = Rig::new(true).await;
    for user in 1..due {
        rig.connect_another(user).await;
    }
    rig.crowd(connections - due);
    let process = rig.process();
    // Warm: the product is read, the secrets are held, and nothing is due.
    process.sweep().await;
    sleep(Duration::from_hours(24 * 15) + Duration::from_mins(1)).await;
    rig.ether.set(Calm);
    process.sweep().await;
    assert_eq!(rig.ether.sent().len(), due, "each is refreshed once");
    rig.ether.requests()
}

/// Each is sent to Salesforce too.
fn expected(due: usize) -> usize {
    LOOK + due * (REFRESH + 1)
}

#[test]
fn a_sweep_costs_what_is_due_whether_the_table_holds_a_thousand_connections_or_a_hundred_thousand() {
    let requests = [1_000, 10_000, 100_000].map(|connections| run(swept(connections, 1)));
    println!("one due among 1,000, 10,000 and 100,000: {requests:?} requests");
    assert_eq!(requests, [expected(1) + ONCE; 3]);
}

#[test]
fn a_sweep_costs_in_proportion_to_what_is_due() {
    for due in [1, 2, 4] {
        let requests = run(swept(1_000, due));
        println!("{due} due among 1,000: {requests} requests");
        // Of those that are dealt with at the same moment each does what is done once.
        let (least, most) = (expected(due) + ONCE, expected(due) + due * ONCE);
        assert!((least..=most).contains(&requests), "{due} due: {requests}, not {least} to {most}");
    }
}
