//! The lease at its edges: writes that arrive late, readers that are stale, holders that cannot begin, deadlines.

use std::time::Duration;

use jiff::SignedDuration;
use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    rig::{SWEEP_TIME_OUT, TIME_OUT},
    run,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_mins(1);

/// The write of that number, counted from 0, is under way for so long; the others are quick.
struct LateWrite {
    number: usize,
    takes: Duration,
    writes: usize,
}

impl Fates for LateWrite {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        if kind != Kind::Write {
            return calm;
        }
        self.writes += 1;
        if self.writes == self.number + 1 { Fate { there: self.takes, ..calm } } else { calm }
    }
}

/// Each write takes so long.
struct SlowWrites(Duration);

impl Fates for SlowWrites {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        if kind == Kind::Write { Fate { there: self.0, ..calm } } else { calm }
    }
}

async fn ask(rig: &Rig, process: &Process) -> Answer {
    process.answer(rig.call(None)).await
}

fn sent(rig: &Rig) -> usize {
    rig.ether.sent().len()
}

#[test]
fn deadlines_here_are_the_deployed_ones() {
    let template = include_str!("../../../../infra/template.yaml");
    let timeout = |function: &str| {
        let of = template.split(&format!("\n  {function}:\n")).nth(1).expect("the function");
        let line = of.lines().find(|line| line.trim_start().starts_with("Timeout:")).expect("a timeout");
        let seconds = line.trim_start()["Timeout:".len()..].split('#').next().expect("a number").trim();
        Duration::from_secs(seconds.parse().expect("seconds"))
    };
    assert_eq!(timeout("TokenFunction"), TIME_OUT);
    assert_eq!(timeout("CallbackFunction"), TIME_OUT);
    assert_eq!(timeout("SweepFunction"), SWEEP_TIME_OUT);
}

#[test]
fn began_that_arrives_after_its_sender_gave_up_begins_nothing() {
    run(async {
        let mut rig = Rig::new(false).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        // The lease is the first write, *began* the second; the SDK sends it again after 1.5 s.
        rig.ether.set(LateWrite { number: 1, takes: Duration::from_secs(20), writes: 0 });
        assert_eq!(ask(&rig, &process).await.status, 200);
        sleep(Duration::from_secs(40)).await;
        assert!(rig.item()["began_at"].is_null(), "{}", rig.item());
        assert_eq!((ask(&rig, &process).await.status, sent(&rig)), (200, 1));
    });
}

#[test]
fn stale_reader_gets_no_lease_where_nothing_rotates() {
    run(async {
        let mut rig = Rig::new(false).await;
        let (stale, quick) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        // The first writes are the stale reader's: its lease is under way while the other refreshes.
        rig.ether.set(LateWrite { number: 0, takes: Duration::from_millis(1200), writes: 0 });
        let first = {
            let (stale, request) = (stale.clone(), rig.call(None));
            tokio::spawn(async move { stale.answer(request).await })
        };
        sleep(Duration::from_millis(100)).await;
        let second = ask(&rig, &quick).await;
        let first = first.await.expect("it ends");
        assert_eq!((first.status, second.status), (200, 200), "{} {}", first.body, second.body);
        assert_eq!((first.token(), sent(&rig)), (second.token(), 1), "one refresh for both");
    });
}

#[test]
fn holder_without_a_secret_gives_the_lease_back() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (cold, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        rig.ether.set_secrets_down(true);
        assert_eq!(ask(&rig, &cold).await.status, 503);
        rig.ether.set_secrets_down(false);
        let began = Instant::now();
        assert_eq!((ask(&rig, &other).await.status, sent(&rig)), (200, 1));
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "nobody waits for its lease: {:?}",
            began.elapsed()
        );
    });
}

#[test]
fn nothing_is_begun_with_less_than_a_refreshs_time_left() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        let before = rig.item();
        let answer = process.answer_within(rig.call(None), Duration::from_secs(22)).await;
        assert_eq!((answer.status, sent(&rig)), (503, 0), "{}", answer.body);
        assert_eq!(rig.item()["epoch"], before["epoch"], "no lease is taken");
        assert_eq!(ask(&rig, &process).await.status, 200);
    });
}

#[test]
fn nothing_is_sent_once_less_than_a_sends_time_is_left() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (process, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        rig.ether.set(SlowWrites(Duration::from_millis(1300)));
        let answer = process.answer_within(rig.call(None), Duration::from_secs(24)).await;
        assert_eq!((answer.status, sent(&rig)), (503, 0), "{}", answer.body);
        rig.ether.set(Calm);
        assert_eq!((ask(&rig, &other).await.status, sent(&rig)), (200, 1), "the lease was given back");
    });
}

#[test]
fn connection_that_vanishes_under_way_is_not_found() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(LateWrite { number: 0, takes: Duration::from_secs(1), writes: 0 });
        let asking = {
            let (process, request) = (process.clone(), rig.call(None));
            tokio::spawn(async move { process.answer(request).await })
        };
        sleep(Duration::from_millis(500)).await;
        rig.lose_connection();
        assert_eq!((asking.await.expect("it ends").status, sent(&rig)), (404, 0));
    });
}

/// A token that lives for two hours by the app's policy is rejected at 20 minutes, twice in a row: sessions end early
/// here, and refreshing is the cure.
#[test]
fn old_tokens_that_are_rejected_pause_nothing() {
    run(async {
        let mut rig = Rig::with(true, |app| app.access_token_minutes = 120).await;
        let process = rig.process();
        let mut token = ask(&rig, &process).await;
        for round in 1..=3 {
            sleep(20 * MINUTE).await;
            let rejected = json!({ "rejected": token.body["fingerprint"] });
            token = process.answer(rig.call(Some(&rejected))).await;
            assert_eq!((token.status, sent(&rig)), (200, round), "{}", token.body);
        }
    });
}

