//! Secrets Manager's calls answered in this process, so that the functions keep one code path.
//!
//! JSON 1.1 as the AWS SDKs speak it: `GetSecretValue`, `PutSecretValue` and `CreateSecret`, with the staging
//! labels AWSCURRENT and AWSPREVIOUS, and AWS's own words for what is not there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Clock;

/// The running service. Dropping it ends its server.
pub struct SecretsManager {
    shelf: Arc<Mutex<Shelf>>,
    endpoint: String,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Shelf {
    secrets: BTreeMap<String, Secret>,
    calls: Vec<(String, String)>,
    versions_made: u64,
    down: bool,
}

/// One secret's versions. No `Debug`: the values are somebody's keys.
struct Secret {
    current: Version,
    previous: Option<Version>,
}

struct Version {
    id: String,
    value: String,
    created: Timestamp,
}

/// A refusal: its name and AWS's message.
struct Refusal(&'static str, String);

impl std::fmt::Debug for SecretsManager {
    /// Names the address and nothing that it holds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretsManager").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl SecretsManager {
    /// Starts with no secrets on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let shelf = Arc::<Mutex<Shelf>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port for Secrets Manager");
        let address = listener.local_addr().expect("a bound listener has an address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shelf));
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await.expect("serves until it is dropped") });
        Self { shelf, endpoint: format!("http://{address}"), _server: server }
    }

    /// Where an SDK client is pointed.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Makes `value` the current version of the secret `name`, and returns the secret's ARN.
    pub fn put(&self, name: &str, value: &str) -> String {
        self.shelf().put(name, value, None);
        arn(name)
    }

    /// Removes the secret `name`.
    pub fn remove(&self, name: &str) {
        self.shelf().secrets.remove(name);
    }

    /// What it holds: each secret's name, and its values of now and before.
    pub fn values(&self) -> Vec<(String, String)> {
        let shelf = self.shelf();
        let versions = |secret: &Secret| {
            let versions = std::iter::once(&secret.current).chain(&secret.previous);
            versions.map(|version| version.value.clone()).collect::<Vec<_>>()
        };
        let all = shelf.secrets.iter().map(|(name, secret)| (name, versions(secret)));
        all.flat_map(|(name, values)| values.into_iter().map(|value| (name.clone(), value))).collect()
    }

    /// Every call so far: the operation and the secret that it named.
    pub fn calls(&self) -> Vec<(String, String)> {
        self.shelf().calls.clone()
    }

    /// Forgets the calls.
    pub fn reset_calls(&self) {
        self.shelf().calls.clear();
    }

    /// While down, every call is answered with `InternalServiceError`.
    pub fn down(&self, down: bool) {
        self.shelf().down = down;
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().expect("no panic while holding the secrets")
}

/// The ARN of the secret `name`; AWS appends six random characters, here always the same.
pub fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-Lk7Qz2")
}

