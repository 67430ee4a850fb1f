//! The stack: every part started, wired, and stopped with it.

use runtime::HttpFunction as _;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use authorize::Authorize;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use callback::Callback;
use deliver::{Deliver, Delivered};
use domain::{App, AppKind, Product, ProductId, product::ApiKeyDigest, secret::ApiKey};
use errors::Errors;
use jiff::{SignedDuration, Timestamp};
pub use lambda_http::Body;
use notify::{Batch, Notified, Notify};
use ops::Ops;
use platform::{Aws, Deadline, DeliveryQueue, Platform, Settings, settings::PublicUrl};
use runtime::otlp::Collector;
use salesforce::{Hosts, Http, Salesforce};
use store::SendWrite as _;
use sweep::{Sweep, Swept};
use tally::{Tallied, Tally};
pub use token::Token;
use tokio::task::JoinHandle;
use url::Url;
use webhooks::{AddressGuard, SigningSecret};
#[cfg(feature = "browser")]
use world::browser::Browser;
use world::{
    Clock,
    dynamodb::{DynamoDb, StreamError},
    loopback::Loopback,
    salesforce as world_salesforce,
    secrets::SecretsManager,
};

use crate::{
    functions::{Functions, Observers},
    kept::{Kept, TABLE_FILE},
    logs::Lines,
    product,
    queue::LocalQueue,
    tape::Tape,
};

/// The local table.
pub const TABLE: &str = "latchkey";

/// The local fallback table.
pub const FALLBACK: &str = "latchkey-fallback";

/// The local keyring.
pub const KEYRING: &str = "latchkey/local/keyring";

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Latchkey's port; 0 for any.
    pub port: u16,
    /// The example product's port; 0 for any.
    pub product_port: u16,
    /// The Salesforce world's port; 0 for any.
    pub salesforce_port: u16,
    /// Where the table and the keys are kept; in memory without.
    pub data: Option<PathBuf>,
    /// The folder with the product files.
    pub products: PathBuf,
    /// A login host of another authorization server, in place of the world.
    pub login_host: Option<Url>,
    /// A collector of traces (OTLP), where there is one.
    pub collector: Option<String>,
    /// The time.
    pub clock: Clock,
}

impl Options {
    /// For a journey: any ports, in memory, the example products, a clock that stands until it is moved.
    pub fn for_tests() -> Self {
        Self {
            port: 0,
            product_port: 0,
            salesforce_port: 0,
            data: None,
            products: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/products")),
            login_host: None,
            collector: None,
            clock: Clock::standing("2026-11-22T09:00:00Z".parse().expect("a time")),
        }
    }
}

/// Everything, running.
#[derive(Debug)]
pub struct Stack {
    /// The time that everybody sees.
    pub clock: Clock,
    /// The Salesforce world.
    pub salesforce: world_salesforce::Salesforce,
    /// The certificate authority of the world's https.
    pub ca_pem: String,
    /// The table.
    pub dynamodb: Arc<DynamoDb>,
    /// The secrets.
    pub secrets: SecretsManager,
    /// Latchkey's origin.
    pub latchkey: String,
    /// The example product's origin.
    pub product: String,
    /// The products, as they are stored.
    pub products: Vec<Product>,
    /// An API key of each product.
    pub api_keys: BTreeMap<ProductId, ApiKey>,
    /// What the functions are made of.
    pub functions: Box<Functions>,
    /// The table as a function sees it, for what only an operator does.
    pub store: store::Store,
    parts: Parts,
    sweep: Box<Sweep>,
    deliver: Box<Deliver>,
    /// What the example product's webhook endpoint was told.
    pub inbox: product::Inbox,
    stream: Stream,
    servers: Vec<JoinHandle<()>>,
    _world: world_salesforce::Running,
}

/// The table's stream, brought to the functions `tally` and `notify` as Lambda does. Clones share the places that were
/// reached.
#[derive(Debug, Clone)]
pub struct Stream {
    dynamodb: Arc<DynamoDb>,
    tally: Tally,
    notify: Notify,
    observers: Arc<Observers>,
    lines: Lines,
    clock: Clock,
    place: Arc<tokio::sync::Mutex<Option<String>>>,
    notified: Arc<tokio::sync::Mutex<Option<String>>>,
}

/// A batch could not be read or counted. The next run starts with it again.
#[derive(Debug, thiserror::Error)]
pub enum StreamRunError {
    /// The stream cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The changes cannot be counted.
    #[error(transparent)]
    Tally(#[from] tally::TallyError),
}

/// Records in a batch at most.
const BATCH: usize = 100;

impl Stream {
    /// Brings everything that has changed, batch by batch.
    ///
    /// # Panics
    /// If the table cannot be written.
    pub async fn run(&self) -> Tallied {
        self.try_run().await.expect("the batch is tallied")
    }

