//! `cargo run --locked -p local`: everything on this machine, and a short tour of it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person reads where to click")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use local::{
    Options, Stack,
    month::{self, Month},
    stack::sweep_deadline,
};
use tracing_subscriber::util::SubscriberInitExt as _;
use url::Url;
use world::Clock;

#[derive(Debug, Parser)]
#[command(
    name = "local",
    about = "Latchkey on this machine: every function, DynamoDB, a Salesforce, a product"
)]
struct Arguments {
    /// Latchkey's port
    #[arg(long, default_value_t = 7400)]
    port: u16,
    /// The example product's port
    #[arg(long, default_value_t = 7401)]
    product_port: u16,
    /// The Salesforce world's port
    #[arg(long, default_value_t = 7402)]
    salesforce_port: u16,
    /// Keep the table and the keys in this folder (otherwise in memory)
    #[arg(long)]
    data: Option<PathBuf>,
    /// The folder with the product files
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/products"))]
    products: PathBuf,
    /// A login host of another authorization server on this machine, in place of the Salesforce world
    #[arg(long)]
    login_host: Option<Url>,
    /// A collector of traces (OTLP over HTTP, in JSON) such as http://localhost:4318
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    collector: Option<String>,
    /// Stop after so many seconds
    #[arg(long)]
    stop_after: Option<u64>,
    /// First replay a plausible month of 10,000 sessions, so that the operators' page has something to show
    #[arg(value_enum)]
    first: Option<First>,
    /// How many sessions that month has
    #[arg(long, default_value_t = Month::default().sessions)]
    sessions: usize,
    /// Print one line of JSON instead of the tour: addresses, API keys, the certificate of the world's https
    #[arg(long)]
    json: bool,
}

/// What is done before the tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum First {
    /// A month of sessions, outages and fixes.
    Month,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.first.is_none() {
        // Standard output is the tour or, with --json, one line: logs would make it unreadable to a program.
        let logs = runtime::logs::logs(arguments.collector.is_some(), std::io::stderr);
        logs.init();
    }
    let clock = Clock::running();
    if arguments.first.is_some() {
        clock.pass(jiff::SignedDuration::from_hours(-24 * i64::from(month::DAYS)));
    }
    let options = Options {
        port: arguments.port,
        product_port: arguments.product_port,
        salesforce_port: arguments.salesforce_port,
        data: arguments.data,
        products: arguments.products,
        login_host: arguments.login_host,
        clock,
        collector: arguments.collector,
    };
    let stack = match Stack::start(options).await {
        Ok(stack) => stack,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(First::Month) = arguments.first {
        let month = Month { sessions: arguments.sessions, ..Month::default() };
        eprintln!("A month of {} sessions is replayed; that takes some minutes …", month.sessions);
        match month::replay(&stack, month).await {
            Ok(sessions) => eprintln!("{sessions} sessions"),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if arguments.json {
        println!("{}", addresses(&stack));
    } else {
        println!("{}", tour(&stack, &ops_link(&stack).await));
    }
    sweep_on_schedule(&stack);
    tally_what_changes(&stack);
    deliver_what_is_due(&stack);
    let end = arguments.stop_after.map_or(Duration::MAX, Duration::from_secs);
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = tokio::time::sleep(end) => {}
    }
    ExitCode::SUCCESS
}

/// As the deployed schedule does, but sooner: a person is waiting to see it.
fn sweep_on_schedule(stack: &Stack) {
    let (sweep, clock) = (stack.sweeper(), stack.clock.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(30)).await;
            if let Err(error) = sweep.run(sweep_deadline(clock.now())).await {
                eprintln!("sweep: {error}");
            }
        }
    });
}

/// As Lambda does with the table's stream, but sooner.
fn tally_what_changes(stack: &Stack) {
    let stream = stack.stream();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Err(error) = stream.try_notify().await {
                eprintln!("notify: {error}; events are recorded once it can be read");
            }
            if let Err(error) = stream.try_run().await {
                eprintln!("tally: {error}; what changed is counted once the table can be written");
            }
        }
    });
}

/// As Lambda does with the queue of webhook attempts.
fn deliver_what_is_due(stack: &Stack) {
    let deliveries = stack.deliveries();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            deliveries.run().await;
        }
    });
}

fn addresses(stack: &Stack) -> String {
    let keys: serde_json::Map<String, serde_json::Value> =
        stack.api_keys.iter().map(|(id, key)| (id.to_string(), key.expose().into())).collect();
    serde_json::json!({
        "latchkey": stack.latchkey,
        "product": stack.product,
        "salesforce": stack.salesforce.site(),
        "dynamodb": stack.dynamodb.endpoint(),
        "api_keys": keys,
        "ca_pem": stack.ca_pem,
    })
    .to_string()
}

/// As `latchkey ops link` makes it: for all products.
async fn ops_link(stack: &Stack) -> String {
    let link = latchkey::ops_link(&stack.store, &stack.latchkey, None, "local tour", stack.clock.now()).await;
    link.unwrap_or_else(|error| error.to_string())
}

fn tour(stack: &Stack, ops: &str) -> String {
    let (product, site) = (&stack.product, format!("http://{}", stack.salesforce.site()));
    let key = stack.api_keys.values().next().map_or("", |key| key.expose());
    format!(
        r"
Latchkey is running. Open a browser on this machine:

  1. The error     {product}
                   Sign in as Alice, press Connect Salesforce, choose Production, continue,
                   and sign in to Salesforce as uma@acme.example, who is no admin.
                   Salesforce stops on its own page: the app is not installed.
                   Copy that page's address, go back, say that Salesforce stopped you, paste it.

  2. The fix       Latchkey's page now names the cause, and the steps for the admin. Take them:
                   {site}
                   → acme, Setup, as ada@acme.example: Connected Apps OAuth Usage → Install.

  3. The success   {product}
                   Press Connect Salesforce again, as uma: Allow. Fernway shows Acme's accounts,
                   read with a token from Latchkey.

  4. The view      {ops}
                   What the operators see: the failure, its cause, how long the fix took. The link works
                   once, for ten minutes; another one:
                   curl -s -X POST {latchkey_ip}/v1/ops-links -H 'Authorization: Bearer {key}'

  Latchkey   {latchkey}
  Salesforce {site}
  DynamoDB   {dynamodb}
  API key    {key}

  curl -s {latchkey_ip}/v1/connections -H 'Authorization: Bearer {key}'

Ctrl-C stops it.
",
        latchkey = stack.latchkey,
        latchkey_ip = stack.latchkey.replace("latchkey.localhost", "127.0.0.1"),
        dynamodb = stack.dynamodb.endpoint(),
    )
}
