//! A token that a caller reported as rejected is returned to nobody, until it is replaced or tested.

use std::time::Duration;

use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    run,
};
use serde_json::json;
use tokio::time::sleep;
use world::salesforce::Fault;

/// Salesforce refuses every refresh; anything else is answered.
struct Busy;

impl Fates for Busy {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let body = r#"{"error":"unknown_error","error_description":"retry your request"}"#;
        let script = Script { status: 400, headers: &[], body, processed: false };
        let effect = if kind == Kind::Refresh { Effect::Scripted(script) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

async fn get(rig: &Rig, process: &Process) -> Answer {
    process.answer(rig.call(None)).await
}

async fn report(rig: &Rig, process: &Process, answer: &Answer) -> Answer {
    process.answer(rig.call(Some(&json!({ "rejected": answer.body["fingerprint"] })))).await
}

fn tests(rig: &Rig) -> usize {
    rig.ether.trace().lines().filter(|line| line.contains("/services/oauth2/userinfo")).count()
}

#[test]
fn a_reported_token_that_is_dead_is_returned_to_nobody() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (one, other) = (rig.process(), rig.process());
        let token = get(&rig, &one).await;
        rig.world.expire_access_tokens();
        rig.ether.set(Busy);
        assert_eq!(report(&rig, &one, &token).await.status, 503);
        for _ in 0..60 {
            let answer = get(&rig, &other).await;
            assert_eq!((answer.status, answer.token()), (503, None), "{}", answer.body);
            sleep(Duration::from_secs(10)).await;
        }
        assert!((1..=11).contains(&tests(&rig)), "one a minute: {}", tests(&rig));
        rig.ether.set(Calm);
        sleep(Duration::from_mins(5)).await;
        let newer = get(&rig, &other).await;
        assert_eq!(newer.status, 200, "{}", newer.body);
        assert!(newer.token() != token.token() && newer.body["warning"].is_null(), "{}", newer.body);
    });
}

/// Salesforce refuses every refresh, and answers anything else so.
struct BusyAndElse(Script);

impl Fates for BusyAndElse {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        match kind {
            Kind::Other => Fate { effect: Effect::Scripted(self.0), ..Calm.fate(number, kind) },
            _ => Busy.fate(number, kind),
        }
    }
}

/// Only userinfo itself shows that a token works: not a redirect, a limit, a gateway's page or an error.
#[test]
fn answer_that_shows_nothing_is_no_proof_that_a_token_works() {
    const HTML: &str = "<html>moved, busy, or under maintenance</html>";
    for (status, body) in [
        (200, HTML),
        (200, ""),
        (200, "[]"),
        (201, "{}"),
        (204, ""),
        (302, ""),
        (307, HTML),
        (400, r#"{"error":"invalid_request"}"#),
        (404, HTML),
        (408, ""),
        (418, "{}"),
        (429, r#"{"error":"rate_limit_exceeded"}"#),
        (503, HTML),
    ] {
        run(async {
            let mut rig = Rig::new(true).await;
            let (one, other) = (rig.process(), rig.process());
            let token = get(&rig, &one).await;
            rig.world.expire_access_tokens();
            rig.ether.set(BusyAndElse(Script { status, headers: &[], body, processed: false }));
            assert_eq!(report(&rig, &one, &token).await.status, 503);
            let answer = get(&rig, &other).await;
            assert_eq!((answer.status, answer.token()), (503, None), "{status} {body}: {}", answer.body);
            assert_eq!(tests(&rig), 1, "{status} {body}: Salesforce was asked");
        });
    }
}

/// The refresh that a report caused brings the very token that was reported.
#[test]
fn rejected_token_that_a_refresh_brings_again_is_not_returned() {
    thread_local!(static REPORTED: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) });
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let token = get(&rig, &process).await;
        REPORTED.set(token.body["access_token"].as_str().expect("a token").to_owned());
        rig.world.queue_token_fault(Fault::Rewritten(|mut answer| {
            answer["access_token"] = REPORTED.with_borrow(Clone::clone).into();
            (200, answer.to_string().into_bytes())
        }));
        let answer = report(&rig, &process, &token).await;
        assert_eq!((answer.status, answer.token()), (409, None), "{}", answer.body);
        assert_eq!((answer.problem(), rig.ether.sent().len()), ("tokens-rejected", 1), "{}", answer.body);
        // The refresh token of that answer was kept.
        sleep(Duration::from_mins(16)).await;
        let later = get(&rig, &process).await;
        assert_eq!((later.status, rig.ether.sent().len()), (200, 2), "{}", later.body);
    });
}

