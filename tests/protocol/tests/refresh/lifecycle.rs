//! A connection's days and months, minute by minute: tokens that are fetched before anybody asks, grants that are
//! kept alive, answers that the table does not take, tokens that no refresh cures.

use std::time::Duration;

use jiff::SignedDuration;
use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig,
    ether::{Calm, Fates},
    rig::CONSUMER_KEY,
    run,
};
use serde_json::{Value, json};
use tokio::time::sleep;
use world::salesforce::PermittedUsers;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

async fn ask(rig: &Rig, process: &Process, body: Option<Value>) -> Answer {
    process.answer(rig.call(body.as_ref())).await
}

/// The sendings of a refresh token: by a product's call, and by the sweep.
fn sent(rig: &Rig) -> (usize, usize) {
    let sent = rig.ether.sent();
    let by_product = sent.iter().filter(|sent| sent.call.is_some()).count();
    (by_product, sent.len() - by_product)
}

/// From the first answer of Salesforce's on, the table takes no write.
struct TableStops(bool);

impl Fates for TableStops {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        self.0 |= kind == Kind::Refresh;
        let effect = if self.0 && kind == Kind::Write { Effect::Refused } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// Salesforce's next answer to a refresh is lost.
struct AnswerLost;

impl Fates for AnswerLost {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::AnswerLost } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// A rotated token that the table did not take: handed out all the same, for it waits in the fallback.
async fn waiting(rig: &mut Rig) -> Answer {
    let process = rig.process();
    sleep(16 * MINUTE).await;
    rig.ether.set(TableStops(false));
    let answer = ask(rig, &process, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let waiting = rig.waiting().expect("the answer waits in the fallback").to_string();
    assert!(!waiting.contains(answer.body["access_token"].as_str().expect("a token")), "sealed");
    assert_ne!(
        rig.item()["access_fingerprint"]["S"],
        answer.body["fingerprint"],
        "the table has the old one"
    );
    rig.ether.set(Calm);
    answer
}

#[test]
fn an_answer_that_the_table_does_not_take_waits_in_the_fallback_for_the_next_caller() {
    run(async {
        let mut rig = Rig::new(true).await;
        let first = Box::pin(waiting(&mut rig)).await;
        let process = rig.process();
        sleep(MINUTE).await;

        let next = ask(&rig, &process, None).await;

        assert_eq!(
            (next.status, &next.body["fingerprint"]),
            (200, &first.body["fingerprint"]),
            "{}",
            next.body
        );
        assert_eq!(sent(&rig), (1, 0), "nothing was sent for it");
        assert!(rig.waiting().is_none(), "the fallback is empty again");
        sleep(16 * MINUTE).await;
        assert_eq!(ask(&rig, &process, None).await.status, 200, "and the grant goes on");
    });
}

#[test]
fn the_sweep_empties_the_fallback() {
    run(async {
        let mut rig = Rig::new(true).await;
        let first = Box::pin(waiting(&mut rig)).await;
        let process = rig.process();

        process.sweep().await;

        assert_eq!(rig.item()["access_fingerprint"]["S"], first.body["fingerprint"]);
        assert_eq!(rig.item()["state"]["S"], "active");
        assert_eq!(sent(&rig), (1, 0));
    });
}

#[test]
fn what_waits_for_a_connection_that_is_deleted_is_revoked_with_it() {
    run(async {
        let mut rig = Rig::new(true).await;
        Box::pin(waiting(&mut rig)).await;
        let process = rig.process();

        let deleted = process.answer(rig.deletion()).await;
        assert_eq!((deleted.status, &deleted.body["state"]), (202, &json!("revoking")), "{}", deleted.body);
        process.sweep().await;

        assert!(rig.world.live_grants().is_empty(), "the answer's token too");
        assert_eq!(process.answer(rig.deletion()).await.status, 404);
    });
}

/// An answer is under way for so long; what else is asked of Salesforce is not reached, where that is wanted.
struct AnswerUnderWay {
    time: Duration,
    others_reach_salesforce: bool,
}

impl Fates for AnswerUnderWay {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        match kind {
            Kind::Refresh => Fate { back: self.time, ..calm },
            Kind::Other if !self.others_reach_salesforce => Fate { effect: Effect::Unreachable, ..calm },
            _ => calm,
        }
    }
}

#[test]
fn answer_for_a_deleted_connection_is_revoked_by_the_next_sweep() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        let held = rig.item()["refresh_fingerprint"]["S"].as_str().expect("a fingerprint").to_owned();
        let time = Duration::from_secs(5);
        rig.ether.set(AnswerUnderWay { time, others_reach_salesforce: true });
        let asking = {
            let (process, request) = (process.clone(), rig.call(None));
            tokio::spawn(async move { process.answer(request).await })
        };
        sleep(Duration::from_secs(1)).await;
        rig.lose_connection();
        rig.ether.set(AnswerUnderWay { time, others_reach_salesforce: false });
        assert_eq!(asking.await.expect("it ends").status, 404, "it is nobody's token");
        assert!(rig.waiting_after(&held).is_some(), "what could not be revoked is kept");
        assert_eq!(rig.world.live_grants().len(), 1);

