//! When imports wait. An import has no connection yet that could hold its backoff, so it stands in an item of its own,
//! which every process reads before an import is sent.

use jiff::{SignedDuration, Timestamp};

use crate::{
    AppAt, N, Store, StoreError,
    backoff::{Backoff, MAX_RETRY_AFTER},
    expression::Expression,
    health::{Health, Stop, send},
    item::{number, time_of},
    keys, millis, ttl,
};

/// How long the others wait while one import tries whether Salesforce takes imports again: longer than its answer takes.
const PROBE: SignedDuration = SignedDuration::from_secs(30);

/// How long an item is kept after its last change. A backoff lasts a day at most.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Imports that wait together: of an app at a login host, and of a customer if it is named.
#[derive(Debug, Clone, Copy)]
pub struct ImportsAt<'a> {
    /// The app.
    pub app: AppAt<'a>,
    /// The origin of the login host.
    pub host: &'a str,
    /// The customer's id.
    pub customer: Option<&'a str>,
}

impl ImportsAt<'_> {
    fn key(self) -> keys::Key {
        // A customer's id is never empty.
        keys::imports_health(self.app, self.host, self.customer.unwrap_or_default())
    }
}

/// What is known before an import.
#[derive(Debug, Clone, Default)]
pub struct ImportHealth {
    /// Of its app and host.
    pub health: Health,
    /// The backoff of all imports of the app at the host.
    pub of_host: Option<Backoff>,
    /// The backoff of the customer's imports there.
    pub of_customer: Option<Backoff>,
}

/// Whether a backoff lets an import through: once it is over, one may try.
pub fn import_stop(backoff: &Backoff, now: Timestamp) -> Stop {
    let until = backoff.not_before;
    if now < until && until <= now + MAX_RETRY_AFTER { Stop::Until(until) } else { Stop::Probe(until) }
}

impl Store {
    /// What is known of an import's app, host and customer, in one request.
    pub async fn import_health(
        &self,
        app: AppAt<'_>,
        host: &str,
        customer: &str,
    ) -> Result<ImportHealth, StoreError> {
        let of_host = ImportsAt { app, host, customer: None }.key();
        let of_customer = ImportsAt { app, host, customer: Some(customer) }.key();
        let wanted = vec![of_host.clone(), of_customer.clone()];
        let (health, found) = self.health_with(app, host, wanted).await?;
        let backoff = |key: &keys::Key| {
            let (_, item) = found.iter().find(|(pk, _)| *pk == key.pk)?;
            let not_before = time_of(item, "not_before")?;
            let refusals = number(item, "refusals");
            Some(Backoff { not_before, refusals, unexplained_since: None, cause: None, failure: None })
        };
        Ok(ImportHealth { health, of_host: backoff(&of_host), of_customer: backoff(&of_customer) })
    }

    /// Records that imports wait.
    pub async fn hold_imports(
        &self,
        which: ImportsAt<'_>,
        backoff: &Backoff,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self
            .update(&which.key())
            .update_expression("SET not_before = :until, refusals = :refusals, #ttl = :ttl")
            .name("#ttl", "ttl")
            .value(":until", millis(backoff.not_before))
            .value(":refusals", N(backoff.refusals))
            .value(":ttl", ttl(now + KEPT));
        send(update).await
    }

    /// Records that Salesforce takes imports again.
    pub async fn free_imports(&self, which: ImportsAt<'_>) -> Result<(), StoreError> {
        send(self.update(&which.key()).update_expression("REMOVE not_before, refusals")).await
    }

    /// Reserves the one import that tries whether Salesforce takes them again. `false`: another has it.
    pub async fn probe_imports(
        &self,
        which: ImportsAt<'_>,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.probe(&which.key(), seen, now + PROBE).await
    }
}
