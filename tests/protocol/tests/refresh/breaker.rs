//! Answers of Salesforce that cannot be trusted: after five of an app in a row nothing is sent for it, until one refresh
//! shows that the cause is gone.

use std::time::Duration;

use domain::ConnectionId;
use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    rig::CONSUMER_KEY,
    run,
};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_mins(1);

/// Tokens without the parts that show whose they are.
const STRANGE: Script = Script {
    status: 200,
    headers: &[("content-type", "application/json")],
    body: r#"{"access_token":"00D!strange","refresh_token":"5Aepstrange","token_type":"Bearer"}"#,
    processed: true,
};

/// Each refresh is answered so.
struct Answers(Script);

impl Fates for Answers {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::Scripted(self.0) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// A process, and so many connections in as many orgs, whose tokens have ended.
async fn ended(number: usize) -> (Rig, Process, Vec<ConnectionId>) {
    let mut rig = Rig::new(true).await;
    let process = rig.process();
    let mut connections = vec![rig.connection.clone()];
    for org in 1..number {
        let org = rig.world.add_customer(&format!("customer{org}")).name;
        rig.world.install(&org, CONSUMER_KEY).expect("the app can be installed");
        connections.push(rig.connect_in(&org, 0).await);
    }
    sleep(16 * MINUTE).await;
    (rig, process, connections)
}

async fn ask(rig: &Rig, process: &Process, connection: &ConnectionId) -> Answer {
    process.answer(rig.call_for(connection, None)).await
}

fn sent(rig: &Rig) -> usize {
    rig.ether.sent().len()
}

fn state(rig: &Rig, connection: &ConnectionId) -> (String, bool) {
    let item = rig.ether.item(&format!("CONNECTION#{connection}"), "CONNECTION").expect("stored");
    (item["state"]["S"].as_str().unwrap_or_default().to_owned(), item["began_at"].is_null())
}

#[test]
fn five_untrusted_answers_stop_the_app_and_one_refresh_tries_later() {
    run(async {
        let (mut rig, process, connections) = Box::pin(ended(9)).await;
        rig.ether.set(Answers(STRANGE));
        let mut cause = None;
        for connection in &connections[..5] {
            let answer = ask(&rig, &process, connection).await;
            assert_eq!((answer.status, answer.problem()), (409, "vendor-incident"), "{}", answer.body);
            cause = answer.body["cause"].as_str().map(str::to_owned);
        }
        assert_eq!(sent(&rig), 5);
        let other = rig.process();
        for connection in &connections[5..] {
            let answer = ask(&rig, &other, connection).await;
            assert_eq!((answer.status, answer.problem()), (409, "vendor-incident"), "{}", answer.body);
            assert_eq!(answer.body["cause"].as_str(), cause.as_deref(), "{}", answer.body);
            assert!(answer.retry_after.is_some_and(|seconds| seconds <= 15 * 60), "{answer:?}");
            assert_eq!(state(&rig, connection), ("active".into(), true), "its token was not sent");
        }
        process.sweep().await;
        sleep(10 * MINUTE).await;
        ask(&rig, &process, &connections[6]).await;
        assert_eq!(sent(&rig), 5, "nothing is sent");

        sleep(6 * MINUTE).await;
        for connection in &connections[5..] {
            ask(&rig, &process, connection).await;
        }
        assert_eq!(sent(&rig), 6, "one tries");

        rig.ether.set(Calm);
        sleep(16 * MINUTE).await;
        for connection in &connections[6..] {
            let answer = ask(&rig, &process, connection).await;
            assert_eq!(answer.status, 200, "the first good answer ends the stop: {}", answer.body);
        }
    });
}

#[test]
fn good_answer_begins_the_count_anew() {
    run(async {
        let (rig, process, connections) = Box::pin(ended(11)).await;
        for (number, connection) in connections.iter().enumerate() {
            if number == 4 || number == 9 {
                rig.ether.set(Calm);
            } else {
                rig.ether.set(Answers(STRANGE));
            }
            ask(&rig, &process, connection).await;
            assert_eq!(sent(&rig), number + 1, "never five in a row");
        }
    });
}

#[test]
fn refusals_between_untrusted_answers_change_nothing() {
    let busy = Script { status: 400, headers: &[], body: r#"{"error":"unknown_error"}"#, processed: false };
    run(async move {
        let (rig, process, connections) = Box::pin(ended(11)).await;
        for (number, connection) in connections[..10].iter().enumerate() {
            rig.ether.set(Answers(if number % 2 == 0 { STRANGE } else { busy }));
            ask(&rig, &process, connection).await;
        }
        let before = sent(&rig);
        rig.ether.set(Calm);
        ask(&rig, &process, &connections[10]).await;
        assert_eq!((before, sent(&rig)), (9, 9), "the fifth untrusted one was the ninth answer");
    });
}

#[test]
fn imports_stop_with_the_app() {
    run(async {
        let (rig, process, connections) = Box::pin(ended(5)).await;
        rig.ether.set(Answers(STRANGE));
        for connection in &connections {
            ask(&rig, &process, connection).await;
        }
        let answer = process.answer(rig.import("5AepBroughtByTheProduct1")).await;
        assert_eq!((answer.status, answer.problem()), (503, "not-sent"), "{}", answer.body);
        assert_eq!(sent(&rig), 5);
        assert!(answer.retry_after.is_some_and(|seconds| seconds > 60), "{answer:?}");
    });
}

#[test]
fn untrusted_answers_to_imports_count() {
    run(async {
        let (rig, process, connections) = Box::pin(ended(1)).await;
        rig.ether.set(Answers(STRANGE));
        for number in 0..5 {
            let answer = process.answer(rig.import(&format!("5AepBroughtByTheProduct{number}"))).await;
            assert_eq!(answer.problem(), "import-quarantined", "{}", answer.body);
        }
        let answer = ask(&rig, &process, &connections[0]).await;
        assert_eq!((answer.problem(), sent(&rig)), ("vendor-incident", 5), "{}", answer.body);
    });
}
