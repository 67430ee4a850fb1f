//! Many at once, over processes of their own: each is the token function, several requests at a time, with its own
//! clients and memory, as Lambda has them.
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use jiff::SignedDuration;
use journeys::{Answer, Story};
use local::{
    Options,
    stack::{FALLBACK, KEYRING, TABLE},
};
use serde_json::{Value, json};
use telemetry::Metric;
use tokio::{task::JoinSet, time::Instant};
use world::{
    Clock,
    dynamodb::Kind,
    lambda::{InvokeError, Lambda, http_event},
};

/// A stack on the machine's own clock, for other processes know no other.
async fn story() -> Story {
    let story = Story::with(Options { clock: Clock::running(), ..Options::for_tests() }).await;
    story.install("sync");
    story
}

/// A connection whose token is five minutes old, so that a caller who asks for more than ten causes a refresh.
async fn connected_a_while_ago(story: &Story) -> String {
    story.pass(SignedDuration::from_mins(-5));
    let connection = story.connected().await;
    story.pass(SignedDuration::from_mins(5));
    connection
}

/// The token function, as a process of its own that answers so many requests at once.
async fn process(story: &Story, at_once: usize) -> Lambda {
    let (login, test) = (story.stack.salesforce.login_origin(), story.stack.salesforce.test_origin());
    let at_once = at_once.to_string();
    let environment = [
        ("TABLE_NAME", TABLE),
        ("FALLBACK_TABLE_NAME", FALLBACK),
        ("KEYRING_SECRET_ID", KEYRING),
        ("PUBLIC_URL", story.stack.latchkey.as_str()),
        ("RUST_LOG", "warn"),
        ("AWS_ENDPOINT_URL_DYNAMODB", story.stack.dynamodb.endpoint()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", story.stack.secrets.endpoint()),
        ("SALESFORCE_LOGIN", &login),
        ("SALESFORCE_TEST", &test),
        ("AWS_LAMBDA_MAX_CONCURRENCY", &at_once),
    ];
    let lambda = Lambda::start(Path::new(env!("CARGO_BIN_EXE_token-here")), &environment).await;
    // Warm: the product and the keyring are read.
    let listed = numbered(asking(story, "GET", "/v1/connections", None), WARM);
    let listed = lambda.invoke(listed).await.expect("it starts");
    assert_eq!(listed["statusCode"], 200, "{listed}");
    lambda
}

fn asking(story: &Story, method: &str, path: &str, body: Option<&Value>) -> Value {
    let bearer = format!("Bearer {}", story.stack.api_key("fernway").expose());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = body.map(ToString::to_string);
    http_event(method, path, &headers, &[], body.as_deref())
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON")
}

/// The number of the call that warms a process.
const WARM: &str = "warm";

/// The same call, as the gateway numbers it: its line in the log says so.
fn numbered(mut event: Value, number: &str) -> Value {
    event["requestContext"]["requestId"] = number.into();
    event
}

/// The lines in which the numbered calls of these processes ended, once there are as many as there are to be.
async fn ended(processes: &[Arc<Lambda>], calls: usize) -> Vec<(String, Value)> {
    let numbered = |line: String| {
        let line: Value = serde_json::from_str(&line).ok()?;
        let number = line["gateway_request_id"].as_str()?.to_owned();
        (number != WARM).then_some((number, line))
    };
    for _ in 0..500 {
        let logs = processes.iter().flat_map(|process| process.logs());
        let lines: Vec<_> = logs.filter_map(numbered).collect();
        if lines.len() >= calls {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a call left no line");
}

/// What a line says of a metric, samples added up; 0: nothing was counted.
fn told(line: &Value, metric: Metric) -> f64 {
    let value = &line[metric.name()];
    let samples = value.as_array().map(|samples| samples.iter().filter_map(Value::as_f64).sum());
    samples.or(value.as_f64()).unwrap_or_default()
}

/// Waits until the connection's item has this attribute.
async fn until_written(story: &Story, connection: &str, attribute: &str) {
    for _ in 0..500 {
        let items = story.stack.dynamodb.dump(TABLE);
        let is_it = |item: &&Value| item["pk"]["S"] == format!("CONNECTION#{connection}");
        if items.iter().find(is_it).expect("the connection").get(attribute).is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{attribute} was never written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_of_eight_processes_cause_one_exchange_and_all_get_its_token() {
    const PROCESSES: usize = 8;
    const CALLERS: usize = 1000;
    let story = story().await;
    let connection = story.connected().await;
    let dead = story.token(&connection).await.text("fingerprint").to_owned();
    story.stack.salesforce.expire_access_tokens();
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(Arc::new(process(&story, CALLERS / PROCESSES).await));
    }
    story.stack.salesforce.set_token_latency(Duration::from_millis(300));
    story.stack.salesforce.forget_calls();
    story.stack.dynamodb.reset_counts();

    let path = format!("/v1/connections/{connection}/token");
    let ask = asking(&story, "POST", &path, Some(&json!({ "rejected": dead })));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let process = processes[caller % PROCESSES].clone();
        let ask = numbered(ask.clone(), &format!("caller-{caller}"));
        callers.spawn(async move {
            // As a product does: not yet is asked again.
            for calls in 1..=60u64 {
                let answer = process.invoke(ask.clone()).await.expect("an answer");
                if answer["statusCode"] != 503 {
                    return (answer, calls);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            panic!("never a token");
        });
    }
    let answers = callers.join_all().await;

    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "one exchange");
    let newer = body(&answers[0].0)["fingerprint"].clone();
    assert_ne!(newer, dead.as_str());
    for (answer, _) in &answers {
        assert_eq!(answer["statusCode"], 200, "{answer}");
        assert_eq!(body(answer)["fingerprint"], newer, "everybody gets the new token");
    }
    let calls: u64 = answers.iter().map(|(_, calls)| calls).sum();
    let mut reads = BTreeMap::<String, f64>::new();
    for (caller, line) in ended(&processes, usize::try_from(calls).expect("a count")).await {
        // The connection is less than 4 kB: a read is a unit. Whether 3 s are enough is the machine's matter, and who was
        // told to ask again reads again; what one call reads is ours.
        let read = told(&line, Metric::ReadUnits);
        assert!(read <= 4.0, "{line}");
        *reads.entry(caller).or_default() += read;
    }
    assert_eq!(reads.len(), CALLERS);
    let most = reads.values().copied().fold(0.0, f64::max);
    let requests = story.stack.dynamodb.requests();
    let all = requests.iter().filter(|request| request.kind == Kind::Read).count();
    let writes = requests.len() - all;
    println!("{CALLERS} callers: {calls} calls, {all} reads, {most} at most for one; {writes} writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_one_of_several_at_once_is_its_own() {
    let story = story().await;
    let connection = connected_a_while_ago(&story).await;
    let process = Arc::new(process(&story, 8).await);
    let other = format!("Bearer {}", story.stack.api_key("tidewater").expose());
    let list = |number: &str| {
        let event = http_event("GET", "/v1/connections", &[("authorization", &other)], &[], None);
        numbered(event, number)
    };
    // The other product is read.
    process.invoke(list(WARM)).await.expect("an answer");
    story.stack.salesforce.set_token_latency(Duration::from_millis(1500));
    story.stack.dynamodb.reset_counts();
    let path = format!("/v1/connections/{connection}/token");
    let longer = asking(&story, "POST", &path, Some(&json!({ "minimum_lifetime": 800 })));
    let fresh = asking(&story, "GET", &path, None);

    let (refreshed, ()) = tokio::join!(process.invoke(numbered(longer, "refresh")), async {
        until_written(&story, &connection, "began_at").await;
        // While Salesforce works on that one: of two products, several times over.
        for round in 0..3 {
            let (listed, handed) = tokio::join!(
                process.invoke(list(&format!("list {round}"))),
                process.invoke(numbered(fresh.clone(), &format!("fresh {round}")))
            );
            assert_eq!(listed.expect("an answer")["statusCode"], 200);
            assert_eq!(handed.expect("an answer")["statusCode"], 200);
        }
        let began = story.stack.salesforce.token_calls();
        assert!(began.iter().all(|call| call.grant_type.as_deref() != Some("refresh_token")), "all at once");
    });
    assert_eq!(refreshed.expect("an answer")["statusCode"], 200);

    let written: f64 = story.stack.dynamodb.requests().iter().map(|request| request.write_units).sum();
    let lines = ended(&[process], 7).await;
    let mut seen = Vec::new();
    for (number, line) in &lines {
        let units = (told(line, Metric::ReadUnits), told(line, Metric::WriteUnits));
        let salesforce = told(line, Metric::SalesforceTime);
        let about = (line["product"].as_str(), line["method"].as_str(), line["connection"].as_str());
        let kind = number.split(' ').next().unwrap_or_default();
        match kind {
            "refresh" => {
                assert_eq!(about, (Some("fernway"), Some("POST"), Some(connection.as_str())), "{line}");
                assert_eq!(units, (2.0, written), "{line}");
                assert!(salesforce >= 1500.0, "{line}");
            }
            "fresh" => {
                assert_eq!(about, (Some("fernway"), Some("GET"), Some(connection.as_str())), "{line}");
                assert_eq!((units, salesforce), ((1.0, 0.0), 0.0), "{line}");
            }
            "list" => {
                assert_eq!(about, (Some("tidewater"), Some("GET"), None), "{line}");
                assert_eq!((units, salesforce), ((0.5, 0.0), 0.0), "{line}");
            }
            _ => panic!("{number}: {line}"),
        }
        seen.push(kind);
    }
    seen.sort_unstable();
    assert_eq!(seen, ["fresh", "fresh", "fresh", "list", "list", "list", "refresh"]);
}

/// A process is killed while Salesforce works on its refresh: others are asked, then time passes.
async fn killed_in_flight(rotation: bool) -> (Story, String, Vec<Value>) {
    let story = story().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|app| app.consumer_key == key).expect("the app");
        app.refresh_token_rotation = rotation;
    });
    let connection = connected_a_while_ago(&story).await;
    let (holder, other) = (process(&story, 4).await, process(&story, 20).await);
    story.stack.salesforce.set_token_latency(Duration::from_millis(800));
    let path = format!("/v1/connections/{connection}/token");
    let longer = asking(&story, "POST", &path, Some(&json!({ "minimum_lifetime": 800 })));
    let dying = async {
        let answer = holder.invoke(longer).await;
        assert!(matches!(answer, Err(InvokeError::Exited(_))), "{answer:?}");
    };
    let killing = async {
        until_written(&story, &connection, "began_at").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        holder.kill();
    };
    tokio::join!(dying, killing);
    // Salesforce carries out what it was asked, though nobody waits.
    let refreshes = || {
        let calls = story.stack.salesforce.token_calls();
        calls.into_iter().filter(|call| call.grant_type.as_deref() == Some("refresh_token")).count()
    };
    while refreshes() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The old token is served while it works, at once, to everybody.
    let asked = Instant::now();
    let ask = asking(&story, "GET", &path, None);
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(other.invoke(ask.clone()).await.expect("an answer"));
    }
    assert!(asked.elapsed() < Duration::from_secs(3), "nobody waits: {:?}", asked.elapsed());
    for answer in &answers {
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }
    (story, connection, answers)
}

/// The first call after a lost answer asks the host a harmless question; the recovery comes ten minutes after its answer.
async fn once_the_host_is_known_to_answer(story: &Story, path: &str) -> Answer {
    let waits = story.call("GET", path, None).await;
    assert_eq!((waits.status, waits.problem()), (503, "token-not-ready"), "{}", waits.body);
    story.pass(SignedDuration::from_mins(11));
    story.call("GET", path, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_in_flight_costs_nobody_a_token_where_nothing_rotates() {
    let (story, connection, _) = killed_in_flight(false).await;
    story.pass(SignedDuration::from_mins(16));
    let path = format!("/v1/connections/{connection}/token");
    let first = once_the_host_is_known_to_answer(&story, &path).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(story.salesforce_says(&first).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_between_salesforces_commit_and_ours_ends_in_one_recovery() {
    let (story, connection, _) = killed_in_flight(true).await;
    let path = format!("/v1/connections/{connection}/token");
    story.stack.salesforce.forget_calls();
    story.pass(SignedDuration::from_mins(16));
    let answer = once_the_host_is_known_to_answer(&story, &path).await;
    assert_eq!((answer.status, answer.problem()), (409, "reauthorization-needed"), "{}", answer.body);
    assert_eq!(answer.body["cause"], "answer_lost");
    assert_eq!(answer.body["reconnect"]["body"]["connection_id"], connection.as_str());
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "one recovery");
    let again = story.call("GET", &path, None).await;
    assert_eq!(again.body["reference"], answer.body["reference"], "the same page");
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "and no second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_before_it_sent_costs_nobody_a_token() {
    let story = story().await;
    let connection = connected_a_while_ago(&story).await;
    let holder = process(&story, 4).await;
    story.stack.salesforce.forget_calls();
    let path = format!("/v1/connections/{connection}/token");
    let longer = asking(&story, "POST", &path, Some(&json!({ "minimum_lifetime": 800 })));
    story.stack.dynamodb.slow(Duration::from_millis(700));
    let dying = async {
        let answer = holder.invoke(longer).await;
        assert!(matches!(answer, Err(InvokeError::Exited(_))), "{answer:?}");
    };
    let killing = async {
        until_written(&story, &connection, "lease_until").await;
        holder.kill();
    };
    tokio::join!(dying, killing);
    story.stack.dynamodb.mend();
    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "nothing was sent");

    story.pass(SignedDuration::from_mins(16));
    let token = story.call("GET", &path, None).await;
    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(story.salesforce_says(&token).await, 200);
}
