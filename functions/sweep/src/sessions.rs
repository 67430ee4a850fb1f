//! Sessions whose attempts have expired: the browser never came back, or it came back and the callback was interrupted.

use diagnosis::evidence;
use domain::{App, Attempt, ConnectSession, SessionId, SessionState, Stage, Surface};
use grants::record_failure::{FailureSubject, Observation, diagnose};
use jiff::Timestamp;
use store::StoreError;

use crate::{Outcome, Sweep};

impl Sweep {
    /// Settles a session that is due: all its attempts have expired, so no browser can come back any more.
    pub(crate) async fn settle(&self, id: &SessionId, now: Timestamp) -> Result<Outcome, StoreError> {
        let store = &self.platform.store;
        let Some(session) = store.session(id).await? else { return Ok(Outcome::Nothing) };
        let mut claimed = Vec::new();
        for id in session.attempts_without_end() {
            claimed.extend(store.attempt(&id).await?.filter(|attempt| attempt.claimed_at.is_some()));
        }
        if claimed.iter().filter_map(Attempt::at_work_until).any(|until| now < until) {
            // The callback may be at work just now. The next run looks again.
            return Ok(Outcome::Nothing);
        }
        let found = self.platform.products.with_app(&session.product, &session.app, now).await?;
        let app = found.map(|(_, app)| app);
        if let Some(app) = &app
            && !claimed.is_empty()
        {
            let interrupted = self.record_interrupted(&claimed, app, now).await?;
            store.close_attempts(id, now).await?;
            return Ok(Outcome::Interrupted(interrupted));
        }
        if !matches!(session.state, SessionState::Redirected { .. }) {
            store.close_attempts(id, now).await?;
            return Ok(Outcome::Nothing);
        }
        self.lose(&session, app.as_ref(), now).await
    }

    /// Records each attempt whose callback was interrupted. How many there are: a second visit of the browser may have
    /// recorded one first.
    async fn record_interrupted(
        &self,
        claimed: &[Attempt],
        app: &App,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let mut interrupted = 0;
        for attempt in claimed {
            let evidence = evidence::our_own(Surface::Callback, "callback_interrupted", None);
            let (failure, _) = diagnose(
                Observation::new(FailureSubject::Attempt(attempt), app, Stage::Callback, evidence),
                now,
            );
            interrupted += u32::from(self.platform.store.end_attempt(attempt, &failure).await?);
        }
        Ok(interrupted)
    }

    /// The browser never came back. Without its app there is nobody to show a failure to.
    async fn lose(
        &self,
        session: &ConnectSession,
        app: Option<&App>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let failure = match app {
            None => None,
            Some(app) => {
                let (product, host) = (&session.product, session.host.my_domain());
                let connected_before = self.platform.connected_before(product, &session.app, host).await;
                let nothing = evidence::observed(Surface::Unknown, None, None, None);
                let met = Observation::new(FailureSubject::Session(session), app, Stage::Lost, nothing);
                Some(diagnose(met.in_an_org(connected_before), now).0)
            }
        };
        let lost = self.platform.store.lose_session(&session.id, failure.as_ref(), now).await?;
        Ok(if lost { Outcome::Lost } else { Outcome::Nothing })
    }
}
