//! The functions' real release binaries answer recorded API Gateway events over the Lambda Runtime API.
//!
//! `tests/infra/check` builds them with `sam build`, as a deployment does; `tests/run` does that first.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use journeys::Story;
use local::{
    Options,
    stack::{FALLBACK, KEYRING, TABLE},
};
use salesforce::egress::Seen;
use serde_json::{Value, json};
use world::{
    Clock,
    lambda::{Lambda, http_event},
};

const PUBLIC_URL: &str = "https://connect.example.com";
const HOST: &str = "connect.example.com";

fn bootstrap(function: &str) -> PathBuf {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let path = root.join(".aws-sam/build").join(format!("{function}Function")).join("bootstrap");
    assert!(path.is_file(), "{} is not built: run tests/infra/check (tests/run does)", path.display());
    path
}

/// A recorded event, its placeholders filled in.
fn event(name: &str, fill: &[(&str, &str)]) -> Value {
    let path = format!("{}/../../infra/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(&path).expect("a recorded event").replace("{{host}}", HOST);
    for (name, value) in fill {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    assert!(!text.contains("{{"), "{name}: every placeholder is filled in");
    serde_json::from_str(&text).expect("JSON")
}

struct Deployed<'a>(&'a Story);

impl Deployed<'_> {
    /// A function's binary, in the environment that the template gives it.
    async fn start(&self, function: &str) -> Lambda {
        self.start_for(function, "1").await
    }

    /// The same, for so many requests at once.
    async fn start_for(&self, function: &str, at_once: &str) -> Lambda {
        let mut environment = vec![
            ("AWS_LAMBDA_MAX_CONCURRENCY", at_once),
            ("TABLE_NAME", TABLE),
            ("PUBLIC_URL", PUBLIC_URL),
            ("RUST_LOG", "info"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.0.stack.dynamodb.endpoint()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.0.stack.secrets.endpoint()),
        ];
        if !matches!(function, "Authorize" | "Errors") {
            environment.push(("KEYRING_SECRET_ID", KEYRING));
        }
        if matches!(function, "Callback" | "Token" | "Sweep") {
            environment.push(("FALLBACK_TABLE_NAME", FALLBACK));
        }
        if matches!(function, "Ops" | "Sweep") {
            environment.push(("DELIVERY_QUEUE_URL", "http://sqs.localhost/deliveries"));
        }
        Lambda::start(&bootstrap(function), &environment).await
    }
}

fn header<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer["headers"][name].as_str().unwrap_or_else(|| panic!("no header {name} in {answer}"))
}

/// What the browser that is sent to Salesforce brings back.
fn attempts_cookie(left: &Value) -> String {
    let cookies = left["cookies"].as_array().expect("cookies").iter().filter_map(Value::as_str);
    let mut of_attempt = cookies.filter(|cookie| cookie.starts_with("__Host-lk-"));
    let cookie = of_attempt.next().expect("the attempt's cookie");
    cookie.split(';').next().expect("a name and a value").to_owned()
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON")
}

