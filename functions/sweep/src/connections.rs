//! What is due of a connection.

use domain::{App, ConnectionId, ConnectionState, SaturatingTime as _};
use grants::refresh::{Need, Renewal, Stop, token_lifetime};
use grants::revoke::revoke_and_delete;
use grants::unconfirmed::leave_unconfirmed;
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, log::internal};
use store::{ConnectionRecord, Due};

use crate::{Outcome, Sweep, SweepError};

/// How long until a revocation that failed is tried again.
const REVOKE_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// How long until a refresh that passed is tried again.
pub(crate) const REFRESH_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// How long until the sweep retries a grant that Salesforce refused in words that are not known to be final.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_mins(30);

/// How long until a refresh is tried again that fails by the app's own set-up.
const AFTER_INCIDENT: SignedDuration = SignedDuration::from_hours(1);

impl Sweep {
    /// Whatever a connection's state asks for.
    pub(crate) async fn take_up(
        &self,
        id: &ConnectionId,
        seen: Timestamp,
        time: &Deadline,
    ) -> Result<Outcome, SweepError> {
        let store = &self.platform.store;
        let Some(record) = store.connection(id).await? else { return Ok(Outcome::Nothing) };
        match record.connection.state {
            ConnectionState::Pending { .. } => {
                if store.expire_pending(id, time.now()).await? {
                    self.revoke(&record, Outcome::Unredeemed, time.now(), time).await
                } else {
                    Ok(Outcome::Nothing)
                }
            }
            ConnectionState::Parked { until } => {
                if until <= time.now()
                    && leave_unconfirmed(&self.platform, &record.connection, time.now()).await?
                {
                    self.revoke(&record, Outcome::Unconfirmed, time.now(), time).await
                } else {
                    Ok(Outcome::Nothing)
                }
            }
            ConnectionState::Revoking { .. } => self.revoke(&record, Outcome::Revoked, seen, time).await,
            ConnectionState::NeedsReauth { .. } => {
                // Before it is taken off the list: an error puts it off, and it is looked at again.
                self.tell_missed(&record, time).await?;
                store.not_due(id).await?;
                Ok(Outcome::Nothing)
            }
            ConnectionState::Active
            | ConnectionState::RefreshUnknown { .. }
            | ConnectionState::Blocked { .. } => self.look_after(record, seen, time).await,
        }
    }

    async fn revoke(
        &self,
        record: &ConnectionRecord,
        done: Outcome,
        seen: Timestamp,
        time: &Deadline,
    ) -> Result<Outcome, SweepError> {
        match revoke_and_delete(&self.platform, &self.cipher, record, time.now()).await {
            Ok(()) => Ok(done),
            Err(error) => {
                internal(&error);
                let due = Due::Connection(record.connection.id.clone());
                self.platform.store.put_off(&due, seen, time.now() + REVOKE_AGAIN).await?;
                Ok(Outcome::PutOff)
            }
        }
    }

    /// Refreshes what is in use ahead of its end, and what is not to keep it alive.
    async fn look_after(
        &self,
        record: ConnectionRecord,
        seen: Timestamp,
        time: &Deadline,
    ) -> Result<Outcome, SweepError> {
        let (store, now) = (&self.platform.store, time.now());
        let works_until = record.expires_at;
        if record.refresh_token.is_none() {
            store.not_due(&record.connection.id).await?;
            return Ok(Outcome::Nothing);
        }
        let this = Due::Connection(record.connection.id.clone());
        let found =
            self.platform.products.with_app(&record.connection.product, &record.connection.app, now).await?;
        let Some((_, app)) = found else {
            store.put_off(&this, seen, now + AFTER_INCIDENT).await?;
            return Ok(Outcome::PutOff);
        };
        self.tell(&record, &app, time).await;
        let due = due_at(&record, &app, now);
        if now < due {
            store.put_off(&this, seen, record.revision.look(due, now)).await?;
            return Ok(Outcome::Nothing);
        }
        let need = Need::of_sweep(&record);
        let wait = if is_refused(&record) { REFUSED_AGAIN } else { REFRESH_AGAIN };
        let again = match self.refresher.renew(record, &app, &need, time).await? {
            Renewal::Fresh(_) => return Ok(Outcome::Refreshed),
            Renewal::Gone => return Ok(Outcome::Nothing),
            Renewal::Stopped(stopped) => match (stopped.stop, stopped.retry_after) {
                // It is tried again: the connection is as it was, and stays due.
                (Stop::Blocked, Some(seconds)) => now + SignedDuration::from_secs(seconds.into()),
                (Stop::Reauthorize | Stop::Blocked, _) => return Ok(Outcome::Stopped),
                (Stop::Incident | Stop::Rejected, _) => now + AFTER_INCIDENT,
            },
            Renewal::StillWorks(record, _) if record.began_at.is_some() => works_until,
            Renewal::StillWorks(..) => now + REFRESH_AGAIN,
            Renewal::NotYet(later) => now + SignedDuration::from_secs(later.seconds.into()),
        };
        store.put_off(&this, seen, again.max(now + wait)).await?;
        Ok(Outcome::PutOff)
    }
}

/// Whether Salesforce refused the grant in words that are not known to be final. The user is needed only if it refuses
/// it for a day, so it is retried though nobody asks.
fn is_refused(record: &ConnectionRecord) -> bool {
    record.backoff.as_ref().is_some_and(|backoff| backoff.unexplained_since.is_some())
}

/// A token that is older and has ended is in use by nobody.
const USED_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// When a connection is due by what it says itself: what made it due may have changed since.
///
/// A token that ended and was fetched more than a day ago is not replaced: nobody has asked since, or it would be new.
fn due_at(record: &ConnectionRecord, app: &App, now: Timestamp) -> Timestamp {
    match record.connection.state {
        ConnectionState::Active if !is_refused(record) => {
            let keep_alive = record.issued_at.later_by(app.keep_alive());
            let fetched_at = record.fetched_at.unwrap_or(record.issued_at);
            let is_old = record.expires_at.max(fetched_at.later_by(USED_WITHIN)) <= now;
            let is_unused = record.unasked || is_old;
            if is_unused { keep_alive } else { keep_alive.min(token_lifetime::ahead_of(record)) }
        }
        _ => Timestamp::MIN,
    }
}