    /// Brings everything that has changed, batch by batch. A batch that fails is brought again by the next run.
    pub async fn try_run(&self) -> Result<Tallied, StreamRunError> {
        let mut place = self.place.lock().await;
        let mut done = Tallied::default();
        loop {
            let (records, next) = self.dynamodb.changes(TABLE, place.as_deref(), BATCH)?;
            if records.is_empty() {
                return Ok(done);
            }
            let event = self.event(records);
            // Lambda invokes nothing for a batch of which its filter lets nothing through.
            if !event.records.is_empty() {
                let batch = self.bring(event).await?;
                done.records += batch.records;
                done.counted += batch.counted;
                done.seen_before += batch.seen_before;
                done.resolved += batch.resolved;
            }
            *place = next;
        }
    }

    async fn bring(&self, event: tally::Event) -> Result<Tallied, tally::TallyError> {
        let now = self.clock.now();
        let run = Box::pin(self.tally.run(event, now));
        let (batch, lines) = self.observers.tally.run("local", now, run).await;
        self.lines.keep(lines);
        batch
    }

    /// Brings everything that has changed to `notify`.
    ///
    /// # Panics
    /// If the stream cannot be read.
    pub async fn notify(&self) -> Notified {
        self.try_notify().await.expect("the stream")
    }

    /// Brings everything that has changed to `notify`, batch by batch, and the events that it records too. Records that
    /// fail are brought again by the next run.
    pub async fn try_notify(&self) -> Result<Notified, StreamError> {
        let mut place = self.notified.lock().await;
        let mut done = Notified::default();
        loop {
            let (records, next) = self.dynamodb.changes(TABLE, place.as_deref(), BATCH)?;
            if records.is_empty() {
                return Ok(done);
            }
            let records = self.filtered(records, &NOTIFIED);
            if !records.is_empty() {
                let now = self.clock.now();
                let run = Box::pin(self.notify.run(Batch { records }, now));
                let (batch, lines) = self.observers.notify.run("local", now, run).await;
                self.lines.keep(lines);
                done.records += batch.records;
                done.recorded += batch.recorded;
                done.recorded_before += batch.recorded_before;
                done.passed_on += batch.passed_on;
                done.set_aside += batch.set_aside;
                if !batch.failed.is_empty() {
                    done.failed = batch.failed;
                    return Ok(done);
                }
            }
            *place = next;
        }
    }

    /// Drops everything that `notify` was not brought yet, as DynamoDB does after a day.
    pub async fn loses_everything(&self) {
        let mut place = self.notified.lock().await;
        loop {
            let (records, next) =
                self.dynamodb.changes(TABLE, place.as_deref(), BATCH).expect("the stream can be read");
            *place = next;
            if records.is_empty() {
                return;
            }
        }
    }

    /// The event of a batch: what the template's filter lets through, at the time that everybody here sees.
    pub fn event(&self, records: Vec<serde_json::Value>) -> tally::Event {
        let records = self.filtered(records, &TALLIED);
        let event = serde_json::json!({ "Records": records, "shardId": DynamoDb::shard(TABLE) });
        serde_json::from_value(event).expect("an event")
    }
}

impl Stream {
    /// The records of these kinds of items, at the time that everybody here sees.
    fn filtered(&self, mut records: Vec<serde_json::Value>, kinds: &[&str]) -> Vec<serde_json::Value> {
        records.retain(|record| {
            let pk = record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap_or_default();
            kinds.iter().any(|kind| pk.starts_with(kind))
        });
        for record in &mut records {
            record["dynamodb"]["ApproximateCreationDateTime"] =
                self.clock.now().as_duration().as_secs_f64().into();
        }
        records
    }
}

/// The kinds of items whose changes are brought to `notify`.
pub const NOTIFIED: [&str; 6] = ["CONNECTION#", "ENDPOINT#", "EVENT#", "FAILURE#", "SESSION#", "WAVE#"];

/// The webhook attempts that are due, brought to the function `deliver` as Lambda does.
#[derive(Debug)]
pub struct Deliveries {
    queue: LocalQueue,
    deliver: Deliver,
    observers: Arc<Observers>,
    lines: Lines,
}

impl Deliveries {
    /// Makes every attempt that is due.
    pub async fn run(&self) -> Vec<Delivered> {
        self.queue.run(&self.deliver, &self.observers.deliver, &self.lines).await
    }
}

/// The kinds of items whose changes are brought to `tally`.
pub const TALLIED: [&str; 3] = ["CONNECTION#", "FAILURE#", "SESSION#"];

/// What every function is made of.
#[derive(Debug)]
struct Parts {
    settings: Settings,
    aws: Aws,
    hosts: Hosts,
    queue: LocalQueue,
}

impl Parts {
    /// As in life: each function has its own clients and its own memory.
    fn platform(&self) -> Platform {
        let salesforce = Salesforce::new(Http::on_this_machine(), self.hosts.clone());
        let platform = Platform::new(self.settings.clone(), &self.aws, salesforce);
        platform.with_deliveries(DeliveryQueue::other(Arc::new(self.queue.clone())))
    }
}

/// What cannot start.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

impl Stack {
    /// Starts everything.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let clock = options.clock.clone();
        let collector = options.collector.as_deref().map(Collector::at).transpose()?;
        let listener = Loopback::bind(options.port).await?;
        let product_listener = Loopback::bind(options.product_port).await?;
        let latchkey = format!("http://latchkey.localhost:{}", listener.port()?);
        let product = format!("http://product.localhost:{}", product_listener.port()?);
        let public_url = PublicUrl::parse(&latchkey).ok_or("the local origin is no public URL")?;

