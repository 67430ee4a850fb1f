//! A product: a SaaS product that delegates its Salesforce sign-in, its brand, and its apps at Salesforce.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    AppId, EndpointId, Event, EventType, ProductId,
    secret::{ApiKey, Hash},
    session::Environment,
};

/// A product as it is stored: one item, so that one read answers both who calls and what is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// How its pages look and speak.
    pub brand: Brand,
    /// Where a browser may be sent back to, each matched exactly (RFC 9700 §4.1).
    pub return_addresses: Vec<Url>,
    /// The digests of its API keys.
    pub api_keys: Vec<ApiKeyDigest>,
    /// Its registrations at Salesforce, at least one.
    pub apps: Vec<App>,
    /// The endpoints that its events are sent to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookEndpoint>,
    /// Always `true`, for versions that still read it. `false` in an item stored before redeeming became mandatory is
    /// ignored; `latchkey doctor` names it.
    pub redeem: bool,
}

/// An API key as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyDigest {
    /// The key's id, which stands in the key and in logs.
    pub id: String,
    /// The digest of the whole key.
    pub hash: Hash,
}

/// An address of the product's backend that receives events as signed webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    /// Its id within the product.
    pub id: EndpointId,
    /// The https address that is called.
    pub url: Url,
    /// Which events it receives: `*`, a type (`connection.blocked`), or all types of a subject (`connection.*`).
    pub events: Vec<String>,
    /// The name in Secrets Manager of its signing secrets.
    pub secret: String,
}

/// What a product's pages look like and call things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Brand {
    /// The product's name, as its users know it.
    pub name: String,
    /// An image at an https address.
    pub logo: Option<Url>,
    /// Its accent colour, `#rrggbb`. The pages correct its contrast.
    pub colour: Option<String>,
    /// What the product calls what is being connected: workspace, account, site.
    pub customer_word: String,
    /// Where people get help from people.
    pub support: Support,
    /// The company behind the product, as an admin finds it in a contract or in AppExchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Where an admin asks whether a request is genuine.
    #[serde(default)]
    pub security: Support,
}

/// Whom to contact: an address to write to, a page, or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Support {
    /// An e-mail address.
    pub email: Option<String>,
    /// A page.
    pub url: Option<Url>,
}

/// Which generation of app a registration is: it decides where Salesforce shows its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    /// A connected app: when it is not installed, Salesforce stops on a page of its own.
    ConnectedApp,
    /// An external client app (ECA): when it is not installed, the callback hears of it.
    ExternalClientApp,
}

/// One registration of a product at Salesforce.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its id within the product.
    pub id: AppId,
    /// Connected app or external client app.
    pub kind: AppKind,
    /// The consumer key (OAuth's `client_id`).
    pub consumer_key: String,
    /// The name in Secrets Manager of the consumer secret.
    pub secret: String,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
    /// The names by which an admin may find it in Setup, the likeliest first; at least one.
    pub names: Vec<String>,
    /// Where its managed package is installed from, if it is packaged.
    pub packages: Packages,
    /// The login hosts that a user may choose from where the session leaves it open; at least one.
    pub login_hosts: Vec<Environment>,
    /// How long an access token is taken to live, in minutes: Salesforce does not say. The org's session
    /// time-out may be as short as 15.
    pub access_token_minutes: u32,
    /// Whether Salesforce may be asked when an access token ends (RFC 7662): the app must allow introspection.
    #[serde(default)]
    pub introspect: bool,
    /// After how many days without use Salesforce ends a refresh token of this app.
    #[serde(default = "thirty")]
    pub refresh_token_idle_days: u32,
    /// Whether the product's users share one connection of a customer's Salesforce user.
    #[serde(default)]
    pub connections: Sharing,
    /// What people should know of it before they allow it.
    #[serde(default)]
    pub about: AppAbout,
    /// Consumer keys that the app had before, the newest last. The table remembers them, product files do not have
    /// them: a connection of an earlier key is still found when its user connects again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_consumer_keys: Vec<String>,
}

/// What people should know of an app: shown on guides and help pages. All of it is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppAbout {
    /// What the app is for, in a sentence: `Syncs Salesforce data in the background.`
    pub purpose: Option<String>,
    /// Who owns it at Salesforce.
    pub owner: AppOwner,
    /// Why its name in Setup is not the product's, in a sentence.
    pub name_reason: Option<String>,
    /// Where in the product a user connects, and connects again: `Settings > Integrations > Salesforce`.
    pub connect_at: Option<String>,
    /// Where in the product a customer enters the key and the secret of an app of its own.
    pub keys_at: Option<String>,
    /// How to see in the product that it works, one sentence each.
    pub check: Vec<String>,
    /// Who may use it, as the product recommends.
    pub policy: Option<AppPolicy>,
}

/// Who owns an app at Salesforce, and so changes its settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppOwner {
    /// The product's vendor: one app for all customers.
    #[default]
    Vendor,
    /// The customer: each creates an app in an org of its own.
    Customer,
}

/// Who may use an app: its policy *Permitted Users*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppPolicy {
    /// `All users may self-authorize`.
    AllUsers,
    /// `Admin approved users are pre-authorized`.
    AdminApproved,
}

/// Maximum former consumer keys that are remembered of an app.
const MAX_FORMER_KEYS: usize = 3;

