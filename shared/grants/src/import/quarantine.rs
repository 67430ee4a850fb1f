//! Answers to an import that fail a check, or that do not name the org's API.

use diagnosis::evidence;
use std::time::Duration;

use domain::{Stage, Surface};
use jiff::Timestamp;
use platform::{Deadline, log::internal};
use salesforce::{Distrust, DoubtfulAnswer, Grant, SalesforceError};
use store::{
    Decision, ImportedAs,
    connection_lists::ConnectionSummary,
    imports::{Import, ImportState, Sender},
};
use tokio::time::timeout;

use super::{ImportError, ImportOutcome, ImportRequest, Importer, save::KeepTime};
use crate::{
    record_failure::{Observation, diagnose},
    refresh::ImportAnswer,
};

/// How long Salesforce may take to tell where the org's API answers.
const ASK_INSTANCE: Duration = Duration::from_secs(5);

/// After how many seconds the sweep has most likely stored an answer that the table did not take.
pub(super) const SWEEP: u32 = 300;

/// Minimum time left for writing an answer.
const TIME_TO_SAVE: Duration = Duration::from_secs(4);

/// Minimum time for which the fallback is tried before Salesforce is asked.
const FIRST_TRY: Duration = Duration::from_secs(2);

impl Importer {
    /// The answer does not name the org's API. It is kept first; then Salesforce is asked where the API answers. While the
    /// fallback is away the answer can only become durable as a connection, so Salesforce is asked then too.
    pub(super) async fn import_without_instance(
        &self,
        brought: &ImportRequest<'_>,
        sender: &Sender,
        grant: Grant,
        others: &[ConnectionSummary],
        time: KeepTime<'_>,
    ) -> Result<ImportOutcome, ImportError> {
        let doubtful = grant.as_doubtful(Distrust::InstanceUrl);
        let first = time.until_fallback().saturating_sub(ASK_INSTANCE + TIME_TO_SAVE).max(FIRST_TRY);
        let kept = self.quarantine(brought, sender.import(), &doubtful, None, time.deadline);
        let is_kept = match timeout(first, kept).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                internal(&error);
                false
            }
            Err(late) => {
                internal(&late);
                false
            }
        };
        let patience = ASK_INSTANCE.min(time.deadline.left().saturating_sub(TIME_TO_SAVE));
        let told = self.platform.salesforce.identity(&grant, patience).await.instance_url;
        let Some(told) = told else {
            if !is_kept {
                self.quarantine(brought, sender.import(), &doubtful, None, time.deadline).await?;
            }
            return Err(self.say_quarantined(brought, sender.import(), &doubtful, time.now()).await);
        };
        let stored = self.keep_import(brought, sender, &grant.at_instance(told), others, time).await?;
        if is_kept && let Err(error) = self.refresher.forget_import(sender.import(), &brought.token).await {
            internal(&error);
        }
        Ok(stored)
    }

    /// Refuses to send the token of an import that stands begun and whose answer is in quarantine: the process that sent
    /// it ended before it could say so.
    pub(super) async fn refuse_quarantined(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        now: Timestamp,
    ) -> Result<(), ImportError> {
        let Some(kept) = self.refresher.import_in_quarantine(import, &brought.token).await? else {
            return Ok(());
        };
        if kept.decision == Some(Decision::Release) {
            // It passes every check, and the sweep stores it.
            return Err(ImportError::UnderWay(SWEEP));
        }
        let code = diagnosis::evidence::OUR_OWN.into_iter().find(|code| *code == kept.reason);
        let code = code.unwrap_or("unexpected_answer");
        let evidence = evidence::our_own(Surface::TokenEndpoint, code, Some(&kept.detail));
        let met = Observation::new(brought.of(), brought.app, Stage::Refresh, evidence);
        let (failure, _) = diagnose(met, now);
        let to = ImportState::Quarantined(failure.id.clone());
        self.platform.store.end_import(import, &to, &failure).await?;
        Err(ImportError::InQuarantine(failure.id))
    }

    /// Keeps an answer that fails a check, then says so in the journal.
    pub(super) async fn quarantine_import(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        doubtful: &DoubtfulAnswer,
        time: &Deadline,
    ) -> ImportError {
        if let Err(error) = self.quarantine(brought, import, doubtful, None, time).await {
            return error;
        }
        self.say_quarantined(brought, import, doubtful, time.now()).await
    }

    /// Keeps an answer that the table does not take, or not yet, in the fallback, from where the sweep stores it.
    pub(super) async fn keep_for_sweep(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        grant: &Grant,
        time: &Deadline,
    ) -> Result<(), ImportError> {
        let answer = grant.as_doubtful(Distrust::Form("its place in the table"));
        self.quarantine(brought, import, &answer, Some(Decision::Release), time).await
    }

    /// Keeps an answer that fails a check: the token is not sent again.
    async fn quarantine(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        doubtful: &DoubtfulAnswer,
        decision: Option<Decision>,
        time: &Deadline,
    ) -> Result<(), ImportError> {
        let imported = ImportedAs {
            mark: brought.mark.clone(),
            customer: brought.customer.clone(),
            user: brought.user.clone(),
            environment: brought.host.environment(),
            another: brought.another,
        };
        let sent =
            ImportAnswer { product: &brought.product.id, app: brought.app, import, token: &brought.token };
        Ok(self.refresher.quarantine_import(sent, imported, doubtful, decision, time).await?)
    }

    /// Says in the journal that an answer is in quarantine.
    async fn say_quarantined(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        doubtful: &DoubtfulAnswer,
        now: Timestamp,
    ) -> ImportError {
        let error = SalesforceError::Doubtful(Box::new(doubtful.clone()));
        let met =
            Observation::new(brought.of(), brought.app, Stage::Refresh, error.evidence()).because(&error);
        let (failure, _) = diagnose(met, now);
        let to = ImportState::Quarantined(failure.id.clone());
        match self.platform.store.end_import(import, &to, &failure).await {
            Ok(_) => ImportError::InQuarantine(failure.id),
            Err(error) => error.into(),
        }
    }
}
