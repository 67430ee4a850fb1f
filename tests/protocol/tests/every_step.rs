//! Every single thing that can go wrong at every single step of a refresh, while somebody else asks too.
use std::time::Duration;

use protocol::{
    Effect, Fate, Kind, Rig,
    ether::Fates,
    laws::{self, End, Tally},
    run, settle,
};
use tokio::time::sleep;

/// One request meets something; every other arrives.
#[derive(Debug, Clone, Copy)]
struct One {
    step: usize,
    effect: Effect,
    there: Duration,
}

impl Fates for One {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Fate { there: delay(kind), back: delay(kind), effect: Effect::None };
        if number == self.step { Fate { effect: self.effect, there: self.there, ..calm } } else { calm }
    }
}

fn delay(kind: Kind) -> Duration {
    Duration::from_millis(if kind == Kind::Refresh { 100 } else { 4 })
}

/// What can befall a request: each effect, and to be late: later than the SDK waits, later than we wait for
/// Salesforce, later than the lease.
fn befalls() -> Vec<(Effect, Duration)> {
    let soon = Duration::from_millis(4);
    let mut all: Vec<_> =
        [Effect::Unreachable, Effect::Refused, Effect::AnswerLost, Effect::DiesBefore, Effect::DiesAfter]
            .map(|effect| (effect, soon))
            .into();
    for late in [2, 9, 25] {
        all.push((Effect::None, Duration::from_secs(late)));
    }
    all
}

/// Two processes are asked at about the same time, one request meets something, and a third process is asked
/// when it is over.
async fn schedule(rotation: bool, one: One, second: Duration) -> Result<(End, Tally), String> {
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
    Box::pin(settle(&mut rig)).await
}

#[test]
fn nothing_that_goes_wrong_at_one_step_breaks_a_law() {
    let mut ends = [0; 2];
    let mut schedules = 0;
    for rotation in [true, false] {
        for step in 0..14 {
            for (effect, there) in befalls() {
                for second in [0, 3, 10, 30, 120, 1000, 4000] {
                    let one = One { step, effect, there };
                    let second = Duration::from_millis(second);
                    schedules += 1;
                    match run(schedule(rotation, one, second)) {
                        Ok((End::AnswerLost, _)) if !rotation => {
                            panic!("{one:?}, second after {second:?}: lost, though nothing rotates")
                        }
                        Ok((End::PresumedLost, _)) => {
                            panic!("{one:?}, second after {second:?}: presumed lost after one fault")
                        }
                        Ok((end, _)) => ends[usize::from(end == End::AnswerLost)] += 1,
                        Err(broken) => {
                            panic!("rotation {rotation}, {one:?}, second after {second:?}: {broken}")
                        }
                    }
                }
            }
        }
    }
    println!("{schedules} schedules: {} ended with a token, {} with answer_lost", ends[0], ends[1]);
}