const BLOCKED: Script = Script {
    status: 400,
    headers: &[],
    body: r#"{"error":"invalid_grant","error_description":"user is not admin approved to access this app"}"#,
    processed: false,
};

struct Refuses(Script);

impl Fates for Refuses {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::Scripted(self.0) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

#[test]
fn blocked_connection_is_tried_once_a_minute() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(Refuses(BLOCKED));
        // Every ten seconds for ten minutes.
        for _ in 0..60 {
            assert_eq!(ask(&rig, &process).await.problem(), "blocked-by-org");
            sleep(Duration::from_secs(10)).await;
        }
        assert!((9..=11).contains(&sent(&rig)), "{}", sent(&rig));
    });
}

const NO_CLIENT: Script = Script {
    status: 401,
    headers: &[],
    body: r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#,
    processed: false,
};

/// Salesforce takes so long over each refresh.
struct SlowRefreshes(Duration);

impl Fates for SlowRefreshes {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        if kind == Kind::Refresh { Fate { there: self.0, ..calm } } else { calm }
    }
}

/// The consumer secret was replaced. The refusal of the old one comes late, and the second request would end after the
/// lease and the function.
#[test]
fn second_request_with_another_secret_fits_in_the_time_of_one() {
    for (takes, sends, status) in [(1, 2, 200), (4, 2, 200), (6, 1, 409), (14, 1, 409)] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            sleep(16 * MINUTE).await;
            assert_eq!(ask(&rig, &process).await.status, 200);
            rig.rotate_consumer_secret();
            sleep(16 * MINUTE).await;
            rig.ether.set(SlowRefreshes(Duration::from_secs(takes)));
            let answer = ask(&rig, &process).await;
            assert_eq!((answer.status, sent(&rig)), (status, 1 + sends), "{takes} s: {}", answer.body);
            rig.ether.set(Calm);
            sleep(2 * MINUTE).await;
            assert_eq!(ask(&rig, &process).await.status, 200, "{takes} s: by then the new secret is known");
        });
    }
}

/// One connection's token names a key that the keyring does not have. While Secrets Manager is down, looking for that key
/// must not take the keyring from a refresh that is under way.
#[test]
fn unknown_key_version_costs_no_other_connection_its_answer() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (process, healthy) = (rig.process(), rig.connect_another(1).await);
        assert_eq!(process.answer(rig.call_for(&healthy, None)).await.status, 200);
        sleep(16 * MINUTE).await;
        rig.change(|item| {
            let sealed = item["refresh_token"]["S"].as_str().expect("sealed").replacen("v1.", "v9.", 1);
            item["refresh_token"] = json!({ "S": sealed });
        });
        rig.ether.set(SlowRefreshes(Duration::from_secs(3)));
        let refreshing = {
            let (process, request) = (process.clone(), rig.call_for(&healthy, None));
            tokio::spawn(async move { process.answer(request).await })
        };
        sleep(Duration::from_secs(1)).await;
        assert_eq!(sent(&rig), 1);
        rig.ether.set_secrets_down(true);
        assert_eq!(ask(&rig, &process).await.status, 503, "its own token cannot be opened");
        let answer = refreshing.await.expect("it ends");
        assert_eq!((answer.status, sent(&rig)), (200, 1), "{}", answer.body);
        sleep(16 * MINUTE).await;
        rig.ether.set(Calm);
        assert_eq!(process.answer(rig.call_for(&healthy, None)).await.status, 200, "and it was kept");
    });
}

#[test]
fn sweep_leaves_an_incident_of_ours_alone_for_an_hour() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(Duration::from_hours(24 * 16)).await;
        rig.ether.set(Refuses(NO_CLIENT));
        let swept = process.sweep().await.expect("it ran");
        assert_eq!(swept.put_off, 1, "{swept:?}");
        let due: i64 = rig.item()["due_at"]["N"].as_str().and_then(|due| due.parse().ok()).expect("a time");
        let wait = SignedDuration::from_millis(due - rig.clock.now().as_millisecond());
        assert!((59..=60).contains(&wait.as_mins()), "{wait}");
    });
}

#[test]
fn stop_whose_failure_is_no_longer_kept_still_stops() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.world.uninstall("acme", protocol::rig::CONSUMER_KEY);
        let ended = ask(&rig, &process).await;
        assert_eq!(ended.problem(), "reauthorization-needed", "{}", ended.body);
        sleep(Duration::from_hours(24 * 91)).await;
        let later = ask(&rig, &process).await;
        assert_eq!((later.status, later.problem()), (409, "reauthorization-needed"), "{}", later.body);
        assert!(later.body["cause"].is_string(), "{}", later.body);
        assert_eq!(sent(&rig), 1);
    });
}

#[test]
fn grant_without_a_refresh_token_ends_with_its_access_token() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        rig.change(|item| {
            let item = item.as_object_mut().expect("an item");
            item.remove("refresh_token");
            item.remove("refresh_fingerprint");
        });
        let works = process.answer(rig.call(Some(&json!({ "minimum_lifetime": 7200 })))).await;
        assert_eq!(works.status, 200, "{}", works.body);
        assert!(works.body["warning"].is_string(), "{}", works.body);
        sleep(16 * MINUTE).await;
        let ended = ask(&rig, &process).await;
        assert_eq!(ended.problem(), "reauthorization-needed", "{}", ended.body);
        assert_eq!((&ended.body["cause"], sent(&rig)), (&json!("refresh_token_missing"), 0));
        assert_ne!(rig.item()["failure"], Value::Null);
    });
}
