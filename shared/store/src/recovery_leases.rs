//! The one recovery of a refresh that was never answered: its lease, and the mark that allows no second one.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::secret::RefreshToken;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use crate::leases::LeaseUpdate;
use crate::write::SendWrite;
use crate::{
    N, S, Store, StoreError,
    backoff::Backoff,
    connections::ConnectionRecord,
    expression::Expression,
    keys,
    leases::{LEASE_OVER, Lease, LeaseOutcome},
    millis,
    secrets::SecretError,
    token_cipher::{Field, TokenCipher},
    write::conditional,
};

impl Store {
    /// Marks a connection whose refresh was begun and never answered, once the lease has run out.
    pub async fn mark_refresh_unknown(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = keys::connection(&record.connection.id);
        // A time that is still to come was written by a process whose clock is wrong.
        let since = record.began_at.map_or(now, |began| began.min(now));
        let marked = self
            .update(&key)
            .unanswered(record, ":since")
            .condition_expression(format!(
                "#state IN (:active, :blocked) AND attribute_exists(began_at) AND epoch = :epoch AND {LEASE_OVER}",
            ))
            .lease_over(now)
            .value(":active", S("active"))
            .value(":blocked", S("blocked"))
            .value(":epoch", N(record.epoch))
            .value(":since", millis(since))
            .send_write()
            .await;
        conditional("UpdateItem", marked).map(drop)
    }

    /// Takes the lease of a connection whose refresh was never answered, for the one recovery: the mark and
    /// the right are the same write, so there is no second.
    pub async fn lease_recovery(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<LeaseOutcome, StoreError> {
        let wanted = |update: UpdateItemFluentBuilder| {
            update
                .update_expression(
                    "SET lease_until = :until, lease_holder = :holder, recovered_at = :now ADD epoch :one",
                )
                .condition_expression(
                    "#state = :unknown AND refresh_fingerprint = :sent AND epoch = :epoch \
                     AND attribute_not_exists(recovered_at)",
                )
                .value(":now", millis(now))
                .value(":unknown", S("refresh_unknown"))
        };
        self.take(record, now, wanted).await
    }

    /// Opens the refresh token for the one recovery.
    pub async fn open_for_recovery(
        &self,
        lease: &Lease,
        cipher: &TokenCipher,
    ) -> Result<RefreshToken, SecretError> {
        let token = cipher.open(lease.owner(), Field::RefreshToken, &lease.sealed).await?;
        Ok(RefreshToken::new(token.expose_secret()))
    }

    /// Gives the right to the one recovery back after an answer that spent nothing. Nothing is sent before the
    /// backoff is over, if there is one.
    pub async fn release_recovery(&self, lease: &Lease, backoff: Option<&Backoff>) -> Result<(), StoreError> {
        let released = self
            .holder_update(lease)
            .releasing("lease_until, recovered_at", backoff)
            .condition_expression("epoch = :epoch AND #state = :unknown")
            .name("#state", "state")
            .value(":unknown", S("refresh_unknown"))
            .send_write()
            .await;
        conditional("UpdateItem", released).map(drop)
    }
}
