//! A user connects anew while somebody refreshes, and one thing goes wrong at one step of either.
use std::time::Duration;

use protocol::{
    Rig,
    ether::One,
    laws::{self, End, Tally},
    run, settle,
};
use tokio::time::sleep;

/// A caller needs a new token; the receipt of a reconnect is brought so much later, to another process.
/// With whether the step was reached.
async fn schedule(rotation: bool, one: One, later: Duration) -> Result<(End, Tally, bool), String> {
    fastrand::seed(7);
    let mut rig = Rig::new(rotation).await;
    sleep(Duration::from_mins(16)).await;
    rig.reconnect().await;
    let (first, other) = (rig.process(), rig.process());
    rig.ether.set(one);
    let (asks, redeems) = (rig.call(None), rig.redeem().expect("a reconnect"));
    let caller = tokio::spawn(async move { first.answer(asks).await });
    let product = tokio::spawn(async move {
        sleep(later).await;
        other.answer(redeems).await
    });
    let answer = caller.await.expect("a caller ends");
    product.await.expect("a redemption ends");
    laws::answer_is_durable(&rig, &answer)?;
    let met = rig.ether.requests() > one.step;
    let (end, tally) = Box::pin(settle(&mut rig)).await?;
    Ok((end, tally, met))
}

/// How many requests a refresh and a takeover make at least.
const LEAST_STEPS: usize = 16;

#[test]
fn nothing_that_goes_wrong_at_one_step_of_a_reconnect_loses_the_new_grant_or_leaves_the_old_one() {
    let (mut schedules, mut left) = (0, 0);
    for rotation in [true, false] {
        for step in 0.. {
            let mut reached = false;
            for one in One::befalls(step) {
                for later in [0, 40, 150] {
                    let told = format!("rotation {rotation}, {one:?}, redeemed after {later} ms");
                    let (end, tally, met) = run(schedule(rotation, one, Duration::from_millis(later)))
                        .unwrap_or_else(|broken| panic!("{told}: {broken}"));
                    assert_eq!(end, End::Token, "{told}");
                    if met {
                        (schedules, reached) = (schedules + 1, true);
                        left += tally.left;
                    }
                }
            }
            if !reached {
                assert!(step >= LEAST_STEPS, "a refresh and a reconnect make {step} requests");
                break;
            }
        }
    }
    println!(
        "{schedules} schedules: all ended with the new grant's token; {left} old grants live on unknown"
    );
    assert!(left < schedules / 20, "{left} of {schedules}");
}
