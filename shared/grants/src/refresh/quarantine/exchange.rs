//! Releasing the answer of an exchange: it becomes a pending connection, and the browser of its attempt gets the receipt
//! when its user opens the link again.

use crate::verify::look_again;
use std::time::Duration;

use crate::verify::{LookError, Wanted, pending};
use domain::{App, Attempt, ConnectionState, SessionState};
use jiff::SignedDuration;
use platform::{Deadline, log::internal};
use salesforce::Grant;
use store::{ConnectionRecord, ExchangedAs, NewConnection, Quarantined, Reconnect, StoreError, Tokens};

use crate::refresh::{RefreshError, Refresher};

/// How long the product has to redeem a released grant. A receipt otherwise ends 10 minutes after the return, with the
/// user at the page; here an operator decided hours later, and the user has to open the link again. Only the browser of
/// the attempt can make the receipt.
const RELEASED: SignedDuration = SignedDuration::from_hours(24);

/// How long Salesforce may take to tell what an answer lacks.
pub(super) const SECOND_LOOK: Duration = Duration::from_secs(8);

/// What has become of the attempt whose answer is in quarantine.
#[derive(Debug)]
pub(super) enum Fate {
    /// Its grant is stored: the item in quarantine is a leftover.
    Stored,
    /// Its session has come to another end: nobody can use the grant any more.
    Superseded,
    /// Its session can still succeed.
    Open(Box<Attempt>),
    /// The attempt or its session is deleted.
    Gone,
}

impl Refresher {
    pub(super) async fn fate(&self, exchanged: &ExchangedAs) -> Result<Fate, StoreError> {
        let store = &self.platform.store;
        let Some(attempt) = store.attempt(&exchanged.attempt).await? else { return Ok(Fate::Gone) };
        let Some(session) = store.session(&attempt.session).await? else { return Ok(Fate::Gone) };
        let is_its_own = session.browser.as_ref().is_some_and(|bound| bound.attempt == attempt.id);
        Ok(match session.state {
            SessionState::Returned { .. } | SessionState::Parked { .. } | SessionState::Connected { .. } => {
                if is_its_own {
                    Fate::Stored
                } else {
                    Fate::Superseded
                }
            }
            SessionState::Failed
                if session.last_failure.as_ref().is_some_and(|last| last.cause == "receipt_refused") =>
            {
                Fate::Superseded
            }
            SessionState::Created
            | SessionState::Opened
            | SessionState::Redirected { .. }
            | SessionState::Failed
            | SessionState::Lost => Fate::Open(Box::new(attempt)),
        })
    }

    /// Stores the answer of an exchange as a pending connection, if it passes every check now. `Some`: why it does not.
    pub(super) async fn release_exchange(
        &self,
        quarantined: &Quarantined,
        (exchanged, attempt): (&ExchangedAs, &Attempt),
        app: &App,
        grant: Grant,
        time: &Deadline,
    ) -> Result<Option<String>, RefreshError> {
        let now = time.now();
        let received = quarantined.quarantined_at;
        let wanted = Wanted {
            app,
            login_host: &attempt.login_host,
            issuer: exchanged.issuer.as_deref(),
            nonce: &exchanged.nonce,
            received,
        };
        let grant = match look_again(&self.platform, grant, &wanted, SECOND_LOOK).await {
            Ok(grant) => grant,
            Err(LookError::Refused(refused)) => {
                // It may be somebody else's: it is revoked at once, as it would have been in the callback.
                internal(&refused);
                return self.revoke(quarantined).await;
            }
            Err(unknown) => return Ok(Some(unknown.to_string())),
        };
        let reconnect = match self.reconnect(attempt, &grant).await? {
            Ok(reconnect) => reconnect,
            Err(why) => return Ok(Some(why)),
        };
        let redeem_by = now + RELEASED;
        let connection = pending(attempt, app, &grant, quarantined.connection.clone(), redeem_by, now);
        let issued_at = grant.issued_at(received);
        let tokens = Tokens { access: &grant.access, refresh: grant.refresh.as_ref(), issued_at };
        let record = ConnectionRecord::seal(&self.cipher, connection, tokens, app).await?;
        let record = ConnectionRecord { reconnect, another: attempt.another, ..record };
        let new = NewConnection {
            record: &record,
            session: &attempt.session,
            browser: &attempt.bound_browser(),
            receipt: (exchanged.receipt.clone(), redeem_by),
            due: redeem_by,
        };
        if !self.platform.store.save_connection(&new).await? {
            return Ok(Some("its session has come to another end meanwhile; discard it".to_owned()));
        }
        if let Some(username) = self.platform.salesforce.identity(&grant, SECOND_LOOK).await.username
            && let Err(error) = self.platform.store.name_user(&quarantined.connection, &username).await
        {
            internal(&error);
        }
        Ok(None)
    }

    /// What the grant of a reconnect takes the place of. `Err`: why it cannot.
    async fn reconnect(
        &self,
        attempt: &Attempt,
        grant: &Grant,
    ) -> Result<Result<Option<Reconnect>, String>, StoreError> {
        let Some(of) = &attempt.reconnects else { return Ok(Ok(None)) };
        let before = self.platform.store.connection(of).await?.map(|record| record.connection);
        let Some(before) = before.filter(|before| {
            before.product == attempt.product && !matches!(before.state, ConnectionState::Revoking { .. })
        }) else {
            return Ok(Err("the connection that it was to renew is gone; discard it".to_owned()));
        };
        if !before.identity.same_as(&grant.identity) {
            return Ok(Err(
                "it is for another org or user than the connection, which only the user can confirm: \
                           the user has to connect again"
                    .to_owned(),
            ));
        }
        Ok(Ok(Some(Reconnect::New { of: of.clone(), whose: before.identity })))
    }
}
