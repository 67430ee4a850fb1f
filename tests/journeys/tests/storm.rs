//! Many at once, over processes of their own: each is the token function, several requests at a time, with its own
//! clients and memory, as Lambda has them.
use std::{path::Path, time::Duration};

use jiff::SignedDuration;
use journeys::Story;
use local::{
    Options,
    stack::{FALLBACK, KEYRING, TABLE},
};
use serde_json::{Value, json};
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
    let listed = lambda.invoke(asking(story, "GET", "/v1/connections", None)).await.expect("it starts");
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
        processes.push(std::sync::Arc::new(process(&story, CALLERS / PROCESSES).await));
    }
    story.stack.salesforce.set_token_latency(Duration::from_millis(300));
    story.stack.salesforce.forget_calls();
    story.stack.dynamodb.reset_counts();

    let path = format!("/v1/connections/{connection}/token");
    let ask = asking(&story, "POST", &path, Some(&json!({ "rejected": dead })));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (process, ask) = (processes[caller % PROCESSES].clone(), ask.clone());
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
    let requests = story.stack.dynamodb.requests();
    let reads = requests.iter().filter(|request| request.kind == Kind::Read).count() as u64;
    assert!(reads <= 4 * calls, "{reads} reads for {calls} calls");
    println!("{CALLERS} callers: {calls} calls, {reads} reads, {} writes", requests.len() as u64 - reads);
}

/// A process is killed while Salesforce works on its refresh: others are asked, then time passes.
async fn killed_in_flight(rotation: bool) -> (Story, String, Vec<Value>) {
    let story = story().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|app| app.consumer_key == key).expect("the app");
        app.refresh_token_rotation = rotation;
    });
    let connection = story.connected().await;
    let (holder, other) = (process(&story, 4).await, process(&story, 20).await);
    story.stack.salesforce.set_token_latency(Duration::from_millis(800));
    let path = format!("/v1/connections/{connection}/token");
    let longer = asking(&story, "POST", &path, Some(&json!({ "minimum_lifetime": 3600 })));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_in_flight_costs_nobody_a_token_where_nothing_rotates() {
    let (story, connection, _) = killed_in_flight(false).await;
    story.pass(SignedDuration::from_mins(16));
    let path = format!("/v1/connections/{connection}/token");
    let first = story.call("GET", &path, None).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(story.salesforce_says(&first).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_between_salesforces_commit_and_ours_ends_in_one_recovery() {
    let (story, connection, _) = killed_in_flight(true).await;
    let path = format!("/v1/connections/{connection}/token");
    story.stack.salesforce.forget_calls();
    story.pass(SignedDuration::from_mins(16));
    let answer = story.call("GET", &path, None).await;
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
    let connection = story.connected().await;
    let holder = process(&story, 4).await;
    story.stack.salesforce.forget_calls();
    let path = format!("/v1/connections/{connection}/token");
    let longer = asking(&story, "POST", &path, Some(&json!({ "minimum_lifetime": 3600 })));
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
