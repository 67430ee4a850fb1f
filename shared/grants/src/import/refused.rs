//! Refusals of an import, and answers that nobody has.

use diagnosis::{Actor, evidence};
use domain::{Failure, FailureId, Stage, Surface};
use jiff::Timestamp;
use platform::log::internal;
use salesforce::{Rotation, SalesforceError};
use store::imports::{Import, ImportState};

use super::{ImportError, ImportRequest, Importer};
use crate::record_failure::{Observation, diagnose};

impl Importer {
    /// What an error means: the token may be spent, or it was refused and is as it was. After an answer that was
    /// lost a refusal that speaks of the token, in words that are known to be final, is the end of it; any other says
    /// nothing of it, and the right to send once more stays.
    pub(super) async fn refused_import(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        error: &SalesforceError,
        now: Timestamp,
    ) -> ImportError {
        let again = import.was_tried_again();
        if error.may_have_spent(Rotation::Possible) {
            internal(error);
            // This sender is done: it says so, else the next one waits for it.
            if let Err(error) = self.platform.store.note_import_unanswered(import, import.began_at).await {
                internal(&error);
            }
            return ImportError::under_way(import, now);
        }
        let met =
            Observation::new(brought.of(), brought.app, Stage::Refresh, error.evidence()).because(error);
        let (failure, found) = diagnose(met, now);
        if again && found.cause().actor == Actor::EndUser && error.is_final_refusal() {
            return self.lose(brought, import, Some(error), now).await;
        }
        let to = ImportState::Refused(failure.id.clone());
        match self.platform.store.end_import(import, &to, &failure).await {
            Ok(true) => {}
            Ok(false) => return ImportError::under_way(import, now),
            Err(error) => return error.into(),
        }
        if found.cause().actor == Actor::Wait {
            return ImportError::Away(failure.id);
        }
        ImportError::refused(found, failure.id)
    }

    /// Ends an import whose token may be spent on an answer that nobody has.
    pub(super) async fn lose(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        error: Option<&SalesforceError>,
        now: Timestamp,
    ) -> ImportError {
        let evidence = evidence::our_own(Surface::TokenEndpoint, "answer_lost", None);
        let mut met = Observation::new(brought.of(), brought.app, Stage::Refresh, evidence);
        if let Some(error) = error {
            met = met.because(error);
        }
        let (failure, found) = diagnose(met, now);
        let to = ImportState::Lost(failure.id.clone());
        match self.platform.store.end_import(import, &to, &failure).await {
            Ok(true) => ImportError::refused(found, failure.id),
            Ok(false) => ImportError::under_way(import, now),
            Err(error) => error.into(),
        }
    }

    /// What an earlier call has found: the same answer, with the page that it made.
    pub(super) async fn told_before(
        &self,
        brought: &ImportRequest<'_>,
        failure: &FailureId,
        now: Timestamp,
    ) -> ImportError {
        let evidence = match self.platform.store.failure(failure, now).await {
            Err(error) => return error.into(),
            Ok(Some(Failure { evidence, .. })) => evidence,
            // Failures are kept for a set time; the journal still says that the token is of no use.
            Ok(None) => evidence::token_endpoint(Some("invalid_grant"), None, None),
        };
        let found = Observation::new(brought.of(), brought.app, Stage::Refresh, evidence).diagnosis();
        ImportError::refused(found, failure.clone())
    }
}