        let salesforce = world_salesforce::Salesforce::new(clock.clone());
        let world = salesforce.clone().serve(options.salesforce_port).await?;
        let hosts = hosts(&salesforce, options.login_host.as_ref())?;

        let secrets = SecretsManager::start().await;
        let mut kept = Kept::load(options.data.as_ref())?;
        secrets.put(KEYRING, kept.keyring());

        let mut products = latchkey::read_products(&options.products)?;
        let mut api_keys = BTreeMap::new();
        for found in &mut products {
            let key = kept.api_key(found);
            localise(found, &product, &salesforce);
            found.api_keys.push(ApiKeyDigest { id: "local".into(), hash: key.hash() });
            api_keys.insert(found.id.clone(), key);
            store_secrets(found, &secrets);
            for app in &found.apps {
                salesforce.register_app(registration(found, app, &public_url.callback()));
            }
        }
        kept.save(options.data.as_ref())?;

        let table_file = options.data.as_ref().map(|folder| folder.join(TABLE_FILE));
        let dynamodb = DynamoDb::open(table_file.as_deref()).await?;
        let aws = aws(&dynamodb, &secrets);
        let settings = Settings {
            table: TABLE.into(),
            public_url,
            keyring: Some(KEYRING.into()),
            fallback: Some(FALLBACK.into()),
            egress: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            delivery_queue: None, // in this process
            vpc: None,
        };
        let parts = Parts { settings, aws, hosts, queue: LocalQueue::new(&clock) };
        let platform = parts.platform();
        platform.fallback()?.create_table().await?;
        let store = platform.store;
        store.create_table().await?;
        for found in &products {
            store.put_product(found).await?;
        }
        dynamodb.reset_counts();
        secrets.reset_calls();

        let (observers, lines) = (Arc::new(Observers::new(collector.as_ref())), Lines::default());
        let functions = Box::new(Functions {
            authorize: Authorize::new(parts.platform())?,
            callback: Callback::new(parts.platform())?,
            token: Token::new(parts.platform())?,
            errors: Errors::new(parts.platform())?,
            ops: Ops::new(parts.platform())?,
            clock: clock.clone(),
            lines: lines.clone(),
            tape: Tape::default(),
            observers: Arc::clone(&observers),
        });
        let sweep = Box::new(Sweep::new(parts.platform())?);
        let deliver = Box::new(Deliver::with_guard(parts.platform(), AddressGuard::this_machine())?);
        let inbox = inbox(&products, &clock);
        let mut servers = serve(listener, &Functions::clone(&functions).router());
        if let Some((id, key)) = api_keys.iter().next() {
            let example = product::Example::new(&latchkey, &product, (id, key), inbox.clone());
            servers.extend(serve(product_listener, &example.router()));
        }
        let dynamodb = Arc::new(dynamodb);
        Ok(Self {
            clock: clock.clone(),
            ca_pem: world.ca_pem().to_owned(),
            salesforce,
            dynamodb: Arc::clone(&dynamodb),
            secrets,
            latchkey,
            product,
            products,
            api_keys,
            functions,
            store,
            stream: Stream {
                dynamodb,
                tally: Tally::new(parts.platform().store),
                notify: <Notify as runtime::StreamFunction>::new(parts.platform())?,
                observers,
                lines,
                clock,
                place: Arc::default(),
                notified: Arc::default(),
            },
            parts,
            sweep,
            deliver,
            inbox,
            servers,
            _world: world,
        })
    }

