//! After an import's answer was lost: the token is sent once more, only if the host is known to answer, and then again only
//! where Salesforce says that it is still unspent. It is the recovery of a refresh, for a token that has no connection yet.

use domain::SaturatingTime as _;
use jiff::Timestamp;
use platform::log::internal;
use salesforce::SalesforceError;
use store::{Health, imports::Import, leases::RECOVERY_AFTER};

use super::{ImportError, ImportRequest, Importer};
use crate::{
    introspection::{TokenWord, ask_about},
    refresh::{UNKNOWN_FOR, health::seconds, question_wait},
};

impl Importer {
    /// Whether a token that was sent and not answered may be sent again. Its sender cannot be alive any more, and no answer
    /// waits in the fallback. An error says when to ask again, or that the token is lost.
    pub(super) async fn may_send_again(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        now: Timestamp,
    ) -> Result<bool, ImportError> {
        let health = self.platform.store.health(brought.app_at(), brought.host.origin()).await?;
        if health.app.rotates == Some(false) {
            // Nothing can be spent.
            return Ok(true);
        }
        let since = self.found_unanswered(brought, import, &health, now).await?;
        let answers = self.refresher.host_answers(brought.host.origin(), &health.host, since, now).await;
        let due = since.later_by(RECOVERY_AFTER);
        if let Some(wait) = answers.err().max((now < due).then(|| seconds(due, now))) {
            return Err(ImportError::UnderWay(wait));
        }
        if !import.was_tried_again() {
            return Ok(true);
        }
        self.token_is_unspent(brought, import, now).await
    }

    /// Since when it is known that no answer came. The first to find it waits as if the token had been sent now: the
    /// sender's clock may be wrong. If the sender is dead, nobody has noted yet that the host did not answer.
    async fn found_unanswered(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        health: &Health,
        now: Timestamp,
    ) -> Result<Timestamp, ImportError> {
        let store = &self.platform.store;
        if import.looked_at.is_some() {
            return Ok(import.last_sent(now).unwrap_or(now));
        }
        if !store.note_import_unanswered(import, now).await? {
            return Err(ImportError::UnderWay(seconds(now.later_by(RECOVERY_AFTER), now)));
        }
        if health.host.unanswered_at.is_none_or(|at| at < import.began_at)
            && let Err(error) = store.note_unanswered(brought.host.origin(), now).await
        {
            internal(&error);
        }
        Ok(now)
    }

    /// Whether Salesforce knows a token that was sent twice and not answered. The question spends nothing (RFC 7662).
    async fn token_is_unspent(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        now: Timestamp,
    ) -> Result<bool, ImportError> {
        let store = &self.platform.store;
        let wait = question_wait(import.began_at, now, fastrand::f64());
        let later = || ImportError::UnderWay(seconds(now.later_by(wait), now));
        // One question in that time, whoever asks.
        if !store.begin_import_question(import, wait, now).await? {
            return Err(later());
        }
        match self.token_word(brought).await? {
            Ok(TokenWord::Known) => Ok(true),
            Ok(TokenWord::Ended) => Err(self.lose(brought, import, None, now).await),
            Ok(TokenWord::Unsaid) => {
                let since = import.unsaid_since.unwrap_or(now);
                if since.later_by(UNKNOWN_FOR) <= now {
                    return Err(self.lose(brought, import, None, now).await);
                }
                store.note_import_unsaid(import, since).await?;
                Err(later())
            }
            Err(error) => {
                internal(&error);
                Err(later())
            }
        }
    }

    async fn token_word(
        &self,
        brought: &ImportRequest<'_>,
    ) -> Result<Result<TokenWord, SalesforceError>, ImportError> {
        let secret = self.platform.secrets.consumer(&brought.app.secret).await?.current;
        let app = (&brought.product.id, brought.app);
        Ok(ask_about(&self.platform, app, &brought.host, &secret, brought.token.expose()).await)
    }
}
