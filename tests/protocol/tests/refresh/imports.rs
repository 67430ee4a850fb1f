//! Imports by the thousand while Salesforce is down or refuses the app: few are sent, the others wait, and they go on
//! soon after it is over. An import and a refresh heed what the other one met.

use std::time::Duration;

use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script,
    ether::{Calm, Fates},
    rig::CONSUMER_KEY,
    run,
};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_mins(1);

/// Salesforce does this to every refresh and import.
struct Does(Effect);

impl Fates for Does {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let effect = if kind == Kind::Refresh { self.0 } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

const fn says(status: u16, body: &'static str) -> Effect {
    Effect::Scripted(Script {
        status,
        headers: &[("content-type", "application/json")],
        body,
        processed: false,
    })
}

const DOWN: Effect = says(503, r#"{"error":"service_unavailable","error_description":"down"}"#);
const BUSY: Effect =
    says(400, r#"{"error":"invalid_grant","error_description":"token request is already being processed"}"#);
const TOO_MANY: Effect = says(429, r#"{"error":"rate_limit_exceeded","error_description":"slow down"}"#);
const PAGE: Effect = says(502, "<html>bad gateway</html>");
const UNKNOWN_CLIENT: Effect =
    says(401, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#);
const ENDED: Effect =
    says(400, r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#);
const AN_HOUR: Effect = Effect::Scripted(Script {
    status: 429,
    headers: &[("Retry-After", "3600")],
    body: "<html>slow down</html>",
    processed: false,
});

fn sent(rig: &Rig) -> usize {
    rig.ether.sent().len()
}

/// A refresh token that the product holds.
fn held_token(rig: &Rig, user: usize) -> String {
    let user = rig.world.org("acme").users[user].id.clone();
    let granted = rig.world.granted("acme", &user, CONSUMER_KEY);
    granted["refresh_token"].as_str().expect("a refresh token").to_owned()
}

async fn import(rig: &Rig, process: &Process, customer: &str, token: &str) -> Answer {
    process.answer(rig.import_for(customer, token)).await
}

/// For so long, two processes by turns bring another row each six seconds.
async fn bring_rows(rig: &Rig, processes: &[Process], customers: usize, time: Duration) {
    let rows = usize::try_from(time.as_secs() / 6).expect("a number");
    for row in 0..rows {
        let customer = format!("customer{}", row % customers);
        let process = &processes[row % processes.len()];
        let answer = import(rig, process, &customer, &format!("5AepBroughtByTheProduct{row}")).await;
        assert!(matches!(answer.status, 409 | 422 | 503), "{}", answer.body);
        sleep(Duration::from_secs(6)).await;
    }
}

#[test]
fn hour_of_rows_through_an_outage_costs_at_most_thirty_calls() {
    let of_the_host = [DOWN, PAGE, Effect::Unreachable, Effect::AnswerLost];
    for (effect, customers) in
        of_the_host.map(|effect| (effect, 1000)).into_iter().chain([(BUSY, 1), (TOO_MANY, 1)])
    {
        run(async move {
            let mut rig = Rig::new(true).await;
            let processes = [rig.process(), rig.process()];
            let token = held_token(&rig, 1);
            rig.ether.set(Does(effect));
            Box::pin(bring_rows(&rig, &processes, customers, 60 * MINUTE)).await;
            let calls = sent(&rig);
            assert!((5..=30).contains(&calls), "{effect:?}: {calls} calls");

            let mut held = import(&rig, &processes[1], "customer0", "5AepBroughtByTheProductOneMore").await;
            if sent(&rig) > calls {
                // It was the next one that may be sent: then the one after it is held.
                held = import(&rig, &processes[1], "customer0", "5AepBroughtByTheProductStillOneMore").await;
            }
            assert_eq!((held.status, held.problem()), (503, "salesforce-unavailable"), "{}", held.body);
            assert!(held.retry_after.is_some_and(|seconds| (1..=301).contains(&seconds)), "{held:?}");

            rig.ether.set(Calm);
            sleep(6 * MINUTE).await;
            let answer = import(&rig, &processes[0], "customer0", &token).await;
            assert_eq!(answer.status, 201, "{effect:?}: {}", answer.body);
            let (calls, more) = (sent(&rig), held_token(&rig, 2));
            let answer = import(&rig, &processes[1], "customer0", &more).await;
            assert_eq!(
                (answer.status, sent(&rig)),
                (201, calls + 1),
                "nothing waits any more: {}",
                answer.body
            );
        });
    }
}

#[test]
fn import_keeps_to_retry_after() {
    run(async {
        let mut rig = Rig::new(true).await;
        let processes = [rig.process(), rig.process()];
        rig.ether.set(Does(AN_HOUR));
        Box::pin(bring_rows(&rig, &processes, 1, 59 * MINUTE)).await;
        assert_eq!(sent(&rig), 1, "nothing before Retry-After is over");
        sleep(2 * MINUTE).await;
        import(&rig, &processes[1], "customer0", "5AepBroughtByTheProductLater").await;
        assert_eq!(sent(&rig), 2);
    });
}

/// At a host that serves many orgs, a limit is one org's own.
#[test]
fn limit_of_one_customers_org_holds_no_other_customer_back() {
    for effect in [TOO_MANY, BUSY, AN_HOUR] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            let token = held_token(&rig, 1);
            rig.ether.set(Does(effect));
            import(&rig, &process, "one", "5AepBroughtByTheProductOfOne").await;
            rig.ether.set(Calm);
            let held = import(&rig, &process, "one", "5AepBroughtByTheProductOfOneAgain").await;
            assert_eq!((held.status, sent(&rig)), (503, 1), "{}", held.body);
            assert_eq!(import(&rig, &process, "other", &token).await.status, 201);
        });
    }
}

#[test]
fn refused_tokens_hold_nothing_back() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        rig.ether.set(Does(ENDED));
        for row in 0..20 {
            let answer = import(&rig, &process, "one", &format!("5AepBroughtByTheProductEnded{row}")).await;
            assert_eq!(answer.problem(), "import-refused", "{}", answer.body);
        }
        assert_eq!(sent(&rig), 20);
        // An outage in between; the first token that Salesforce speaks of shows that it is over.
        rig.ether.set(Does(DOWN));
        import(&rig, &process, "one", "5AepBroughtByTheProductDown").await;
        rig.ether.set(Does(ENDED));
        sleep(MINUTE).await;
        for row in 20..40 {
            let answer = import(&rig, &process, "one", &format!("5AepBroughtByTheProductEnded{row}")).await;
            assert_eq!(answer.problem(), "import-refused", "{}", answer.body);
        }
    });
}

