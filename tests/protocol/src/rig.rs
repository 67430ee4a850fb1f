//! A connection at a Salesforce, and processes that are asked for its token.

use runtime::HttpFunction as _;
use std::{collections::BTreeMap, time::Duration};

use aws_credential_types::Credentials;
use callback::Callback;
use domain::{
    App, AppKind, Brand, ConnectSession, Connection, ConnectionId, ConnectionState, Customer, Environment,
    HostChoice, Identity, Product, Scopes, SessionId, SessionState, WebhookEndpoint,
    product::{ApiKeyDigest, Packages, Support},
    secret::{
        AccessToken, ApiKey, BrowserSecret, ConnectKey, Fingerprint, Hash, Receipt, RefreshToken, State,
    },
    session::{BoundBrowser, Redemption},
};
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Context, RequestExt as _};
use platform::{Aws, Deadline, DeliveryQueue, Platform, Settings, settings::PublicUrl};
use salesforce::{Hosts, Salesforce};
use serde_json::{Value, json};
use store::{AppAt, ConnectionRecord, NewConnection, Reconnect, Redeemed, Tokens};
use sweep::{Sweep, Swept};
use token::Token;
use tokio::{sync::watch, time::timeout};
use world::{
    Clock,
    dynamodb::Direct,
    salesforce::{AppRegistration, Grant, Salesforce as World},
};

use crate::{Ether, ether::CALL};

/// The table.
pub const TABLE: &str = "latchkey";

/// The fallback.
pub const FALLBACK: &str = "latchkey-fallback";

const KEYRING: &str = "keyring";
const APP_SECRET: &str = "apps/sync";
/// The app's consumer key.
pub const CONSUMER_KEY: &str = "3MVG9protocol";
const CONSUMER_SECRET: &str = "consumer-secret";

/// When Lambda ends the token and callback functions (infra/template.yaml).
pub const TIME_OUT: Duration = Duration::from_secs(28);

/// When Lambda ends the sweep.
pub const SWEEP_TIME_OUT: Duration = Duration::from_mins(4);

/// One connection, its Salesforce, and the way between.
#[derive(Debug)]
pub struct Rig {
    /// Salesforce.
    pub world: World,
    /// The way.
    pub ether: Ether,
    /// The time.
    pub clock: Clock,
    /// The connection.
    pub connection: ConnectionId,
    pub(crate) product: Option<Product>,
    reconnect: Option<(SessionId, Receipt)>,
    api_key: ApiKey,
    processes: usize,
    /// How far a process's clock is from the others at most.
    pub(crate) max_skew: SignedDuration,
}

/// A process that serves the token and callback functions, and the sweep.
#[derive(Debug, Clone)]
pub struct Process {
    number: usize,
    ether: Ether,
    clock: Clock,
    token: Token,
    callback: Callback,
    sweep: Sweep,
    skew: SignedDuration,
    death: watch::Sender<bool>,
}

/// What a caller got.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status; 0: the process died.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// After how many seconds to ask again.
    pub retry_after: Option<u32>,
    /// Where a browser is sent.
    pub location: Option<String>,
}

impl Answer {
    /// The fingerprint of the token in it.
    pub fn token(&self) -> Option<Fingerprint> {
        Fingerprint::parse(self.body["fingerprint"].as_str()?)
    }

    /// Whether the process died before it answered.
    pub fn died(&self) -> bool {
        self.status == 0
    }

    /// The problem's type.
    pub fn problem(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default()
    }
}

impl Rig {
    /// A connection whose token is taken to live for 15 minutes, at a Salesforce that rotates refresh tokens or not.
    pub async fn new(rotation: bool) -> Self {
        Self::with(rotation, |_| ()).await
    }

