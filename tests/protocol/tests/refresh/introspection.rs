//! The refresh and its recovery are not answered, and Salesforce is asked about the token. What is no clear *no* to an app
//! that may ask ends no connection before a whole day of such answers is over.

use std::time::Duration;

use domain::{AppId, ProductId};
use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    rig::CONSUMER_KEY,
    run,
};
use store::{AppAt, health::MAX_UNTRUSTED};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Refreshes are not answered; questions about a token meet this.
struct Asked(Effect);

impl Fates for Asked {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::Silent } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }

    fn other(&mut self, number: usize, path: &str) -> Fate {
        let effect = if path.ends_with("/introspect") { self.0 } else { Effect::None };
        Fate { effect, ..Calm.fate(number, Kind::Other) }
    }
}

const fn says(status: u16, body: &'static str) -> Effect {
    Effect::Scripted(Script { status, headers: &[], body, processed: false })
}

const INACTIVE: Effect = says(200, r#"{"active":false}"#);
const NOT_ALLOWED: Effect = says(403, r#"{"error":"unsupported_token_type"}"#);
const NO_CLIENT: Effect =
    says(401, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#);

async fn ask(rig: &Rig, process: &Process) -> Answer {
    process.answer(rig.call(None)).await
}

/// Asks each minute until the connection does not only wait.
async fn settled(rig: &Rig, process: &Process) -> Answer {
    let mut answer = ask(rig, process).await;
    for _ in 0..40 {
        if answer.status != 503 {
            break;
        }
        sleep(MINUTE).await;
        answer = ask(rig, process).await;
    }
    answer
}

/// A connection whose refresh and recovery were swallowed. Its token is unspent. Nobody knows whether the app may ask.
async fn swallowed_twice() -> (Rig, Process) {
    let mut rig = Rig::new(true).await;
    let process = rig.process();
    sleep(16 * MINUTE).await;
    rig.ether.set(Asked(Effect::Silent));
    for _ in 0..30 {
        assert_eq!(ask(&rig, &process).await.status, 503);
        if !rig.item()["recovered_at"].is_null() {
            break;
        }
        sleep(MINUTE).await;
    }
    assert!(!rig.item()["recovered_at"].is_null() && rig.ether.sent().len() == 2, "{}", rig.ether.trace());
    rig.forget_app_health();
    (rig, process)
}

#[test]
fn inactive_is_no_final_word_to_an_app_that_may_not_ask() {
    for said in [INACTIVE, NOT_ALLOWED, NO_CLIENT] {
        run(async move {
            let (rig, process) = Box::pin(swallowed_twice()).await;
            rig.ether.set(Asked(said));
            for _ in 0..20 {
                let answer = ask(&rig, &process).await;
                assert_eq!((answer.status, answer.problem()), (503, "token-not-ready"), "{}", answer.body);
                sleep(HOUR).await;
            }
            rig.ether.set(Calm);
            let answer = settled(&rig, &process).await;
            assert_eq!(answer.status, 200, "{said:?}: {}", answer.body);
        });
    }
}

#[test]
fn first_refused_question_after_a_days_outage_ends_nothing() {
    for said in [INACTIVE, NOT_ALLOWED, NO_CLIENT] {
        run(async move {
            let (rig, process) = Box::pin(swallowed_twice()).await;
            for _ in 0..30 {
                assert_eq!(ask(&rig, &process).await.status, 503);
                sleep(HOUR).await;
            }
            rig.ether.set(Asked(said));
            for _ in 0..30 {
                let answer = ask(&rig, &process).await;
                assert_eq!((answer.status, answer.problem()), (503, "token-not-ready"), "{}", answer.body);
                sleep(MINUTE).await;
            }
            rig.ether.set(Calm);
            let answer = settled(&rig, &process).await;
            assert_eq!(answer.status, 200, "{said:?}: {}", answer.body);
        });
    }
}

/// Only questions about a token meet this.
struct OnlyAsked(Effect);

impl Fates for OnlyAsked {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        Calm.fate(number, kind)
    }

    fn other(&mut self, number: usize, path: &str) -> Fate {
        let effect = if path.ends_with("/introspect") { self.0 } else { Effect::None };
        Fate { effect, ..Calm.fate(number, Kind::Other) }
    }
}

/// An app's stop is over, and one request tries. A connection that sends nothing does not use up that try.
#[test]
fn connection_that_sends_nothing_reserves_no_try() {
    run(async {
        let (rig, process) = Box::pin(swallowed_twice()).await;
        let other = rig.connect_another(1).await;
        let product: ProductId = "fernway".parse().expect("an id");
        let app: AppId = "sync".parse().expect("an id");
        let at = AppAt { product: &product, app: &app, consumer_key: CONSUMER_KEY };
        let store = rig.store();
        store.note_introspects(at).await.expect("written");
        for _ in 0..MAX_UNTRUSTED {
            store.note_untrusted(at, "unexpected_answer", rig.clock.now()).await.expect("written");
        }
        rig.ether.set(OnlyAsked(INACTIVE));
        sleep(16 * MINUTE).await;
        let sent = rig.ether.sent().len();

        let lost = settled(&rig, &process).await;
        assert_eq!(lost.body["cause"], "answer_lost", "{}", lost.body);
        assert_eq!(rig.ether.sent().len(), sent, "it was told that the token is spent");

        let answer = process.answer(rig.call_for(&other, None)).await;
        assert_eq!((answer.status, rig.ether.sent().len()), (200, sent + 1), "{}", answer.body);
    });
}

/// An import's token is unspent, and the app may not be allowed to ask. Days of silence are no day of unclear answers.
#[test]
fn first_unclear_answer_about_an_import_loses_no_token() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        rig.forget_app_health();
        let user = rig.world.org("acme").users[1].id.clone();
        let granted = rig.world.granted("acme", &user, CONSUMER_KEY);
        let token = granted["refresh_token"].as_str().expect("a refresh token").to_owned();
        rig.ether.set(Asked(Effect::Silent));
        // It is sent once more, ten minutes after the host has answered something harmless.
        for _ in 0..3 {
            let lost = process.answer(rig.import(&token)).await;
            assert_eq!(lost.problem(), "import-under-way", "{}", lost.body);
            sleep(11 * MINUTE).await;
        }
        assert_eq!(rig.ether.sent().len(), 2);
        sleep(48 * HOUR).await;
        rig.ether.set(OnlyAsked(INACTIVE));
        for _ in 0..15 {
            let unclear = process.answer(rig.import(&token)).await;
            assert_eq!((unclear.status, unclear.problem()), (409, "import-under-way"), "{}", unclear.body);
            sleep(2 * MINUTE).await;
        }
        rig.ether.set(Calm);
        sleep(16 * MINUTE).await;
        let imported = process.answer(rig.import(&token)).await;
        assert_eq!((imported.status, rig.ether.sent().len()), (201, 3), "{}", imported.body);
    });
}