#[test]
fn a_reported_token_that_works_is_returned_with_a_warning() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (one, other) = (rig.process(), rig.process());
        let token = get(&rig, &one).await;
        rig.ether.set(Busy);
        assert_eq!(report(&rig, &one, &token).await.status, 503, "not to the one that reported it");
        for _ in 0..20 {
            let answer = get(&rig, &other).await;
            assert_eq!((answer.status, answer.token()), (200, token.token()), "{}", answer.body);
            assert!(
                answer.body["warning"].as_str().is_some_and(|why| why.contains("reported")),
                "{}",
                answer.body
            );
            sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(tests(&rig), 1, "what it showed is stored");
    });
}

#[test]
fn a_holder_that_died_after_a_report_leaves_no_rejected_token_behind() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (one, other) = (rig.process(), rig.process());
        let token = get(&rig, &one).await;
        rig.world.expire_access_tokens();
        rig.ether.set(Dies);
        assert!(report(&rig, &one, &token).await.died());
        rig.ether.set(Calm);
        let mut answer = get(&rig, &other).await;
        for _ in 0..50 {
            assert!(answer.status == 503 || answer.token() != token.token(), "{}", answer.body);
            if answer.status == 200 {
                break;
            }
            sleep(Duration::from_secs(20)).await;
            answer = get(&rig, &other).await;
        }
        assert_eq!(answer.status, 200, "callers that only read recover it: {}", answer.body);
    });
}

/// Whoever sends a refresh dies before it arrives.
struct Dies;

impl Fates for Dies {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::DiesBefore } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// Salesforce takes ten seconds over a refresh.
struct Slow;

impl Fates for Slow {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        if kind == Kind::Refresh { Fate { there: Duration::from_secs(10), ..calm } } else { calm }
    }
}

#[test]
fn token_that_is_reported_while_another_refreshes_is_returned_to_nobody_meanwhile() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (holder, reporter, reader) = (rig.process(), rig.process(), rig.process());
        let token = get(&rig, &holder).await;
        // Old enough to be refreshed ahead of its end.
        sleep(Duration::from_mins(13)).await;
        rig.world.expire_access_tokens();
        rig.ether.set(Slow);
        let holding = {
            let (holder, request) = (holder.clone(), rig.call(Some(&json!({ "minimum_lifetime": 600 }))));
            tokio::spawn(async move { holder.answer(request).await })
        };
        sleep(Duration::from_secs(1)).await;
        let reporting = {
            let request = rig.call(Some(&json!({ "rejected": token.body["fingerprint"] })));
            tokio::spawn(async move { reporter.answer(request).await })
        };
        sleep(Duration::from_secs(1)).await;
        let read = get(&rig, &reader).await;
        assert_ne!(read.token(), token.token(), "it was reported a second ago: {}", read.body);
        assert_eq!(holding.await.expect("it ends").status, 200);
        reporting.await.expect("it ends");
    });
}

/// Another caller's refresh is under way, and is refused after the report: that caller must not get the token either.
#[test]
fn report_during_anothers_refused_refresh_is_heeded() {
    /// Every refresh is refused (or not answered) after two seconds.
    struct Slowly(Effect);

    impl Fates for Slowly {
        fn fate(&mut self, number: usize, kind: Kind) -> Fate {
            if kind != Kind::Refresh {
                return Calm.fate(number, kind);
            }
            let there = Duration::from_secs(2);
            Fate { effect: self.0, there, back: Duration::from_millis(1) }
        }
    }

    let busy = Script {
        status: 400,
        headers: &[],
        body: r#"{"error":"unknown_error","error_description":"retry your request"}"#,
        processed: false,
    };
    for effect in [Effect::Scripted(busy), Effect::AnswerLost] {
        for is_same_process in [true, false] {
            run(async move {
                let mut rig = Rig::new(true).await;
                let (one, other) = (rig.process(), rig.process());
                let token = get(&rig, &one).await;
                sleep(Duration::from_mins(10)).await;
                rig.world.expire_access_tokens();
                rig.ether.set(Slowly(effect));
                // It wants a token that lives longer, and would take the stored one meanwhile.
                let wants = rig.call(Some(&json!({ "minimum_lifetime": 600 })));
                let refreshing = tokio::spawn({
                    let one = one.clone();
                    async move { one.answer(wants).await }
                });
                sleep(Duration::from_secs(1)).await;
                let reporter = if is_same_process { &one } else { &other };
                let report = rig.call(Some(&json!({ "rejected": token.body["fingerprint"] })));
                let reporting = tokio::spawn({
                    let reporter = reporter.clone();
                    async move { reporter.answer(report).await }
                });
                sleep(Duration::from_millis(500)).await;
                let reader = get(&rig, &other).await;
                assert_eq!(reader.token(), None, "it was reported half a second ago: {}", reader.body);
                let refreshed = refreshing.await.expect("it ends");
                assert_eq!(refreshed.token(), None, "{effect:?}: {}", refreshed.body);
                assert_eq!(reporting.await.expect("it ends").token(), None);
            });
        }
    }
}
