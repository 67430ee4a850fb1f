//! What is known of a login host: when it was down, unanswered and reachable.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue},
};
use domain::ProductId;
use jiff::Timestamp;
use std::collections::BTreeSet;

use crate::health::send;
use crate::{
    N, Store, StoreError,
    expression::Expression,
    health::{
        HOST_KEPT, HOST_WAIT, MAX_SEEN_DOWN_BY, MIN_QUESTION_INTERVAL, ORGS_IN_AN_OUTAGE, OUTAGE_WINDOW,
        PRODUCTS_IN_AN_OUTAGE,
    },
    item::texts,
    keys, millis, ttl,
    write::{SendWrite, conditional},
};

impl Store {
    /// Records that a refresh at a host got no answer.
    pub async fn note_unanswered(&self, host: &str, now: Timestamp) -> Result<(), StoreError> {
        let update = self
            .host_update(host, now)
            .update_expression("SET unanswered_at = :now, #ttl = :ttl REMOVE reachable_at");
        send(update.value(":now", millis(now))).await
    }

    /// Records that a host's token endpoint answers again.
    pub async fn note_answered(&self, host: &str, now: Timestamp) -> Result<(), StoreError> {
        let update = self.host_update(host, now).update_expression(
            "SET answered_at = :now, #ttl = :ttl REMOVE not_before, down_since, seen_down_by",
        );
        send(update.value(":now", millis(now))).await
    }

    /// Reserves the one harmless request of a minute. `false`: another has it.
    pub async fn begin_question(&self, host: &str, now: Timestamp) -> Result<bool, StoreError> {
        let begun = self
            .host_update(host, now)
            .update_expression("SET asked_at = :now, #ttl = :ttl")
            .condition_expression(
                "attribute_not_exists(asked_at) OR asked_at <= :minute_ago OR asked_at > :minute_ahead",
            )
            .value(":now", millis(now))
            .value(":minute_ago", millis(now - MIN_QUESTION_INTERVAL))
            .value(":minute_ahead", millis(now + MIN_QUESTION_INTERVAL))
            .send_write()
            .await;
        conditional("UpdateItem", begun).map(|written| written.is_ok())
    }

    /// Records that a host answered a harmless request: when it last did, and when it first did after `since`, when a
    /// refresh got no usable answer. An earlier time says nothing of that refresh.
    pub async fn note_reachable(
        &self,
        host: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let first = self
            .host_update(host, now)
            .update_expression("SET reachable_at = :now, last_reachable_at = :now, #ttl = :ttl")
            .condition_expression(
                "attribute_not_exists(reachable_at) OR reachable_at <= :since OR reachable_at > :now",
            )
            .value(":now", millis(now))
            .value(":since", millis(since))
            .send_write()
            .await;
        if conditional("UpdateItem", first)?.is_ok() {
            return Ok(());
        }
        let again =
            self.host_update(host, now).update_expression("SET last_reachable_at = :now, #ttl = :ttl");
        send(again.value(":now", millis(now))).await
    }

    /// Records that an org of a product saw a host down. Once enough orgs of enough products did within a minute, the
    /// host waits.
    pub async fn note_down(
        &self,
        host: &str,
        product: &ProductId,
        org: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let who = AttributeValue::Ss(vec![format!("{product} {org}")]);
        let minute_ago = millis(now - OUTAGE_WINDOW);
        let added = self
            .host_update(host, now)
            .update_expression("SET #ttl = :ttl ADD seen_down_by :who")
            .condition_expression("down_since > :minute_ago AND size(seen_down_by) < :most")
            .value(":who", who.clone())
            .value(":minute_ago", minute_ago.clone())
            .value(":most", N(MAX_SEEN_DOWN_BY))
            .return_values(ReturnValue::AllNew)
            .send_write()
            .await;
        let Ok(added) = conditional("UpdateItem", added)? else {
            let begun = self
                .host_update(host, now)
                .update_expression("SET down_since = :now, seen_down_by = :who, #ttl = :ttl")
                .condition_expression("attribute_not_exists(down_since) OR down_since <= :minute_ago")
                .value(":who", who)
                .value(":minute_ago", minute_ago)
                .value(":now", millis(now))
                .send_write()
                .await;
            return conditional("UpdateItem", begun).map(drop);
        };
        let item = added.attributes.unwrap_or_default();
        let seen = texts(&item, "seen_down_by");
        let products: BTreeSet<_> = seen.iter().filter_map(|who| who.split(' ').next()).collect();
        let orgs: BTreeSet<_> = seen.iter().filter_map(|who| who.split(' ').next_back()).collect();
        if orgs.len() < ORGS_IN_AN_OUTAGE || products.len() < PRODUCTS_IN_AN_OUTAGE {
            return Ok(());
        }
        let update = self.host_update(host, now).update_expression("SET not_before = :until, #ttl = :ttl");
        send(update.value(":until", millis(now + HOST_WAIT))).await
    }

    fn host_update(&self, host: &str, now: Timestamp) -> UpdateItemFluentBuilder {
        self.update(&keys::host_health(host)).name("#ttl", "ttl").value(":ttl", ttl(now + HOST_KEPT))
    }
}
