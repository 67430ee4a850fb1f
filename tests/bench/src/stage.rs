//! What is measured against: DynamoDB, Secrets Manager and a Salesforce in this process, one connection, and every
//! function's own binary in the environment that the template gives it.

use std::path::{Path, PathBuf};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http::Request;
use journeys::Story;
use lambda_http::Body;
use local::{
    Options,
    month::{self, Month},
    stack::{FALLBACK, KEYRING, TABLE, TALLIED},
};
use platform::{Aws, Platform, Settings, settings::PublicUrl};
use salesforce::{Hosts, Http, Salesforce};
use serde_json::{Value, json};
use world::{Clock, dynamodb::DynamoDb, lambda::http_event};

use crate::sandbox::Function;

const PUBLIC_URL: &str = "https://connect.example.com";

/// The stage.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Everything.
    pub(crate) story: Story,
    /// A connection with a fresh token.
    pub(crate) connection: String,
    /// A connect session that nobody has opened.
    pub(crate) session: String,
}

impl Stage {
    /// Sets it: a user has connected.
    pub(crate) async fn set() -> Self {
        Self::on(None).await
    }

    /// The same, with the table on a file in that folder.
    pub(crate) async fn on(data: Option<PathBuf>) -> Self {
        Self::of(Options { clock: Clock::running(), data, ..Options::for_tests() }).await
    }

    async fn of(options: Options) -> Self {
        let story = Story::with(options).await;
        story.install("sync");
        let connection = story.connected().await;
        let session = story.wish(json!({})).await.text("id").to_owned();
        Self { story, connection, session }
    }

    /// The same, after a month of so many sessions.
    pub(crate) async fn of_a_month(sessions: usize) -> Self {
        let stage = Self::of(Options::for_tests()).await;
        let month = Month { sessions, ..Month::default() };
        month::replay(&stage.story.stack, month).await.expect("a month");
        stage
    }

