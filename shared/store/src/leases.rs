//! The refresh lease: of any number of callers, over all functions, exactly one may use the refresh token.
//!
//! Permission is a value. [`Lease`] has no public constructor; only its holder gets the refresh token
//! opened, and saving the answer consumes it. The epoch fences late wakers, and the save is conditional on
//! the refresh token that was sent: a late holder's good answer is kept while nothing newer is stored, and
//! a reconnect in between is never overwritten.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder},
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure},
};
use domain::{
    ConnectionState, EventType,
    secret::{Fingerprint, RefreshToken},
};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;

use crate::{
    N, S, Store, StoreError,
    backoff::{BACKOFF, Backoff},
    clocks::MAX_SKEW,
    connection_item::ConnectionRow,
    connections::ConnectionRecord,
    expression::Expression,
    item::from_item,
    keys, millis,
    revisions::{FAILING, Raising as _, raise, raise_now},
    secrets::SecretError,
    token_cipher::{Field, Owner, Sealed, TokenCipher},
    write::{SendWrite, conditional},
};

/// How long a lease lasts: longer than the token endpoint may take (15 s) and the writes around it, so that a holder
/// that is alive still has it when its answer comes.
pub const LEASE: SignedDuration = SignedDuration::from_secs(25);

/// A lease that ends later than this was taken by a process whose clock is wrong.
pub(crate) const MAX_LEASE_AHEAD: SignedDuration =
    SignedDuration::from_secs(LEASE.as_secs() + MAX_SKEW.as_secs());

/// The condition that nobody holds the lease; `lease_over` gives its values.
pub(crate) const LEASE_OVER: &str =
    "(attribute_not_exists(lease_until) OR lease_until <= :now OR lease_until > :too_late)";

/// How long after a refresh was begun, and after another process found that it was not answered, its recovery may start.
/// The first sender has its answer in the table or the fallback 20 s after *began*, but its clock may be [`MAX_SKEW`]
/// behind the reader's, or wrong, and both tables may be away for a while.
pub const RECOVERY_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// The right to use a connection's refresh token once.
#[derive(Debug)]
pub struct Lease {
    record: ConnectionRecord,
    sent: Fingerprint,
    pub(crate) sealed: Sealed,
}

/// What became of asking for the lease.
#[derive(Debug)]
pub enum LeaseOutcome {
    /// It is ours.
    Yes(Box<Lease>),
    /// Somebody holds it, or the connection has changed since it was read; this is what it is now.
    No(Box<ConnectionRecord>),
    /// The connection is gone.
    Gone,
}

