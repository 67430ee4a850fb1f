//! Salesforce refuses a grant in words that nobody knows to be final. Its user is needed only if it does so for a day, and
//! an outage or a pause is no such day.

use std::time::Duration;

use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    run,
};
use serde_json::{Value, json};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Salesforce gives every refresh this answer; nothing is carried out.
struct Refuses(Script);

impl Fates for Refuses {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::Scripted(self.0) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

const fn refusal(status: u16, body: &'static str) -> Script {
    Script { status, headers: &[("content-type", "application/json")], body, processed: false }
}

const STRANGE: Script = refusal(400, r#"{"error":"invalid_grant","error_description":"never seen before"}"#);
const DOWN: Script = refusal(503, r#"{"error":"service_unavailable","error_description":"down"}"#);
const UNKNOWN_CLIENT: Script =
    refusal(401, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#);

async fn ask(rig: &Rig, process: &Process) -> Answer {
    process.answer(rig.call(None)).await
}

fn assert_waits(rig: &Rig, answer: &Answer) {
    assert_eq!((answer.status, answer.problem()), (503, "token-not-ready"), "{}", answer.body);
    assert_eq!(rig.item()["state"]["S"], "active");
}

#[test]
fn two_refusals_a_night_apart_end_nothing() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(Refuses(STRANGE));
        for _ in 0..3 {
            assert_waits(&rig, &ask(&rig, &process).await);
            sleep(25 * HOUR).await;
        }
        rig.ether.set(Calm);
        assert_eq!(ask(&rig, &process).await.status, 200);
    });
}

#[test]
fn outage_after_a_strange_refusal_ends_nothing() {
    for outage in [DOWN, UNKNOWN_CLIENT] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            sleep(16 * MINUTE).await;
            rig.ether.set(Refuses(STRANGE));
            assert_waits(&rig, &ask(&rig, &process).await);
            rig.ether.set(Refuses(outage));
            for _ in 0..25 {
                sleep(HOUR).await;
                assert_ne!(ask(&rig, &process).await.status, 200);
                process.sweep().await;
            }
            rig.ether.set(Refuses(STRANGE));
            sleep(HOUR).await;
            assert_waits(&rig, &ask(&rig, &process).await);
            rig.ether.set(Calm);
            sleep(HOUR).await;
            assert_eq!(ask(&rig, &process).await.status, 200, "{}", outage.body);
        });
    }
}

#[test]
fn sweep_retries_a_refused_grant_that_nobody_asks_for() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        // In use, then refreshed ahead, and not asked for since: it is due for its keep-alive in weeks.
        sleep(16 * MINUTE).await;
        assert_eq!(ask(&rig, &process).await.status, 200);
        for _ in 0..4 {
            sleep(5 * MINUTE).await;
            process.sweep().await;
        }
        assert_eq!(rig.item()["unasked"]["BOOL"], json!(true), "{}", rig.item());
        sleep(HOUR).await;
        rig.ether.set(Refuses(STRANGE));
        assert_waits(&rig, &ask(&rig, &process).await);
        assert!(!rig.item()["unexplained_since"].is_null());

        rig.ether.set(Calm);
        sleep(31 * MINUTE).await;
        process.sweep().await;
        assert_eq!(rig.item()["unexplained_since"], Value::Null, "it was refreshed: {}", rig.item());
        assert_eq!(ask(&rig, &process).await.status, 200);
    });
}