    /// The deployed functions, each with the event that it is first asked.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let call = |method: &str, path: &str| http_event(method, path, &self.bearer(), &[], None);
        vec![
            self.function("token", call("GET", &self.token_path())),
            self.function("authorize", call("GET", &format!("/v1/connect-sessions/{}", self.session))),
            self.function("callback", call("GET", "/oauth/callback?state=none&code=none")),
            self.function("errors", call("GET", "/guides/fernway/sync")),
            self.function("ops", call("GET", "/v1/failures/summary")),
            self.function("sweep", json!({})),
            self.function("tally", self.batch()),
        ]
    }

    /// A function with this machine's Salesforce, whose redirects come back to this machine.
    pub(crate) fn here(&self, name: &str) -> Function {
        let salesforce = &self.story.stack.salesforce;
        let mut function = self.function(name, Value::Null);
        function.command = vec![binary(&format!("{name}-here")).display().to_string()];
        function.environment.retain(|(name, _)| name != "PUBLIC_URL");
        let more = [
            ("PUBLIC_URL", self.story.stack.latchkey.clone()),
            ("SALESFORCE_LOGIN", salesforce.login_origin()),
            ("SALESFORCE_TEST", salesforce.test_origin()),
        ];
        function.environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
        function
    }

    /// What has changed in the table so far, as Lambda brings it.
    fn batch(&self) -> Value {
        let (mut records, _) = self.story.stack.dynamodb.changes(TABLE, None, 100).expect("the stream");
        records.retain(|record| {
            let pk = record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap_or_default();
            TALLIED.iter().any(|kind| pk.starts_with(kind))
        });
        let now = Clock::running().now().as_second();
        for record in &mut records {
            record["dynamodb"]["ApproximateCreationDateTime"] = now.into();
        }
        json!({ "Records": records, "shardId": DynamoDb::shard(TABLE) })
    }

    /// The floor, and what people would write instead.
    pub(crate) fn references(&self) -> Vec<Function> {
        let token = || {
            let mut event = http_event("GET", &self.token_path(), &self.bearer(), &[], None);
            event["pathParameters"] = json!({ "id": self.connection });
            event
        };
        let peers = root().join("tests/bench/peers");
        let command = |program: &Path, script: PathBuf| {
            vec![program.display().to_string(), script.display().to_string()]
        };
        let node = command(Path::new("node"), peers.join("node/dist/bootstrap.mjs"));
        let python =
            command(&root().join("tests/.tools/bench-python/bin/python"), peers.join("python/bootstrap.py"));
        vec![
            self.function("hello", http_event("GET", "/", &[], &[], None)),
            Function { name: "node".into(), command: node, ..self.function("node", token()) },
            Function { name: "python".into(), command: python, ..self.function("python", token()) },
        ]
    }

    /// What Fernway's backend sends.
    pub(crate) fn bearer(&self) -> [(&'static str, &'static str); 1] {
        let bearer = format!("Bearer {}", self.story.stack.api_key("fernway").expose());
        [("authorization", Box::leak(bearer.into_boxed_str()))]
    }

    /// What an operator's browser, signed in, sends for a page.
    pub(crate) async fn operators_visit(&self) -> impl Fn(&str) -> Request<Body> + use<> {
        let link = self.story.call("POST", "/v1/ops-links", None).await;
        let browser = self.story.stack.browser();
        browser.get(link.text("url")).await.click("Sign in").await;
        let cookie = browser.cookie("__Host-lk-ops").expect("signed in").value;
        move |path: &str| {
            let request = Request::get(path).header("cookie", format!("__Host-lk-ops={cookie}"));
            request.body(Body::Empty).expect("a request")
        }
    }

    /// The call that everything is about.
    pub(crate) fn token_path(&self) -> String {
        format!("/v1/connections/{}/token", self.connection)
    }

    fn function(&self, name: &str, event: Value) -> Function {
        let stack = &self.story.stack;
        let environment = [
            ("TABLE_NAME", TABLE),
            ("FALLBACK_TABLE_NAME", FALLBACK),
            ("DELIVERY_QUEUE_URL", "http://sqs.localhost/deliveries"),
            ("KEYRING_SECRET_ID", KEYRING),
            ("PUBLIC_URL", PUBLIC_URL),
            ("RUST_LOG", "info"),
            ("NODE_NO_WARNINGS", "1"),
            ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamodb.unmetered()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", stack.secrets.endpoint()),
        ];
        Function {
            name: name.into(),
            command: vec![binary(name).display().to_string()],
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            event,
        }
    }
}

/// What a function is made of, as deployed, past the table's meter.
pub(crate) fn platform(stage: &Stage) -> Platform {
    platform_through(stage, platform::aws_https::client(), Http::on_this_machine())
}

/// The same, by other ways out.
pub(crate) fn platform_through(stage: &Stage, http: SharedHttpClient, salesforce: Http) -> Platform {
    let stack = &stage.story.stack;
    let origin = |text: String| text.parse().expect("an address");
    let (login, test) = (origin(stack.salesforce.login_origin()), origin(stack.salesforce.test_origin()));
    let hosts = Hosts::on_this_machine(&login, &test, ".my.salesforce.localhost").expect("loopback names");
    let settings = Settings {
        table: TABLE.into(),
        public_url: PublicUrl::parse(&stack.latchkey).expect("an origin"),
        keyring: Some(KEYRING.into()),
        fallback: Some(FALLBACK.into()),
        egress: Vec::new(),
        delivery_queue: Some("http://sqs.localhost/deliveries".into()),
        event_bus: None,
        vpc: None,
    };
    let aws = Aws {
        region: "eu-central-1".into(),
        credentials: Credentials::new("local", "local", None, None, "local"),
        dynamodb: Some(stack.dynamodb.unmetered().to_owned()),
        secrets_manager: Some(stack.secrets.endpoint().to_owned()),
        sqs: None,
        eventbridge: None,
    };
    Platform::through(http, settings, &aws, Salesforce::new(salesforce, hosts))
}

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A function's release binary, which `tests/bench/run` has built.
pub(crate) fn binary(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release").join(name)
}
