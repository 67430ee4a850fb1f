//! An exchange heeds what refreshes have met, and they heed what it has met: an app that Salesforce refuses, and one
//! whose answers cannot be trusted.

use std::time::Duration;

use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script, Trip,
    ether::{Calm, Fates},
    rig::CONSUMER_KEY,
    run,
};
use tokio::time::sleep;
use world::salesforce::Fault;

const MINUTE: Duration = Duration::from_mins(1);
const EXCHANGE: &str = "/services/oauth2/token";

/// Salesforce answers every exchange and refresh so.
struct Answers(Script);

impl Fates for Answers {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { Effect::Scripted(self.0) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }

    fn other(&mut self, number: usize, path: &str) -> Fate {
        let effect = if path == EXCHANGE { Effect::Scripted(self.0) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, Kind::Other) }
    }
}

const fn script(status: u16, body: &'static str) -> Script {
    Script { status, headers: &[("content-type", "application/json")], body, processed: false }
}

/// Tokens without the parts that show whose they are.
const STRANGE: Script =
    script(200, r#"{"access_token":"00D!strange","refresh_token":"5Aepstrange","token_type":"Bearer"}"#);
const UNKNOWN_CLIENT: Script =
    script(401, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#);

/// How often the token endpoint was called, for whatever.
fn calls(rig: &Rig) -> usize {
    rig.ether.trace().lines().filter(|line| line.contains(EXCHANGE)).count()
}

async fn returns(rig: &Rig, process: &Process) -> Answer {
    let trip = Trip::begin(rig).await;
    process.answer(trip.back(rig).await).await
}

fn is_connected(answer: &Answer) -> bool {
    answer.location.as_deref().is_some_and(|to| to.contains("receipt="))
}

/// The cause that the user's help page tells.
fn cause(rig: &Rig, answer: &Answer) -> String {
    let page = answer.location.as_deref().and_then(|to| to.rsplit('/').next()).expect("a help page");
    let failure = rig.ether.item(&format!("FAILURE#{page}"), "FAILURE").expect("the help page exists");
    failure["cause"]["S"].as_str().expect("a cause").to_owned()
}

#[test]
fn untrusted_answers_to_exchanges_stop_refreshes_and_exchanges() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(Answers(STRANGE));
        for _ in 0..5 {
            assert!(!is_connected(&returns(&rig, &process).await));
        }
        assert_eq!(calls(&rig), 5);
        let answer = process.answer(rig.call(None)).await;
        assert_eq!((answer.problem(), calls(&rig)), ("vendor-incident", 5), "{}", answer.body);
        let held = returns(&rig, &process).await;
        assert_eq!(calls(&rig), 5, "the code stays unspent");
        assert_ne!(cause(&rig, &held), "access_denied");

        // The next one that may try is good: it ends the stop for all.
        sleep(16 * MINUTE).await;
        rig.ether.set(Calm);
        assert!(is_connected(&returns(&rig, &process).await));
        assert_eq!(process.answer(rig.call(None)).await.status, 200);
    });
}

/// Somebody who brings wrong answers of somebody else's must not be able to stop an app.
#[test]
fn answers_for_somebody_else_stop_nothing() {
    run(async {
        let mut rig = Rig::with(true, |app| app.scopes.push("openid".into())).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        for _ in 0..7 {
            rig.world.queue_token_fault(Fault::WrongNonce);
            assert!(!is_connected(&returns(&rig, &process).await));
        }
        assert_eq!(process.answer(rig.call(None)).await.status, 200);
        assert!(is_connected(&returns(&rig, &process).await));
    });
}

#[test]
fn exchange_whose_app_is_refused_is_noted_for_imports() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        rig.ether.set(Answers(UNKNOWN_CLIENT));
        assert!(!is_connected(&returns(&rig, &process).await));
        let before = calls(&rig);
        let held = process.answer(rig.import("5AepBroughtByTheProduct")).await;
        assert_eq!((held.problem(), calls(&rig)), ("not-sent", before), "{}", held.body);

        // The engineers have put it right: the first connect that works ends the stop at once.
        rig.ether.set(Calm);
        assert!(is_connected(&returns(&rig, &process).await), "one org's refusal holds no user back");
        let user = rig.world.org("acme").users[2].id.clone();
        let token = rig.world.granted("acme", &user, CONSUMER_KEY)["refresh_token"].clone();
        let answer = process.answer(rig.import(token.as_str().expect("a token"))).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    });
}

#[test]
fn code_is_not_sent_for_an_app_that_two_orgs_refuse() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let org = rig.world.add_customer("other").name;
        rig.world.install(&org, CONSUMER_KEY).expect("the app can be installed");
        let other = rig.connect_in(&org, 0).await;
        sleep(16 * MINUTE).await;
        rig.ether.set(Answers(UNKNOWN_CLIENT));
        for connection in [&rig.connection, &other] {
            assert_eq!(process.answer(rig.call_for(connection, None)).await.problem(), "vendor-incident");
        }
        let before = calls(&rig);
        assert!(!is_connected(&returns(&rig, &process).await));
        assert_eq!(calls(&rig), before);
        sleep(3 * MINUTE).await;
        rig.ether.set(Calm);
        assert!(is_connected(&returns(&rig, &process).await), "one tries when the stop is over");
        assert_eq!(process.answer(rig.call_for(&other, None)).await.status, 200);
    });
}

#[test]
fn outage_that_an_exchange_meets_changes_no_connection() {
    let page = Script { headers: &[], ..script(502, "<html>bad gateway</html>") };
    for script in [page, script(503, r#"{"error":"service_unavailable"}"#), script(200, "<html>")] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            sleep(16 * MINUTE).await;
            rig.ether.set(Answers(script));
            assert!(!is_connected(&returns(&rig, &process).await));
            rig.ether.set(Calm);
            assert_eq!(process.answer(rig.call(None)).await.status, 200);
            assert!(is_connected(&returns(&rig, &process).await));
        });
    }
}