/// The lines that a function's invocations ended in: CloudWatch reads each as metrics.
fn lines(lambda: &Lambda) -> Vec<Value> {
    let read = |line: &String| {
        journeys::emf::read(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        serde_json::from_str(line).expect("JSON")
    };
    lambda.logs().iter().filter(|line| line.contains("\"_aws\"")).map(read).collect()
}

async fn story() -> Story {
    Story::with(Options { clock: Clock::running(), ..Options::for_tests() }).await
}

/// A user approves; the browser is on its way to the product: the session, and the receipt to redeem.
async fn approved(story: &Story) -> (String, String) {
    let wish = story.wish(json!({ "user": "user_77" })).await;
    let browser = story.stack.browser();
    browser.stop_before("/salesforce/return");
    let consent = browser.get(wish.text("connect_url")).await.choose("Production");
    let consent = consent.click("Continue to Salesforce").await.click("uma@acme.example").await;
    let back = consent.click("Allow").await.location().expect("on the way to the product").clone();
    let mut query = back.query_pairs().map(|(_, value)| value.into_owned());
    (query.next().expect("a session"), query.next().expect("a receipt"))
}

#[tokio::test]
async fn authorize_callback_and_errors_take_a_user_from_the_link_to_the_help_page() {
    let story = story().await;
    let deployed = Deployed(&story);
    let (authorize, callback, errors) =
        (deployed.start("Authorize").await, deployed.start("Callback").await, deployed.start("Errors").await);
    let key = story.stack.api_key("fernway").expose().to_owned();
    let return_to = format!("{}/salesforce/return", story.stack.product);

    let create = [("api_key", key.as_str()), ("app", "sync"), ("return_to", return_to.as_str())];
    let created = authorize.invoke(event("create-connect-session", &create)).await.expect("an answer");
    assert_eq!(created["statusCode"], 201, "{created}");
    let link = body(&created)["connect_url"].as_str().unwrap().to_owned();
    let connect_key =
        link.strip_prefix(&format!("{PUBLIC_URL}/connect/")).expect("our own address").to_owned();

    let page = authorize.invoke(event("open-connect-page", &[("connect_key", &connect_key)])).await.unwrap();
    assert_eq!(page["statusCode"], 200, "{page}");
    assert!(page["body"].as_str().unwrap().contains("Fernway"));
    assert!(header(&page, "content-security-policy").contains("frame-ancestors 'none'"));

    let leave =
        authorize.invoke(event("leave-for-salesforce", &[("connect_key", &connect_key)])).await.unwrap();
    assert_eq!(leave["statusCode"], 303, "{leave}");
    let to = url::Url::parse(header(&leave, "location")).unwrap();
    assert_eq!(to.origin().ascii_serialization(), "https://login.salesforce.com");
    let asked: std::collections::HashMap<String, String> = to.query_pairs().into_owned().collect();
    assert_eq!(asked["redirect_uri"], format!("{PUBLIC_URL}/oauth/callback"));
    assert_eq!(asked["code_challenge_method"], "S256");
    let cookie = attempts_cookie(&leave);

    let doubled = [("state", "nobody-knows-this-state"), ("code", "aPrx"), ("cookie", cookie.as_str())];
    let stray = callback.invoke(event("callback-doubled", &doubled)).await.unwrap();
    assert_eq!(stray["statusCode"], 400, "{stray}");

    let error = [("state", asked["state"].as_str()), ("cookie", cookie.as_str())];
    let blocked = callback.invoke(event("callback-error", &error)).await.unwrap();
    assert_eq!(blocked["statusCode"], 303, "{blocked}");
    let failure = header(&blocked, "location").strip_prefix("/help/").expect("a help page").to_owned();

    let help = errors.invoke(event("help-page", &[("failure_id", &failure)])).await.unwrap();
    assert_eq!(help["statusCode"], 200, "{help}");
    assert!(help["body"].as_str().unwrap().contains("Unblock"), "{}", help["body"]);

    let told = [("connect_key", connect_key.as_str()), ("cookie", cookie.as_str())];
    let told = errors.invoke(event("tell-what-was-seen", &told)).await.unwrap();
    assert_eq!(told["statusCode"], 303, "{told}");

    for (lambda, times) in [(&authorize, 3), (&callback, 2), (&errors, 2)] {
        let lines = lines(lambda);
        assert_eq!(lines.iter().filter(|line| line["request_id"].is_string()).count(), times, "{lines:?}");
        let logs = lambda.logs().join("\n");
        for secret in [&key, &connect_key, &asked["state"], &cookie] {
            assert!(!logs.contains(secret.as_str()), "a secret is in a log: {logs}");
        }
    }
    assert!(callback.logs().join("\n").contains("app_blocked"), "{:?}", callback.logs());
}

#[tokio::test]
async fn callback_redeems_and_token_hands_out() {
    let story = story().await;
    story.install("sync");
    let deployed = Deployed(&story);
    let (callback, token) = (deployed.start("Callback").await, deployed.start("Token").await);
    let key = story.stack.api_key("fernway").expose().to_owned();

    let (session, receipt) = approved(&story).await;

    let redeem = [("api_key", key.as_str()), ("session_id", &session), ("receipt", &receipt)];
    let redeemed = callback.invoke(event("redeem", &redeem)).await.unwrap();
    assert_eq!(redeemed["statusCode"], 200, "{redeemed}");
    let connection = body(&redeemed)["id"].as_str().unwrap().to_owned();

    let ask = [("api_key", key.as_str()), ("connection_id", connection.as_str())];
    let handed = token.invoke(event("token", &ask)).await.unwrap();
    assert_eq!(handed["statusCode"], 200, "{handed}");
    let access = body(&handed)["access_token"].as_str().unwrap().to_owned();
    assert!(!token.logs().join("\n").contains(&access));
    assert_eq!(body(&handed)["token_type"], "Bearer");
}

/// Asks what no browser of ours would, and expects our own page or problem: nothing of what was sent is in it.
async fn refuses(lambda: &Lambda, headers: &[(&str, &str)], asked: &[(String, u16)]) {
    for (path_and_query, status) in asked {
        let event = http_event("GET", path_and_query, headers, &[], None);
        let short: String = path_and_query.chars().take(60).collect();
        let answer = lambda.invoke(event).await;
        let answer = answer.unwrap_or_else(|died| panic!("{short:?}: {died:?} {:?}", lambda.logs()));
        assert_eq!(answer["statusCode"], *status, "{short:?}: {answer}");
        assert_eq!(header(&answer, "x-frame-options"), "DENY", "{short:?}: our own answer");
        assert!(!answer.to_string().contains("evil"), "{short:?}: {answer}");
    }
}

#[tokio::test]
async fn what_no_uri_holds_has_an_answer_and_the_same_sandbox_answers_the_next() {
    let story = story().await;
    story.install("sync");
    let (session, receipt) = approved(&story).await;
    let deployed = Deployed(&story);
    let (authorize, callback) = (deployed.start("Authorize").await, deployed.start("Callback").await);
    let (token, errors) = (deployed.start("Token").await, deployed.start("Errors").await);
    let key = story.stack.api_key("fernway").expose().to_owned();
    let bearer = format!("Bearer {key}");
    let long = "<".repeat(100_000);
    let queries = ["<script>evil()</script>", "\u{1}\r\n\u{7f}", "\"é\u{1F511} {}|\\^`#", "%", &long];
    let segments = ["<script>evil()</script>", "\u{1}\r\n\u{7f}", "\"é\u{1F511} {}|\\^`#", &long];
    let at = |path: &str, parts: &[&str], status: u16| {
        parts.iter().map(|part| (format!("{path}{part}"), status)).collect::<Vec<_>>()
    };

    for headers in [
        &[("host", HOST)][..],
        &[("host", "evil.example:99999999")],
        &[("host", "<evil> /\\#?@["), ("x-forwarded-host", "evil.example")],
        &[("host", HOST), ("x-forwarded-proto", "evil stuff"), ("x-forwarded-port", "evil")],
        &[("host", HOST), ("user-agent", "evil \u{1} é"), ("évil", "evil")],
    ] {
        refuses(&authorize, headers, &at("/connect/", &segments, 404)).await;
        refuses(&callback, headers, &at("/oauth/callback?state=", &queries, 400)).await;
        refuses(&errors, headers, &at("/help/", &segments, 404)).await;
        let headers = [headers, &[("authorization", bearer.as_str())]].concat();
        refuses(&token, &headers, &at("/v1/connections/", &segments, 404)).await;
        refuses(&token, &headers, &at("/v1/connections?customer=", &[&long], 400)).await;
    }

    let wish = story.wish(json!({ "user": "user_78" })).await;
    let connect_key = wish.text("connect_url").rsplit('/').next().expect("a key").to_owned();
    let page = authorize.invoke(event("open-connect-page", &[("connect_key", &connect_key)])).await.unwrap();
    assert_eq!(page["statusCode"], 200, "{page}");
    let redeem = [("api_key", key.as_str()), ("session_id", &session), ("receipt", &receipt)];
    let redeemed = callback.invoke(event("redeem", &redeem)).await.unwrap();
    assert_eq!(redeemed["statusCode"], 200, "{redeemed}");
    let listed = http_event("GET", "/v1/connections", &[("authorization", &bearer)], &[], None);
    let listed = token.invoke(listed).await.unwrap();
    assert_eq!(listed["statusCode"], 200, "{listed}");
    let healthy = errors.invoke(http_event("GET", "/healthz", &[], &[], None)).await.unwrap();
    assert_eq!(healthy["statusCode"], 200, "{healthy}");
}

/// Sends all of them at once, to a table that takes `SLOW` for each request. One after the other they would take that
/// long each at least.
async fn together(story: &Story, lambda: &Arc<Lambda>, events: Vec<Value>) -> Vec<Value> {
    const SLOW: Duration = Duration::from_millis(250);
    let (number, began) = (u32::try_from(events.len()).expect("a few"), Instant::now());
    story.stack.dynamodb.slow(SLOW);
    let call = |event| {
        let lambda = Arc::clone(lambda);
        tokio::spawn(async move { lambda.invoke(event).await })
    };
    let calls: Vec<_> = events.into_iter().map(call).collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("no panic").expect("an answer"));
    }
    story.stack.dynamodb.slow(Duration::ZERO);
    assert!(began.elapsed() < SLOW * number, "at once: {:?}", began.elapsed());
    answers
}

