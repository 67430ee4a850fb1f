//! An hour in which Salesforce refuses: however many callers and processes ask, few refreshes are sent, and the
//! connection works again soon after it is over.

use std::time::Duration;

use domain::ConnectionId;
use protocol::{
    Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    rig::CONSUMER_KEY,
    run,
};
use serde_json::json;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_mins(1);

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

const BUSY: Script = refusal(
    400,
    r#"{"error":"invalid_grant","error_description":"token request is already being processed"}"#,
);
const DOWN: Script = refusal(503, r#"{"error":"service_unavailable","error_description":"down"}"#);
const TOO_MANY: Script = refusal(429, r#"{"error":"rate_limit_exceeded","error_description":"slow down"}"#);
const UNKNOWN_CLIENT: Script =
    refusal(401, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#);
const AN_HOUR: Script = Script {
    status: 429,
    headers: &[("Retry-After", "3600")],
    body: "<html>slow down</html>",
    processed: false,
};

/// For so long, every process asks for every connection each ten seconds, and sweeps each five minutes.
async fn ask_for(rig: &Rig, processes: &[Process], connections: &[ConnectionId], time: Duration) {
    for round in 0..time.as_secs() / 10 {
        let mut calls = Vec::new();
        for process in processes {
            for connection in connections {
                // Some report the token, most only read it.
                let body = (round % 7 == 0).then(|| json!({ "minimum_lifetime": 600 }));
                let request = rig.call_for(connection, body.as_ref());
                let process = process.clone();
                calls.push(tokio::spawn(async move { process.answer(request).await }));
            }
            if round % 30 == 15 {
                let process = process.clone();
                tokio::spawn(async move { process.sweep().await });
            }
        }
        sleep(Duration::from_secs(10)).await;
        for call in calls {
            let answer = call.await.expect("a caller ends");
            assert!(matches!(answer.status, 409 | 503), "{}", answer.body);
        }
    }
}

fn sent(rig: &Rig) -> usize {
    rig.ether.sent().len()
}

#[test]
fn an_hour_of_refusals_costs_at_most_thirty_calls() {
    for script in [BUSY, DOWN, TOO_MANY] {
        run(async {
            let mut rig = Rig::new(true).await;
            let processes = [rig.process(), rig.process()];
            sleep(16 * MINUTE).await;
            rig.ether.set(Refuses(script));
            let connections = [rig.connection.clone()];

            Box::pin(ask_for(&rig, &processes, &connections, 60 * MINUTE)).await;

            let calls = sent(&rig);
            assert!((5..=30).contains(&calls), "{}: {calls} calls", script.body);
            assert_eq!(rig.item()["state"]["S"], "active");
            rig.ether.set(Calm);
            sleep(5 * MINUTE).await;
            let answer = processes[0].answer(rig.call(None)).await;
            assert_eq!((answer.status, sent(&rig)), (200, calls + 1), "{}", answer.body);
            assert!(rig.item()["not_before"].is_null(), "a success forgets the refusals");
        });
    }
}

#[test]
fn callers_are_told_when_the_backoff_is_over() {
    run(async {
        let mut rig = Rig::new(true).await;
        let (one, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        rig.ether.set(Refuses(BUSY));
        let first = one.answer(rig.call(None)).await;
        assert_eq!((first.status, first.problem()), (503, "token-not-ready"), "{}", first.body);
        assert_eq!(first.body["cause"], "concurrent_refresh", "{}", first.body);
        assert!(first.retry_after.is_some_and(|seconds| (1..=6).contains(&seconds)), "{first:?}");
        let second = other.answer(rig.call(None)).await;
        assert_eq!((second.status, sent(&rig)), (503, 1), "another process sends nothing");

        rig.ether.set(Calm);
        sleep(Duration::from_secs(6)).await;
        assert_eq!(other.answer(rig.call(None)).await.status, 200);
    });
}

#[test]
fn retry_after_is_honored_by_every_process() {
    run(async {
        let mut rig = Rig::new(true).await;
        let processes = [rig.process(), rig.process()];
        sleep(16 * MINUTE).await;
        rig.ether.set(Refuses(AN_HOUR));
        let first = processes[0].answer(rig.call(None)).await;
        assert!(first.retry_after.is_some_and(|seconds| (3590..=3601).contains(&seconds)), "{first:?}");
        let connections = [rig.connection.clone()];
        Box::pin(ask_for(&rig, &processes, &connections, 59 * MINUTE)).await;
        assert_eq!(sent(&rig), 1, "nothing before Retry-After is over");
        sleep(2 * MINUTE).await;
        processes[1].answer(rig.call(None)).await;
        assert_eq!(sent(&rig), 2);
    });
}

/// So many connections in as many orgs.
async fn in_orgs(rig: &Rig, number: usize) -> Vec<ConnectionId> {
    let mut connections = vec![rig.connection.clone()];
    for org in 1..number {
        let org = rig.world.add_customer(&format!("customer{org}")).name;
        rig.world.install(&org, CONSUMER_KEY).expect("the app can be installed");
        connections.push(rig.connect_in(&org, 0).await);
    }
    connections
}

#[test]
fn an_hour_in_which_the_app_is_refused_costs_at_most_sixty_calls() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_orgs(&rig, 5).await;
        let processes = [rig.process(), rig.process()];
        sleep(16 * MINUTE).await;
        rig.ether.set(Refuses(UNKNOWN_CLIENT));

        Box::pin(ask_for(&rig, &processes, &connections, 60 * MINUTE)).await;

        let calls = sent(&rig);
        assert!((10..=60).contains(&calls), "{calls} calls");
        let told = processes[0].answer(rig.call_for(&connections[4], None)).await;
        assert_eq!((told.status, told.problem()), (409, "vendor-incident"), "{}", told.body);
        assert!(told.retry_after.is_some(), "{told:?}");

        rig.ether.set(Calm);
        sleep(4 * MINUTE).await;
        for connection in &connections {
            let answer = processes[1].answer(rig.call_for(connection, None)).await;
            if answer.status != 200 {
                sleep(3 * MINUTE).await;
            }
            let answer = processes[1].answer(rig.call_for(connection, None)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    });
}

/// The app is refused in one org alone.
struct RefusedFor(domain::secret::Fingerprint);

impl Fates for RefusedFor {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        Calm.fate(number, kind)
    }

    fn refresh(&mut self, number: usize, token: &domain::secret::Fingerprint) -> Fate {
        let effect = if *token == self.0 { Effect::Scripted(UNKNOWN_CLIENT) } else { Effect::None };
        Fate { effect, ..Calm.fate(number, Kind::Refresh) }
    }
}

#[test]
fn one_orgs_trouble_never_stops_another_org() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_orgs(&rig, 3).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        let held = rig.item()["refresh_fingerprint"]["S"].as_str().expect("one").to_owned();
        rig.ether.set(RefusedFor(domain::secret::Fingerprint::parse(&held).expect("a fingerprint")));
        assert_eq!(process.answer(rig.call(None)).await.problem(), "vendor-incident");
        for connection in &connections[1..] {
            assert_eq!(process.answer(rig.call_for(connection, None)).await.status, 200);
        }
    });
}

