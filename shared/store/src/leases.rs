//! The refresh lease: of any number of callers, over all functions, exactly one may use the refresh token.
//!
//! Permission is a value. [`Lease`] has no public constructor; only its holder gets the refresh token
//! opened, and saving the answer consumes it. The epoch fences late wakers, and the save is conditional on
//! the refresh token that was sent: a late holder's good answer is kept while nothing newer is stored, and
//! a reconnect in between is never overwritten.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use domain::{
    Scopes,
    secret::{Fingerprint, RefreshToken},
};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;

use crate::{
    ConnectionRecord, Field, N, Owner, S, Sealed, SecretError, Store, StoreError, Vault, conditional,
    expression::Expression,
    keys, millis,
    rows::{ConnectionRow, from_item},
};

/// How long a lease lasts: longer than the HTTP client's 8 s and the writes around it, so that
/// a holder that is alive still has it when its answer comes.
pub const LEASE: SignedDuration = SignedDuration::from_secs(20);

/// How long after a refresh was begun its recovery may start: function and HTTP time-outs are over by then,
/// so the first sender cannot be alive.
pub const RECOVERY_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The right to use a connection's refresh token once.
#[derive(Debug)]
pub struct Lease {
    record: ConnectionRecord,
    sent: Fingerprint,
    sealed: Sealed,
}

/// What became of asking for the lease.
#[derive(Debug)]
pub enum Leased {
    /// It is ours.
    Yes(Box<Lease>),
    /// Somebody holds it, or the connection has changed since it was read; this is what it is now.
    No(Box<ConnectionRecord>),
    /// The connection is gone.
    Gone,
}

/// A refresh's answer, sealed and ready to be stored.
#[derive(Debug)]
pub struct Renewed {
    /// The new access token.
    pub access_token: Sealed,
    /// Which one it is.
    pub access_fingerprint: Fingerprint,
    /// The new refresh token, where it was rotated.
    pub refresh_token: Option<(Sealed, Fingerprint)>,
    /// Where the org's API answers now.
    pub instance_url: String,
    /// What is granted now; `None` where the answer did not say.
    pub scopes: Option<Scopes>,
    /// When Salesforce issued the access token.
    pub issued_at: Timestamp,
    /// Until when it is taken to work.
    pub expires_at: Timestamp,
}

/// What became of saving a refresh's answer.
#[derive(Debug)]
pub enum Saved {
    /// It is stored; only now may it be handed out.
    Yes(Box<ConnectionRecord>),
    /// The stored refresh token is no longer the one that was sent: a reconnect came between. The answer
    /// must be revoked.
    Superseded,
}

impl Store {
    /// Asks for the lease of a connection that was read before. It is given only while nobody holds it and
    /// no refresh stands begun.
    pub async fn lease(&self, record: &ConnectionRecord, now: Timestamp) -> Result<Leased, StoreError> {
        let wanted = |update: UpdateItemFluentBuilder| {
            update
                .update_expression("SET lease_until = :until, lease_holder = :holder ADD epoch :one")
                .condition_expression(
                    "#state IN (:active, :blocked) AND refresh_fingerprint = :sent AND epoch = :epoch \
                     AND (attribute_not_exists(lease_until) OR lease_until <= :now) \
                     AND attribute_not_exists(began_at)",
                )
                .value(":active", S("active"))
                .value(":blocked", S("blocked"))
        };
        self.take(record, now, wanted).await
    }

    /// Takes the lease of a connection whose refresh was never answered, for the one recovery: the mark and
    /// the right are the same write, so there is no second.
    pub async fn lease_recovery(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        let wanted = |update: UpdateItemFluentBuilder| {
            update
                .update_expression(
                    "SET lease_until = :until, lease_holder = :holder, recovered_at = :now ADD epoch :one",
                )
                .condition_expression(
                    "#state = :unknown AND refresh_fingerprint = :sent AND epoch = :epoch \
                     AND attribute_not_exists(recovered_at)",
                )
                .value(":unknown", S("refresh_unknown"))
        };
        self.take(record, now, wanted).await
    }

