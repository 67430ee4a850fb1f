//! A Salesforce that falls silent, for minutes, hours and days: no connection ends of it. And answers that come late, or
//! while the table is away.

use std::time::Duration;

use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    run,
};
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

async fn ask(rig: &Rig, process: &Process) -> Answer {
    process.answer(rig.call(None)).await
}

/// Salesforce answers nothing: neither refreshes nor anything else.
struct Silent;

impl Fates for Silent {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if matches!(kind, Kind::Refresh | Kind::Other) { Effect::Silent } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// Refreshes are silent; what is harmless is answered.
struct TokenEndpointSilent;

impl Fates for TokenEndpointSilent {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::Silent } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// Refreshes are carried out, and then answered so.
struct Answers(Script);

impl Fates for Answers {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::Scripted(self.0) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// Salesforce is silent for so long while a caller asks each minute and the sweep comes by.
async fn silence(rig: &Rig, process: &Process, time: Duration) {
    let began = Instant::now();
    let each = if time > 5 * HOUR { 10 * MINUTE } else { MINUTE };
    while began.elapsed() < time {
        let answer = ask(rig, process).await;
        assert_eq!((answer.status, answer.problem()), (503, "token-not-ready"), "{}", answer.body);
        process.sweep().await;
        sleep(each).await;
    }
    assert_eq!(rig.item()["state"]["S"], "refresh_unknown");
}

#[test]
fn no_connection_ends_because_the_host_was_silent() {
    for time in [3 * MINUTE, 3 * HOUR, 72 * HOUR] {
        for rotation in [true, false] {
            run(async move {
                let mut rig = Rig::new(rotation).await;
                let process = rig.process();
                sleep(16 * MINUTE).await;
                rig.ether.set(Silent);
                Box::pin(silence(&rig, &process, time)).await;
                assert_eq!(rig.ether.sent().len(), 1, "nothing is sent to a host that is silent");

                rig.ether.set(Calm);
                let mut answer = ask(&rig, &process).await;
                for _ in 0..13 {
                    if answer.status == 200 {
                        break;
                    }
                    sleep(MINUTE).await;
                    answer = ask(&rig, &process).await;
                }
                assert_eq!(answer.status, 200, "{time:?}: {}", answer.body);
                assert_eq!(rig.ether.sent().len(), 2, "one recovery");
            });
        }
    }
}

#[test]
fn a_harmless_answer_is_not_enough_while_refreshes_are_silent() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(TokenEndpointSilent);
        // Ten minutes, counted from the harmless answer.
        for _ in 0..9 {
            assert_eq!(ask(&rig, &process).await.status, 503);
            sleep(MINUTE).await;
        }
        assert_eq!(rig.ether.sent().len(), 1);
    });
}

/// Every address of Salesforce shows a page with 200, as a host under maintenance or a captive portal does.
struct Maintenance;

impl Fates for Maintenance {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        const PAGE: Script =
            Script { status: 200, headers: &[], body: "<html>back soon</html>", processed: false };
        let away = matches!(kind, Kind::Refresh | Kind::Other);
        let effect = if away { Effect::Scripted(PAGE) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

#[test]
fn page_in_place_of_the_keys_does_not_let_the_recovery_go() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(Maintenance);
        Box::pin(silence(&rig, &process, 3 * HOUR)).await;
        assert_eq!(rig.ether.sent().len(), 1, "nothing is sent under maintenance");
        rig.ether.set(Calm);
        let mut answer = ask(&rig, &process).await;
        for _ in 0..13 {
            if answer.status == 200 {
                break;
            }
            sleep(MINUTE).await;
            answer = ask(&rig, &process).await;
        }
        assert_eq!((answer.status, rig.ether.sent().len()), (200, 2), "{}", answer.body);
    });
}

/// Refreshes meet this; everything else at Salesforce is silent.
struct OnlyRefreshesMeet(Script);

impl Fates for OnlyRefreshesMeet {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        match kind {
            Kind::Refresh => Fate { effect: Effect::Scripted(self.0), ..Calm.fate(number, kind) },
            _ => Silent.fate(number, kind),
        }
    }
}