/// Whose connection it is when two of a product's users connect the same Salesforce user of the same customer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Each of the product's users has a connection of their own.
    #[default]
    PerUser,
    /// There is one connection for all of the product's users.
    Shared,
}

/// The idle limit of apps under Salesforce's partner rules (Salesforce Help, `connected_app_limit_idle_ttl`).
const fn thirty() -> u32 {
    30
}

/// Install links of a managed package.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Packages {
    /// For production and Developer Edition orgs.
    pub production: Option<Url>,
    /// For sandboxes.
    pub sandbox: Option<Url>,
}

impl Product {
    /// The product as its file has it.
    #[must_use]
    pub fn as_configured(mut self) -> Self {
        for app in &mut self.apps {
            app.former_consumer_keys.clear();
        }
        self
    }

    /// Remembers the consumer keys that the apps of the stored product had.
    pub fn remember_consumer_keys(&mut self, stored: &Self) {
        for app in &mut self.apps {
            let Some(before) = stored.app(&app.id) else { continue };
            let keys = before.former_consumer_keys.iter().chain([&before.consumer_key]).cloned();
            let mut former: Vec<String> = keys.chain(app.former_consumer_keys.drain(..)).collect();
            former.retain(|key| *key != app.consumer_key);
            former.dedup();
            app.former_consumer_keys = former.split_off(former.len().saturating_sub(MAX_FORMER_KEYS));
        }
    }

    /// The webhook endpoint of that id.
    pub fn endpoint(&self, id: &EndpointId) -> Option<&WebhookEndpoint> {
        self.webhooks.iter().find(|endpoint| endpoint.id == *id)
    }

    /// The app of that id.
    pub fn app(&self, id: &AppId) -> Option<&App> {
        self.apps.iter().find(|app| app.id == *id)
    }

    /// Whether this exact address is registered. No prefix, no wildcard, no case folding.
    pub fn returns_to(&self, address: &str) -> Option<&Url> {
        self.return_addresses.iter().find(|registered| registered.as_str() == address)
    }

    /// The id of the API key that this is, if it is one of the product's.
    pub fn admits(&self, key: &ApiKey) -> Option<&str> {
        let hash = key.hash();
        self.api_keys.iter().find(|digest| digest.hash.matches(&hash)).map(|digest| digest.id.as_str())
    }
}

impl WebhookEndpoint {
    /// Whether this event is sent to the endpoint. No endpoint gets `endpoint.disabled` about itself: it would not be
    /// called. A test goes to the endpoint that it names, whatever its filter says.
    pub fn takes(&self, event: &Event) -> bool {
        let is_named = event.data.endpoint.as_deref() == Some(self.id.as_str());
        match event.kind {
            EventType::WebhookTest => is_named || event.data.endpoint.is_none(),
            _ => !is_named && self.receives(event.kind.as_str()),
        }
    }

    /// Whether the filter lets events of this type through.
    pub fn receives(&self, event_type: &str) -> bool {
        self.events.iter().any(|filter| match filter.strip_suffix('*') {
            Some("") => true,
            Some(subject) => event_type.starts_with(subject),
            None => filter == event_type,
        })
    }
}

impl App {
    /// The app as one session asks for it: with these scopes, or all of its own.
    #[must_use]
    pub fn asking(mut self, scopes: Option<&[String]>) -> Self {
        if let Some(scopes) = scopes {
            self.scopes = scopes.to_vec();
        }
        self
    }

    /// The name that an admin most likely finds in Setup.
    pub fn label(&self) -> &str {
        self.names.first().map_or(self.id.as_str(), String::as_str)
    }

    /// How long an access token is taken to live.
    pub fn access_token_life(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.access_token_minutes))
    }

    /// After how long without use Salesforce ends a refresh token.
    pub fn idle_life(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.refresh_token_idle_days))
    }

    /// How long a refresh token may lie unused before it is refreshed to keep it alive: half of what the app
    /// allows, so that an outage of days costs no connection.
    pub fn keep_alive(&self) -> SignedDuration {
        self.idle_life() / 2
    }

    /// The package's install link for an environment. A My Domain may be either: production is given, and
    /// the page names the sandbox's too.
    pub fn package(&self, environment: Environment) -> Option<&Url> {
        match environment {
            Environment::Sandbox => self.packages.sandbox.as_ref(),
            Environment::Production | Environment::MyDomain => self.packages.production.as_ref(),
        }
    }
}

/// What a session fixes of where the user signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostChoice {
    /// The user chooses.
    Open,
    /// login.salesforce.com.
    Production,
    /// test.salesforce.com.
    Sandbox,
    /// One org's own host, checked: `acme.my.salesforce.com`.
    MyDomain(String),
}

impl HostChoice {
    /// Which kind of host, where it is fixed.
    pub fn environment(&self) -> Option<Environment> {
        match self {
            Self::Open => None,
            Self::Production => Some(Environment::Production),
            Self::Sandbox => Some(Environment::Sandbox),
            Self::MyDomain(_) => Some(Environment::MyDomain),
        }
    }

    /// The org's own host, where one is fixed.
    pub fn my_domain(&self) -> Option<&str> {
        match self {
            Self::MyDomain(host) => Some(host),
            Self::Open | Self::Production | Self::Sandbox => None,
        }
    }
}
