//! What is known of a login host: when it was down, unanswered and reachable.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue},
};
use domain::{ProductId, SaturatingTime as _};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

use crate::health::send;
use crate::{
    Item, N, Store, StoreError,
    clocks::may_be_past,
    expression::Expression,
    health::{
        HOST_KEPT, HOST_WAIT, HostHealth, MAX_SEEN_DOWN_BY, MIN_QUESTION_INTERVAL, ORGS_IN_AN_OUTAGE,
        OUTAGE_WINDOW, PRODUCTS_IN_AN_OUTAGE, Stop, stop,
    },
    item::{texts, time_of},
    keys, millis, ttl,
    write::{SendWrite, conditional},
};

impl HostHealth {
    pub(crate) fn read(item: &Item) -> Self {
        Self {
            unanswered_at: time_of(item, "unanswered_at"),
            answered_at: time_of(item, "answered_at"),
            reachable_at: time_of(item, "reachable_at"),
            last_reachable_at: time_of(item, "last_reachable_at"),
            asked_at: time_of(item, "asked_at"),
            not_before: time_of(item, "not_before"),
            seen_down_by: texts(item, "seen_down_by"),
        }
    }

    /// Whether nothing is sent to the host.
    pub fn stop(&self, now: Timestamp) -> Option<Stop> {
        self.not_before.map(|until| stop(until, now))
    }

    /// When a refresh last got no answer. A time that is still to come was written by a process whose clock is wrong.
    fn unanswered(&self, now: Timestamp) -> Option<Timestamp> {
        self.unanswered_at.filter(|at| may_be_past(*at, now))
    }

    /// When the token endpoint answered after that.
    fn answered(&self, now: Timestamp) -> Option<Timestamp> {
        self.answered_at.filter(|at| may_be_past(*at, now))
    }

    /// Whether the last refresh of the host that is known of was not answered.
    pub fn is_silent(&self, now: Timestamp) -> bool {
        let answered = self.answered(now);
        self.unanswered(now).is_some_and(|unanswered| answered.is_none_or(|answered| answered <= unanswered))
    }

    /// When the token endpoint answered again after a refresh that got no answer at `since`.
    pub fn answered_after(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.answered(now).filter(|at| since < *at && !self.is_silent(now))
    }

    /// The time of an answer that came now: later than the silence that it ends, whose clock may be a little ahead. Otherwise
    /// each good answer would be written until that time has come.
    pub(crate) fn time_of_answer(&self, now: Timestamp) -> Timestamp {
        let after = self.unanswered(now).map(|at| at.later_by(SignedDuration::from_millis(1)));
        after.map_or(now, |after| after.max(now))
    }

    /// Whether anything was answered in the last `time`.
    pub fn answered_within(&self, time: SignedDuration, now: Timestamp) -> bool {
        [self.answered_at, self.reachable_at, self.last_reachable_at]
            .into_iter()
            .flatten()
            .any(|at| at <= now && now < at.later_by(time))
    }

    /// Whether a harmless request may be sent now.
    pub fn may_be_asked(&self, now: Timestamp) -> bool {
        self.asked_at
            .is_none_or(|at| at.later_by(MIN_QUESTION_INTERVAL) <= now || now + MIN_QUESTION_INTERVAL < at)
    }
}

impl Store {
    /// Records that a refresh at a host got no answer.
    pub async fn note_unanswered(&self, host: &str, now: Timestamp) -> Result<(), StoreError> {
        let update = self
            .host_update(host, now)
            .update_expression("SET unanswered_at = :now, #ttl = :ttl REMOVE reachable_at");
        send(update.value(":now", millis(now))).await
    }

    /// Records that a host's token endpoint answers again. `before`: what was known of it.
    pub async fn note_answered(
        &self,
        host: &str,
        before: &HostHealth,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self.host_update(host, now).update_expression(
            "SET answered_at = :at, #ttl = :ttl REMOVE not_before, down_since, seen_down_by",
        );
        send(update.value(":at", millis(before.time_of_answer(now)))).await
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
                "attribute_not_exists(reachable_at) OR reachable_at < :since OR reachable_at > :now",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_host_answered_only_if_nothing_was_unanswered_since() {
        let host = |unanswered, answered| HostHealth {
            unanswered_at: Some(at(unanswered)),
            answered_at: Some(at(answered)),
            ..HostHealth::default()
        };
        let now = at(40);
        assert_eq!(host(10, 20).answered_after(at(5), now), Some(at(20)));
        assert_eq!(host(10, 20).answered_after(at(20), now), None, "before this refresh");
        assert_eq!(host(30, 20).answered_after(at(5), now), None, "silent again");
        assert!(host(30, 20).is_silent(now) && !host(10, 20).is_silent(now));
        assert!(!HostHealth::default().is_silent(now));
    }

    #[test]
    fn times_of_a_wrong_clock_make_a_host_neither_silent_nor_known_to_answer() {
        let host = |unanswered, answered| HostHealth {
            unanswered_at: Some(at(unanswered)),
            answered_at: Some(at(answered)),
            ..HostHealth::default()
        };
        let now = at(40);
        assert!(!host(3640, 20).is_silent(now), "its silence is still to come");
        assert!(host(30, 3640).is_silent(now), "its answer is still to come");
        assert_eq!(host(30, 3640).answered_after(at(5), now), None);
        // Ahead by less than clocks differ: one answer ends the silence.
        let silent = host(70, 20);
        assert!(silent.is_silent(now));
        let ended = HostHealth { answered_at: Some(silent.time_of_answer(now)), ..silent };
        assert!(!ended.is_silent(now) && ended.answered_after(at(30), now).is_some());
        assert_eq!(host(30, 20).time_of_answer(now), now);
    }
}