    /// Takes a lease on the conditions that `wanted` adds. Who took it is written with it: a write that the
    /// SDK tries again, because its answer was lost, is known as this caller's own.
    async fn take(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
        wanted: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> Result<Leased, StoreError> {
        let key = keys::connection(&record.connection.id);
        let (Some(sent), Some(sealed)) = (record.refresh_fingerprint.clone(), record.refresh_token.clone())
        else {
            return Ok(Leased::No(Box::new(record.clone())));
        };
        let holder = S(domain::id::base32(&domain::secret::random::<16>()));
        let taken = wanted(self.update(&key))
            .name("#state", "state")
            .value(":holder", holder.clone())
            .value(":sent", S(sent.as_str()))
            .value(":epoch", N(record.epoch))
            .value(":now", millis(now))
            .value(":until", millis(now + LEASE))
            .value(":one", N(1))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send()
            .await;
        let read = |item| from_item::<ConnectionRow>(&key.pk, item)?.read(&key.pk);
        let ours = match conditional("UpdateItem", taken)? {
            Ok(output) => output.attributes.unwrap_or_default(),
            Err(Some(item)) if item.get("lease_holder") == Some(&holder) => item,
            Err(Some(item)) => return read(item).map(Box::new).map(Leased::No),
            Err(None) => return Ok(Leased::Gone),
        };
        Ok(Leased::Yes(Box::new(Lease { record: read(ours)?, sent, sealed })))
    }

    /// Writes that the refresh token is about to be sent, and opens it. From here until an answer is saved
    /// nobody else may send it: whoever finds `began_at` standing does not know whether it was spent.
    pub async fn begin_refresh(
        &self,
        lease: &Lease,
        vault: &Vault,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>, BeginError> {
        // Opened first: a keyring that cannot be had must not leave a refresh standing begun.
        let token = vault.open(lease.owner(), Field::RefreshToken, &lease.sealed).await?;
        let began = self
            .holder_update(lease)
            .update_expression("SET began_at = :now, began_epoch = :epoch")
            .condition_expression(
                // The epoch is this lease's alone: a refresh that it began is this one.
                "epoch = :epoch AND refresh_fingerprint = :sent \
                 AND (attribute_not_exists(began_at) OR began_epoch = :epoch)",
            )
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":sent", S(lease.sent.as_str()))
            .send()
            .await;
        match conditional("UpdateItem", began)? {
            Ok(_) => Ok(Some(RefreshToken::new(token.expose_secret()))),
            Err(_) => Ok(None),
        }
    }

    /// Saves a refresh's answer, whoever has taken the lease since, as long as the stored refresh token is
    /// still the one that was sent. An answer that stands already was saved by a try whose own answer was
    /// lost: it is not superseded, and revoking it would end the grant.
    pub async fn save_renewed(&self, lease: &Lease, renewed: &Renewed) -> Result<Saved, StoreError> {
        let key = keys::connection(&lease.record.connection.id);
        let mut set = String::from(
            "SET access_token = :access, access_fingerprint = :access_print, instance_url = :instance, \
             issued_at = :issued, expires_at = :expires, #state = :active",
        );
        if renewed.refresh_token.is_some() {
            set.push_str(", refresh_token = :refresh, refresh_fingerprint = :refresh_print");
        }
        if renewed.scopes.is_some() {
            set.push_str(", scopes = :scopes");
        }
        set.push_str(" REMOVE lease_until, began_at, began_epoch, recovered_at, since, failure");
        let mut update = self
            .update(&key)
            .update_expression(set)
            .condition_expression("#state IN (:active, :blocked, :unknown) AND refresh_fingerprint = :sent")
            .living_states()
            .expression_attribute_values(":sent", S(lease.sent.as_str()))
            .expression_attribute_values(":access", S(renewed.access_token.as_str()))
            .expression_attribute_values(":access_print", S(renewed.access_fingerprint.as_str()))
            .expression_attribute_values(":instance", S(&renewed.instance_url))
            .expression_attribute_values(":issued", millis(renewed.issued_at))
            .expression_attribute_values(":expires", millis(renewed.expires_at))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        if let Some((sealed, fingerprint)) = &renewed.refresh_token {
            update = update
                .expression_attribute_values(":refresh", S(sealed.as_str()))
                .expression_attribute_values(":refresh_print", S(fingerprint.as_str()));
        }
        if let Some(scopes) = &renewed.scopes {
            update = update.expression_attribute_values(":scopes", S(scopes.to_string()));
        }
        let stands = S(renewed.access_fingerprint.as_str());
        let stored = match conditional("UpdateItem", update.send().await)? {
            Ok(output) => output.attributes.unwrap_or_default(),
            Err(Some(item)) if item.get("access_fingerprint") == Some(&stands) => item,
            Err(_) => return Ok(Saved::Superseded),
        };
        from_item::<ConnectionRow>(&key.pk, stored)?.read(&key.pk).map(Box::new).map(Saved::Yes)
    }

    /// Gives the lease back after an answer that spent nothing: Salesforce refused, or was never reached.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let released = self
            .holder_update(lease)
            .update_expression("REMOVE lease_until, began_at, began_epoch")
            .condition_expression("epoch = :epoch")
            .send()
            .await;
        conditional("UpdateItem", released).map(drop)
    }

    /// Says at once that a refresh was not answered, so that nobody waits for this holder. *Began* stays.
    pub async fn abandon(&self, lease: &Lease) -> Result<(), StoreError> {
        let abandoned = self
            .holder_update(lease)
            .update_expression("SET #state = :unknown, since = began_at REMOVE lease_until")
            .condition_expression("epoch = :epoch AND attribute_exists(began_at)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":unknown", S("refresh_unknown"))
            .send()
            .await;
        conditional("UpdateItem", abandoned).map(drop)
    }

    /// Marks a connection whose refresh was begun and never answered, once the lease has run out.
    pub async fn mark_refresh_unknown(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = keys::connection(&record.connection.id);
        let marked = self
            .update(&key)
            .update_expression("SET #state = :unknown, since = began_at REMOVE lease_until")
            .condition_expression(
                "#state IN (:active, :blocked) AND attribute_exists(began_at) AND epoch = :epoch \
                 AND lease_until <= :now",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":unknown", S("refresh_unknown"))
            .expression_attribute_values(":active", S("active"))
            .expression_attribute_values(":blocked", S("blocked"))
            .expression_attribute_values(":epoch", N(record.epoch))
            .expression_attribute_values(":now", millis(now))
            .send()
            .await;
        conditional("UpdateItem", marked).map(drop)
    }

    /// Opens the refresh token for the one recovery.
    pub async fn open_for_recovery(&self, lease: &Lease, vault: &Vault) -> Result<RefreshToken, SecretError> {
        let token = vault.open(lease.owner(), Field::RefreshToken, &lease.sealed).await?;
        Ok(RefreshToken::new(token.expose_secret()))
    }

    fn holder_update(&self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.update(&keys::connection(&lease.record.connection.id))
            .expression_attribute_values(":epoch", N(lease.record.epoch))
    }
}

impl Lease {
    /// The connection as it was when the lease was taken.
    pub fn record(&self) -> &ConnectionRecord {
        &self.record
    }

    /// What its tokens are sealed for.
    pub fn owner(&self) -> Owner<'_> {
        Owner { product: &self.record.connection.product, connection: &self.record.connection.id }
    }
}

/// A refresh could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The refresh token could not be opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The table could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