        rig.ether.set(Calm);
        process.sweep().await;
        assert!(rig.waiting_after(&held).is_none() && rig.world.live_grants().is_empty());
    });
}

#[test]
fn fallback_is_emptied_beyond_its_first_page() {
    run(async {
        let mut rig = Rig::new(true).await;
        let first = Box::pin(waiting(&mut rig)).await;
        rig.crowd_fallback(60);
        let process = rig.process();
        let swept = process.sweep().await.expect("it ran");
        assert_eq!((swept.restored, swept.put_off), (1, 60), "{swept:?}");
        assert_eq!(rig.item()["access_fingerprint"]["S"], first.body["fingerprint"]);
        let next = process.sweep().await.expect("it ran");
        assert_eq!(next.put_off, 0, "what could not be dealt with is left alone for a while: {next:?}");
    });
}

#[test]
fn connection_whose_app_was_removed_is_put_off_and_nothing_is_sent() {
    run(async {
        let mut rig = Rig::new(true).await;
        rig.remove_apps().await;
        let process = rig.process();
        sleep(16 * DAY).await;
        let swept = process.sweep().await.expect("it ran");
        assert_eq!((swept.put_off, sent(&rig)), (1, (0, 0)), "{swept:?}");
        assert_eq!(process.sweep().await.expect("it ran").put_off, 0);
        assert_eq!(rig.item()["state"]["S"], "active");
    });
}

#[test]
fn what_waits_for_a_connection_that_is_gone_is_kept_for_as_long_as_a_backup_has_it() {
    run(async {
        let mut rig = Rig::new(true).await;
        Box::pin(waiting(&mut rig)).await;
        let process = rig.process();
        let item = rig.item();
        let sent = item["refresh_fingerprint"]["S"].as_str().expect("a fingerprint");
        rig.lose_connection();

        for day in 1..35 {
            sleep(DAY).await;
            process.sweep().await;
            assert!(rig.waiting_after(sent).is_some(), "day {day}");
        }
        sleep(DAY).await;
        process.sweep().await;
        assert!(rig.waiting_after(sent).is_none());
    });
}

#[test]
fn a_product_that_reads_every_minute_never_waits_for_salesforce_and_one_that_stops_costs_nothing() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let mut seen = Vec::new();
        for minute in 0..180 {
            sleep(MINUTE).await;
            if minute % 5 == 0 {
                process.sweep().await;
            }
            let answer = ask(&rig, &process, None).await;
            assert_eq!(answer.status, 200, "minute {minute}: {}", answer.body);
            if !seen.contains(&answer.token()) {
                seen.push(answer.token());
            }
        }
        let (by_product, by_sweep) = sent(&rig);
        assert_eq!(by_product, 1, "the first token's end came as a surprise, and no other's");
        assert!((12..=36).contains(&by_sweep), "one a token's life: {by_sweep}");
        assert!(seen.len() > by_sweep, "each was handed out");

        for _ in 0..(21 * 12) {
            sleep(5 * MINUTE).await;
            process.sweep().await;
        }
        assert!(sent(&rig).1 <= by_sweep + 1, "nobody asks, nothing is fetched");
    });
}

/// Nobody asks for so many days; the sweep comes by every six hours. How often it sent the refresh token.
async fn idle(days: u32, idle_days: u32) -> usize {
    let mut rig = Rig::with(true, |app| app.refresh_token_idle_days = idle_days).await;
    let process = rig.process();
    for _ in 0..days * 4 {
        sleep(DAY / 4).await;
        process.sweep().await;
    }
    let swept = sent(&rig).1;
    let answer = ask(&rig, &process, None).await;
    assert_eq!(answer.status, 200, "it works at the end: {}", answer.body);
    swept
}

#[test]
fn an_idle_grant_is_kept_alive_well_inside_its_limit() {
    assert_eq!(run(idle(119, 30)), 7, "every 15 days");
    assert_eq!(run(idle(35, 7)), 10, "every three and a half days");
}