#[test]
fn hour_of_rows_for_a_refused_app_costs_at_most_sixty_calls() {
    run(async {
        let mut rig = Rig::new(true).await;
        let processes = [rig.process(), rig.process()];
        let token = held_token(&rig, 1);
        rig.ether.set(Does(UNKNOWN_CLIENT));
        Box::pin(bring_rows(&rig, &processes, 1000, 60 * MINUTE)).await;
        let calls = sent(&rig);
        assert!((10..=60).contains(&calls), "{calls} calls");
        let held = import(&rig, &processes[0], "one", "5AepBroughtByTheProductHeld").await;
        assert_eq!((held.status, held.problem()), (503, "not-sent"), "{}", held.body);

        rig.ether.set(Calm);
        sleep(3 * MINUTE).await;
        assert_eq!(import(&rig, &processes[1], "one", &token).await.status, 201);
        let more = held_token(&rig, 2);
        assert_eq!(import(&rig, &processes[0], "one", &more).await.status, 201, "the stop is over");
    });
}

/// What imports of two hosts have seen holds refreshes back; what one import has seen, no org's refresh.
#[test]
fn refusal_of_the_app_at_one_host_stops_no_refresh() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(Does(UNKNOWN_CLIENT));
        assert_eq!(
            import(&rig, &process, "one", "5AepBroughtByTheProductRow").await.problem(),
            "import-refused"
        );
        rig.ether.set(Calm);
        assert_eq!(process.answer(rig.call(None)).await.status, 200);
    });
}

#[test]
fn app_that_two_orgs_refuse_is_not_imported_for() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let org = rig.world.add_customer("other").name;
        rig.world.install(&org, CONSUMER_KEY).expect("the app can be installed");
        let other = rig.connect_in(&org, 0).await;
        sleep(16 * MINUTE).await;
        rig.ether.set(Does(UNKNOWN_CLIENT));
        for connection in [&rig.connection, &other] {
            assert_eq!(process.answer(rig.call_for(connection, None)).await.problem(), "vendor-incident");
        }
        let held = import(&rig, &process, "one", "5AepBroughtByTheProductHeld").await;
        assert_eq!((held.problem(), sent(&rig)), ("not-sent", 2), "{}", held.body);
    });
}