    /// The same, with another configuration of the app. Salesforce keeps to its idle limit.
    pub async fn with(rotation: bool, configure: impl FnOnce(&mut App)) -> Self {
        let mut product = product();
        configure(&mut product.apps[0]);
        let clock = Clock::of_tokio("2026-11-22T09:00:00Z".parse().expect("a time"));
        let world = World::new(clock.clone());
        world.change(|state| state.site = "salesforce.localhost:7402".into());
        let mut registration = AppRegistration::connected_app(
            "Protocol",
            CONSUMER_KEY,
            CONSUMER_SECRET,
            "https://connect.example.com/oauth/callback",
        );
        registration.refresh_token_rotation = rotation;
        let idle_days = i64::from(product.apps[0].refresh_token_idle_days);
        registration.idle_expiry = Some(SignedDuration::from_hours(24 * idle_days));
        registration.scopes.clone_from(&product.apps[0].scopes);
        world.register_app(registration);
        world.install("acme", CONSUMER_KEY).expect("the app can be installed");
        let secrets = BTreeMap::from([
            (KEYRING.to_owned(), json!({ "current": "v1", "v1": "k".repeat(64) }).to_string()),
            (APP_SECRET.to_owned(), json!({ "current": CONSUMER_SECRET }).to_string()),
        ]);
        let ether = Ether::new(Direct::default(), world.desk(), clock.clone(), secrets);

        let api_key = ApiKey::mint(&product.id, "test");
        let mut rig = Self {
            connection: ConnectionId::mint(clock.now()),
            world,
            ether,
            clock,
            product: None,
            reconnect: None,
            api_key,
            processes: 0,
            max_skew: SignedDuration::ZERO,
        };
        rig.fill(product).await;
        rig
    }

    /// Stores the product and its connection.
    async fn fill(&mut self, mut product: Product) {
        let platform = self.platform(usize::MAX, &watch::channel(false).0);
        platform.store.create_table().await.expect("the table");
        platform.fallback().expect("a name").create_table().await.expect("the fallback");
        product.api_keys.push(ApiKeyDigest { id: "test".into(), hash: self.api_key.hash() });
        platform.store.put_product(&product).await.expect("the product is stored");
        // Salesforce has said of one of the app's tokens that it is active.
        let app = AppAt { product: &product.id, app: &product.apps[0].id, consumer_key: CONSUMER_KEY };
        platform.store.note_introspects(app).await.expect("the table takes it");

        self.connect(&product, self.connection.clone(), "acme", 0).await;
        self.ether.watch(format!("CONNECTION#{}", self.connection));
        self.product = Some(product);
    }

    /// One connection more, of the org's `user`th user, counted from 0.
    pub async fn connect_another(&self, user: usize) -> ConnectionId {
        self.connect_in("acme", user).await
    }

    /// The same in another org.
    pub async fn connect_in(&self, org: &str, user: usize) -> ConnectionId {
        let id = ConnectionId::mint(self.clock.now());
        self.connect(self.product.as_ref().expect("filled"), id.clone(), org, user).await;
        id
    }

    /// So many copies of the connection, none of them due within a year.
    pub fn crowd(&self, number: usize) {
        let due = self.clock.now() + SignedDuration::from_hours(24 * 365);
        self.copies(number, |id, item| {
            item["due_at"] = json!({ "N": due.as_millisecond().to_string() });
            item["due_shard"] = json!({ "S": store::keys::due_shard(id.as_str()) });
        });
    }

    /// The sweep has to look at the connection now.
    pub fn make_due(&self) {
        let mut item = self.item();
        item["due_at"] = json!({ "N": self.clock.now().as_millisecond().to_string() });
        self.ether.table.seed(TABLE, std::iter::once(item));
    }

    /// So many copies of the connection, due where and when it is, with a login host that is none of Salesforce's.
    pub fn hopeless(&self, number: usize) {
        self.copies(number, |_, item| item["login_host"] = json!({ "S": "https://login.example.com" }));
    }