#[tokio::test]
async fn every_function_that_answers_requests_answers_several_at_once_each_its_own() {
    const AT_ONCE: usize = 12;
    let story = story().await;
    let deployed = Deployed(&story);
    let start = async |function| Arc::new(deployed.start_for(function, "12").await);
    let [key, other] =
        ["fernway", "tidewater"].map(|product| story.stack.api_key(product).expose().to_owned());
    let return_to = format!("{}/salesforce/return", story.stack.product);

    let authorize = start("Authorize").await;
    let create = [("api_key", key.as_str()), ("app", "sync"), ("return_to", return_to.as_str())];
    let creates = (0..AT_ONCE).map(|number| {
        let mut create = event("create-connect-session", &create);
        create["headers"]["idempotency-key"] = format!("call {number}").into();
        create
    });
    let created = together(&story, &authorize, creates.collect()).await;
    let links: Vec<String> = created
        .iter()
        .map(|answer| body(answer)["connect_url"].as_str().expect("a link").to_owned())
        .collect();
    let keys: Vec<&str> = links.iter().filter_map(|link| link.rsplit('/').next()).collect();
    assert_eq!(BTreeSet::from_iter(&keys).len(), AT_ONCE, "a session each");
    let leave = |key: &&str| event("leave-for-salesforce", &[("connect_key", *key)]);
    let left = together(&story, &authorize, keys.iter().map(leave).collect()).await;

    let callback = start("Callback").await;
    let back = |left: &Value| {
        let to = url::Url::parse(header(left, "location")).expect("an address");
        let state = to.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        event("callback-error", &[("state", &state), ("cookie", &attempts_cookie(left))])
    };
    let failed = together(&story, &callback, left.iter().map(back).collect()).await;
    let pages: Vec<&str> = failed.iter().map(|answer| header(answer, "location")).collect();
    assert_eq!(BTreeSet::from_iter(&pages).len(), AT_ONCE, "a failure each: {pages:?}");

    let errors = start("Errors").await;
    let help =
        |page: &&str| event("help-page", &[("failure_id", page.strip_prefix("/help/").expect("help"))]);
    for shown in together(&story, &errors, pages.iter().map(help).collect()).await {
        assert_eq!(shown["statusCode"], 200, "{shown}");
        assert!(shown["body"].as_str().expect("a page").contains("Unblock"), "{shown}");
    }

    // Two products in turn: none sees what is the other's.
    let bearers = [&key, &other].map(|key| format!("Bearer {key}"));
    let turn = |path: &str| -> Vec<Value> {
        let bearers = bearers.iter().cycle().take(AT_ONCE);
        bearers.map(|bearer| http_event("GET", path, &[("authorization", bearer)], &[], None)).collect()
    };
    let ops = start("Ops").await;
    // Each day is a request of its own: today's alone.
    let today = format!("/v1/failures?from={}", Clock::running().now() - SignedDuration::from_mins(5));
    for (number, listed) in together(&story, &ops, turn(&today)).await.iter().enumerate() {
        let found = body(listed)["failures"].as_array().expect("a list").len();
        assert_eq!(found, if number % 2 == 0 { AT_ONCE } else { 0 }, "{listed}");
    }
    story.install("sync");
    story.connected().await;
    let token = start("Token").await;
    for (number, listed) in together(&story, &token, turn("/v1/connections")).await.iter().enumerate() {
        let found = body(listed)["connections"].as_array().expect("a list").len();
        assert_eq!(found, 1 - number % 2, "{listed}");
    }
}

