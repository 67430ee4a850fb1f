//! Saving a refresh's answer: conditional on the refresh token that was sent, so that nothing newer is overwritten.

use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use domain::{ConnectionId, ConnectionState, EventType, secret::Fingerprint};

use crate::{
    S, Store, StoreError,
    backoff::BACKOFF,
    connection_item::ConnectionRow,
    expression::Expression,
    item::from_item,
    keys,
    leases::{Lease, SaveOutcome},
    millis,
    refreshed_tokens::RefreshedTokens,
    rejected::REJECTED,
    revisions::{FAILS, Raising as _, WORKS, fails, look, raise_now},
    write::{SendWrite, conditional},
};

/// Maximum number of times that an answer is written whose connection was thought to work or fail and does not.
const MAX_RENEWS: u32 = 5;

/// When an answer without a new refresh token is stored that waited: others may have refreshed the same token since, and
/// Salesforce may have ended the grant.
const STILL_NEWEST: &str =
    "(attribute_not_exists(issued_at) OR issued_at < :issued_at) AND (#state <> :reauth OR since < :came_at)";

/// How an answer comes to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// By the holder that received it.
    Holder,
    /// Out of the fallback or quarantine, where it waited.
    Fallback,
}

/// A connection was thought to work, and fails as far as its product knows, or the other way round.
struct Mistaken;

impl Store {
    /// Saves a refresh's answer, whoever has taken the lease since, as long as the stored refresh token is
    /// still the one that was sent; a connection that was taken to have lost this very answer works again. An answer
    /// that stands already was saved by a try whose own answer was lost: it is not superseded, and revoking it would
    /// end the grant.
    pub async fn save_renewed(
        &self,
        lease: &Lease,
        renewed: &RefreshedTokens,
    ) -> Result<SaveOutcome, StoreError> {
        let record = lease.record();
        let works = matches!(record.connection.state, ConnectionState::Active) && !record.revision.is_failing;
        let due = record.revision.look(renewed.due, renewed.fetched_at.unwrap_or(renewed.issued_at));
        let renewed = RefreshedTokens { due, ..renewed.clone() };
        self.renew_from(Source::Holder, (&record.connection.id, lease.sent()), &renewed, works).await
    }

    /// Stores what replaces the tokens that `sent` refreshed, out of the fallback or quarantine. Where tokens do not rotate,
    /// an answer that is older than what is stored is superseded. `works`: whether the connection is thought to work as far
    /// as its product knows. If not, its product is told that it works again; if that is wrong, the write is sent once more.
    pub async fn renew(
        &self,
        id: &ConnectionId,
        sent: &Fingerprint,
        renewed: &RefreshedTokens,
        works: bool,
    ) -> Result<SaveOutcome, StoreError> {
        self.renew_from(Source::Fallback, (id, sent), renewed, works).await
    }

    async fn renew_from(
        &self,
        source: Source,
        whose: (&ConnectionId, &Fingerprint),
        renewed: &RefreshedTokens,
        mut works: bool,
    ) -> Result<SaveOutcome, StoreError> {
        for _ in 0..MAX_RENEWS {
            match self.renew_if(source, whose, renewed, works).await? {
                Ok(outcome) => return Ok(outcome),
                Err(Mistaken) => works = !works,
            }
        }
        Err(StoreError::Unavailable {
            operation: "UpdateItem",
            code: "Busy".into(),
            message: "the connection changes again and again".into(),
        })
    }

    /// [`Store::renew`], on condition that the connection works or fails as is thought.
    async fn renew_if(
        &self,
        source: Source,
        (id, sent): (&ConnectionId, &Fingerprint),
        renewed: &RefreshedTokens,
        works: bool,
    ) -> Result<Result<SaveOutcome, Mistaken>, StoreError> {
        let key = keys::connection(id);
        let mut update = self.update(&key);
        let mut set = vec!["#state = :active".to_owned(), "due_shard = :shard".to_owned()];
        let mut attributes = renewed.attributes();
        let at = renewed.fetched_at.unwrap_or(renewed.issued_at);
        if !works {
            set.push(raise_now());
            update = update.raising(EventType::ConnectionRecovered, at);
            attributes.retain(|(name, _)| *name != "due_at");
            attributes.push(("due_at", millis(look(renewed.due, at))));
        }
        for (name, value) in attributes {
            set.push(format!("{name} = :{name}"));
            update = update.value(&format!(":{name}"), value);
        }
        let mut condition = format!(
            "#state IN (:active, :blocked, :unknown, :reauth) AND refresh_fingerprint = :sent AND {}",
            if works { WORKS } else { FAILS }
        );
        if source == Source::Fallback && renewed.refresh_token.is_none() {
            condition = format!("{condition} AND {STILL_NEWEST}");
            update = update.value(":came_at", millis(at));
        }
        let update = update
            .update_expression(format!(
                "SET {} REMOVE lease_until, began_at, began_epoch, recovered_at, since, failure, paused_until, \
                 paused_for, failing, {BACKOFF}, {REJECTED}",
                set.join(", ")
            ))
            .condition_expression(condition)
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
            Err(Some(item)) if fails(&item) == works => return Ok(Err(Mistaken)),
            Err(Some(_)) => return Ok(Ok(SaveOutcome::Superseded)),
            Err(None) => return Ok(Ok(SaveOutcome::Gone)),
        };
        let record = from_item::<ConnectionRow>(&key.pk, stored)?.read(&key.pk)?;
        Ok(Ok(SaveOutcome::Yes(Box::new(record))))
    }
}