    /// Nothing is known of the app any more.
    pub fn forget_app_health(&self) {
        for item in self.ether.table.items(TABLE) {
            let pk = item["pk"]["S"].as_str().unwrap_or_default();
            if pk.starts_with("HEALTH#APP#") {
                self.ether.table.lose(TABLE, pk, "HEALTH");
            }
        }
    }

    /// Changes the connection's item, as whoever can write the table could.
    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut item = self.item();
        change(&mut item);
        self.ether.table.seed(TABLE, std::iter::once(item));
    }

    /// So many copies of what waits in the fallback, each for a connection that the table does not have.
    pub fn crowd_fallback(&self, number: usize) {
        let waiting = self.waiting().expect("an answer waits");
        let copies = (0..number).map(|_| {
            let (id, mut item) = (ConnectionId::mint(self.clock.now()), waiting.clone());
            item["pk"] = json!({ "S": format!("CONNECTION#{id}") });
            item["connection"] = json!({ "S": id.to_string() });
            item
        });
        self.ether.table.seed(FALLBACK, copies);
    }

    /// An operator decides this about everything that is in quarantine.
    pub fn decide(&self, decision: &str) {
        let items = self.ether.table.items(FALLBACK).into_iter();
        let decided = items.filter(|item| item.get("quarantined_at").is_some()).map(|mut item| {
            item["decision"] = json!({ "S": decision });
            item
        });
        self.ether.table.seed(FALLBACK, decided);
    }

    /// An item in the fallback that no version can read.
    pub fn spoil_fallback(&self) {
        let item = json!({
            "pk": { "S": format!("CONNECTION#{}", ConnectionId::mint(self.clock.now())) },
            "sk": { "S": "AFTER#nothing" },
            "renewed": { "S": "not an answer" },
        });
        self.ether.table.seed(FALLBACK, std::iter::once(item));
    }

    /// The app has another consumer secret: at Salesforce and in Secrets Manager.
    pub fn rotate_consumer_secret(&self) {
        let secret = "another-consumer-secret";
        self.world.change(|state| {
            let app = state.apps.iter_mut().find(|app| app.consumer_key == CONSUMER_KEY);
            app.expect("registered").consumer_secret = secret.into();
        });
        self.ether.put_secret(APP_SECRET, json!({ "current": secret }).to_string());
    }

    /// The product's file names no app any more.
    pub async fn remove_apps(&self) {
        let product = Product { apps: Vec::new(), ..self.product.clone().expect("filled") };
        self.store().put_product(&product).await.expect("the product is stored");
    }

    fn copies(&self, number: usize, change: impl Fn(&ConnectionId, &mut Value)) {
        let copies = (0..number).map(|_| {
            let (id, mut item) = (ConnectionId::mint(self.clock.now()), self.item());
            for (attribute, value) in
                [("pk", format!("CONNECTION#{id}")), ("id", id.to_string()), ("listing_sk", id.to_string())]
            {
                item[attribute] = json!({ "S": value });
            }
            change(&id, &mut item);
            item
        });
        self.ether.table.seed(TABLE, copies);
    }

    async fn connect(&self, product: &Product, connection: ConnectionId, org: &str, user: usize) {
        let (platform, now) = (self.platform(usize::MAX, &watch::channel(false).0), self.clock.now());
        let app = &product.apps[0];
        let session = session(product, now);
        platform.store.create_session(&session, &Hash::of("call")).await.expect("the session is stored");
        let mut record = self.grant(&platform, product, &session, connection, (org, user)).await;
        let receipt = save_pending(&platform, &mut record, &session.id, now).await;
        let redemption = Redemption {
            session: session.id,
            product: product.id.clone(),
            receipt,
            user: "user_7".into(),
            keep_alive: now + app.keep_alive(),
        };
        // One more connection, whichever the user has.
        let redeemed = platform.store.redeem(&redemption, None, now).await.expect("the receipt is redeemed");
        assert!(matches!(redeemed, Redeemed::Yes), "{redeemed:?}");
    }

    /// The connection's user authorizes it anew; the product is about to bring the receipt.
    pub async fn reconnect(&mut self) {
        let (platform, now) = (self.platform(usize::MAX, &watch::channel(false).0), self.clock.now());
        let product = self.product.as_ref().expect("filled");
        let session = ConnectSession { reconnects: Some(self.connection.clone()), ..session(product, now) };
        platform.store.create_session(&session, &Hash::of("call")).await.expect("the session is stored");
        let id = ConnectionId::mint(now);
        let mut record = self.grant(&platform, product, &session, id, ("acme", 0)).await;
        let whose = record.connection.identity.clone();
        record.reconnect = Some(Reconnect::New { of: self.connection.clone(), whose });
        let receipt = save_pending(&platform, &mut record, &session.id, now).await;
        self.reconnect = Some((session.id, receipt));
    }

    /// The call that redeems the reconnect's receipt, if there is one.
    pub fn redeem(&self) -> Option<http::Request<Body>> {
        let (session, receipt) = self.reconnect.as_ref()?;
        let body = json!({ "receipt": receipt.expose(), "user": "user_7" });
        let path = format!("/v1/connect-sessions/{session}/redeem");
        Some(self.request("POST", &path, Some(&body)))
    }

    /// What a user's grant makes of a connection, not stored yet.
    async fn grant(
        &self,
        platform: &Platform,
        product: &Product,
        session: &ConnectSession,
        connection: ConnectionId,
        (org, user): (&str, usize),
    ) -> ConnectionRecord {
        let (app, now) = (&product.apps[0], self.clock.now());
        let user = self.world.org(org).users[user].id.clone();
        let granted = self.world.granted(org, &user, CONSUMER_KEY);
        let text =
            |member: &str| granted[member].as_str().unwrap_or_else(|| panic!("no {member}")).to_owned();
        let id = text("id");
        let mut whose = id.rsplit('/');
        let (user, org) = (whose.next().expect("a user"), whose.next().expect("an org"));
        let connection = Connection {
            id: connection,
            product: product.id.clone(),
            app: app.id.clone(),
            customer: session.customer.clone(),
            user: session.user.clone(),
            session: Some(session.id.clone()),
            identity: Identity {
                org: org.parse().expect("an org id"),
                user: user.parse().expect("a user id"),
                username: None,
            },
            login_host: platform.salesforce.hosts().production().origin().to_owned(),
            environment: Environment::Production,
            instance_url: text("instance_url"),
            scopes: Scopes::parse(&text("scope")),
            state: ConnectionState::Active,
            created_at: now,
        };
        let (access, refresh) =
            (AccessToken::new(text("access_token")), RefreshToken::new(text("refresh_token")));
        let tokens = Tokens { access: &access, refresh: Some(&refresh), issued_at: now };
        let cipher = platform.token_cipher().expect("a keyring");
        ConnectionRecord::seal(&cipher, connection, tokens, app).await.expect("sealed")
    }

    fn platform(&self, process: usize, death: &watch::Sender<bool>) -> Platform {
        let hosts = Hosts::on_this_machine(
            &self.world.login_origin().parse().expect("an address"),
            &self.world.test_origin().parse().expect("an address"),
            ".my.salesforce.localhost",
        );
        let salesforce =
            Salesforce::new(self.ether.salesforce(process, death.clone()), hosts.expect("loopback names"));
        let settings = Settings {
            table: TABLE.into(),
            public_url: PublicUrl::parse("https://connect.example.com").expect("an origin"),
            keyring: Some(KEYRING.into()),
            fallback: Some(FALLBACK.into()),
            egress: Vec::new(),
            delivery_queue: Some("http://sqs.localhost/deliveries".into()),
            event_bus: None,
            vpc: None,
        };
        let aws = Aws {
            region: "eu-central-1".into(),
            credentials: Credentials::new("test", "test", None, None, "test"),
            dynamodb: Some("http://dynamodb.localhost".into()),
            secrets_manager: Some("http://secrets.localhost".into()),
            sqs: None,
            eventbridge: None,
        };
        Platform::through(self.ether.aws(process, death.clone()), settings, &aws, salesforce)
    }

    /// What functions are made of that use this queue of webhooks.
    pub fn platform_with(&self, queue: DeliveryQueue) -> Platform {
        self.platform(usize::MAX, &watch::channel(false).0).with_deliveries(queue)
    }

    /// A product like the rig's, under this id and with these webhook endpoints.
    pub async fn put_webhooks(&self, product: &str, webhooks: Vec<WebhookEndpoint>) {
        let id = product.parse().expect("an id");
        let product = Product { id, webhooks, ..self.product.clone().expect("filled") };
        self.store().put_product(&product).await.expect("the product is stored");
    }

    /// A new process, cold.
    pub fn process(&mut self) -> Process {
        let (number, death) = (self.processes, watch::channel(false).0);
        self.processes += 1;
        let platform = || self.platform(number, &death);
        Process {
            token: Token::new(platform()).expect("the settings are complete"),
            callback: Callback::new(platform()).expect("the settings are complete"),
            sweep: Sweep::new(platform()).expect("the settings are complete"),
            number,
            ether: self.ether.clone(),
            clock: self.clock.clone(),
            skew: SignedDuration::ZERO,
            death,
        }
    }

    /// A new process whose clock is ahead by so much, or behind.
    pub fn process_ahead(&mut self, skew: SignedDuration) -> Process {
        self.max_skew = self.max_skew.max(skew.abs());
        Process { skew, ..self.process() }
    }

    /// The call for the connection's token: `None` is GET, a body is POST.
    pub fn call(&self, body: Option<&Value>) -> http::Request<Body> {
        self.call_for(&self.connection, body)
    }

    /// The same for another connection.
    pub fn call_for(&self, connection: &ConnectionId, body: Option<&Value>) -> http::Request<Body> {
        let method = if body.is_some() { "POST" } else { "GET" };
        self.request(method, &format!("/v1/connections/{connection}/token"), body)
    }

    /// The call that shows the connection.
    pub fn shown(&self) -> http::Request<Body> {
        self.request("GET", &format!("/v1/connections/{}", self.connection), None)
    }

    /// The same call for the token, for a caller that waits so many seconds for another's refresh.
    pub fn call_waiting(&self, seconds: u32) -> http::Request<Body> {
        self.request("GET", &format!("/v1/connections/{}/token?wait={seconds}", self.connection), None)
    }

    /// The table, by a way that nothing befalls.
    pub fn store(&self) -> store::Store {
        self.platform(usize::MAX, &watch::channel(false).0).store
    }

    /// The call that imports a refresh token of the product's, for another customer.
    pub fn import(&self, refresh_token: &str) -> http::Request<Body> {
        self.import_for("imported", refresh_token)
    }

    /// The same for this customer.
    pub fn import_for(&self, customer: &str, refresh_token: &str) -> http::Request<Body> {
        self.import_as(customer, "user_8", refresh_token, true)
    }

    /// The same, and whether it may make one more connection of a Salesforce user who has one.
    pub fn import_as(
        &self,
        customer: &str,
        user: &str,
        refresh_token: &str,
        another: bool,
    ) -> http::Request<Body> {
        let body = json!({
            "customer": { "id": customer },
            "user": user,
            "refresh_token": refresh_token,
            "environment": "production",
            "another": another,
        });
        self.request("POST", "/v1/connections", Some(&body))
    }

    /// The call that deletes the connection.
    pub fn deletion(&self) -> http::Request<Body> {
        self.request("DELETE", &format!("/v1/connections/{}", self.connection), None)
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> http::Request<Body> {
        http::Request::builder()
            .method(method)
            .uri(format!("https://connect.example.com{path}"))
            .header("authorization", format!("Bearer {}", self.api_key.expose()))
            .header("content-type", "application/json")
            .body(body.map_or(Body::Empty, |body| Body::Text(body.to_string())))
            .expect("a request")
    }

    /// The connection as it is stored.
    pub fn item(&self) -> Value {
        let pk = format!("CONNECTION#{}", self.connection);
        self.ether.table.item(TABLE, &pk, "CONNECTION").expect("the connection is stored")
    }

    /// What is counted of the stops over one app or in one org, by whatever cause.
    pub fn wave(&self, over: &str, what: &str) -> Option<Value> {
        let prefix = format!("{over}#{what}#");
        let mut causes = diagnosis::catalogue().iter();

        causes
            .find_map(|cause| self.ether.table.item(TABLE, "WAVE#fernway", &format!("{prefix}{}", cause.id)))
    }

    /// What waits in the fallback for the refresh token that is stored.
    pub fn waiting(&self) -> Option<Value> {
        self.waiting_after(self.item()["refresh_fingerprint"]["S"].as_str()?)
    }

    /// What waits there for the connection once this refresh token was sent.
    pub fn waiting_after(&self, sent: &str) -> Option<Value> {
        let pk = format!("CONNECTION#{}", self.connection);
        self.ether.table.item(FALLBACK, &pk, &format!("AFTER#{sent}"))
    }

    /// The table loses the connection.
    pub fn lose_connection(&self) {
        self.ether.table.lose(TABLE, &format!("CONNECTION#{}", self.connection), "CONNECTION");
    }

    /// Salesforce's refresh tokens of the connection's grants, in the order in which they were good: a reconnect's come
    /// after those of the grant before.
    pub fn chain(&self) -> Vec<Fingerprint> {
        let tokens = |grant: Grant| grant.spent.into_iter().chain(grant.refresh_token);
        let chain = self.world.grants().into_iter().flat_map(tokens);
        chain.map(|token| RefreshToken::new(token).fingerprint()).collect()
    }
}

