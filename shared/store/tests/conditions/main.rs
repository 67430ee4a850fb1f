//! The conditions of the store's writes, against the emulator: each is tried by itself, without a function in front
//! that looks first.

mod cipher;
mod events;
mod grants;
mod health;
mod imports;
mod leases;
mod quarantine;
mod recoveries;
mod rejected;
mod revisions;
mod sessions;
mod waves;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, retry::RetryConfig};
use domain::{
    Attempt, ConnectSession, Connection, ConnectionId, ConnectionState, Customer, Environment, ExpiryBasis,
    HostChoice, Identity, Scopes, SessionId, SessionState,
    secret::{AccessToken, BrowserSecret, ConnectKey, Fingerprint, Hash, Receipt, RefreshToken},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::{
    ConnectionRecord, Fallback, Field, Lease, LeaseOutcome, NewConnection, Owner, RefreshedTokens, Secrets,
    Store, TokenCipher,
};
use world::{dynamodb::DynamoDb, secrets::SecretsManager};

const TABLE: &str = "latchkey";
const KEYRING: &str = "keyring";

/// A table, its fallback and a keyring.
struct Stage {
    dynamo: DynamoDb,
    secrets: SecretsManager,
    store: Store,
    fallback: Fallback,
    cipher: TokenCipher,
    now: Timestamp,
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

impl Stage {
    async fn start() -> Self {
        let dynamo = DynamoDb::start(None).await;
        let secrets = SecretsManager::start().await;
        secrets.put(KEYRING, &json!({ "current": "v1", "v1": "k".repeat(64) }).to_string());
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::from_keys("AKID", "secret", None))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .endpoint_url(dynamo.endpoint())
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let keys = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
            .region(aws_sdk_secretsmanager::config::Region::new("us-east-1"))
            .credentials_provider(Credentials::from_keys("AKID", "secret", None))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(secrets.endpoint())
            .build();
        let cipher =
            TokenCipher::new(Secrets::new(move || aws_sdk_secretsmanager::Client::from_conf(keys)), KEYRING);
        let (store, fallback) =
            (Store::new(client.clone(), TABLE), Fallback::new(client, "latchkey-fallback"));
        store.create_table().await.expect("the table");
        fallback.create_table().await.expect("the fallback");
        let now = "2026-11-22T12:00:00Z".parse().expect("a time");
        Self { dynamo, secrets, store, fallback, cipher, now }
    }

    /// A session of Fernway's, stored.
    async fn session(&self) -> SessionId {
        let session = ConnectSession {
            id: ConnectKey::mint().session(),
            product: "fernway".parse().expect("an id"),
            app: "sync".parse().expect("an id"),
            customer: Customer { id: "42".into(), name: None },
            user: "user_7".into(),
            host: HostChoice::Production,
            environment: Some(Environment::Production),
            return_to: "https://app.fernway.example/salesforce".parse().expect("an address"),
            state: SessionState::Created,
            created_at: self.now,
            expires_at: self.now + minutes(60),
            attempts: 0,
            open_attempts: Vec::new(),
            user_name: None,
            last_failure: None,
            reconnects: None,
            change: None,
            browser: None,
            another: false,
            known_host: None,
            scopes: None,
        };
        self.store.create_session(&session, &Hash::of("call")).await.expect("the session is stored");
        session.id
    }

    /// One trip of a session to Salesforce.
    fn attempt(&self, session: &SessionId, state: &str) -> Attempt {
        Attempt {
            id: domain::secret::State::new(state).attempt(),
            session: session.clone(),
            product: "fernway".parse().expect("an id"),
            app: "sync".parse().expect("an id"),
            customer: Customer { id: "42".into(), name: None },
            user: "user_7".into(),
            reconnects: None,
            another: false,
            scopes: None,
            login_host: "https://login.salesforce.com".into(),
            environment: Environment::Production,
            return_to: "https://app.fernway.example/salesforce".parse().expect("an address"),
            browser: Hash::of("browser"),
            began_at: self.now,
            expires_at: self.now + minutes(30),
            claimed_at: None,
        }
    }

    /// A connection with a grant, not stored yet.
    async fn record(&self, session: &SessionId, state: ConnectionState) -> ConnectionRecord {
        let connection = Connection {
            id: ConnectionId::mint(self.now),
            product: "fernway".parse().expect("an id"),
            app: "sync".parse().expect("an id"),
            customer: Customer { id: "42".into(), name: None },
            user: "user_7".into(),
            session: Some(session.clone()),
            identity: Identity {
                org: "00DgK0000000001AAA".parse().expect("an org"),
                user: "005gK0000000001AAA".parse().expect("a user"),
                username: None,
            },
            login_host: "https://login.salesforce.com".into(),
            environment: Environment::Production,
            instance_url: "https://acme.my.salesforce.com".into(),
            scopes: Scopes::parse("api refresh_token"),
            state,
            created_at: self.now,
        };
        let app = serde_json::from_value(json!({
            "id": "sync", "kind": "connected_app", "consumer_key": "3MVG9.key", "secret": "apps/sync",
            "scopes": ["api", "refresh_token"], "names": ["Fernway Sync"], "packages": {},
            "login_hosts": ["production"], "access_token_minutes": 15, "introspect": false,
            "refresh_token_idle_days": 30,
        }))
        .expect("an app");
        let (access, refresh) = (AccessToken::new("access-1"), RefreshToken::new("refresh-1"));
        let tokens = store::Tokens { access: &access, refresh: Some(&refresh), issued_at: self.now };
        ConnectionRecord::seal(&self.cipher, connection, tokens, &app).await.expect("sealed")
    }

    /// An active connection, stored.
    async fn connection(&self) -> ConnectionRecord {
        let session = self.session().await;
        let record = self.record(&session, ConnectionState::Active).await;
        let browser = self.attempt(&session, "state").bound_browser();
        let due = self.now + minutes(60);
        let receipt = (Hash::of("receipt"), due);
        let new = NewConnection { record: &record, session: &session, browser: &browser, receipt, due };
        assert!(self.store.save_connection(&new).await.expect("the connection is stored"));
        self.read(&record).await
    }

    /// A connection that waits to be redeemed until then, with its receipt.
    async fn pending(&self, redeem_by: Timestamp) -> (SessionId, ConnectionRecord, Receipt) {
        let session = self.session().await;
        let record = self.record(&session, ConnectionState::Pending { redeem_by }).await;
        let attempt = self.attempt(&session, "state");
        let receipt = Receipt::of(&record.connection.id, &BrowserSecret::new("browser"), &attempt.id);
        let new = NewConnection {
            record: &record,
            session: &session,
            browser: &attempt.bound_browser(),
            receipt: (receipt.hash(), redeem_by),
            due: redeem_by,
        };
        assert!(self.store.save_connection(&new).await.expect("the connection is stored"));
        (session, record, receipt)
    }

    /// The connection as it is stored now.
    async fn read(&self, record: &ConnectionRecord) -> ConnectionRecord {
        self.store.connection(&record.connection.id).await.expect("the table answers").expect("a connection")
    }

    async fn lease(&self, record: &ConnectionRecord, now: Timestamp) -> Option<Lease> {
        match self.store.lease(record, false, now).await.expect("the table answers") {
            LeaseOutcome::Yes(lease) => Some(*lease),
            LeaseOutcome::No(_) | LeaseOutcome::Gone => None,
        }
    }

    /// An answer to a refresh, with a new refresh token if one is named.
    async fn renewed(
        &self,
        record: &ConnectionRecord,
        access: &str,
        refresh: Option<&str>,
    ) -> RefreshedTokens {
        let owner = Owner { product: &record.connection.product, connection: &record.connection.id };
        let refresh_token = match refresh {
            Some(text) => {
                let sealed = self.cipher.seal(owner, Field::RefreshToken, text).await.expect("sealed");
                Some((sealed, RefreshToken::new(text).fingerprint()))
            }
            None => None,
        };
        RefreshedTokens {
            access_token: self.cipher.seal(owner, Field::AccessToken, access).await.expect("sealed"),
            access_fingerprint: AccessToken::new(access).fingerprint(),
            refresh_token,
            instance_url: record.connection.instance_url.clone(),
            login_host: None,
            scopes: None,
            issued_at: self.now,
            fetched_at: Some(self.now),
            expires_at: self.now + minutes(15),
            expiry_basis: ExpiryBasis::AppPolicy,
            learnt: None,
            rejections: 0,
            unasked: false,
            due: self.now + minutes(60),
        }
    }
}

/// Which refresh token a text is.
fn fingerprint(text: &str) -> Fingerprint {
    RefreshToken::new(text).fingerprint()
}
