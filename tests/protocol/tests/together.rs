//! Several requests at once in one process, as Lambda Managed Instances send them: one of them goes to the lease, and
//! none depends on it.

use std::time::Duration;

use protocol::{Answer, Process, Rig, ether::Calm, run, settle};
use tokio::{task::JoinHandle, time::sleep};

const CALLERS: usize = 100;

/// A connection whose token has ended, and a process that has seen the product.
async fn ended() -> (Rig, Process) {
    let mut rig = Rig::new(true).await;
    let process = rig.process();
    assert_eq!(process.answer(rig.call(None)).await.status, 200);
    sleep(Duration::from_mins(16)).await;
    // The product is read anew; the token is not asked for.
    let mut other = rig.call(None);
    *other.uri_mut() =
        "https://connect.example.com/v1/connections/con_none/token".parse().expect("an address");
    assert_eq!(process.answer(other).await.status, 404);
    rig.ether.set(Calm);
    (rig, process)
}

fn callers(rig: &Rig, process: &Process) -> Vec<JoinHandle<Answer>> {
    let call = || {
        let (process, request) = (process.clone(), rig.call(None));
        tokio::spawn(async move { process.answer(request).await })
    };
    (0..CALLERS).map(|_| call()).collect()
}

#[test]
fn a_hundred_callers_in_one_process_cost_a_read_each_and_one_refresh() {
    run(async {
        let (rig, process) = ended().await;
        let mut tokens = Vec::new();
        for caller in callers(&rig, &process) {
            let answer = caller.await.expect("a caller ends");
            assert_eq!(answer.status, 200, "{}", answer.body);
            tokens.push(answer.token().expect("a token"));
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "everybody gets the new one");
        assert_eq!(rig.ether.sent().len(), 1);
        let (lease, began, saved, exchange) = (1, 1, 1, 1);
        assert_eq!(rig.ether.requests(), CALLERS + lease + began + saved + exchange);
    });
}

#[test]
fn nobody_depends_on_a_request_that_is_cut_off() {
    // Every step of the first caller's: its read, the lease, began, the exchange, the saving.
    for milliseconds in 1..=20 {
        run(async {
            let (mut rig, process) = ended().await;
            let first = {
                let (process, request) = (process.clone(), rig.call(None));
                tokio::spawn(async move { process.answer(request).await })
            };
            tokio::task::yield_now().await;
            let others = callers(&rig, &process);
            sleep(Duration::from_millis(milliseconds)).await;
            first.abort();
            for caller in others {
                let answer = caller.await.expect("a caller ends");
                assert!(
                    matches!(answer.status, 200 | 409 | 503),
                    "cut after {milliseconds} ms: {}\n{}",
                    answer.body,
                    rig.ether.trace()
                );
            }
            process.die();
            if let Err(broken) = settle(&mut rig).await {
                panic!("cut after {milliseconds} ms: {broken}\n{}", rig.ether.trace());
            }
        });
    }
}
