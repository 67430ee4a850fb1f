//! The answer to an import is kept first, and soon; one that never came is recovered like a refresh's.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::FailureId;
use jiff::SignedDuration;
use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    rig::{CONSUMER_KEY, FALLBACK},
    run,
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use world::salesforce::Fault;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn sent(rig: &Rig) -> usize {
    rig.ether.sent().len()
}

/// A refresh token that the product holds.
fn held_token(rig: &Rig, user: usize) -> String {
    let user = rig.world.org("acme").users[user].id.clone();
    let granted = rig.world.granted("acme", &user, CONSUMER_KEY);
    granted["refresh_token"].as_str().expect("a refresh token").to_owned()
}

async fn import(rig: &Rig, process: &Process, token: &str) -> Answer {
    process.answer(rig.import(token)).await
}

/// From the first sending on, the table takes no write for so long, and the fallback none for so long.
struct Away {
    since: Option<Instant>,
    table: Duration,
    fallback: Duration,
    effect: Effect,
    /// How long Salesforce takes.
    there: Duration,
}

impl Fates for Away {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        if kind == Kind::Refresh {
            self.since.get_or_insert_with(Instant::now);
            return Fate { there: self.there, ..calm };
        }
        let away = |time| self.since.is_some_and(|since| since.elapsed() < time);
        let is_away = match kind {
            Kind::Write => away(self.table),
            Kind::Fallback => away(self.fallback),
            _ => false,
        };
        if is_away { Fate { effect: self.effect, ..calm } } else { calm }
    }
}

#[test]
fn answer_to_an_import_is_in_the_fallback_within_twenty_seconds() {
    for effect in [Effect::Refused, Effect::Silent] {
        for there in [1, 9, 14] {
            run(async move {
                let mut rig = Rig::new(true).await;
                let process = rig.process();
                let token = held_token(&rig, 1);
                let there = Duration::from_secs(there);
                let (table, fallback) = (HOUR, Duration::ZERO);
                rig.ether.set(Away { since: None, table, fallback, effect, there });
                let importing = {
                    let (process, request) = (process.clone(), rig.import(&token));
                    tokio::spawn(async move { process.answer(request).await })
                };
                sleep(Duration::from_secs(20)).await;
                assert_eq!(rig.ether.items(FALLBACK).len(), 1, "{effect:?} {there:?}\n{}", rig.ether.trace());
                let answer = importing.await.expect("it ends");
                assert_eq!((answer.status, answer.problem()), (409, "import-under-way"), "{}", answer.body);
                rig.ether.set(Calm);
                process.sweep().await;
                let imported = import(&rig, &process, &token).await;
                assert_eq!((imported.status, sent(&rig)), (200, 1), "{effect:?}: {}", imported.body);
                assert!(rig.ether.items(FALLBACK).is_empty());
            });
        }
    }
}

/// Salesforce does not say where the org's API answers, and the fallback is away.
#[test]
fn import_without_an_instance_is_stored_while_the_fallback_is_away() {
    for effect in [Effect::Refused, Effect::Silent] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            let token = held_token(&rig, 1);
            rig.world.queue_token_fault(Fault::Rewritten(|mut answer| {
                answer.as_object_mut().expect("an object").remove("instance_url");
                (200, answer.to_string().into_bytes())
            }));
            let (table, fallback, there) = (Duration::ZERO, HOUR, Duration::from_secs(1));
            rig.ether.set(Away { since: None, table, fallback, effect, there });
            let imported = import(&rig, &process, &token).await;
            assert_eq!((imported.status, sent(&rig)), (201, 1), "{effect:?}: {}", imported.body);
        });
    }
}

/// What follows the answer of Salesforce.
#[derive(Clone, Default)]
struct Follows(Arc<Mutex<Vec<Kind>>>);

impl Fates for Follows {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let mut seen = self.0.lock().expect("no panic");
        if kind == Kind::Refresh || !seen.is_empty() {
            seen.push(kind);
        }
        Calm.fate(number, kind)
    }
}

/// Whether or not the customer has a connection of the same Salesforce user, which has to be read.
#[test]
fn answer_to_an_import_is_written_before_anything_is_read() {
    for (takes_over, first) in [(false, Kind::Write), (true, Kind::Fallback)] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            if takes_over {
                let now = rig.clock.now();
                let ended = now.as_millisecond().to_string();
                rig.change(|item| {
                    item["state"] = json!({ "S": "needs_reauth" });
                    item["since"] = json!({ "N": ended });
                    item["failure"] = json!({ "S": FailureId::mint(now).to_string() });
                });
            }
            let token = held_token(&rig, 0);
            let follows = Follows::default();
            rig.ether.set(follows.clone());
            let customer = if takes_over { "42" } else { "other" };
            let request = rig.import_as(customer, "user_7", &token, false);
            let imported = process.answer(request).await;
            assert!(imported.status < 300, "{}", imported.body);
            assert_eq!(imported.body["renewed"], json!(takes_over), "{}", imported.body);
            let seen = follows.0.lock().expect("no panic").clone();
            assert_eq!(seen[..2], [Kind::Refresh, first], "{seen:?}");
            assert!(rig.ether.items(FALLBACK).is_empty(), "it is forgotten there");
        });
    }
}

