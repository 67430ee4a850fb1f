//! Secrets Manager: asked once for a secret and then not again, until what we hold has proved stale.

use aws_sdk_secretsmanager::{Client, error::ProvideErrorMetadata};
use domain::secret::ConsumerSecret;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// The secrets that a function may read.
#[derive(Clone)]
pub struct Secrets {
    client: Arc<LazyLock<Client, Build>>,
    held: Arc<Mutex<Held>>,
}

/// Builds the client when a secret is first asked for: it reads AWS's partitions and compiles their patterns, a
/// sixth of what a cold start computes, and some functions never ask.
type Build = Box<dyn FnOnce() -> Client + Send>;

/// Each secret by name, or whoever is fetching it.
type Held = HashMap<String, Arc<OnceCell<SecretString>>>;

/// A secret could not be had. The message names it, never its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none of that name, or this function may not read it.
    #[error("secret {name} could not be read: {code}: {message}")]
    Unreadable {
        /// Its name in Secrets Manager.
        name: String,
        /// AWS's error code, or `NoAnswer`.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// It is not of the form that we store.
    #[error("secret {name} has the wrong form: {what}")]
    Malformed {
        /// Its name in Secrets Manager.
        name: String,
        /// What was expected.
        what: &'static str,
    },
    /// A sealed value names a key that the keyring does not have, or does not open with it.
    #[error("{what} of {connection} cannot be opened with keyring {name}: {why}")]
    Sealed {
        /// The keyring's name in Secrets Manager.
        name: String,
        /// The field.
        what: &'static str,
        /// The connection.
        connection: String,
        /// Why.
        why: &'static str,
    },
}

/// An app's consumer secrets: a second one stands beside the first while they are being rotated.
#[derive(Debug, Clone)]
pub struct ConsumerSecrets {
    /// The one in use.
    pub current: ConsumerSecret,
    /// The one that is to replace it.
    pub next: Option<ConsumerSecret>,
    /// The one that it has replaced: for the operator's way back alone. No function tries it.
    pub previous: Option<ConsumerSecret>,
}

impl fmt::Debug for Secrets {
    /// Names nothing that it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Reads secrets through the client that `build` makes, once the first is asked for.
    pub fn new(build: impl FnOnce() -> Client + Send + 'static) -> Self {
        Self { client: Arc::new(LazyLock::new(Box::new(build))), held: Arc::default() }
    }

    /// An app's consumer secrets, by the name in its product's file.
    pub async fn consumer(&self, name: &str) -> Result<ConsumerSecrets, SecretError> {
        #[derive(Deserialize)]
        struct Stored {
            current: String,
            next: Option<String>,
            previous: Option<String>,
        }
        let text = self.get(name).await?;
        let what = r#"expected {"current":"<consumer secret>"} and, while rotating, "next""#;
        let stored: Stored =
            serde_json::from_str(text.expose_secret()).map_err(|_| self.malformed(name, what))?;
        Ok(ConsumerSecrets {
            current: ConsumerSecret::new(stored.current),
            next: stored.next.map(ConsumerSecret::new),
            previous: stored.previous.map(ConsumerSecret::new),
        })
    }

    /// The signing secrets of a webhook endpoint, read anew: the current one and, during a rotation, the next one. Both
    /// sign.
    pub async fn webhook_secrets(&self, name: &str) -> Result<Vec<String>, SecretError> {
        #[derive(Deserialize)]
        struct Stored {
            current: String,
            next: Option<String>,
        }
        let text = self.fetch(name).await?;
        let what = r#"expected {"current":"whsec_…"} and, while rotating, "next""#;
        let stored: Stored =
            serde_json::from_str(text.expose_secret()).map_err(|_| self.malformed(name, what))?;
        Ok(std::iter::once(stored.current).chain(stored.next).collect())
    }

    /// A consumer secret that is not the one that Salesforce refused (`invalid_client`), if there is another by
    /// now: read anew, the current one first, then the one that is to replace it. Salesforce refuses the app
    /// before it looks at a code or a refresh token, so with another secret the request may be sent again.
    pub async fn other_consumer(
        &self,
        name: &str,
        refused: &ConsumerSecret,
    ) -> Result<Option<ConsumerSecret>, SecretError> {
        self.forget(name);
        let fetched = self.consumer(name).await?;
        Ok([Some(fetched.current), fetched.next]
            .into_iter()
            .flatten()
            .find(|secret| secret.expose() != refused.expose()))
    }

    /// Fetches a secret anew. What is held of it stays until there is an answer that `is_better`: others may be about to
    /// seal with it what exists nowhere else.
    pub(crate) async fn renew(
        &self,
        name: &str,
        is_better: impl FnOnce(&SecretString) -> bool,
    ) -> Result<(), SecretError> {
        let fetched = self.fetch(name).await?;
        if is_better(&fetched) {
            self.lock().insert(name.to_owned(), Arc::new(OnceCell::new_with(Some(fetched))));
        }
        Ok(())
    }

    /// Forgets what is held of a secret, so that the next use asks again.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// A secret in the wrong form is not held: once it is put right, the next use finds it so.
    pub(crate) fn malformed(&self, name: &str, what: &'static str) -> SecretError {
        self.forget(name);
        SecretError::Malformed { name: name.to_owned(), what }
    }

    /// The secret of that name. Several callers who need it at once ask for it once.
    pub(crate) async fn get(&self, name: &str) -> Result<SecretString, SecretError> {
        let held = Arc::clone(self.lock().entry(name.to_owned()).or_default());
        held.get_or_try_init(|| self.fetch(name)).await.cloned()
    }

    async fn fetch(&self, name: &str) -> Result<SecretString, SecretError> {
        let answer = self.client.get_secret_value().secret_id(name).send().await.map_err(|error| {
            let refusal = error.as_service_error();
            SecretError::Unreadable {
                name: name.to_owned(),
                code: refusal.and_then(ProvideErrorMetadata::code).unwrap_or("NoAnswer").to_owned(),
                message: refusal.and_then(ProvideErrorMetadata::message).unwrap_or_default().to_owned(),
            }
        })?;
        answer.secret_string.map(SecretString::from).ok_or_else(|| SecretError::Malformed {
            name: name.to_owned(),
            what: "expected a text, not binary",
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        // The map is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