#[test]
fn what_an_admin_has_blocked_comes_back_by_itself() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        let admins_choice = |choice| rig.world.set_permitted_users("acme", CONSUMER_KEY, choice);
        admins_choice(PermittedUsers::AdminApprovedPreAuthorized);
        assert_eq!(ask(&rig, &process, None).await.problem(), "blocked-by-org");
        for _ in 0..3 {
            sleep(DAY / 4).await;
            process.sweep().await;
            assert_eq!(rig.item()["state"]["S"], "blocked");
        }
        assert_eq!(sent(&rig), (1, 3), "every six hours");

        admins_choice(PermittedUsers::AllSelfAuthorize);
        sleep(DAY / 4).await;
        process.sweep().await;
        assert_eq!(rig.item()["state"]["S"], "active", "before anybody asked");
    });
}

#[test]
fn an_answer_that_was_lost_is_recovered_by_the_sweep_when_the_old_token_has_ended_and_not_before() {
    run(async {
        let mut rig = Rig::new(false).await;
        let process = rig.process();
        sleep(3 * MINUTE).await;
        rig.ether.set(AnswerLost);
        let answer = ask(&rig, &process, Some(json!({ "minimum_lifetime": 800 }))).await;
        assert_eq!(answer.status, 200, "the old token still works: {}", answer.body);
        rig.ether.set(Calm);
        assert_eq!(rig.item()["state"]["S"], "refresh_unknown");

        sleep(10 * MINUTE).await;
        process.sweep().await;
        assert_eq!(sent(&rig), (1, 0));
        sleep(6 * MINUTE).await;
        process.sweep().await;
        assert_eq!(sent(&rig), (1, 0), "the host has to answer something harmless first");
        for _ in 0..3 {
            sleep(5 * MINUTE).await;
            process.sweep().await;
        }
        assert_eq!(sent(&rig), (1, 1), "one recovery");
        assert_eq!(rig.item()["state"]["S"], "active");
    });
}

#[test]
fn two_sweeps_at_once_send_once() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (one, other) = (rig.process(), rig.process());
        sleep(16 * DAY).await;
        tokio::join!(one.sweep(), other.sweep());
        assert_eq!(sent(&rig), (0, 1));
        assert_eq!(ask(&rig, &one, None).await.status, 200);
    });
}

/// The table's reads take so long.
struct SlowReads(Duration);

impl Fates for SlowReads {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        if kind == Kind::Read { Fate { there: self.0, ..calm } } else { calm }
    }
}

#[test]
fn what_cannot_be_dealt_with_hides_nothing_that_is_due_after_it() {
    run(async {
        let mut rig = Rig::new(true).await;
        rig.hopeless(120);
        let process = rig.process();
        sleep(16 * DAY).await;

        let swept = process.sweep().await.expect("it ran");

        assert_eq!((swept.put_off, swept.refreshed), (120, 1), "{swept:?}");
        assert_eq!(sent(&rig), (0, 1), "all but one are refused before anything is sent");
        let next = process.sweep().await.expect("it ran");
        assert_eq!(next.put_off, 0, "they do not stand in the way of the next run: {next:?}");
    });
}

#[test]
fn a_run_that_has_no_time_left_says_so_and_the_next_one_goes_on() {
    run(async {
        let mut rig = Rig::new(true).await;
        rig.hopeless(40);
        let process = rig.process();
        sleep(16 * DAY).await;

        rig.ether.set(SlowReads(Duration::from_millis(900)));
        let swept = process.sweep_within(Duration::from_secs(28)).await.expect("it ran");
        assert!(swept.cut_short, "{swept:?}");
        assert!(swept.put_off + swept.refreshed < 41, "{swept:?}");

        rig.ether.set(Calm);
        let next = process.sweep().await.expect("it ran");
        assert!(!next.cut_short);
        assert_eq!(
            swept.put_off + swept.refreshed + next.put_off + next.refreshed,
            41,
            "each once: {next:?}"
        );
    });
}

/// One shard of the due index cannot be read.
struct OneRefused(usize);

impl Fates for OneRefused {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        // The first request looks into the fallback; the SDK tries a read three times.
        let effect =
            if (1..=self.0).contains(&number) && kind == Kind::Read { Effect::Refused } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

#[test]
fn a_shard_that_cannot_be_read_does_not_keep_the_others_waiting() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        rig.ether.set(OneRefused(3));
        let swept = process.sweep().await.expect("it ran");
        assert_eq!(swept.unread, 1, "{swept:?}");
        assert_eq!(rig.ether.requests(), 1 + 3 + 15, "every other shard was looked at");

        rig.ether.set(OneRefused(1000));
        assert!(process.sweep().await.is_none(), "a run that could look at nothing has failed");
    });
}