    /// One scheduled run of the sweep, now.
    pub async fn sweep(&self) -> Swept {
        let now = self.clock.now();
        let run = Box::pin(self.sweep.run(sweep_deadline(now)));
        let (swept, lines) = self.functions.observers.sweep.run("local", now, run).await;
        self.functions.lines.keep(lines);
        swept.expect("the sweep runs")
    }

    /// Every webhook attempt that is due is made, now.
    pub async fn deliver(&self) -> Vec<Delivered> {
        self.deliveries().run().await
    }

    /// The attempts that are due, for whoever makes them.
    pub fn deliveries(&self) -> Deliveries {
        Deliveries {
            queue: self.parts.queue.clone(),
            deliver: Deliver::clone(&self.deliver),
            observers: Arc::clone(&self.functions.observers),
            lines: self.functions.lines.clone(),
        }
    }

    /// The function that makes the attempts, in a sandbox of its own, cold.
    pub fn cold_deliver(&self) -> Deliver {
        Deliver::with_guard(self.parts.platform(), AddressGuard::this_machine())
            .expect("the settings are complete")
    }

    /// The queue of the attempts that are due.
    pub fn queue(&self) -> &LocalQueue {
        &self.parts.queue
    }

    /// Everything that has changed is brought to `tally`, now.
    pub async fn tally(&self) -> Tallied {
        self.stream.run().await
    }

    /// Everything that has changed is brought to `notify`, now.
    pub async fn notify(&self) -> Notified {
        self.stream.notify().await
    }

    /// The table's stream, for whoever brings it.
    pub fn stream(&self) -> Stream {
        self.stream.clone()
    }

    /// The sweep, for whoever schedules it.
    pub fn sweeper(&self) -> Sweep {
        Sweep::clone(&self.sweep)
    }

    /// What a function is made of, for what writes as functions do.
    pub fn platform(&self) -> Platform {
        self.parts.platform()
    }

    /// A token function in a sandbox of its own, cold.
    pub fn cold_token(&self) -> Token {
        Token::new(self.parts.platform()).expect("the settings are complete")
    }

