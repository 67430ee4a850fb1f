//! The recovery of a refresh that was never answered: its lease, and the mark that allows no second one until Salesforce
//! has said that the token is unspent.

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
    /// Marks a connection whose refresh was begun and never answered, once the lease has run out. The time of the mark is
    /// this process's: the holder's clock may be wrong.
    pub async fn mark_refresh_unknown(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = keys::connection(&record.connection.id);
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
            .value(":since", millis(now))
            .send_write()
            .await;
        conditional("UpdateItem", marked).map(drop)
    }

    /// Marks a recovery that was never answered, once its lease has run out. `false`: another process came first, or the
    /// connection has changed.
    pub async fn mark_recovery_unknown(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let marked = self
            .update(&keys::connection(&record.connection.id))
            .update_expression("SET since = :now REMOVE lease_until")
            .condition_expression(format!(
                "#state = :unknown AND epoch = :epoch AND attribute_exists(lease_until) AND {LEASE_OVER}",
            ))
            .lease_over(now)
            .name("#state", "state")
            .value(":unknown", S("refresh_unknown"))
            .value(":epoch", N(record.epoch))
            .send_write()
            .await;
        conditional("UpdateItem", marked).map(|written| written.is_ok())
    }

    /// Reserves the one question of a while about a token whose recovery was not answered. `false`: another process has
    /// it, or the connection has changed.
    pub async fn put_off_recovery(
        &self,
        record: &ConnectionRecord,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let put_off = self
            .update(&keys::connection(&record.connection.id))
            .update_expression(
                // This moves `not_before` without a refusal, so a series of refusals ends here.
                "SET not_before = :until, refusals = if_not_exists(refusals, :none) REMOVE unexplained_since",
            )
            .condition_expression(
                "#state = :unknown AND epoch = :epoch AND (attribute_not_exists(not_before) OR not_before <= :now \
                 OR not_before > :until)",
            )
            .name("#state", "state")
            .value(":unknown", S("refresh_unknown"))
            .value(":epoch", N(record.epoch))
            .value(":until", millis(until))
            .value(":now", millis(now))
            .value(":none", N(0))
            .send_write()
            .await;
        conditional("UpdateItem", put_off).map(|written| written.is_ok())
    }

    /// Takes the lease of a connection whose refresh was never answered, for a recovery: the mark and the right are the
    /// same write. `record` says whether one was sent before: then Salesforce has said that the token is unspent.
    pub async fn lease_recovery(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<LeaseOutcome, StoreError> {
        let wanted = |update: UpdateItemFluentBuilder| {
            let update = update
                .update_expression(
                    "SET lease_until = :until, lease_holder = :holder, recovered_at = :now ADD epoch :one",
                )
                .value(":now", millis(now))
                .value(":unknown", S("refresh_unknown"));
            let before = match record.recovered_at {
                Some(_) => "recovered_at = :before",
                None => "attribute_not_exists(recovered_at)",
            };
            let update = update.condition_expression(format!(
                "#state = :unknown AND refresh_fingerprint = :sent AND epoch = :epoch AND {before}",
            ));
            record
                .recovered_at
                .into_iter()
                .fold(update, |update, before| update.value(":before", millis(before)))
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
