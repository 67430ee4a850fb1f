//! When an import may be sent: what is known of its app and host, and the backoff of the imports before it. Rows of one
//! import come by the thousand, so a refusal that passes holds the others back as well.

use diagnosis::Actor;
use domain::{Environment, Stage, secret::Hash};
use jiff::{SignedDuration, Timestamp};
use platform::log::internal;
use salesforce::SalesforceError;
use store::{Backoff, ImportHealth, ImportsAt, health::Stop, import_backoff::import_stop};

use super::{ImportError, ImportRequest, Importer};
use crate::{
    record_failure::Observation,
    refresh::{
        health::{Held, Sending, Told, learn, may_send, reserved, seconds},
        verdict::told_once,
    },
};

/// How long an import waits while another one tries.
const PROBED: u32 = 10;

/// Which imports wait after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All imports of the app at the host.
    Host,
    /// The customer's: at a host that serves many orgs, a limit is one org's own.
    Customer,
}

impl ImportRequest<'_> {
    fn at(&self, scope: Scope) -> ImportsAt<'_> {
        let customer = (scope == Scope::Customer).then_some(self.customer.id.as_str());
        ImportsAt { app: self.app_at(), host: self.host.origin(), customer }
    }

    fn is_generic(&self) -> bool {
        self.host.environment() != Environment::MyDomain
    }

    fn sending<'a>(&'a self, witness: &'a Hash) -> Sending<'a> {
        let host = self.host.origin();
        let (is_generic, witness) = (self.is_generic(), witness.as_str());
        Sending { app: self.app_at(), host, is_generic, org: host, witness }
    }

    fn witness(&self) -> Hash {
        Hash::of(&self.customer.id)
    }
}

/// The backoffs that an import heeds.
fn backoffs(health: &ImportHealth) -> [(Scope, Option<&Backoff>); 2] {
    [(Scope::Host, health.of_host.as_ref()), (Scope::Customer, health.of_customer.as_ref())]
}

impl Importer {
    /// Whether the token may be sent. Of the imports that meet a stop that is over, one may: it tries.
    pub(super) async fn may_import(
        &self,
        brought: &ImportRequest<'_>,
        now: Timestamp,
    ) -> Result<ImportHealth, ImportError> {
        let (store, host) = (&self.platform.store, brought.host.origin());
        let read = store.import_health(brought.app_at(), host, &brought.customer.id).await;
        let health = read.unwrap_or_else(|error| {
            internal(&error);
            ImportHealth::default()
        });
        let stops = backoffs(&health).map(|(scope, backoff)| Some((scope, import_stop(backoff?, now))));
        for (_, stop) in stops.into_iter().flatten() {
            if let Stop::Until(until) = stop {
                return Err(ImportError::Waits(seconds(until, now)));
            }
        }
        let witness = brought.witness();
        may_send(&self.platform, brought.sending(&witness), &health.health, now).await.map_err(|held| {
            match held {
                Held::App(seconds) | Held::Untrusted(seconds) => ImportError::AppStopped(seconds),
                Held::Host(seconds) => ImportError::Waits(seconds),
            }
        })?;
        for (scope, stop) in stops.into_iter().flatten() {
            if let Stop::Probe(seen) = stop
                && !reserved(store.probe_imports(brought.at(scope), seen, now).await)
            {
                return Err(ImportError::Waits(PROBED));
            }
        }
        Ok(health)
    }

    /// Keeps what the answer to an import tells of its app and host.
    pub(super) async fn learn_import(
        &self,
        brought: &ImportRequest<'_>,
        health: &ImportHealth,
        told: Told<'_>,
        now: Timestamp,
    ) {
        let witness = brought.witness();
        learn(&self.platform, brought.sending(&witness), &health.health, told, now).await;
    }

    /// After an answer without tokens: imports wait if it passes, and go on if it speaks of this token alone.
    pub(super) async fn hold_imports(
        &self,
        brought: &ImportRequest<'_>,
        health: &ImportHealth,
        error: &SalesforceError,
        now: Timestamp,
    ) {
        let scope = match told_once(error) {
            // The app's own stop holds them back.
            Told::AppRefused | Told::Untrusted(_) => return,
            Told::Unanswered | Told::Lost | Told::Down | Told::Nothing => Scope::Host,
            Told::Refused | Told::Granted(_) | Told::Accepted => {
                let met = Observation::new(brought.of(), brought.app, Stage::Refresh, error.evidence());
                if !matches!(met.because(error).diagnosis().cause().actor, Actor::Wait | Actor::Vendor) {
                    return self.free_imports(brought, health).await;
                }
                if brought.is_generic() { Scope::Customer } else { Scope::Host }
            }
        };
        let scope = match error {
            // A limit, as a page.
            SalesforceError::Unreadable { status: 429, .. } if brought.is_generic() => Scope::Customer,
            _ => scope,
        };
        let before = backoffs(health).into_iter().find(|(one, _)| *one == scope).and_then(|(_, found)| found);
        let asked =
            error.retry_after().map(|wait| SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
        let backoff = Backoff::after(before, now, (asked, error.calls()), fastrand::f64());
        if let Err(error) = self.platform.store.hold_imports(brought.at(scope), &backoff, now).await {
            internal(&error);
        }
    }

    /// Salesforce takes imports again. In good times nothing is written.
    pub(super) async fn free_imports(&self, brought: &ImportRequest<'_>, health: &ImportHealth) {
        for (scope, backoff) in backoffs(health) {
            if backoff.is_some()
                && let Err(error) = self.platform.store.free_imports(brought.at(scope)).await
            {
                internal(&error);
            }
        }
    }
}