#[tokio::test]
async fn sweep_runs_on_its_schedule() {
    let story = story().await;
    let sweep = Deployed(&story).start("Sweep").await;

    let swept = sweep.invoke(event("sweep", &[])).await.expect("an answer");

    let nothing = json!({
        "lost": 0, "unredeemed": 0, "unconfirmed": 0, "revoked": 0, "restored": 0, "refreshed": 0, "stopped": 0,
        "interrupted": 0, "put_off": 0, "queued": 0, "unread": 0, "unreadable": 0, "cut_short": false,
    });
    assert_eq!(swept, nothing);
    assert!(lines(&sweep).iter().any(|line| line["Outcome"] == "swept" && line["SweepOverdue"] == 0.0));
}

#[tokio::test]
async fn sweep_asked_from_where_it_calls_answers_that_and_sweeps_nothing() {
    let story = story().await;
    let sweep = Deployed(&story).start("Sweep").await;
    story.stack.dynamodb.reset_counts();

    let told = sweep.invoke(event("observe-egress", &[])).await.expect("an answer");

    // Where this machine has a way out it is an address, else why there is none.
    let seen: Seen = serde_json::from_value(told.clone()).expect("what was seen");
    if let Seen::Unseen(why) = seen {
        assert!(why.starts_with("https://checkip.amazonaws.com/: "), "AWS's echo and no other: {why}");
    }
    assert!(lines(&sweep).is_empty(), "no run is counted: {told}");
    assert!(story.stack.dynamodb.requests().is_empty());
}