impl Process {
    /// Answers a call; ends without an answer if the process dies, or Lambda ends it.
    pub async fn answer(&self, request: http::Request<Body>) -> Answer {
        self.answer_within(request, TIME_OUT).await
    }

    /// The same in an invocation that Lambda ends after so long.
    pub async fn answer_within(&self, request: http::Request<Body>, within: Duration) -> Answer {
        let dead = Answer { status: 0, body: Value::Null, retry_after: None, location: None };
        let mut death = self.death.subscribe();
        let call = fastrand::u64(..);
        let now = self.now();
        let mut context = Context::default();
        let deadline = now + SignedDuration::try_from(within).expect("seconds");
        context.deadline = u64::try_from(deadline.as_millisecond()).expect("after 1970");
        let request = request.with_lambda_context(context);
        let path = request.uri().path();
        let is_callbacks = path.ends_with("/redeem") || path == "/oauth/callback";
        let responding = Box::pin(CALL.scope(call, async {
            if is_callbacks {
                self.callback.respond(request, now).await
            } else {
                self.token.respond(request, now).await
            }
        }));
        let answer = tokio::select! {
            biased;
            _ = death.wait_for(|dead| *dead) => None,
            answer = timeout(within, responding) => {
                answer.inspect_err(|_| self.ether.note_timeout(self.number, Some(call))).ok()
            }
        };
        let Some(answer) = answer else {
            self.die();
            return dead;
        };
        self.ether.note_done(self.number, Some(call));
        let body = serde_json::from_slice(answer.body().as_ref()).unwrap_or_default();
        let retry_after =
            answer.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
        let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        let answer = Answer { status: answer.status().as_u16(), body, retry_after, location };
        self.ether.note(&format!(
            "process {} answers {} {} {}",
            self.number, answer.status, answer.body["fingerprint"], answer.body["type"]
        ));
        answer
    }