/// A page or limit in front of the token endpoint that another connection meets does not show that the endpoint answers.
#[test]
fn page_that_another_connection_meets_does_not_let_the_recovery_go() {
    let page = |status, headers| Script { status, headers, body: "<html>busy</html>", processed: false };
    let limit = r#"{"error":"rate_limit_exceeded","error_description":"slow down"}"#;
    for script in [
        Script { body: limit, ..page(429, &[] as &[_]) },
        page(429, &[] as &[_]),
        page(429, &[("Retry-After", "5")]),
        page(302, &[("Location", "https://example.com/")]),
        page(503, &[("Retry-After", "5")]),
    ] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let (process, other) = (rig.process(), rig.connect_another(1).await);
            sleep(16 * MINUTE).await;
            rig.ether.set(Silent);
            Box::pin(silence(&rig, &process, 3 * MINUTE)).await;
            rig.ether.set(OnlyRefreshesMeet(script));
            assert_eq!(process.answer(rig.call_for(&other, None)).await.status, 503);
            assert_eq!(rig.ether.sent().len(), 2);
            Box::pin(silence(&rig, &process, 30 * MINUTE)).await;
            let of_this = rig.item()["refresh_fingerprint"].clone();
            let sent = rig.ether.sent();
            let again = sent.iter().filter(|sent| of_this["S"] == sent.token.as_str()).count();
            assert_eq!(again, 1, "{}: it was recovered while the endpoint was away", script.status);
        });
    }
}

#[test]
fn another_connections_answer_lets_the_recovery_go() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (process, other) = (rig.process(), rig.connect_another(1).await);
        sleep(16 * MINUTE).await;
        rig.ether.set(Silent);
        Box::pin(silence(&rig, &process, 3 * MINUTE)).await;
        rig.ether.set(Calm);
        assert_eq!(process.answer(rig.call_for(&other, None)).await.status, 200);
        let answer = ask(&rig, &process).await;
        assert_eq!((answer.status, rig.ether.sent().len()), (200, 3), "{}", answer.body);
    });
}

/// Whether or not Salesforce ends the grant when a spent token comes back: docs/salesforce.md 3.9 knows both.
#[test]
fn an_answer_that_salesforce_gave_and_nobody_got_is_the_only_loss() {
    let gateway = |status| Script { status, headers: &[], body: "<html>gateway</html>", processed: true };
    for (status, spares) in [(500, false), (502, false), (504, false), (504, true)] {
        run(async move {
            let mut rig = Rig::new(true).await;
            rig.world.change(|state| state.other_behavior.replay_spares_the_grant = spares);
            let process = rig.process();
            sleep(16 * MINUTE).await;
            rig.ether.set(Answers(gateway(status)));
            assert_eq!(ask(&rig, &process).await.status, 503);
            rig.ether.set(Calm);
            for _ in 0..13 {
                sleep(MINUTE).await;
                let answer = ask(&rig, &process).await;
                if answer.status == 409 {
                    assert_eq!(answer.body["cause"], "answer_lost", "{status}");
                    assert_eq!(rig.ether.sent().len(), 2, "one recovery");
                    return;
                }
            }
            panic!("{status}: it is still not known");
        });
    }
}

/// Salesforce takes so long over a refresh.
struct Slow(Duration);

impl Fates for Slow {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        if kind == Kind::Refresh { Fate { there: self.0, ..calm } } else { calm }
    }
}

#[test]
fn an_answer_after_fourteen_seconds_is_kept_and_callers_may_wait_for_it() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (holder, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        rig.ether.set(Slow(Duration::from_secs(14)));
        let first = {
            let (holder, request) = (holder.clone(), rig.call(None));
            tokio::spawn(async move { holder.answer(request).await })
        };
        sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        let (usual, waits, long) = tokio::join!(
            async { (other.answer(rig.call(None)).await, began.elapsed()) },
            async { (other.answer(rig.call_waiting(15)).await, began.elapsed()) },
            async { (holder.answer(rig.call_waiting(15)).await, began.elapsed()) },
        );
        assert_eq!((usual.0.status, usual.1 < Duration::from_secs(4)), (503, true), "{usual:?}");
        assert_eq!(waits.0.status, 200, "in another process: {waits:?}");
        assert_eq!(long.0.status, 200, "in the same process: {long:?}");
        assert_eq!(first.await.expect("it ends").status, 200);
        assert_eq!(rig.ether.sent().len(), 1);
    });
}

