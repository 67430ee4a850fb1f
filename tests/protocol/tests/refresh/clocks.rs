//! Processes whose clocks differ, by seconds or hours, either way: no refresh token is used twice at once, and none that
//! may be spent is sent again but by the recovery.

use std::time::Duration;

use domain::ConnectionId;
use jiff::SignedDuration;
use protocol::{
    Effect, Fate, Kind, Process, Rig,
    ether::{Calm, Fates},
    run,
};
use tokio::time::sleep;

/// What befalls the first refresh; every other one is answered at once.
struct First {
    effect: Effect,
    there: Duration,
    is_over: bool,
}

impl Fates for First {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        if kind != Kind::Refresh || std::mem::replace(&mut self.is_over, true) {
            return Calm.fate(number, kind);
        }
        Fate { effect: self.effect, there: self.there, back: Duration::from_millis(500) }
    }
}

const SKEWS: [i64; 15] = [-3600, -600, -180, -60, -55, -50, -42, -25, 25, 42, 55, 60, 180, 600, 3600];

/// How far a reader's clock may be ahead or behind: for one that is far ahead every token has ended.
const READERS: [i64; 6] = [-600, -180, -70, 70, 180, 600];

/// Until the token has ended for both, whatever their clocks say.
fn until_it_ends(skew: i64) -> Duration {
    Duration::from_mins(17) + Duration::from_secs(skew.unsigned_abs())
}