#[test]
fn a_host_that_is_down_for_many_orgs_is_tried_once_in_ten_seconds() {
    run(async {
        let mut rig = Rig::new(true).await;
        let connections = in_orgs(&rig, 8).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        // Another product's orgs see it down as well: one product's may be its own doing.
        let (store, now) = (rig.store(), rig.clock.now());
        let host = rig.item()["login_host"]["S"].as_str().expect("one").to_owned();
        for org in 0..3 {
            let other = "otherco".parse().expect("an id");
            store.note_down(&host, &other, &format!("00Dother{org}"), now).await.expect("written");
        }
        rig.ether.set(Refuses(DOWN));
        for connection in &connections[..2] {
            process.answer(rig.call_for(connection, None)).await;
        }
        let before = sent(&rig);
        assert_eq!(before, 2);
        for connection in &connections[2..] {
            let answer = process.answer(rig.call_for(connection, None)).await;
            assert_eq!(answer.status, 503, "{}", answer.body);
        }
        assert_eq!(sent(&rig), before, "the host waits");
        sleep(Duration::from_secs(11)).await;
        for connection in &connections[2..] {
            process.answer(rig.call_for(connection, None)).await;
        }
        assert_eq!(sent(&rig), before + 1, "one tries");
        rig.ether.set(Calm);
        sleep(Duration::from_secs(21)).await;
        for connection in &connections[3..] {
            assert_eq!(process.answer(rig.call_for(connection, None)).await.status, 200, "and it is over");
        }
    });
}