#[test]
fn a_wait_of_more_than_fifteen_seconds_is_rejected() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        assert_eq!(process.answer(rig.call_waiting(15)).await.status, 200);
        assert_eq!(process.answer(rig.call_waiting(16)).await.status, 400);
    });
}

#[test]
fn without_rotation_a_dead_holders_successor_gets_a_token_within_five_seconds() {
    run(async {
        let mut rig = Rig::new(false).await;
        let (first, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        assert_eq!(ask(&rig, &first).await.status, 200, "by now it is known that nothing rotates");
        sleep(16 * MINUTE).await;
        rig.ether.set(Slow(Duration::from_secs(10)));
        let holder = {
            let (first, request) = (first.clone(), rig.call(None));
            tokio::spawn(async move { first.answer(request).await })
        };
        sleep(Duration::from_secs(1)).await;
        first.die();
        assert!(holder.await.expect("it ends").died());
        rig.ether.set(Calm);
        // The lease has to end first.
        sleep(Duration::from_secs(25)).await;
        let began = Instant::now();
        let answer = ask(&rig, &other).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
}

/// From the first refresh on, the table takes no write for so long; the fallback does, or not.
struct TableAway {
    since: Option<Instant>,
    time: Duration,
    fallback_away_for: Duration,
}

impl Fates for TableAway {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        if kind == Kind::Refresh {
            self.since.get_or_insert_with(Instant::now);
        }
        let away = |time| self.since.is_some_and(|since| since.elapsed() < time);
        let refused = match kind {
            Kind::Write => away(self.time),
            Kind::Fallback => away(self.fallback_away_for),
            _ => false,
        };
        let effect = if refused { Effect::Refused } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

#[test]
fn an_answer_is_in_the_fallback_within_twenty_seconds_whatever_the_timeout() {
    for by_sweep in [false, true] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let (process, other) = (rig.process(), rig.process());
            sleep(16 * MINUTE).await;
            if by_sweep {
                rig.make_due();
            }
            rig.ether.set(TableAway {
                since: None,
                time: Duration::from_secs(90),
                fallback_away_for: Duration::ZERO,
            });
            let running = {
                let (process, request) = (process.clone(), rig.call(None));
                tokio::spawn(async move {
                    if by_sweep {
                        process.sweep().await;
                    } else {
                        process.answer(request).await;
                    }
                })
            };
            sleep(Duration::from_secs(20)).await;
            assert_eq!(rig.ether.sent().len(), 1, "by the sweep: {by_sweep}");
            assert!(rig.waiting().is_some(), "by the sweep: {by_sweep}");
            // A minute after it began others may recover: what waits is found first.
            sleep(Duration::from_secs(75)).await;
            let answer = ask(&rig, &other).await;
            assert_eq!((answer.status, rig.ether.sent().len()), (200, 1), "{}", answer.body);
            running.await.expect("it ends");
        });
    }
}

#[test]
fn the_sweep_goes_on_trying_while_both_tables_are_away() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (process, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        rig.make_due();
        let away = Duration::from_secs(100);
        rig.ether.set(TableAway { since: None, time: away, fallback_away_for: away });
        let sweeping = {
            let process = process.clone();
            tokio::spawn(async move { process.sweep().await })
        };
        for _ in 0..11 {
            sleep(Duration::from_secs(10)).await;
            ask(&rig, &other).await;
        }
        assert!(sweeping.await.expect("it ends").is_some());
        let answer = ask(&rig, &other).await;
        assert_eq!(
            (answer.status, rig.ether.sent().len()),
            (200, 1),
            "{}\n{}",
            answer.body,
            rig.ether.trace()
        );
    });
}
