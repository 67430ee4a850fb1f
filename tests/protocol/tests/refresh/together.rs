//! Several requests at once in one process, as Lambda Managed Instances send them: one of them goes to the lease, and
//! none depends on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::{
    Answer, Fate, Kind, Process, Rig,
    ether::{Calm, Fates},
    run, settle,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

const CALLERS: usize = 100;

/// A connection whose token has ended, and a process that has seen the product.
async fn ended() -> (Rig, Process) {
    let mut rig = Rig::new(true).await;
    let process = rig.process();
    assert_eq!(process.answer(rig.call(None)).await.status, 200);
    sleep(Duration::from_mins(16)).await;
    sees_the_product(&rig, &process).await;
    rig.ether.set(Calm);
    (rig, process)
}

/// The product is read anew; the token is not asked for.
async fn sees_the_product(rig: &Rig, process: &Process) {
    let mut other = rig.call(None);
    *other.uri_mut() =
        "https://connect.example.com/v1/connections/con_none/token".parse().expect("an address");
    assert_eq!(process.answer(other).await.status, 404);
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
        let (rig, process) = Box::pin(ended()).await;
        let mut tokens = Vec::new();
        for caller in callers(&rig, &process) {
            let answer = caller.await.expect("a caller ends");
            assert_eq!(answer.status, 200, "{}", answer.body);
            tokens.push(answer.token().expect("a token"));
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "everybody gets the new one");
        assert_eq!(rig.ether.sent().len(), 1);
        // The app's first refresh ever notes whether it rotates refresh tokens.
        let (health, lease, began, saved, noted, exchange) = (1, 1, 1, 1, 1, 1);
        assert_eq!(rig.ether.requests(), CALLERS + health + lease + began + saved + noted + exchange);
    });
}

#[test]
fn nobody_depends_on_a_request_that_is_cut_off() {
    // Every step of the first caller's: its read, the lease, began, the exchange, the saving.
    for milliseconds in 1..=20 {
        run(async {
            let (mut rig, process) = Box::pin(ended()).await;
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

/// Salesforce takes its time for an exchange; everything else is quick. Reads are counted.
struct Slow {
    exchange: Duration,
    reads: Arc<AtomicUsize>,
}

impl Fates for Slow {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        self.reads.fetch_add(usize::from(kind == Kind::Read), Ordering::Relaxed);
        let calm = Calm.fate(number, kind);
        if kind == Kind::Refresh { Fate { there: self.exchange, ..calm } } else { calm }
    }
}

/// Another process has the lease, and Salesforce takes 5 s: how many reads a hundred callers of this one make, whose
/// first is cut off after so long, and what they get within 3 s.
async fn while_another_refreshes(first_is_cut_after: Option<Duration>) -> usize {
    let (mut rig, process) = Box::pin(ended()).await;
    let other = rig.process();
    sees_the_product(&rig, &other).await;
    let reads = Arc::new(AtomicUsize::new(0));
    rig.ether.set(Slow { exchange: Duration::from_secs(5), reads: Arc::clone(&reads) });
    let holder = {
        let (other, request) = (other.clone(), rig.call(None));
        tokio::spawn(async move { other.answer(request).await })
    };
    sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.ether.sent().len(), 1, "it has sent");
    reads.store(0, Ordering::Relaxed);

    let began = Instant::now();
    let mut waiting = callers(&rig, &process);
    if let Some(after) = first_is_cut_after {
        sleep(after).await;
        waiting.remove(0).abort();
    }
    for caller in waiting {
        let answer = caller.await.expect("a caller ends");
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    let (took, reads) = (began.elapsed(), reads.load(Ordering::Relaxed));
    assert!(took <= Duration::from_secs(3) + BESIDE, "{took:?}");
    assert!(took >= Duration::from_secs(2), "nobody waited: {took:?}");
    assert_eq!(holder.await.expect("it ends").status, 200);
    assert_eq!(rig.ether.sent().len(), 1, "one exchange");
    reads
}

/// What a caller's reads and its try for the lease take beside its waits.
const BESIDE: Duration = Duration::from_millis(40);

#[test]
fn who_waits_for_another_process_waits_for_three_seconds_and_one_of_them_looks() {
    run(async {
        let looks = 3;
        let reads = Box::pin(while_another_refreshes(None)).await;
        assert_eq!(reads, CALLERS + looks, "a read each");
    });
}

#[test]
fn twenty_callers_of_a_connection_wait_longer_and_the_others_do_not() {
    run(async {
        let (mut rig, process) = Box::pin(ended()).await;
        let other = rig.process();
        sees_the_product(&rig, &other).await;
        rig.ether.set(Slow { exchange: Duration::from_secs(12), reads: Arc::default() });
        let holder = {
            let (other, request) = (other.clone(), rig.call(None));
            tokio::spawn(async move { other.answer(request).await })
        };
        sleep(Duration::from_millis(100)).await;
        let waiting: Vec<_> = (0..30)
            .map(|_| {
                let (process, request) = (process.clone(), rig.call_waiting(15));
                tokio::spawn(async move {
                    let began = Instant::now();
                    (process.answer(request).await.status, began.elapsed())
                })
            })
            .collect();
        let (mut served, mut sent_away) = (0, 0);
        for caller in waiting {
            match caller.await.expect("a caller ends") {
                (200, _) => served += 1,
                (503, took) if took < Duration::from_secs(4) => sent_away += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((served, sent_away), (20, 10));
        assert_eq!(holder.await.expect("it ends").status, 200);
        assert_eq!(rig.ether.sent().len(), 1);
    });
}

#[test]
fn where_the_one_that_looks_is_cut_off_the_others_look_for_what_is_left_of_their_time() {
    // By its shortest waits the one that looks gives up after 2.3 s.
    for milliseconds in [50, 700, 1900, 2200] {
        run(async move {
            let cut_after = Some(Duration::from_millis(milliseconds));
            let reads = Box::pin(while_another_refreshes(cut_after)).await;
            let others = CALLERS - 1;
            let first = reads - 4 * others;
            assert!((1..=4).contains(&first), "cut after {milliseconds} ms: {reads} reads");
        });
    }
}