/// What became of saving a refresh's answer.
#[derive(Debug)]
pub enum SaveOutcome {
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
    ) -> Result<LeaseOutcome, StoreError> {
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
    pub async fn lease_again(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<LeaseOutcome, StoreError> {
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

    /// Takes a lease on the conditions that `wanted` adds. Who took it is written with it: a write that the
    /// SDK tries again, because its answer was lost, is known as this caller's own.
    pub(crate) async fn take(
        &self,
        record: &ConnectionRecord,
        now: Timestamp,
        wanted: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> Result<LeaseOutcome, StoreError> {
        let key = keys::connection(&record.connection.id);
        let (Some(sent), Some(sealed)) = (record.refresh_fingerprint.clone(), record.refresh_token.clone())
        else {
            return Ok(LeaseOutcome::No(Box::new(record.clone())));
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
            Err(Some(item)) => return read(item).map(Box::new).map(LeaseOutcome::No),
            Err(None) => return Ok(LeaseOutcome::Gone),
        };
        Ok(LeaseOutcome::Yes(Box::new(Lease { record: read(ours)?, sent, sealed })))
    }

    /// Writes that the refresh token is about to be sent, and opens it. From here until an answer is saved
    /// nobody else may send it: whoever finds `began_at` standing does not know whether it was spent.
    pub async fn begin_refresh(
        &self,
        lease: &Lease,
        cipher: &TokenCipher,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>, BeginError> {
        // Opened first: a keyring that cannot be had must not leave a refresh standing begun.
        let token = cipher.open(lease.owner(), Field::RefreshToken, &lease.sealed).await?;
        let began = self
            .holder_update(lease)
            .update_expression("SET began_at = :now, began_epoch = :epoch")
            .condition_expression(
                // The epoch is this lease's alone: a refresh that it began is this one. A lease that was given back
                // begins nothing: this write may arrive long after its sender has given it up. A deletion that comes
                // between would otherwise revoke the token while it is refreshed.
                "#state IN (:active, :blocked) AND epoch = :epoch AND attribute_exists(lease_until) \
                 AND refresh_fingerprint = :sent AND (attribute_not_exists(began_at) OR began_epoch = :epoch)",
            )
            .name("#state", "state")
            .value(":active", S("active"))
            .value(":blocked", S("blocked"))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":sent", S(lease.sent.as_str()))
            .send_write()
            .await;
        match conditional("UpdateItem", began)? {
            Ok(_) => Ok(Some(RefreshToken::new(token.expose_secret()))),
            Err(_) => Ok(None),
        }
    }

    /// Gives the lease back after an answer that spent nothing: Salesforce refused, or was never reached. Nothing is
    /// sent before the backoff is over, if there is one. Returns the connection as it is then, with what other callers
    /// changed meanwhile; `None`: it is gone.
    pub async fn release(
        &self,
        lease: &Lease,
        backoff: Option<&Backoff>,
    ) -> Result<Option<Box<ConnectionRecord>>, StoreError> {
        let released = self
            .holder_update(lease)
            .releasing("lease_until, began_at, began_epoch", backoff)
            .condition_expression("epoch = :epoch")
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        Self::as_left(lease, released)
    }

    /// Adds to a backoff which failure says why. The product is told of the first one, unless it has deleted the
    /// connection meanwhile. The sweep retries a refusal that nobody understood: it may be over before anybody asks.
    pub async fn explain_backoff(
        &self,
        lease: &Lease,
        backoff: &Backoff,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const EXPLAIN: &str = "SET retry_failure = :failure";
        let Some(failure) = &backoff.failure else { return Ok(()) };
        let mut update = self.holder_update(lease);
        let mut explain = EXPLAIN.to_owned();
        if backoff.unexplained_since.is_some() {
            explain.push_str(", due_shard = :shard, due_at = :not_before");
            let shard = keys::due_shard(lease.record.connection.id.as_str());
            update = update.value(":shard", S(shard));
        }
        let update = if lease.record.revision.is_failing {
            update.update_expression(explain)
        } else {
            update
                .update_expression(format!("{explain}, {FAILING}, {}", raise_now()))
                .raising(EventType::ConnectionRefreshFailing, now)
                .failing()
        };
        let explained = update
            .condition_expression(
                "#state IN (:active, :blocked, :unknown) AND epoch = :epoch AND not_before = :not_before",
            )
            .living_states()
            .value(":failure", S(failure.as_str()))
            .value(":not_before", millis(backoff.not_before))
            .send_write()
            .await;
        conditional("UpdateItem", explained).map(drop)
    }

    /// Says at once that a refresh was not answered, so that nobody waits for this holder. *Began* stays. A connection
    /// that was deleted meanwhile stays deleted, and one whose refresh another process found unanswered keeps the time of
    /// that. Returns the connection as [`Self::release`] does.
    pub async fn abandon(&self, lease: &Lease) -> Result<Option<Box<ConnectionRecord>>, StoreError> {
        let abandoned = self
            .holder_update(lease)
            .unanswered(&lease.record, "began_at")
            .condition_expression(
                "#state IN (:active, :blocked) AND epoch = :epoch AND attribute_exists(began_at)",
            )
            .living_states()
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        Self::as_left(lease, abandoned)
    }

    /// The connection as a holder's last write left it, or as another's did that came before it.
    fn as_left(
        lease: &Lease,
        written: Result<UpdateItemOutput, SdkError<UpdateItemError>>,
    ) -> Result<Option<Box<ConnectionRecord>>, StoreError> {
        let item = match conditional("UpdateItem", written)? {
            Ok(output) => output.attributes.unwrap_or_default(),
            Err(Some(item)) => item,
            Err(None) => return Ok(None),
        };
        let pk = keys::connection(&lease.record.connection.id).pk;
        from_item::<ConnectionRow>(&pk, item)?.read(&pk).map(Box::new).map(Some)
    }

    pub(crate) fn holder_update(&self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.update(&keys::connection(&lease.record.connection.id))
            .expression_attribute_values(":epoch", N(lease.record.epoch))
    }
}

/// What updates of a lease have in common.
pub(crate) trait LeaseUpdate {
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
        let told = record.revision.is_failing;
        let tell = if told { String::new() } else { format!(", {FAILING}, {}", raise(since)) };
        let this = self.update_expression(format!(
            "SET #state = :unknown, since = {since}, due_shard = :shard, due_at = :due{tell} REMOVE lease_until",
        ));
        let this = if told { this } else { this.raising_as(EventType::ConnectionRefreshFailing).failing() };
        this.name("#state", "state")
            .value(":unknown", S("refresh_unknown"))
            .value(":shard", S(keys::due_shard(record.connection.id.as_str())))
            .value(":due", millis(record.expires_at))
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