    /// The time by this process's clock.
    fn now(&self) -> Timestamp {
        self.clock.now() + self.skew
    }

    /// One run of the sweep: what it did, if it lived.
    pub async fn sweep(&self) -> Option<Swept> {
        self.sweep_within(SWEEP_TIME_OUT).await
    }

    /// The same of a sweep that is ended after so long.
    pub async fn sweep_within(&self, time: Duration) -> Option<Swept> {
        let mut death = self.death.subscribe();
        let now = self.now();
        let deadline = now + SignedDuration::try_from(time).expect("minutes");
        let deadline = u64::try_from(deadline.as_millisecond()).expect("after 1970");
        let running = timeout(time, self.sweep.run(Deadline::until(deadline, now)));
        let swept = tokio::select! {
            biased;
            _ = death.wait_for(|dead| *dead) => None,
            swept = running => swept.inspect_err(|_| self.ether.note_timeout(self.number, None)).ok(),
        };
        match &swept {
            Some(swept) => {
                self.ether.note_done(self.number, None);
                self.ether.note(&format!("process {} swept: {swept:?}", self.number));
            }
            None => self.die(),
        }
        swept?.ok()
    }

    /// Ends it: whatever it was doing stops where it is.
    pub fn die(&self) {
        self.death.send_replace(true);
        self.ether.note_death(self.number);
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        *self.death.borrow()
    }
}

