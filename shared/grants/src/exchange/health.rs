//! Whether a code may be sent for an app, and what the answer tells of the app and the login host.
//!
//! An exchange heeds the stops that hold for the whole app and for the host, not those of one org: whose org it is shows
//! in the answer only. It is bookkeeping: where it cannot be read or written, the exchange goes on without it.

use std::time::Duration;

use diagnosis::evidence;
use domain::{Environment, secret::Hash};
use platform::log::internal;
use salesforce::SalesforceError;
use store::{AppAt, Health};
use tokio::time::timeout;

use super::{ExchangeError, Exchanger, context::Trip};
use crate::refresh::{
    health::{Sending, Told, evidence_of, learn, may_send},
    verdict::told_once,
};

/// How long reading what is known may take. It keeps the browser waiting.
const READ: Duration = Duration::from_secs(1);

/// How long writing what was learnt may take.
const WRITE: Duration = Duration::from_secs(2);

fn sending<'a>(trip: &'a Trip<'_>, org: &'a str, witness: &'a Hash) -> Sending<'a> {
    Sending {
        app: AppAt {
            product: &trip.attempt.product,
            app: &trip.app.id,
            consumer_key: &trip.app.consumer_key,
        },
        host: &trip.attempt.login_host,
        is_generic: trip.attempt.environment != Environment::MyDomain,
        org,
        witness: witness.as_str(),
    }
}

impl Exchanger {
    /// Whether the code may be sent. If not, it stays unspent.
    pub(super) async fn may_exchange(&self, trip: &Trip<'_>) -> Result<Health, ExchangeError> {
        let witness = Hash::of(&trip.attempt.customer.id);
        let sending = sending(trip, "", &witness);
        let asking = async {
            let read = self.platform.store.health(sending.app, sending.host).await;
            let health = read.unwrap_or_else(|error| {
                internal(&error);
                Health::default()
            });
            let held = may_send(&self.platform, sending, &health, trip.time.now()).await;
            (health, held)
        };
        match timeout(READ, asking).await {
            Ok((health, Ok(()))) => Ok(health),
            Ok((health, Err(held))) => {
                let down = || evidence::token_endpoint(Some("service_unavailable"), None, None);
                let evidence = evidence_of(held, &health.app).unwrap_or_else(down);
                Err(ExchangeError::Held(Box::new(evidence)))
            }
            Err(late) => {
                internal(&late);
                Ok(Health::default())
            }
        }
    }

    /// Keeps what the answer tells, once the grant is where it belongs.
    pub(super) async fn learn_exchange(&self, trip: &Trip<'_>, health: &Health, told: Told<'_>) {
        let witness = Hash::of(&trip.attempt.customer.id);
        let sending = sending(trip, &trip.attempt.login_host, &witness);
        let learning = learn(&self.platform, sending, health, told, trip.time.now());
        if let Err(late) = timeout(WRITE.min(trip.for_revoking()), learning).await {
            internal(&late);
        }
    }
}

/// What an answer without usable tokens tells. One that may speak for somebody else is a sign of an attack, and says
/// nothing of the app: an attacker must not be able to stop it.
pub(super) fn told_of(error: &SalesforceError) -> Told<'static> {
    match error {
        SalesforceError::Doubtful(doubtful) if doubtful.distrust.is_of_identity() => Told::Nothing,
        SalesforceError::Doubtful(doubtful) => Told::Untrusted(doubtful.distrust.code()),
        error => told_once(error),
    }
}
