//! The clients and caches that a function is made of. Built once, in `main`; nothing connects before it is
//! used, so a function that needs no secret never asks for one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{http::SharedHttpClient, interceptors::SharedInterceptor};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use domain::{App, AppId, Environment, Product, ProductId};
use jiff::{SignedDuration, Timestamp};
use salesforce::{Hosts, Http, Salesforce};
use store::{Fallback, Secrets, Store, StoreError, Vault};

use crate::{SettingError, Settings, failures::internal, https, metered::Metered};

/// How long a product's configuration, and with it a revoked API key, is believed.
pub const PRODUCT_AGE: SignedDuration = SignedDuration::from_secs(60);

/// A stranger who invents product ids must not fill the memory.
const MAX_PRODUCTS: usize = 500;

/// What a function works with.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Where and who we are.
    pub settings: Settings,
    /// The table.
    pub store: Store,
    /// The products, remembered for a minute.
    pub products: Products,
    /// Secrets Manager.
    pub secrets: Secrets,
    /// Salesforce.
    pub salesforce: Salesforce,
}

/// Where AWS answers and who asks.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The region.
    pub region: String,
    /// The credentials.
    pub credentials: Credentials,
    /// DynamoDB's address, where it is not AWS's own.
    pub dynamodb: Option<String>,
    /// Secrets Manager's address, where it is not AWS's own.
    pub secrets_manager: Option<String>,
}

impl Platform {
    /// What a deployed function works with: Salesforce's own hosts and nobody else's, no switch for it.
    pub fn from_env() -> Result<Self, SettingError> {
        let settings = Settings::from_env()?;
        Ok(Self::new(settings, &Aws::from_env()?, Salesforce::new(Http::new(), Hosts::salesforce())))
    }

    /// A platform of these parts: for the local stack, which brings its own Salesforce and AWS.
    pub fn new(settings: Settings, aws: &Aws, salesforce: Salesforce) -> Self {
        Self::through(https::client(), settings, aws, salesforce)
    }

    /// A platform that reaches AWS through this HTTP client, with everything else as deployed: tries, time-outs.
    pub fn through(http: SharedHttpClient, settings: Settings, aws: &Aws, salesforce: Salesforce) -> Self {
        let config = aws.config(http);
        let store = Store::new(aws.dynamodb_client_of(&config), settings.table.clone());
        Self {
            products: Products { store: store.clone(), held: Arc::default() },
            secrets: Secrets::new({
                let aws = aws.clone();
                move || aws.secrets_client_of(&config)
            }),
            store,
            salesforce,
            settings,
        }
    }

    /// Whether an app was ever connected from an org, by the org's own host. A shared login host names no
    /// org. What cannot be read is not known: it chooses among causes, and is no reason to fail.
    pub async fn connected_before(
        &self,
        product: &ProductId,
        app: &AppId,
        host: Option<&str>,
    ) -> Option<bool> {
        let host = self.salesforce.hosts().my_domain(host?).ok()?;
        if host.environment() != Environment::MyDomain {
            return None;
        }
        match self.store.connected_before(product, app, host.host()).await {
            Ok(known) => Some(known),
            Err(error) => {
                internal(&error);
                None
            }
        }
    }

    /// Where a refresh's answer waits when the table does not take it, for the functions that refresh.
    pub fn fallback(&self) -> Result<Fallback, SettingError> {
        Ok(Fallback::new(self.store.client().clone(), self.settings.fallback()?))
    }

    /// Seals and opens tokens, for the functions that do.
    pub fn vault(&self) -> Result<Vault, SettingError> {
        Ok(Vault::new(self.secrets.clone(), self.settings.keyring()?))
    }
}

/// Products by id, each believed for [`PRODUCT_AGE`].
#[derive(Debug, Clone)]
pub struct Products {
    pub(crate) store: Store,
    held: Arc<Mutex<Held>>,
}

/// Each product, and when it was read.
type Held = HashMap<ProductId, (Timestamp, Arc<Product>)>;

impl Products {
    /// The product of that id, as it was at most a minute ago.
    pub async fn get(&self, id: &ProductId, now: Timestamp) -> Result<Option<Arc<Product>>, StoreError> {
        if let Some(product) = self.held(id, now) {
            return Ok(Some(product));
        }
        let product = self.store.product(id).await?;
        Ok(self.hold(id, product, now))
    }

    /// The same, if it need not be read.
    pub(crate) fn held(&self, id: &ProductId, now: Timestamp) -> Option<Arc<Product>> {
        let held = self.lock();
        let (_, product) = held.get(id).filter(|(read_at, _)| now < *read_at + PRODUCT_AGE)?;
        Some(Arc::clone(product))
    }

    /// Remembers what was read.
    pub(crate) fn hold(&self, id: &ProductId, read: Option<Product>, now: Timestamp) -> Option<Arc<Product>> {
        let mut held = self.lock();
        let Some(product) = read.map(Arc::new) else {
            held.remove(id);
            return None;
        };
        if held.len() >= MAX_PRODUCTS {
            held.clear();
        }
        held.insert(id.clone(), (now, Arc::clone(&product)));
        Some(product)
    }

    /// A product and one of its apps; `None`: either is not configured any more.
    pub async fn with_app(
        &self,
        product: &ProductId,
        app: &AppId,
        now: Timestamp,
    ) -> Result<Option<(Arc<Product>, App)>, StoreError> {
        let product = self.get(product, now).await?;
        Ok(product.and_then(|product| product.app(app).cloned().map(|app| (product, app))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        // The map is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aws {
    /// What the Lambda environment says. Its credentials live as long as the sandbox does, so there is no
    /// provider chain to walk.
    pub fn from_env() -> Result<Self, SettingError> {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let need = |name: &'static str| get(name).ok_or(SettingError::Missing(name));
        Ok(Self {
            region: need("AWS_REGION")?,
            credentials: Credentials::new(
                need("AWS_ACCESS_KEY_ID")?,
                need("AWS_SECRET_ACCESS_KEY")?,
                get("AWS_SESSION_TOKEN"),
                None,
                "Environment",
            ),
            dynamodb: get("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| get("AWS_ENDPOINT_URL")),
            secrets_manager: get("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(|| get("AWS_ENDPOINT_URL")),
        })
    }

    /// A DynamoDB client, for the operator's command.
    pub fn dynamodb_client(&self) -> aws_sdk_dynamodb::Client {
        self.dynamodb_client_of(&self.config(https::client()))
    }

    /// A Secrets Manager client, for the operator's command.
    pub fn secrets_client(&self) -> aws_sdk_secretsmanager::Client {
        self.secrets_client_of(&self.config(https::client()))
    }

    fn dynamodb_client_of(&self, config: &SdkConfig) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(config);
        config.set_endpoint_url(self.dynamodb.clone());
        config.push_interceptor(SharedInterceptor::new(Metered));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    fn secrets_client_of(&self, config: &SdkConfig) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(config);
        config.set_endpoint_url(self.secrets_manager.clone());
        config.push_interceptor(SharedInterceptor::new(Metered));
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    fn config(&self, http: SharedHttpClient) -> SdkConfig {
        // Inside the shortest function time-out (5 s), so that a slow table becomes an answer of ours.
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(1500))
            .operation_timeout(Duration::from_secs(4))
            .build();
        SdkConfig::builder()
            .behavior_version(aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(http)
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                aws_smithy_async::rt::sleep::TokioSleep::new(),
            ))
            .time_source(aws_smithy_async::time::SystemTimeSource::new())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts)
            .build()
    }
}
