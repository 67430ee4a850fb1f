//! Every single thing that can go wrong at every single step of a refresh, while somebody else asks too.
use std::time::Duration;

use protocol::{
    Rig,
    ether::One,
    laws::{self, End},
    run, settle,
};
use tokio::time::sleep;

/// Two processes are asked at about the same time, one request meets something, and a third process is asked
/// when it is over.
/// With whether the step was reached.
async fn schedule(rotation: bool, one: One, second: Duration) -> Result<(End, bool), String> {
    fastrand::seed(7);
    let mut rig = Rig::new(rotation).await;
    sleep(Duration::from_mins(16)).await;
    let (first, other) = (rig.process(), rig.process());
    rig.ether.set(one);
    let calls = [(first, Duration::ZERO), (other, second)].map(|(process, wait)| {
        let request = rig.call(None);
        tokio::spawn(async move {
            sleep(wait).await;
            process.answer(request).await
        })
    });
    for call in calls {
        let answer = call.await.expect("a caller ends");
        laws::answer_is_durable(&rig, &answer)?;
    }
    let met = rig.ether.requests() > one.step;
    let (end, _) = Box::pin(settle(&mut rig)).await?;
    Ok((end, met))
}

/// How many requests two callers make at least: each reads its connection, one its product too; lease, *began*, exchange
/// and save.
const LEAST_STEPS: usize = 7;

#[test]
fn nothing_that_goes_wrong_at_one_step_breaks_a_law() {
    let mut ends = [0; 3];
    let mut schedules = 0;
    for rotation in [true, false] {
        for step in 0.. {
            let mut reached = false;
            for one in One::befalls(step) {
                for second in [0, 3, 10, 30, 120, 1000, 4000] {
                    let second = Duration::from_millis(second);
                    match run(schedule(rotation, one, second)) {
                        // One that meets nothing is the calm one, and proves nothing.
                        Ok((_, false)) => continue,
                        Ok((End::AnswerLost, _)) if !rotation => {
                            panic!("{one:?}, second after {second:?}: lost, though nothing rotates")
                        }
                        Ok((End::AnswerLost, _)) => ends[1] += 1,
                        Ok((End::Quarantined, _)) => ends[2] += 1,
                        Ok(_) => ends[0] += 1,
                        Err(broken) => {
                            panic!("rotation {rotation}, {one:?}, second after {second:?}: {broken}")
                        }
                    }
                    (schedules, reached) = (schedules + 1, true);
                }
            }
            if !reached {
                assert!(step >= LEAST_STEPS, "two callers make {step} requests");
                break;
            }
        }
    }
    assert!(ends[1] > 0, "an answer that was carried out and never came ends a grant that rotates");
    assert!(ends[2] > 0, "an answer that fails a check is in quarantine");
    println!(
        "{schedules} schedules: {} ended with a token, {} with answer_lost, {} in quarantine",
        ends[0], ends[1], ends[2]
    );
}
