//! Many connections that stop alike are one incident: each is counted, and told of which wave it is a part.

use std::time::Duration;

use domain::{Failure, Incident, incident::Over};
use jiff::Timestamp;
use store::waves::Part;
use telemetry::{Metric, add};
use tokio::{join, time::timeout};

use platform::{Platform, log::internal};

/// How long a count may keep a caller waiting: it decides nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts a connection that stops by this failure: over its app, and in its org. Where both are waves the app's is
/// meant, for it explains the other. A count that fails is logged, and costs an incident one of its stops.
pub async fn count_incident(platform: &Platform, failure: &Failure, now: Timestamp) -> Option<Incident> {
    let org = failure.org.as_ref()?;
    let (app, org) = (Over::App(&failure.app), Over::Org(org));
    let counts = async { join!(count(platform, failure, &app, now), count(platform, failure, &org, now)) };
    let (of_app, of_org) = Box::pin(counts).await;
    of_app.or(of_org)
}

async fn count(platform: &Platform, failure: &Failure, over: &Over<'_>, now: Timestamp) -> Option<Incident> {
    let Failure { product, app, cause, org, connection, .. } = failure;
    let stopped = (connection.as_ref()?, org.as_ref()?);
    match timeout(PATIENCE, platform.store.count_stop(product, over, cause, stopped, now)).await {
        Ok(Ok(Some(Part { incident, begins }))) => {
            if begins {
                add(Metric::Incidents, 1.0);
                tracing::error!(
                    incident = %incident.id,
                    scope = incident.scope.word(),
                    cause,
                    product = %product,
                    app = %app,
                    over = over.what(),
                    "a wave: many connections stop by {cause}"
                );
            }
            Some(incident)
        }
        Ok(Ok(None)) => None,
        Ok(Err(error)) => {
            internal(&error);
            None
        }
        Err(late) => {
            internal(&late);
            None
        }
    }
}