#[tokio::test]
async fn a_function_without_a_setting_says_which() {
    let lambda =
        Lambda::start(&bootstrap("Token"), &[("AWS_REGION", "eu-central-1"), ("PUBLIC_URL", PUBLIC_URL)])
            .await;

    let refused = lambda.invoke(event("sweep", &[])).await;

    assert!(refused.is_err(), "{refused:?}");
    assert!(lambda.logs().join("\n").contains("TABLE_NAME"), "{:?}", lambda.logs());
}

#[tokio::test]
async fn a_deployed_function_talks_to_salesforces_own_hosts_alone() {
    let story = story().await;
    story.install("sync");
    let connection = story.connected().await;
    let token = Deployed(&story).start("Token").await;
    let key = story.stack.api_key("fernway").expose().to_owned();
    story.stack.salesforce.forget_calls();

    // The stored login host is the world's: no production switch lets it in, whatever the table says.
    let ask = [("api_key", key.as_str()), ("connection_id", connection.as_str())];
    let mut ask = event("token", &ask);
    ask["requestContext"]["http"]["method"] = "POST".into();
    ask["routeKey"] = "POST /v1/connections/{id}/token".into();
    let fingerprint = story.token(&connection).await.text("fingerprint").to_owned();
    ask["body"] = json!({ "rejected": fingerprint }).to_string().into();
    let refused = token.invoke(ask).await.unwrap();

    assert_eq!(refused["statusCode"], 503, "{refused}");
    assert!(story.stack.salesforce.calls().is_empty(), "nothing was sent there");
}