/// An error that is not 503 and not a timeout may be one request's own.
#[test]
fn host_that_answers_with_errors_is_not_taken_to_be_down() {
    let page = |status| Script { status, headers: &[], body: "<html>error</html>", processed: false };
    let json = |status| refusal(status, r#"{"error":"server_error","error_description":"oops"}"#);
    for script in [page(500), page(502), json(500), json(502), json(504)] {
        run(async {
            let mut rig = Rig::new(true).await;
            let connections = in_orgs(&rig, 8).await;
            let process = rig.process();
            sleep(16 * MINUTE).await;
            let (store, now) = (rig.store(), rig.clock.now());
            let host = rig.item()["login_host"]["S"].as_str().expect("one").to_owned();
            for org in 0..4 {
                let other = "otherco".parse().expect("an id");
                store.note_down(&host, &other, &format!("00Dother{org}"), now).await.expect("written");
            }
            rig.ether.set(Refuses(script));
            for connection in &connections {
                assert_eq!(process.answer(rig.call_for(connection, None)).await.status, 503);
            }
            assert_eq!(sent(&rig), connections.len(), "{} {}", script.status, script.body);
        });
    }
}

const STRANGE: [&str; 7] = [
    r#"{"error":"invalid_grant","error_description":"user is locked"}"#,
    r#"{"error":"invalid_grant","error_description":"authentication failure"}"#,
    r#"{"error":"invalid_grant","error_description":"login hours do not allow this"}"#,
    r#"{"error":"invalid_grant"}"#,
    r#"{"error":"password_lockout","error_description":"your account is locked"}"#,
    r#"{"error":"login_challenge_issued","error_description":"verify your identity"}"#,
    r#"{"error":"never_seen_before","error_description":"expired access/refresh token"}"#,
];

#[test]
fn a_text_that_is_not_known_to_be_final_ends_nothing_within_a_day() {
    for body in STRANGE {
        run(async {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            sleep(16 * MINUTE).await;
            rig.ether.set(Refuses(refusal(400, body)));
            let first = process.answer(rig.call(None)).await;
            assert_eq!((first.status, first.problem()), (503, "token-not-ready"), "{body}: {}", first.body);
            let shown = process.answer(rig.shown()).await;
            assert_eq!(shown.body["state"], "active", "{}", shown.body);
            assert!(shown.body["retrying"]["cause"].is_string(), "it says what is wrong: {}", shown.body);
            assert!(shown.body["retrying"]["help_url"].is_string(), "{}", shown.body);
            for _ in 0..(23 * 6) {
                sleep(10 * MINUTE).await;
                process.sweep().await;
                assert_eq!(rig.item()["state"]["S"], "active", "{body}");
            }
            sleep(90 * MINUTE).await;
            let last = process.answer(rig.call(None)).await;
            assert_eq!((last.status, last.problem()), (409, "reauthorization-needed"), "{}", last.body);
        });
    }
}

#[test]
fn a_text_that_is_known_to_be_final_ends_the_grant_at_once() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        let body = r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#;
        rig.ether.set(Refuses(refusal(400, body)));
        assert_eq!(process.answer(rig.call(None)).await.problem(), "reauthorization-needed");
    });
}

/// The host redirects to another one of Salesforce's, which answers so: two calls a try.
struct Moved {
    script: Script,
    redirects: bool,
}

const TO_ANOTHER: Script = Script {
    status: 302,
    headers: &[("Location", "https://moved.my.salesforce.localhost/services/oauth2/token")],
    body: "",
    processed: false,
};

impl Fates for Moved {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        if kind != Kind::Refresh {
            return Calm.fate(number, kind);
        }
        self.redirects = !self.redirects;
        let script = if self.redirects { TO_ANOTHER } else { self.script };
        Fate { effect: Effect::Scripted(script), ..Calm.fate(number, kind) }
    }
}

#[test]
fn hour_of_refusals_behind_a_redirect_costs_at_most_thirty_calls() {
    for script in [DOWN, TOO_MANY, BUSY, TO_ANOTHER] {
        run(async {
            let mut rig = Rig::new(true).await;
            let processes = [rig.process(), rig.process()];
            sleep(16 * MINUTE).await;
            rig.ether.set(Moved { script, redirects: false });
            let connections = [rig.connection.clone()];
            Box::pin(ask_for(&rig, &processes, &connections, 60 * MINUTE)).await;
            let calls = sent(&rig);
            assert!((10..=30).contains(&calls), "{}: {calls} calls", script.body);
            let hosts = rig.ether.trace().lines().filter(|line| line.contains("token")).count();
            assert!(hosts >= calls, "both hosts were asked");
            rig.ether.set(Calm);
            sleep(16 * MINUTE).await;
            assert_eq!(processes[0].answer(rig.call(None)).await.status, 200);
        });
    }
}
