//! Sessions whose attempts have expired: the browser never came back, or it came back and the callback was interrupted.

use diagnosis::evidence;
use domain::{App, Attempt, ConnectSession, Environment, SessionId, SessionState, Stage, Surface};
use grants::record_failure::{FailureSubject, Observation, diagnose};
use jiff::Timestamp;
use salesforce::LoginHost;
use store::StoreError;

use crate::{Outcome, Sweep};

impl Sweep {
    /// Settles a session that is due: all its attempts have expired, so no browser can come back any more.
    pub(crate) async fn settle(&self, id: &SessionId, now: Timestamp) -> Result<Outcome, StoreError> {
        let store = &self.platform.store;
        let Some(session) = store.session(id).await? else { return Ok(Outcome::Nothing) };
        let (mut claimed, mut away) = (Vec::new(), None);
        for id in session.attempts_without_end() {
            match store.attempt(&id).await? {
                Some(attempt) if attempt.claimed_at.is_some() => claimed.push(attempt),
                latest => away = latest.or(away),
            }
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
        self.lose(&session, away.as_ref(), app.as_ref(), now).await
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

    /// The browser never came back. Without its app there is nobody to show a failure to. The attempt knows the host that
    /// the user chose; an attempt that is no longer kept leaves what the session fixed.
    async fn lose(
        &self,
        session: &ConnectSession,
        away: Option<&Attempt>,
        app: Option<&App>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let failure = match app {
            None => None,
            Some(app) => {
                let hosts = self.platform.salesforce.hosts();
                let chosen = away
                    .filter(|attempt| attempt.environment == Environment::MyDomain)
                    .and_then(|attempt| hosts.my_domain(&attempt.login_host).ok());
                let host = chosen.as_ref().map(LoginHost::host).or_else(|| session.host.my_domain());
                let connected_before =
                    self.platform.connected_before(&session.product, &session.app, host).await;
                let nothing = evidence::observed(Surface::Unknown, None, None, None);
                let met = Observation::new(
                    away.map_or(FailureSubject::Session(session), FailureSubject::Attempt),
                    app,
                    Stage::Lost,
                    nothing,
                );
                Some(diagnose(met.in_an_org(connected_before), now).0)
            }
        };
        let lost = self.platform.store.lose_session(&session.id, failure.as_ref(), now).await?;
        Ok(if lost { Outcome::Lost } else { Outcome::Nothing })
    }
}
