//! The signing secrets of endpoints, kept for a minute: a rotated secret signs soon after it was stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use store::{SecretError, Secrets};
use webhooks::SigningSecret;

/// How long secrets are kept.
const SECRET_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Maximum number of endpoints whose secrets are kept.
const MAX_KEPT: usize = 1000;

/// Reads and keeps signing secrets. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SigningSecrets {
    secrets: Secrets,
    kept: Arc<Mutex<Kept>>,
}

/// By name: when they were read, and what they are.
type Kept = HashMap<String, (Timestamp, Vec<SigningSecret>)>;

impl SigningSecrets {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self { secrets, kept: Arc::default() }
    }

    /// The secrets of that name: the current one and, during a rotation, the next one.
    pub(crate) async fn get(&self, name: &str, now: Timestamp) -> Result<Vec<SigningSecret>, SecretError> {
        if let Some((_, kept)) = self.lock().get(name).filter(|(read_at, _)| now < *read_at + SECRET_AGE) {
            return Ok(kept.clone());
        }
        let malformed = || SecretError::Malformed {
            name: name.to_owned(),
            what: r#"expected {"current":"whsec_…"} and, while rotating, "next""#,
        };
        let texts = self.secrets.webhook_secrets(name).await?;
        let parsed: Result<Vec<_>, _> = texts.iter().map(|text| SigningSecret::parse(text)).collect();
        let parsed = parsed.map_err(|_| malformed())?;
        let mut kept = self.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(name.to_owned(), (now, parsed.clone()));
        Ok(parsed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