fn product() -> Product {
    Product {
        id: "fernway".parse().expect("an id"),
        brand: Brand {
            name: "Fernway".into(),
            logo: None,
            colour: None,
            customer_word: "workspace".into(),
            support: Support { email: Some("help@fernway.example".into()), url: None },
            publisher: None,
            security: Support::default(),
        },
        return_addresses: vec!["https://app.fernway.example/salesforce".parse().expect("an address")],
        api_keys: Vec::new(),
        apps: vec![App {
            id: "sync".parse().expect("an id"),
            kind: AppKind::ConnectedApp,
            consumer_key: CONSUMER_KEY.into(),
            secret: APP_SECRET.into(),
            scopes: vec!["api".into(), "refresh_token".into()],
            names: vec!["Protocol".into()],
            packages: Packages::default(),
            login_hosts: vec![Environment::Production],
            access_token_minutes: 15,
            introspect: false,
            refresh_token_idle_days: 30,
            connections: domain::product::Sharing::default(),
            about: domain::product::AppAbout::default(),
            former_consumer_keys: Vec::new(),
        }],
        webhooks: Vec::new(),
        redeem: true,
    }
}

pub(crate) fn session(product: &Product, now: Timestamp) -> ConnectSession {
    ConnectSession {
        id: ConnectKey::mint().session(),
        product: product.id.clone(),
        app: product.apps[0].id.clone(),
        customer: Customer { id: "42".into(), name: None },
        user: "user_7".into(),
        host: HostChoice::Production,
        known_host: None,
        scopes: None,
        environment: Some(domain::Environment::Production),
        return_to: product.return_addresses[0].clone(),
        state: SessionState::Created,
        created_at: now,
        expires_at: now + SignedDuration::from_hours(1),
        attempts: 0,
        last_failure: None,
        reconnects: None,
        another: false,
        change: None,
        browser: None,
        open_attempts: Vec::new(),
        user_name: None,
    }
}

/// Stores a grant as a browser's return does: the receipt that redeems it, for an hour.
async fn save_pending(
    platform: &Platform,
    record: &mut ConnectionRecord,
    session: &SessionId,
    now: Timestamp,
) -> Receipt {
    let (browser, attempt) = (BrowserSecret::mint(), State::mint().attempt());
    let receipt = Receipt::of(&record.connection.id, &browser, &attempt);
    let redeem_by = now + SignedDuration::from_hours(1);
    record.connection.state = ConnectionState::Pending { redeem_by };
    let new = NewConnection {
        record,
        session,
        browser: &BoundBrowser { attempt, secret: browser.hash() },
        receipt: (receipt.hash(), redeem_by),
        due: redeem_by,
    };
    assert!(platform.store.save_connection(&new).await.expect("the grant is stored"));
    receipt
}
