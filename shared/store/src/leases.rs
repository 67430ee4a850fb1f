//! The refresh lease: of any number of callers, over all functions, exactly one may use the refresh token.
//!
//! Permission is a value. [`Lease`] has no public constructor; only its holder gets the refresh token
//! opened, and saving the answer consumes it. The epoch fences late wakers, and the save is conditional on
//! the refresh token that was sent: a late holder's good answer is kept while nothing newer is stored, and
//! a reconnect in between is never overwritten.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};
use domain::{
    ConnectionId, ConnectionState, ExpiryBasis, Failure, LearntLife, Scopes,
    secret::{Fingerprint, RefreshToken},
};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    Backoff, ConnectionRecord, Field, N, Owner, S, Sealed, SecretError, Store, StoreError, Vault,
    backoff::BACKOFF,
    conditional,
    expression::Expression,
    keys, millis,
    rejected::REJECTED,
    rows::{ConnectionRow, duration, from_item},
    sessions::built,
    write::SendWrite as _,
};

/// How long a lease lasts: longer than the token endpoint may take (15 s) and the writes around it, so that a holder
/// that is alive still has it when its answer comes.
pub const LEASE: SignedDuration = SignedDuration::from_secs(25);

/// Maximum difference between the clocks of two processes that both work.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// A lease that ends later than this was taken by a process whose clock is wrong.
pub(crate) const MAX_LEASE_AHEAD: SignedDuration =
    SignedDuration::from_secs(LEASE.as_secs() + MAX_SKEW.as_secs());

/// The condition that nobody holds the lease; [`LeaseOver::lease_over`] gives its values.
const LEASE_OVER: &str =
    "(attribute_not_exists(lease_until) OR lease_until <= :now OR lease_until > :too_late)";

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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// The new access token.
    pub access_token: Sealed,
    /// Which one it is.
    pub access_fingerprint: Fingerprint,
    /// The new refresh token, where it was rotated.
    pub refresh_token: Option<(Sealed, Fingerprint)>,
    /// Where the org's API answers now.
    pub instance_url: String,
    /// The origin of the login host, where it has moved.
    // Absent from items of earlier versions.
    #[serde(default)]
    pub login_host: Option<String>,
    /// What is granted now; `None` where the answer did not say.
    pub scopes: Option<Scopes>,
    /// When Salesforce issued the access token.
    pub issued_at: Timestamp,
    /// When it came, by our clock.
    // Absent from items of earlier versions.
    #[serde(default)]
    pub fetched_at: Option<Timestamp>,
    /// Until when it is taken to work.
    pub expires_at: Timestamp,
    /// On what that rests.
    pub expiry_basis: ExpiryBasis,
    /// How long this connection's access tokens live, where that was learnt.
    pub learnt: Option<LearntLife>,
    /// How many tokens in a row Salesforce had rejected, fresh, before this one.
    pub rejections: u32,
    /// Whether nobody has asked for this token yet: the sweep fetched it.
    pub unasked: bool,
    /// When the sweep has to look at the connection again.
    pub due: Timestamp,
}

/// What became of saving a refresh's answer.
#[derive(Debug)]
pub enum Saved {
    /// It is stored; only now may it be handed out.
    Yes(Box<ConnectionRecord>),
    /// The stored refresh token is no longer the one that was sent: a reconnect came between. The answer
    /// must be revoked.
    Superseded,
    /// There is no such connection. Whoever has read it a moment ago knows that it was deleted, and that the answer
    /// must be revoked; whoever finds the answer in the fallback does not: the table may have been lost.
    Gone,
}

impl Store {
    /// Asks for the lease of a connection that was read before. It is given only while nobody holds it and
    /// no refresh stands begun. `rejected`: the stored access token was reported as rejected, which is written with it.
    pub async fn lease(
        &self,
        record: &ConnectionRecord,
        rejected: bool,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        let wanted = |update: UpdateItemFluentBuilder| {
            let update = update
                .condition_expression(format!(
                    "#state IN (:active, :blocked) AND refresh_fingerprint = :sent AND epoch = :epoch \
                     AND {LEASE_OVER} AND attribute_not_exists(began_at)",
                ))
                .lease_over(now)
                .value(":active", S("active"))
                .value(":blocked", S("blocked"));
            if rejected {
                update
                    .update_expression(
                        "SET lease_until = :until, lease_holder = :holder, rejected_token = :access ADD epoch :one",
                    )
                    .value(":access", S(record.access_fingerprint.as_str()))
            } else {
                update.update_expression("SET lease_until = :until, lease_holder = :holder ADD epoch :one")
            }
        };
        self.take(record, now, wanted).await
    }