/// Salesforce answers nothing: neither refreshes nor anything else.
struct Silent;

impl Fates for Silent {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if matches!(kind, Kind::Refresh | Kind::Other) { Effect::Silent } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

#[test]
fn import_is_not_sent_again_before_the_host_answers() {
    for time in [3 * MINUTE, 3 * HOUR, 72 * HOUR] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            let token = held_token(&rig, 1);
            rig.ether.set(Silent);
            let began = Instant::now();
            while began.elapsed() < time {
                let answer = import(&rig, &process, &token).await;
                assert_eq!(answer.problem(), "import-under-way", "{}", answer.body);
                sleep(if time > 5 * HOUR { 20 * MINUTE } else { MINUTE }).await;
            }
            assert_eq!(sent(&rig), 1, "nothing is sent to a host that is silent");
            rig.ether.set(Calm);
            let mut answer = import(&rig, &process, &token).await;
            for _ in 0..15 {
                if answer.status == 201 {
                    break;
                }
                sleep(MINUTE).await;
                answer = import(&rig, &process, &token).await;
            }
            assert_eq!((answer.status, sent(&rig)), (201, 2), "{time:?}: {}", answer.body);
        });
    }
}

/// Where nothing rotates nothing can be spent: the token is sent again once its sender cannot be alive.
#[test]
fn import_of_an_app_that_never_rotates_waits_for_no_host() {
    const GATEWAY: Script =
        Script { status: 504, headers: &[], body: "<html>gateway</html>", processed: true };
    struct Once(bool);
    impl Fates for Once {
        fn fate(&mut self, number: usize, kind: Kind) -> Fate {
            let calm = Calm.fate(number, kind);
            let is_first = kind == Kind::Refresh && !std::mem::replace(&mut self.0, true);
            if is_first { Fate { effect: Effect::Scripted(GATEWAY), ..calm } } else { calm }
        }
    }
    run(async {
        let mut rig = Rig::new(false).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        assert_eq!(process.answer(rig.call(None)).await.status, 200, "by now it is known");
        let token = held_token(&rig, 1);
        rig.ether.set(Once(false));
        assert_eq!(import(&rig, &process, &token).await.problem(), "import-under-way");
        sleep(Duration::from_secs(91)).await;
        assert_eq!(import(&rig, &process, &token).await.status, 201);
    });
}

/// The sender's clock is wrong, or the next one's: the token is not sent again while its answer may still come.
#[test]
fn import_is_not_overtaken_by_a_process_with_another_clock() {
    for seconds in [-3600, -180, -60, 60, 180, 3600] {
        for is_senders in [true, false] {
            run(async move {
                let mut rig = Rig::new(true).await;
                let other = rig.connect_another(2).await;
                let skewed = rig.process_ahead(SignedDuration::from_secs(seconds));
                let right = rig.process();
                let (sender, next) = if is_senders { (skewed, right) } else { (right, skewed) };
                let token = held_token(&rig, 1);
                sleep(17 * MINUTE).await;
                let (table, fallback, effect) = (Duration::ZERO, Duration::ZERO, Effect::None);
                let there = Duration::from_secs(14);
                rig.ether.set(Away { since: None, table, fallback, effect, there });
                let importing = {
                    let (sender, request) = (sender.clone(), rig.import(&token));
                    tokio::spawn(async move { sender.answer(request).await })
                };
                sleep(Duration::from_millis(200)).await;
                let first = rig.ether.sent()[0].token.clone();
                rig.ether.set(Calm);
                for _ in 0..20 {
                    import(&rig, &next, &token).await;
                    sender.answer(rig.call_for(&other, Some(&json!({ "minimum_lifetime": 840 })))).await;
                    sleep(Duration::from_secs(1)).await;
                }
                let imported = importing.await.expect("it ends");
                let uses = rig.ether.sent().iter().filter(|sent| sent.token == first).count();
                let which = format!("{seconds} s, the sender's: {is_senders}");
                assert_eq!((imported.status, uses), (201, 1), "{which}\n{}", rig.ether.trace());
            });
        }
    }
}
