//! The clients and caches that a function is made of. Built once, in `main`; nothing connects before it is
//! used, so a function that needs no secret never asks for one.

use std::{sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{http::SharedHttpClient, interceptors::SharedInterceptor};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use domain::{AppId, Environment, ProductId};
use salesforce::{Hosts, Http, Salesforce};
use store::{Fallback, Secrets, Store, TokenCipher};

use crate::{
    DeliveryQueue, EventBus, Products, SettingError, Settings, aws_https, aws_metrics::Metered, log::internal,
};

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
    /// The queue of webhook attempts, for the functions that use it.
    deliveries: Option<DeliveryQueue>,
    /// For clients that few functions have: what no function builds is not in its binary.
    aws: Arc<(Aws, SdkConfig)>,
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
    /// SQS's address, where it is not AWS's own.
    pub sqs: Option<String>,
    /// EventBridge's address, where it is not AWS's own.
    pub eventbridge: Option<String>,
}

impl Platform {
    /// What a deployed function works with: Salesforce's own hosts and nobody else's, no switch for it.
    pub fn from_env() -> Result<Self, SettingError> {
        let settings = Settings::from_env()?;
        Ok(Self::new(settings, &Aws::from_env()?, Salesforce::new(Http::new(), Hosts::salesforce())))
    }

    /// A platform of these parts: for the local stack, which brings its own Salesforce and AWS.
    pub fn new(settings: Settings, aws: &Aws, salesforce: Salesforce) -> Self {
        Self::through(aws_https::client(), settings, aws, salesforce)
    }

    /// A platform that reaches AWS through this HTTP client, with everything else as deployed: tries, time-outs.
    pub fn through(http: SharedHttpClient, settings: Settings, aws: &Aws, salesforce: Salesforce) -> Self {
        let config = aws.config(http);
        let store = Store::new(aws.dynamodb_client_of(&config), settings.table.clone());
        let deliveries = settings.delivery_queue.clone().map(|url| {
            let (aws, config) = (aws.clone(), config.clone());
            DeliveryQueue::new(url, move || aws.sqs_client_of(&config))
        });
        Self {
            deliveries,
            products: Products::new(store.clone()),
            secrets: Secrets::new({
                let (aws, config) = (aws.clone(), config.clone());
                move || aws.secrets_client_of(&config)
            }),
            aws: Arc::new((aws.clone(), config)),
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

    /// The queue of webhook attempts, for the functions that add to it or take from it.
    pub fn deliveries(&self) -> Result<&DeliveryQueue, SettingError> {
        self.deliveries.as_ref().ok_or(SettingError::Missing("DELIVERY_QUEUE_URL"))
    }

    /// The bus that gets every event, where there is one.
    pub fn event_bus(&self) -> Option<EventBus> {
        let name = self.settings.event_bus.clone()?;
        let aws = Arc::clone(&self.aws);
        Some(EventBus::new(name, move || aws.0.eventbridge_client_of(&aws.1)))
    }

    /// The same platform with a queue other than SQS: the local stack's.
    #[must_use]
    pub fn with_deliveries(self, queue: DeliveryQueue) -> Self {
        Self { deliveries: Some(queue), ..self }
    }

    /// Seals and opens tokens, for the functions that do.
    pub fn token_cipher(&self) -> Result<TokenCipher, SettingError> {
        Ok(TokenCipher::new(self.secrets.clone(), self.settings.keyring()?))
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
            sqs: get("AWS_ENDPOINT_URL_SQS").or_else(|| get("AWS_ENDPOINT_URL")),
            eventbridge: get("AWS_ENDPOINT_URL_EVENTBRIDGE").or_else(|| get("AWS_ENDPOINT_URL")),
        })
    }

    /// A DynamoDB client, for the operator's command.
    pub fn dynamodb_client(&self) -> aws_sdk_dynamodb::Client {
        self.dynamodb_client_of(&self.config(aws_https::client()))
    }

    /// A Secrets Manager client, for the operator's command.
    pub fn secrets_client(&self) -> aws_sdk_secretsmanager::Client {
        self.secrets_client_of(&self.config(aws_https::client()))
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

    fn sqs_client_of(&self, config: &SdkConfig) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::config::Builder::from(config);
        config.set_endpoint_url(self.sqs.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    fn eventbridge_client_of(&self, config: &SdkConfig) -> aws_sdk_eventbridge::Client {
        let mut config = aws_sdk_eventbridge::config::Builder::from(config);
        config.set_endpoint_url(self.eventbridge.clone());
        aws_sdk_eventbridge::Client::from_conf(config.build())
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