    /// Takes the lease of a connection whose last refresh was not answered, once the lease of that is over: for an
    /// app that does not rotate refresh tokens, where sending one again ends nothing.
    pub async fn lease_again(&self, record: &ConnectionRecord, now: Timestamp) -> Result<Leased, StoreError> {
        let blocked = matches!(record.connection.state, ConnectionState::Blocked { .. });
        let wanted = |update: UpdateItemFluentBuilder| {
            let update = update
                .condition_expression(format!(
                    "#state = :before AND refresh_fingerprint = :sent AND epoch = :epoch AND {LEASE_OVER} \
                     AND attribute_exists(began_at)",
                ))
                .lease_over(now)
                .value(":before", S(record.connection.state.word()));
            // Since when a connection is blocked, and why, stays.
            if blocked {
                update.update_expression(
                    "SET lease_until = :until, lease_holder = :holder REMOVE began_at, began_epoch ADD epoch :one",
                )
            } else {
                update
                    .update_expression(
                        "SET lease_until = :until, lease_holder = :holder, #state = :active \
                         REMOVE began_at, began_epoch, recovered_at, since ADD epoch :one",
                    )
                    .value(":active", S("active"))
            }
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
                .value(":now", millis(now))
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
            .value(":until", millis(now + LEASE))
            .value(":one", N(1))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
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
                // The epoch is this lease's alone: a refresh that it began is this one. A lease that was given back
                // begins nothing: this write may arrive long after its sender has given it up.
                "epoch = :epoch AND attribute_exists(lease_until) AND refresh_fingerprint = :sent \
                 AND (attribute_not_exists(began_at) OR began_epoch = :epoch)",
            )
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":sent", S(lease.sent.as_str()))
            .send_write()
            .await;
        match conditional("UpdateItem", began)? {
            Ok(_) => Ok(Some(RefreshToken::new(token.expose_secret()))),
            Err(_) => Ok(None),
        }
    }

    /// Saves a refresh's answer, whoever has taken the lease since, as long as the stored refresh token is
    /// still the one that was sent; a connection that was taken to have lost this very answer works again. An answer
    /// that stands already was saved by a try whose own answer was lost: it is not superseded, and revoking it would
    /// end the grant.
    pub async fn save_renewed(&self, lease: &Lease, renewed: &Renewed) -> Result<Saved, StoreError> {
        self.renew(&lease.record.connection.id, &lease.sent, renewed).await
    }

    /// Stores what replaces the tokens that `sent` refreshed: from its holder, or out of the fallback or quarantine.
    pub async fn renew(
        &self,
        id: &ConnectionId,
        sent: &Fingerprint,
        renewed: &Renewed,
    ) -> Result<Saved, StoreError> {
        let key = keys::connection(id);
        let mut update = self.update(&key);
        let mut set = vec!["#state = :active".to_owned(), "due_shard = :shard".to_owned()];
        for (name, value) in renewed.attributes() {
            set.push(format!("{name} = :{name}"));
            update = update.value(&format!(":{name}"), value);
        }
        let update = update
            .update_expression(format!(
                "SET {} REMOVE lease_until, began_at, began_epoch, recovered_at, since, failure, paused_until, \
                 paused_for, {BACKOFF}, {REJECTED}",
                set.join(", ")
            ))
            .condition_expression(
                "#state IN (:active, :blocked, :unknown, :reauth) AND refresh_fingerprint = :sent",
            )
            .living_states()
            .value(":reauth", S("needs_reauth"))
            .value(":sent", S(sent.as_str()))
            .value(":shard", S(keys::due_shard(id.as_str())))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let stands = S(renewed.access_fingerprint.as_str());
        let stored = match conditional("UpdateItem", update.send_write().await)? {
            Ok(output) => output.attributes.unwrap_or_default(),
            Err(Some(item)) if item.get("access_fingerprint") == Some(&stands) => item,
            Err(Some(_)) => return Ok(Saved::Superseded),
            Err(None) => return Ok(Saved::Gone),
        };
        from_item::<ConnectionRow>(&key.pk, stored)?.read(&key.pk).map(Box::new).map(Saved::Yes)
    }

    /// Corrects until when an access token is taken to work, once Salesforce has been asked. A token that has
    /// been replaced since is left alone.
    pub async fn learn_life(
        &self,
        record: &ConnectionRecord,
        learnt: LearntLife,
        expires_at: Timestamp,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let updated = self
            .update(&keys::connection(&record.connection.id))
            .update_expression(
                "SET learnt_life = :life, learnt_from = :from, expiry_basis = :from, expires_at = :expires, due_at = :due",
            )
            .condition_expression("access_fingerprint = :access AND attribute_exists(due_shard)")
            .value(":life", N(duration(learnt.life)))
            .value(":from", S(learnt.basis.word()))
            .value(":expires", millis(expires_at))
            .value(":due", millis(due))
            .value(":access", S(record.access_fingerprint.as_str()))
            .send_write()
            .await;
        conditional("UpdateItem", updated).map(drop)
    }

    /// Notes that somebody asks for a token that the sweep fetched: it will be fetched ahead again.
    pub async fn mark_asked(&self, record: &ConnectionRecord, due: Timestamp) -> Result<(), StoreError> {
        let marked = self
            .update(&keys::connection(&record.connection.id))
            .update_expression("SET unasked = :no, due_at = :due")
            .condition_expression("access_fingerprint = :access AND unasked = :yes")
            .value(":no", AttributeValue::Bool(false))
            .value(":yes", AttributeValue::Bool(true))
            .value(":due", millis(due))
            .value(":access", S(record.access_fingerprint.as_str()))
            .send_write()
            .await;
        conditional("UpdateItem", marked).map(drop)
    }

    /// Pauses refreshing because it is no cure, and records the failure, both or neither. Of any number of
    /// callers with the same rejected token one does it: `false` for the others.
    pub async fn pause_refreshing(
        &self,
        record: &ConnectionRecord,
        until: Timestamp,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let pause = self
            .update_together(&keys::connection(&record.connection.id))
            .update_expression("SET paused_until = :until, paused_for = :failure, rejections = :none")
            .condition_expression(
                "access_fingerprint = :access AND (attribute_not_exists(paused_until) OR paused_until <= :now)",
            )
            .value(":until", millis(until))
            .value(":failure", S(failure.id.as_str()))
            .value(":none", N(0))
            .value(":access", S(record.access_fingerprint.as_str()))
            .value(":now", millis(failure.at));
        Ok(self.transact(vec![built(pause.build())?, self.failure_write(failure)?]).await?.is_ok())
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

    /// Gives the lease back after an answer that spent nothing: Salesforce refused, or was never reached. Nothing is
    /// sent before the backoff is over, if there is one.
    pub async fn release(&self, lease: &Lease, backoff: Option<&Backoff>) -> Result<(), StoreError> {
        let released = self
            .holder_update(lease)
            .releasing("lease_until, began_at, began_epoch", backoff)
            .condition_expression("epoch = :epoch")
            .send_write()
            .await;
        conditional("UpdateItem", released).map(drop)
    }

    /// Adds to a backoff which failure says why.
    pub async fn explain_backoff(&self, lease: &Lease, backoff: &Backoff) -> Result<(), StoreError> {
        let Some(failure) = &backoff.failure else { return Ok(()) };
        let explained = self
            .holder_update(lease)
            .update_expression("SET retry_failure = :failure")
            .condition_expression("epoch = :epoch AND not_before = :not_before")
            .value(":failure", S(failure.as_str()))
            .value(":not_before", millis(backoff.not_before))
            .send_write()
            .await;
        conditional("UpdateItem", explained).map(drop)
    }

    /// Says at once that a refresh was not answered, so that nobody waits for this holder. *Began* stays.
    pub async fn abandon(&self, lease: &Lease) -> Result<(), StoreError> {
        let abandoned = self
            .holder_update(lease)
            .unanswered(&lease.record, "began_at")
            .condition_expression("epoch = :epoch AND attribute_exists(began_at)")
            .send_write()
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

/// What updates of a lease have in common.
trait LeaseUpdate {
    fn lease_over(self, now: Timestamp) -> Self;
    fn releasing(self, gone: &str, backoff: Option<&Backoff>) -> Self;
    fn unanswered(self, record: &ConnectionRecord, since: &str) -> Self;
}

impl LeaseUpdate for UpdateItemFluentBuilder {
    /// The values of [`LEASE_OVER`].
    fn lease_over(self, now: Timestamp) -> Self {
        self.value(":now", millis(now)).value(":too_late", millis(now + MAX_LEASE_AHEAD))
    }

    /// Removes what a lease wrote, and sets the backoff.
    fn releasing(mut self, gone: &str, backoff: Option<&Backoff>) -> Self {
        let attributes = backoff.map(Backoff::attributes).unwrap_or_default();
        let mut set = Vec::new();
        for (name, value) in attributes {
            set.push(format!("{name} = :{name}"));
            self = self.value(&format!(":{name}"), value);
        }
        let mut gone = vec![gone];
        if backoff.is_some() {
            gone.extend(
                BACKOFF
                    .split(", ")
                    .filter(|name| !set.iter().any(|one| one.starts_with(&format!("{name} ")))),
            );
        }
        let gone = gone.join(", ");
        let set = if set.is_empty() { String::new() } else { format!("SET {} ", set.join(", ")) };
        self.update_expression(format!("{set}REMOVE {gone}"))
    }

    /// *Began* stays. The sweep recovers it if nobody asks: not while the old token works.
    fn unanswered(self, record: &ConnectionRecord, since: &str) -> Self {
        self.update_expression(format!(
            "SET #state = :unknown, since = {since}, due_shard = :shard, due_at = :due REMOVE lease_until",
        ))
        .name("#state", "state")
        .value(":unknown", S("refresh_unknown"))
        .value(":shard", S(keys::due_shard(record.connection.id.as_str())))
        .value(":due", millis(record.expires_at))
    }
}

impl Renewed {
    /// What a connection's item says once this is stored; what it does not name stays as it is.
    pub fn attributes(&self) -> Vec<(&'static str, AttributeValue)> {
        let mut attributes = vec![
            ("access_token", S(self.access_token.as_str())),
            ("access_fingerprint", S(self.access_fingerprint.as_str())),
            ("instance_url", S(&self.instance_url)),
            ("issued_at", millis(self.issued_at)),
            ("expires_at", millis(self.expires_at)),
            ("expiry_basis", S(self.expiry_basis.word())),
            ("rejections", N(self.rejections)),
            ("unasked", AttributeValue::Bool(self.unasked)),
            ("due_at", millis(self.due)),
        ];
        if let Some((sealed, fingerprint)) = &self.refresh_token {
            attributes.push(("refresh_token", S(sealed.as_str())));
            attributes.push(("refresh_fingerprint", S(fingerprint.as_str())));
        }
        if let Some(fetched_at) = self.fetched_at {
            attributes.push(("fetched_at", millis(fetched_at)));
        }
        if let Some(login_host) = &self.login_host {
            attributes.push(("login_host", S(login_host)));
        }
        if let Some(scopes) = &self.scopes {
            attributes.push(("scopes", S(scopes.to_string())));
        }
        if let Some(LearntLife { life, basis }) = self.learnt {
            attributes.push(("learnt_life", N(duration(life))));
            attributes.push(("learnt_from", S(basis.word())));
        }
        attributes
    }

    /// What the connection is once this is stored: for an answer that is durable in the fallback only.
    pub fn on(&self, record: &ConnectionRecord) -> ConnectionRecord {
        let mut record = record.clone();
        record.access_token = self.access_token.clone();
        record.access_fingerprint = self.access_fingerprint.clone();
        if let Some((sealed, fingerprint)) = &self.refresh_token {
            (record.refresh_token, record.refresh_fingerprint) =
                (Some(sealed.clone()), Some(fingerprint.clone()));
        }
        record.connection.instance_url.clone_from(&self.instance_url);
        if let Some(login_host) = &self.login_host {
            record.connection.login_host.clone_from(login_host);
        }
        if let Some(scopes) = &self.scopes {
            record.connection.scopes = scopes.clone();
        }
        record.connection.state = ConnectionState::Active;
        (record.backoff, record.rejected) = (None, None);
        (record.issued_at, record.expires_at) = (self.issued_at, self.expires_at);
        record.fetched_at = self.fetched_at;
        (record.expiry_basis, record.learnt) = (self.expiry_basis, self.learnt.or(record.learnt));
        record
    }
}

impl Lease {
    /// The connection as it was when the lease was taken.
    pub fn record(&self) -> &ConnectionRecord {
        &self.record
    }

    /// Which refresh token it is the right to.
    pub fn sent(&self) -> &Fingerprint {
        &self.sent
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
