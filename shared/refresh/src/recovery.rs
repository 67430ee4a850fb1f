//! After an answer was lost: the fallback is looked into, then, once, the refresh token is sent again.

use domain::{Evidence, SaturatingTime as _, Surface, diagnosis::Actor};
use jiff::{SignedDuration, Timestamp};
use salesforce::{Rotation, SalesforceError};
use secrecy::ExposeSecret;
use service::{Invocation, failures::internal};
use store::{
    ConnectionRecord, Field, Kept, Lease, Leased, Owner, Saved, StoreError, Waiting,
    leases::{LEASE, RECOVERY_AFTER},
};
use telemetry::{Metric, add, step};

use crate::{Ask, REFRESH, RefreshError, Refresher, Renewal, Stop, met};

/// How many waiting answers are looked up at once.
const BATCH: i32 = 25;

/// For so long a lost table can be brought back (DynamoDB's point-in-time recovery). An answer whose connection is gone
/// is kept until then: it may be the only copy of a live grant.
const RESTORABLE: SignedDuration = SignedDuration::from_hours(24 * 35);

impl Refresher {
    /// A refresh was begun and never answered. The old token is served while it works; then, once, and no
    /// sooner than the first sender can still be alive, the refresh token is sent again.
    pub(crate) async fn recover(
        &self,
        record: Box<ConnectionRecord>,
        ask: Ask<'_>,
        since: Timestamp,
    ) -> Result<Renewal, RefreshError> {
        let now = ask.time.now();
        if ask.need.can_use(&record, now) {
            return Ok(Renewal::StillWorks(record, "a refresh was not answered; this token still works"));
        }
        match self.kept(&record).await? {
            Some(Kept::Quarantined(quarantined)) => {
                return self.still_quarantined(record, ask, &quarantined).await;
            }
            Some(Kept::Waiting(waiting)) => {
                if let Some(stored) = self.restore(&waiting, now).await? {
                    return Ok(Renewal::Fresh(stored));
                }
            }
            None => {}
        }
        let due = since + RECOVERY_AFTER;
        if now < due {
            let seconds = (due - now).get_seconds();
            return Ok(Renewal::NotYet(u32::try_from(seconds).unwrap_or(1).max(1)));
        }
        if let Some(recovered_at) = record.recovered_at {
            // Whoever recovers is alive for as long as its lease; after that nobody knows, and there is no second.
            return if now < recovered_at + LEASE {
                Ok(Renewal::NotYet(2))
            } else {
                self.lost(&record, ask).await
            };
        }
        if !ask.time.has(REFRESH) {
            return Ok(Renewal::NotYet(2));
        }
        // Everything that can fail without spending anything comes before the mark.
        let prepared = self.prepare(&record, ask).await?;
        let Leased::Yes(lease) = self.platform.store.lease_recovery(&record, now).await? else {
            return Ok(Renewal::NotYet(2));
        };
        let token = self.platform.store.open_for_recovery(&lease, &self.vault).await?;
        match step!("send", self.send(&prepared, &lease, ask, &token)).await {
            Ok(grant) => step!("keep", self.keep(&lease, ask, &prepared, grant)).await,
            Err(SalesforceError::Doubtful(doubtful)) => self.quarantine(&lease, ask, &doubtful).await,
            Err(error) if error.may_have_spent(Rotation::Possible) => {
                internal(&error);
                self.lost(lease.record(), ask).await
            }
            Err(error) => self.recovery_refused(&lease, ask, &error).await,
        }
    }

    /// The recovery was answered with a refusal, which spent nothing. One that speaks of the token ends the
    /// grant; any other says nothing of it, and the right to recover is given back.
    async fn recovery_refused(
        &self,
        lease: &Lease,
        ask: Ask<'_>,
        error: &SalesforceError,
    ) -> Result<Renewal, RefreshError> {
        let evidence = error.evidence();
        let met = met(lease.record(), ask.app, evidence).because(error);
        let cause = met.diagnosis().cause();
        let stop = match cause.actor {
            Actor::EndUser => return self.lost(lease.record(), ask).await,
            Actor::Admin => Some(Stop::Blocked),
            Actor::Vendor => Some(Stop::Incident),
            Actor::Wait => None,
        };
        self.platform.store.release_recovery(lease).await?;
        let recorded = self.platform.record_once(met, ask.time.now()).await?;
        Ok(stop.map_or(Renewal::NotYet(5), |stop| Renewal::refused(stop, cause, recorded)))
    }

    async fn lost(&self, record: &ConnectionRecord, ask: Ask<'_>) -> Result<Renewal, RefreshError> {
        self.end(record, ask, Evidence::our_own(Surface::TokenEndpoint, "answer_lost", None)).await
    }

    async fn kept(&self, record: &ConnectionRecord) -> Result<Option<Kept>, StoreError> {
        match &record.refresh_fingerprint {
            Some(sent) => self.fallback.kept(&record.connection.id, sent).await,
            None => Ok(None),
        }
    }

    /// Stores an answer out of the fallback, then forgets it there. `None`: a newer grant had come, or the connection
    /// was deleted so long ago that no backup has it, and what waited was revoked.
    async fn restore(
        &self,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Result<Option<Box<ConnectionRecord>>, RefreshError> {
        let saved =
            if waiting.superseded { Saved::Superseded } else { self.platform.store.restore(waiting).await? };
        let stored = match saved {
            Saved::Yes(record) => Some(record),
            Saved::Gone if now < waiting.renewed.issued_at.later_by(RESTORABLE) => {
                return Err(RefreshError::Gone(waiting.connection.clone()));
            }
            Saved::Superseded | Saved::Gone => {
                self.revoke_superseded(waiting).await?;
                None
            }
        };
        self.fallback.forget(waiting).await?;
        Ok(stored)
    }

    async fn revoke_superseded(&self, waiting: &Waiting) -> Result<(), RefreshError> {
        let Some((sealed, _)) = &waiting.renewed.refresh_token else { return Ok(()) };
        let owner = Owner { product: &waiting.product, connection: &waiting.connection };
        let token = self.vault.open(owner, Field::RefreshToken, sealed).await?;
        let hosts = self.platform.salesforce.hosts();
        let host = hosts
            .readmit(&waiting.login_host)
            .map_err(|_| RefreshError::Unconfigured(waiting.connection.to_string()))?;
        Ok(self.platform.salesforce.revoke(&host, token.expose_secret()).await?)
    }

    /// Empties the fallback, as far as there is time: each answer goes where it belongs. How many were stored, and how
    /// many were not.
    pub async fn empty_fallback(&self, time: &Invocation) -> Result<(u32, u32), RefreshError> {
        let (mut stored, mut put_off, mut after) = (0, 0, None);
        loop {
            let page = self.fallback.all(BATCH, after).await?;
            for kept in &page.items {
                let waiting = match kept {
                    Kept::Waiting(waiting) => waiting,
                    Kept::Quarantined(quarantined) => {
                        self.review(quarantined, time).await;
                        continue;
                    }
                };
                add(Metric::FallbackAnswers, 1.0);
                match self.restore(waiting, time.now()).await {
                    Ok(record) => stored += u32::from(record.is_some()),
                    Err(error) => {
                        internal(&error);
                        put_off += 1;
                    }
                }
            }
            after = page.next;
            if after.is_none() || !time.has(REFRESH) {
                return Ok((stored, put_off));
            }
        }
    }
}