async fn answer(State(shelf): State<Arc<Mutex<Shelf>>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix("secretsmanager.").unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let json_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    match lock(&shelf).answer(operation, &asked) {
        Ok(answer) => (json_type, answer.to_string()).into_response(),
        Err(Refusal(name, message)) => {
            let server_error = name == "InternalServiceError";
            let status =
                if server_error { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
            (status, json_type, json!({ "__type": name, "Message": message }).to_string()).into_response()
        }
    }
}

impl Shelf {
    fn answer(&mut self, operation: &str, asked: &Value) -> Result<Value, Refusal> {
        let id = asked["SecretId"].as_str().or(asked["Name"].as_str()).unwrap_or_default();
        self.calls.push((operation.to_owned(), id.to_owned()));
        if self.down {
            return Err(Refusal("InternalServiceError", "An error occurred on the server side.".into()));
        }
        match operation {
            "GetSecretValue" => self.get(id, asked),
            "PutSecretValue" => {
                let name = self.name(id)?;
                let version = self.put(&name, value(asked)?, asked["ClientRequestToken"].as_str());
                Ok(
                    json!({ "ARN": arn(&name), "Name": name, "VersionId": version, "VersionStages": ["AWSCURRENT"] }),
                )
            }
            "CreateSecret" if self.secrets.contains_key(id) => Err(Refusal(
                "ResourceExistsException",
                format!("The operation failed because the secret {id} already exists."),
            )),
            "CreateSecret" => {
                let version = self.put(id, value(asked)?, asked["ClientRequestToken"].as_str());
                Ok(json!({ "ARN": arn(id), "Name": id, "VersionId": version }))
            }
            _ => Err(Refusal("UnknownOperationException", format!("{operation} is not answered here"))),
        }
    }

    fn get(&self, id: &str, asked: &Value) -> Result<Value, Refusal> {
        let name = self.name(id)?;
        let secret = &self.secrets[&name];
        let stage = asked["VersionStage"].as_str();
        let wanted = asked["VersionId"].as_str();
        let versions = [("AWSCURRENT", Some(&secret.current)), ("AWSPREVIOUS", secret.previous.as_ref())];
        let found = versions.into_iter().find_map(|(label, version)| {
            let version = version?;
            let by_stage = stage.unwrap_or(if wanted.is_some() { label } else { "AWSCURRENT" }) == label;
            (by_stage && wanted.is_none_or(|wanted| wanted == version.id)).then_some((label, version))
        });
        let (label, version) = found.ok_or_else(|| match wanted {
            Some(wanted) => not_found(&format!(" value for VersionId: {wanted}")),
            None => not_found(&format!(" value for staging label: {}", stage.unwrap_or("AWSCURRENT"))),
        })?;
        Ok(json!({
            "ARN": arn(&name),
            "Name": name,
            "VersionId": version.id,
            "SecretString": version.value,
            "VersionStages": [label],
            "CreatedDate": version.created.as_duration().as_secs_f64(),
        }))
    }

    /// The name of the secret that `id` names: by name, by ARN, or by ARN without the six random characters.
    fn name(&self, id: &str) -> Result<String, Refusal> {
        let named = self.secrets.keys().find(|name| {
            let full = arn(name);
            *name == id || full == id || full.rsplit_once('-').is_some_and(|(partial, _)| partial == id)
        });
        named.cloned().ok_or_else(|| not_found("."))
    }

    /// Stores a version as AWSCURRENT; the one before becomes AWSPREVIOUS. Returns the version's id.
    fn put(&mut self, name: &str, value: &str, token: Option<&str>) -> String {
        self.versions_made += 1;
        let id = token
            .map_or_else(|| format!("00000000-0000-4000-8000-{:012}", self.versions_made), ToOwned::to_owned);
        let current = Version { id: id.clone(), value: value.to_owned(), created: Clock::running().now() };
        let previous = self.secrets.remove(name).map(|secret| secret.current);
        self.secrets.insert(name.to_owned(), Secret { current, previous });
        id
    }
}

fn value(asked: &Value) -> Result<&str, Refusal> {
    asked["SecretString"].as_str().ok_or_else(|| {
        Refusal("InvalidParameterException", "You must provide either SecretString or SecretBinary.".into())
    })
}

fn not_found(what: &str) -> Refusal {
    Refusal("ResourceNotFoundException", format!("Secrets Manager can't find the specified secret{what}"))
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_sdk_secretsmanager::Client;
    use aws_sdk_secretsmanager::config::{BehaviorVersion, Region, retry::RetryConfig};
    use aws_sdk_secretsmanager::error::ProvideErrorMetadata;

    use super::*;

    async fn service() -> (SecretsManager, Client) {
        let secrets = SecretsManager::start().await;
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::from_keys("AKID", "secret", None))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .endpoint_url(secrets.endpoint())
            .build();
        (secrets, Client::from_conf(config))
    }

    #[tokio::test]
    async fn the_sdk_reads_by_name_and_by_arn_and_the_calls_are_counted() {
        let (secrets, client) = service().await;
        let arn = secrets.put("latchkey/keyring", "v1");
        let (partial, _) = arn.rsplit_once('-').unwrap();
        for id in ["latchkey/keyring", &arn, partial] {
            let got =
                client.get_secret_value().secret_id(id).version_stage("AWSCURRENT").send().await.unwrap();
            assert_eq!((got.secret_string(), got.arn()), (Some("v1"), Some(arn.as_str())));
        }
        assert_eq!(secrets.calls().len(), 3);
        assert_eq!(secrets.calls()[0], ("GetSecretValue".into(), "latchkey/keyring".into()));
    }

    #[tokio::test]
    async fn a_new_version_moves_the_labels() {
        let (secrets, client) = service().await;
        client.create_secret().name("s").secret_string("one").send().await.unwrap();
        client.put_secret_value().secret_id("s").secret_string("two").send().await.unwrap();
        let previous =
            client.get_secret_value().secret_id("s").version_stage("AWSPREVIOUS").send().await.unwrap();
        assert_eq!(previous.secret_string(), Some("one"));
        let by_id = client.get_secret_value().secret_id("s").version_id(previous.version_id().unwrap());
        assert_eq!(by_id.send().await.unwrap().secret_string(), Some("one"));
        let current = client.get_secret_value().secret_id("s").send().await.unwrap();
        assert_eq!(current.secret_string(), Some("two"));
        let again = client.create_secret().name("s").secret_string("three").send().await.unwrap_err();
        assert_eq!(again.message(), Some("The operation failed because the secret s already exists."));
        drop(secrets);
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_in_awss_words() {
        let (secrets, client) = service().await;
        secrets.put("s", "v");
        let pending =
            client.get_secret_value().secret_id("s").version_stage("AWSPENDING").send().await.unwrap_err();
        let message = "Secrets Manager can't find the specified secret value for staging label: AWSPENDING";
        assert_eq!(pending.message(), Some(message));

        secrets.remove("s");
        let unknown = client.get_secret_value().secret_id("s").send().await.unwrap_err();
        assert_eq!(unknown.message(), Some("Secrets Manager can't find the specified secret."));
        assert!(unknown.into_service_error().is_resource_not_found_exception());
    }

    #[tokio::test]
    async fn down_and_up_again() {
        let (secrets, client) = service().await;
        secrets.put("s", "v");
        secrets.down(true);
        let error = client.get_secret_value().secret_id("s").send().await.unwrap_err();
        assert!(error.into_service_error().is_internal_service_error());
        secrets.down(false);
        client.get_secret_value().secret_id("s").send().await.unwrap();
    }
}
