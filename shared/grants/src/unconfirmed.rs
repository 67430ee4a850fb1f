//! A parked grant that nobody confirms: the grant is marked to be revoked, and its session has failed.

use diagnosis::evidence;
use domain::{Connection, Stage, Surface};
use jiff::Timestamp;
use platform::Platform;
use store::StoreError;

use crate::record_failure::{FailureSubject, Observation, diagnose};

/// Marks a parked grant to be revoked and records the failure of its session, which is open again. `false`: somebody
/// decided before.
pub async fn leave_unconfirmed(
    platform: &Platform,
    parked: &Connection,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let store = &platform.store;
    let found = platform.products.with_app(&parked.product, &parked.app, now).await?;
    let (Some((_, app)), Some(session)) = (found, &parked.session) else {
        // The product or app was deleted: nobody is left to show a failure to.
        return store.begin_revoking(&parked.product, &parked.id, now).await;
    };
    let evidence = evidence::our_own(Surface::Callback, "other_identity_unanswered", None);
    let met = Observation::new(FailureSubject::Connection(parked), &app, Stage::Callback, evidence);
    let (failure, _) = diagnose(met, now);
    store.refuse_parked(session, &parked.id, &failure, now).await
}