#[test]
fn tokens_that_are_rejected_while_fresh_stop_the_refreshing_for_ten_minutes() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let rejected = |answer: &Answer| Some(json!({ "rejected": answer.body["fingerprint"] }));
        let first = ask(&rig, &process, None).await;
        let second = ask(&rig, &process, rejected(&first)).await;
        assert_eq!((second.status, sent(&rig)), (200, (1, 0)), "the first is replaced");
        assert_ne!(second.token(), first.token());

        let refused = ask(&rig, &process, rejected(&second)).await;
        assert_eq!((refused.status, refused.problem()), (409, "tokens-rejected"), "{}", refused.body);
        assert_eq!(refused.body["cause"], "tokens_rejected");
        for _ in 0..20 {
            sleep(Duration::from_secs(20)).await;
            let again = ask(&rig, &process, rejected(&second)).await;
            assert_eq!(again.body["reference"], refused.body["reference"], "one record for all");
        }
        let other = ask(&rig, &process, None).await;
        assert_eq!(
            (other.status, other.token()),
            (200, second.token()),
            "who rejects nothing gets the token"
        );
        assert!(other.body["warning"].is_string(), "with a warning: {}", other.body);
        let straggler = ask(&rig, &process, rejected(&first)).await;
        assert_eq!(straggler.token(), second.token(), "an old fingerprint gets the newer token");
        assert_eq!(sent(&rig), (1, 0), "and nothing was sent in all that time");

        sleep(4 * MINUTE).await;
        let third = ask(&rig, &process, rejected(&second)).await;
        assert_eq!((third.status, sent(&rig)), (200, (2, 0)), "then it is tried once more: {}", third.body);
    });
}

#[test]
fn a_hundred_callers_with_the_second_rejected_token_make_one_record_and_send_nothing() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let first = ask(&rig, &process, None).await;
        let second = ask(&rig, &process, Some(json!({ "rejected": first.body["fingerprint"] }))).await;
        let rejected = json!({ "rejected": second.body["fingerprint"] });
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let (process, request) = (process.clone(), rig.call(Some(&rejected)));
                tokio::spawn(async move { process.answer(request).await })
            })
            .collect();
        let mut references = Vec::new();
        for caller in callers {
            let answer = caller.await.expect("a caller ends");
            assert_eq!(answer.problem(), "tokens-rejected", "{}", answer.body);
            references.push(answer.body["reference"].as_str().expect("a reference").to_owned());
        }
        references.sort_unstable();
        references.dedup();
        assert_eq!((references.len(), sent(&rig)), (1, (1, 0)));
    });
}

#[test]
fn a_rejection_teaches_how_long_tokens_live_here() {
    run(async {
        let mut rig = Rig::with(true, |app| app.access_token_minutes = 120).await;
        let process = rig.process();
        sleep(15 * MINUTE + MINUTE).await;
        let first = ask(&rig, &process, None).await;
        assert_eq!(first.body["expires_at_basis"], "app_policy");
        sleep(24 * MINUTE).await;

        let next = ask(&rig, &process, Some(json!({ "rejected": first.body["fingerprint"] }))).await;

        assert_eq!(
            (next.status, &next.body["expires_at_basis"]),
            (200, &json!("rejection")),
            "{}",
            next.body
        );
        let expires: jiff::Timestamp =
            next.body["expires_at"].as_str().expect("a time").parse().expect("a time");
        assert_eq!(
            expires.duration_since(rig.clock.now()).as_mins(),
            29,
            "30 minutes, less what the calls took"
        );
        assert!(expires < rig.clock.now() + SignedDuration::from_mins(30));
    });
}

/// Salesforce is asked how long a token lives, and the asking meets this.
struct Asking(Effect);

impl Fates for Asking {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Other { self.0 } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

#[test]
fn salesforce_is_asked_how_long_a_token_lives_and_what_it_does_not_say_costs_nothing() {
    run(async {
        let mut rig = Rig::with(true, |app| app.introspect = true).await;
        let process = rig.process();
        for effect in [Effect::Unreachable, Effect::Refused, Effect::AnswerLost] {
            sleep(16 * MINUTE).await;
            rig.ether.set(Asking(effect));
            let answer = ask(&rig, &process, None).await;
            assert_eq!(
                (answer.status, &answer.body["expires_at_basis"]),
                (200, &json!("app_policy")),
                "{effect:?}"
            );
        }
        rig.ether.set(Calm);
        sleep(16 * MINUTE).await;
        let answer = ask(&rig, &process, None).await;
        assert_eq!(answer.body["expires_at_basis"], "introspection", "{}", answer.body);
        let expires: jiff::Timestamp =
            answer.body["expires_at"].as_str().expect("a time").parse().expect("a time");
        assert_eq!(expires.duration_since(rig.clock.now()).as_mins(), 119, "the org's two hours");
        let before = sent(&rig);
        sleep(100 * MINUTE).await;
        assert_eq!(ask(&rig, &process, None).await.token(), answer.token(), "believed");
        assert_eq!(sent(&rig), before);
    });
}