    /// Copies one item's attribute to another, as whoever can write the table could.
    pub async fn copy_attribute(&self, from: &str, to: &str, attribute: &str) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let client = self.store.client();
        let read = client.get_item().table_name(TABLE).key("pk", text(from)).key("sk", text("CONNECTION"));
        let mut item = read.send().await.expect("the table can be read").item.expect("an item");
        client
            .update_item()
            .table_name(TABLE)
            .key("pk", text(to))
            .key("sk", text("CONNECTION"))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", attribute)
            .expression_attribute_values(":value", item.remove(attribute).expect("the attribute"))
            .send_write()
            .await
            .expect("the table can be written");
    }

    /// Deletes an item, as whoever can write the table could.
    pub async fn delete_item(&self, pk: &str, sk: &str) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let delete = self.store.client().delete_item().table_name(TABLE);
        delete.key("pk", text(pk)).key("sk", text(sk)).send_write().await.expect("the table can be written");
    }

    /// Removes an attribute of a connection's item, as whoever can write the table could.
    pub async fn remove_attribute(&self, of: &str, attribute: &str) {
        self.store
            .client()
            .update_item()
            .table_name(TABLE)
            .key("pk", AttributeValue::S(of.to_owned()))
            .key("sk", AttributeValue::S("CONNECTION".to_owned()))
            .update_expression("REMOVE #name")
            .expression_attribute_names("#name", attribute)
            .send_write()
            .await
            .expect("the table can be written");
    }

    /// A new browser, with nothing in it.
    #[cfg(feature = "browser")]
    pub fn browser(&self) -> Browser {
        Browser::new(&self.clock)
    }

    /// The API key of a product.
    pub fn api_key(&self, product: &str) -> &ApiKey {
        let id: ProductId = product.parse().expect("a product id");
        self.api_keys.get(&id).unwrap_or_else(|| panic!("there is no product {product}"))
    }

    /// An app of a product.
    pub fn app(&self, product: &str, app: &str) -> &App {
        let found = self.products.iter().find(|found| found.id.as_str() == product);
        let found = found.unwrap_or_else(|| panic!("there is no product {product}"));
        found.app(&app.parse().expect("an app id")).unwrap_or_else(|| panic!("{product} has no app {app}"))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

fn serve(at: Loopback, router: &axum::Router) -> Vec<JoinHandle<()>> {
    let listeners = at.into_listeners();
    let serve = |listener| {
        let router = router.clone();
        tokio::spawn(async move {
            // It ends with the stack; there is nobody left to tell an error to.
            let _ = axum::serve(listener, router).await;
        })
    };
    listeners.map(serve).collect()
}

fn hosts(world: &world_salesforce::Salesforce, login_host: Option<&Url>) -> Result<Hosts, StartError> {
    let hosts = match login_host {
        Some(login) => Hosts::on_this_machine(login, login, ".localhost"),
        None => Hosts::on_this_machine(
            &world.login_origin().parse()?,
            &world.test_origin().parse()?,
            ".my.salesforce.localhost",
        ),
    };
    Ok(hosts?)
}

/// AWS on this machine.
fn aws(dynamodb: &DynamoDb, secrets: &SecretsManager) -> Aws {
    Aws {
        region: "eu-central-1".into(),
        credentials: Credentials::new("local", "local", None, None, "local"),
        dynamodb: Some(dynamodb.endpoint().to_owned()),
        secrets_manager: Some(secrets.endpoint().to_owned()),
        sqs: None,
    }
}

/// The secrets that a product's file names.
fn store_secrets(product: &Product, secrets: &SecretsManager) {
    for endpoint in &product.webhooks {
        let value = format!(r#"{{"current":"{}"}}"#, signing_secret(&endpoint.secret));
        secrets.put(&endpoint.secret, &value);
    }
    for app in &product.apps {
        secrets.put(&app.secret, &format!(r#"{{"current":"{}"}}"#, consumer_secret(app)));
    }
}

/// What the example product's endpoint is told.
fn inbox(products: &[Product], clock: &Clock) -> product::Inbox {
    let endpoint = products.iter().find_map(|product| product.webhooks.first());
    let secret = endpoint.map(|endpoint| signing_secret(&endpoint.secret)).unwrap_or_default();
    product::Inbox::new(&secret, clock)
}

/// What of a product's file holds on this machine: the example product's own return address, and install
/// links that lead into the world.
fn localise(product: &mut Product, example: &str, salesforce: &world_salesforce::Salesforce) {
    if let Ok(address) = Url::parse(&format!("{example}/salesforce/return")) {
        product.return_addresses.insert(0, address);
    }
    for endpoint in &mut product.webhooks {
        if let Ok(address) = Url::parse(&format!("{example}{}", endpoint.url.path())) {
            endpoint.url = address;
        }
    }
    for app in &mut product.apps {
        let here = |link: &Option<Url>, origin: String| {
            let link = link.as_ref()?;
            Url::parse(&format!("{origin}{}?{}", link.path(), link.query().unwrap_or_default())).ok()
        };
        app.packages.production = here(&app.packages.production, salesforce.login_origin());
        app.packages.sandbox = here(&app.packages.sandbox, salesforce.test_origin());
    }
}

/// The world's registration of an app: what its product's file says.
pub fn registration(product: &Product, app: &App, callback: &str) -> world_salesforce::AppRegistration {
    use world_salesforce::AppRegistration;
    let secret = consumer_secret(app);
    let package = app.packages.production.as_ref().and_then(|link| {
        link.query_pairs().find(|(name, _)| name == "p0").map(|(_, package)| package.into_owned())
    });
    let mut registration = match app.kind {
        AppKind::ConnectedApp => {
            AppRegistration::connected_app(app.label(), &app.consumer_key, &secret, callback)
        }
        AppKind::ExternalClientApp => AppRegistration::external_client_app(
            app.label(),
            &app.consumer_key,
            &secret,
            callback,
            package.as_deref().unwrap_or_default(),
        ),
    };
    registration.vendor.clone_from(&product.brand.name);
    registration.package_id = package;
    registration.scopes.clone_from(&app.scopes);
    registration
}

/// The signing secret of a webhook endpoint on this machine.
pub fn signing_secret(name: &str) -> String {
    SigningSecret::encode(domain::secret::Hash::of(name).as_str().as_bytes().get(..32).unwrap_or_default())
}

/// The consumer secret of an app on this machine. Another authorization server that stands in for the world
/// is told it.
pub fn consumer_secret(app: &App) -> String {
    format!("local-secret-of-{}", app.secret.rsplit('/').next().unwrap_or_default())
}

/// The deadline of a sweep that begins now: it has the time that infra/template.yaml gives it. With a function's 28 s, a
/// slow machine would leave it no time to refresh.
pub fn sweep_deadline(now: Timestamp) -> Deadline {
    let ends = (now + SignedDuration::from_secs(240)).as_millisecond();
    Deadline::until(u64::try_from(ends).unwrap_or_default(), now)
}