/// For so long another process asks for the connection each second, and keeps the host known to answer.
async fn ask(rig: &Rig, process: &Process, other: &ConnectionId, time: Duration) {
    for second in 0..time.as_secs() {
        process.answer(rig.call(None)).await;
        if second % 5 == 2 {
            let body = serde_json::json!({ "minimum_lifetime": 840 });
            process.answer(rig.call_for(other, Some(&body))).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn slow_answer_is_not_overtaken_by_a_process_with_another_clock() {
    for skew in SKEWS {
        for there in [1, 9, 14] {
            run(async move {
                let mut rig = Rig::new(true).await;
                let other = rig.connect_another(1).await;
                let (skewed, right) = (rig.process_ahead(SignedDuration::from_secs(skew)), rig.process());
                sleep(until_it_ends(skew)).await;
                let there = Duration::from_secs(there);
                rig.ether.set(First { effect: Effect::None, there, is_over: false });
                let request = rig.call(None);
                let holder = tokio::spawn(async move { skewed.answer(request).await });
                sleep(Duration::from_millis(200)).await;
                Box::pin(ask(&rig, &right, &other, Duration::from_secs(110))).await;
                let answer = holder.await.expect("the holder ends");
                assert_eq!(answer.status, 200, "{skew} s, {there:?}: {}", answer.body);
                let token = rig.ether.sent()[0].token.clone();
                let uses = rig.ether.sent().iter().filter(|sent| sent.token == token).count();
                assert_eq!(uses, 1, "{skew} s, {there:?}: sent twice\n{}", rig.ether.trace());
                let answer = right.answer(rig.call(None)).await;
                assert_eq!(answer.status, 200, "{skew} s, {there:?}: {}", answer.body);
            });
        }
    }
}

#[test]
fn lost_answer_of_a_holder_with_another_clock_is_recovered_once() {
    for skew in SKEWS {
        for effect in [Effect::DiesBefore, Effect::DiesAfter, Effect::AnswerLost, Effect::Silent] {
            run(async move {
                let mut rig = Rig::new(true).await;
                let other = rig.connect_another(1).await;
                let (skewed, right) = (rig.process_ahead(SignedDuration::from_secs(skew)), rig.process());
                sleep(until_it_ends(skew)).await;
                let there = Duration::from_millis(100);
                rig.ether.set(First { effect, there, is_over: false });
                let request = rig.call(None);
                let holder = tokio::spawn(async move { skewed.answer(request).await });
                sleep(Duration::from_millis(200)).await;
                Box::pin(ask(&rig, &right, &other, Duration::from_mins(4))).await;
                holder.await.expect("the holder ends");
                let token = rig.ether.sent()[0].token.clone();
                let uses = || rig.ether.sent().iter().filter(|sent| sent.token == token).count();
                // What a clock that is far ahead says counts for nothing, or from when it is no longer ahead: then the host
                // is asked, and ten minutes pass.
                for _ in 0..75 {
                    if uses() == 2 {
                        break;
                    }
                    sleep(Duration::from_secs(20)).await;
                    right.answer(rig.call(None)).await;
                }
                let uses = uses();
                assert_eq!(
                    uses,
                    2,
                    "{skew} s, {effect:?}: the refresh and its recovery\n{}",
                    rig.ether.trace()
                );
                assert!(rig.ether.sent().iter().all(|sent| !sent.met_itself), "{skew} s, {effect:?}");
                let answer = right.answer(rig.call(None)).await;
                if matches!(effect, Effect::DiesBefore | Effect::Silent) {
                    assert_eq!(answer.status, 200, "{skew} s, {effect:?}: {}", answer.body);
                } else {
                    assert_eq!(answer.body["cause"], "answer_lost", "{skew} s, {effect:?}: {}", answer.body);
                }
            });
        }
    }
}

/// The holder's clock is right; that of whoever asks meanwhile is not. A third process with the right clock asks too.
#[test]
fn slow_answer_is_not_overtaken_by_a_reader_with_a_wrong_clock() {
    for skew in READERS {
        for there in [1, 14] {
            run(async move {
                let mut rig = Rig::new(true).await;
                let other = rig.connect_another(1).await;
                let skewed = rig.process_ahead(SignedDuration::from_secs(skew));
                let (holder, right) = (rig.process(), rig.process());
                sleep(until_it_ends(skew)).await;
                let there = Duration::from_secs(there);
                rig.ether.set(First { effect: Effect::None, there, is_over: false });
                let request = rig.call(None);
                let holding = tokio::spawn(async move { holder.answer(request).await });
                sleep(Duration::from_millis(200)).await;
                let token = rig.ether.sent()[0].token.clone();
                for _ in 0..20 {
                    Box::pin(ask(&rig, &skewed, &other, Duration::from_secs(1))).await;
                    Box::pin(ask(&rig, &right, &other, Duration::from_secs(5))).await;
                }
                let answer = holding.await.expect("the holder ends");
                assert_eq!(answer.status, 200, "{skew} s, {there:?}: {}", answer.body);
                let uses = rig.ether.sent().iter().filter(|sent| sent.token == token).count();
                assert_eq!(uses, 1, "{skew} s, {there:?}: sent twice\n{}", rig.ether.trace());
            });
        }
    }
}

/// The one recovery takes its time, and somebody's clock is wrong: that of whoever sent it, or of who asks meanwhile.
#[test]
fn slow_recovery_is_not_overtaken_by_a_process_with_another_clock() {
    for skew in READERS {
        for is_recoverers in [true, false] {
            run(async move {
                let mut rig = Rig::new(true).await;
                let other = rig.connect_another(1).await;
                let (holder, skewed) = (rig.process(), rig.process_ahead(SignedDuration::from_secs(skew)));
                let right = rig.process();
                sleep(until_it_ends(skew)).await;
                rig.ether.set(First {
                    effect: Effect::Silent,
                    there: Duration::from_secs(1),
                    is_over: false,
                });
                holder.answer(rig.call(None)).await;
                let token = rig.ether.sent()[0].token.clone();
                let (recovers, asks) = if is_recoverers { (skewed, right) } else { (right, skewed) };
                // The host is known to answer, and the first 90 s are over for both.
                let body = serde_json::json!({ "minimum_lifetime": 840 });
                holder.answer(rig.call_for(&other, Some(&body))).await;
                sleep(Duration::from_secs(100 + skew.unsigned_abs())).await;
                rig.ether.set(First { effect: Effect::None, there: Duration::from_secs(14), is_over: false });
                let request = rig.call(None);
                let recovering = tokio::spawn(async move { recovers.answer(request).await });
                sleep(Duration::from_secs(1)).await;
                for _ in 0..25 {
                    asks.answer(rig.call(None)).await;
                    sleep(Duration::from_secs(1)).await;
                }
                recovering.await.expect("it ends");
                let uses = rig.ether.sent().iter().filter(|sent| sent.token == token).count();
                let which = format!("{skew} s, the recovery's: {is_recoverers}");
                assert!(uses <= 2, "{which}: sent again\n{}", rig.ether.trace());
                assert!(rig.ether.sent().iter().all(|sent| !sent.met_itself), "{which}");
            });
        }
    }
}
