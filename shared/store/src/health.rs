//! What refreshes have seen of an app and of a login host: two small items, read together before each refresh and
//! written only when something changes.
//!
//! An item of an app says whether its answers carry new refresh tokens, and until when nothing is sent because
//! Salesforce refuses the app itself. An item of a host says when the token endpoint last failed to answer and when it
//! answered again, and until when nothing is sent because the host is down.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue},
};
use domain::{AppId, ProductId};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

use crate::{
    Item, N, S, Store, StoreError,
    expression::Expression,
    item::{is_readable, number, texts, time_of},
    keys::{self, Key},
    millis,
    write::{SendWrite, conditional},
};

/// How long nothing is sent for an app after Salesforce refused it once, and after each further refusal. Both secrets
/// of an app may be tried, so an hour has at most 60 calls.
const APP_WAITS: [SignedDuration; 2] = [SignedDuration::from_secs(65), SignedDuration::from_secs(130)];

/// How many orgs must see an app refused before it is stopped in all of them.
const ORGS_THAT_STOP_AN_APP: usize = 2;

/// How often a host that is down is tried.
pub(crate) const HOST_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// Within this time so many orgs of so many products must see a host down.
pub(crate) const OUTAGE_WINDOW: SignedDuration = SignedDuration::from_mins(1);
pub(crate) const ORGS_IN_AN_OUTAGE: usize = 5;
pub(crate) const PRODUCTS_IN_AN_OUTAGE: usize = 2;

/// Maximum entries of [`HostHealth::seen_down_by`].
pub(crate) const MAX_SEEN_DOWN_BY: u32 = 50;

/// Minimum time between two harmless requests to a host that does not answer.
pub(crate) const MIN_QUESTION_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// How many answers of an app in a row that cannot be trusted stop sending for it.
pub const MAX_UNTRUSTED: u32 = 5;

/// How long nothing is sent for an app whose answers cannot be trusted. Then one refresh tries: with rotation its answer
/// goes into quarantine if nothing has changed.
const UNTRUSTED_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// A stop that ends later than this was set by a clock that is wrong.
const LONGEST_STOP: SignedDuration = SignedDuration::from_mins(20);

/// How long a host's item is kept after its last change.
pub(crate) const HOST_KEPT: SignedDuration = SignedDuration::from_hours(24 * 60);

/// Which app, as Salesforce knows it. An app that a customer owns has a consumer key of its own.
#[derive(Debug, Clone, Copy)]
pub struct AppAt<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// The app.
    pub app: &'a AppId,
    /// Its consumer key.
    pub consumer_key: &'a str,
}

/// What is known before a refresh.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Of the app.
    pub app: AppHealth,
    /// Of the login host.
    pub host: HostHealth,
}

/// What refreshes have seen of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppHealth {
    /// Whether an answer ever carried a new refresh token; `None`: no answer has come yet.
    pub rotates: Option<bool>,
    /// Until when nothing is sent.
    pub not_before: Option<Timestamp>,
    /// The orgs that saw the app refused; the origin of a login host where the org was not known yet.
    pub orgs: BTreeSet<String>,
    /// How many answers in a row could not be trusted.
    pub untrusted: u32,
    /// Whether Salesforce ever said of a token of the app that it is active.
    pub introspects: bool,
    /// The check that the last of them failed: one of `diagnosis::evidence::OUR_OWN`.
    pub untrusted_as: Option<String>,
}

/// What refreshes have seen of a login host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostHealth {
    /// When a refresh last got no answer.
    pub unanswered_at: Option<Timestamp>,
    /// When the token endpoint first answered after that.
    pub answered_at: Option<Timestamp>,
    /// When a harmless request was first answered after that.
    pub reachable_at: Option<Timestamp>,
    /// When a harmless request was last answered.
    pub last_reachable_at: Option<Timestamp>,
    /// When a harmless request was last sent.
    pub asked_at: Option<Timestamp>,
    /// Until when nothing is sent, because the host is down.
    pub not_before: Option<Timestamp>,
    /// Which orgs saw it down within a minute, as `product org`.
    pub seen_down_by: BTreeSet<String>,
}

/// Whether a stop lets a refresh through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nothing is sent until then.
    Until(Timestamp),
    /// One refresh may try whether it is over; the time must still be this one.
    Probe(Timestamp),
}

impl AppHealth {
    /// Whether the app is stopped for an org.
    pub fn stop(&self, org: &str, now: Timestamp) -> Option<Stop> {
        let applies = self.is_untrusted() || self.is_refused_everywhere() || self.orgs.contains(org);
        self.not_before.filter(|_| applies).map(|until| stop(until, now))
    }

    /// Whether enough orgs saw the app refused, or enough login hosts, where the org was not known yet. An org and its own
    /// login host are one witness.
    fn is_refused_everywhere(&self) -> bool {
        let hosts = self.orgs.iter().filter(|org| org.contains("://")).count();
        hosts.max(self.orgs.len() - hosts) >= ORGS_THAT_STOP_AN_APP
    }

    /// Whether the app is stopped because its answers cannot be trusted.
    pub fn is_untrusted(&self) -> bool {
        self.untrusted >= MAX_UNTRUSTED
    }

    fn read(item: &Item) -> Self {
        Self {
            rotates: item.get("rotates").and_then(|value| value.as_bool().ok()).copied(),
            not_before: time_of(item, "not_before"),
            orgs: texts(item, "orgs"),
            untrusted: number(item, "untrusted"),
            introspects: item.contains_key("introspects"),
            untrusted_as: item.get("untrusted_as").and_then(|text| text.as_s().ok()).cloned(),
        }
    }

    /// How long the others wait while one refresh tries whether the app works again.
    fn probe_wait(&self) -> SignedDuration {
        if self.is_untrusted() { UNTRUSTED_WAIT } else { APP_WAITS[1] }
    }
}

pub(crate) fn stop(until: Timestamp, now: Timestamp) -> Stop {
    if now < until && until <= now + LONGEST_STOP { Stop::Until(until) } else { Stop::Probe(until) }
}

impl Store {
    /// What is known of an app and a host. Both items in one request, and not consistently: a refresh too many is no
    /// harm, and it costs one read unit.
    pub async fn health(&self, app: AppAt<'_>, host: &str) -> Result<Health, StoreError> {
        Ok(self.health_with(app, host, Vec::new()).await?.0)
    }

    /// The same, with other items about what may be sent.
    pub(crate) async fn health_with(
        &self,
        app: AppAt<'_>,
        host: &str,
        others: Vec<Key>,
    ) -> Result<(Health, Vec<(String, Item)>), StoreError> {
        let (app, host) = (keys::app_health(app), keys::host_health(host));
        let (mut health, mut found) = (Health::default(), Vec::new());
        let wanted = [vec![app.clone(), host.clone()], others].concat();
        for item in self.batch(wanted, false).await?.items {
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default();
            is_readable(&pk, &item)?;
            if pk == app.pk {
                health.app = AppHealth::read(&item);
            } else if pk == host.pk {
                health.host = HostHealth::read(&item);
            } else {
                found.push((pk, item));
            }
        }
        Ok((health, found))
    }

    /// Records whether an app's answers carry new refresh tokens. Once one did, this stays.
    pub async fn note_rotation(&self, app: AppAt<'_>, rotates: bool) -> Result<(), StoreError> {
        let noted = self
            .update(&keys::app_health(app))
            .update_expression("SET rotates = :rotates")
            .condition_expression("attribute_not_exists(rotates) OR rotates <> :yes")
            .value(":rotates", AttributeValue::Bool(rotates))
            .value(":yes", AttributeValue::Bool(true))
            .send_write()
            .await;
        conditional("UpdateItem", noted).map(drop)
    }

    /// Records that Salesforce refused an app in an org, or at a login host where the org is not known yet: nothing is
    /// sent for it until the returned time.
    pub async fn note_app_refused(
        &self,
        app: AppAt<'_>,
        org: &str,
        before: &AppHealth,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let until = now
            + APP_WAITS[usize::from(before.not_before.is_some())].max(if before.is_untrusted() {
                UNTRUSTED_WAIT
            } else {
                SignedDuration::ZERO
            });
        let update = self.update(&keys::app_health(app)).value(":until", millis(until));
        // Two orgs, or two hosts, are enough to stop it everywhere; the set need not grow.
        let update = if !before.is_refused_everywhere() && !before.orgs.contains(org) {
            update
                .update_expression("SET not_before = :until ADD orgs :org")
                .value(":org", AttributeValue::Ss(vec![org.to_owned()]))
        } else {
            update.update_expression("SET not_before = :until")
        };
        send(update).await?;
        Ok(until)
    }

    /// Records an answer that cannot be trusted, because it fails that check. After [`MAX_UNTRUSTED`] of them without
    /// a good one nothing is sent for the app. `true`: that is so from now on, or still.
    pub async fn note_untrusted(
        &self,
        app: AppAt<'_>,
        check: &'static str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = keys::app_health(app);
        let counted = self
            .update(&key)
            .update_expression("SET untrusted_as = :check ADD untrusted :one")
            .value(":check", S(check))
            .value(":one", N(1))
            .return_values(ReturnValue::AllNew)
            .send_write()
            .await
            .map_err(|error| StoreError::unavailable("UpdateItem", &error))?;
        if number(&counted.attributes.unwrap_or_default(), "untrusted") < MAX_UNTRUSTED {
            return Ok(false);
        }
        let update = self.update(&key).update_expression("SET not_before = :until");
        send(update.value(":until", millis(now + UNTRUSTED_WAIT))).await?;
        Ok(true)
    }

    /// Records that Salesforce accepted an app again, with an answer that can be trusted.
    pub async fn note_app_works(&self, app: AppAt<'_>) -> Result<(), StoreError> {
        let update = self.update(&keys::app_health(app));
        send(update.update_expression("REMOVE not_before, orgs, untrusted, untrusted_as")).await
    }

    /// Reserves the one refresh that tries whether an app works again. `false`: another has it.
    pub async fn probe_app(
        &self,
        app: AppAt<'_>,
        health: &AppHealth,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.probe(&keys::app_health(app), seen, now + health.probe_wait()).await
    }

    /// Reserves the one refresh that tries whether a host answers again. `false`: another has it.
    pub async fn probe_host(&self, host: &str, seen: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        self.probe(&keys::host_health(host), seen, now + HOST_WAIT).await
    }

    pub(crate) async fn probe(
        &self,
        key: &Key,
        seen: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let reserved = self
            .update(key)
            .update_expression("SET not_before = :until")
            .condition_expression("not_before = :seen")
            .value(":until", millis(until))
            .value(":seen", millis(seen))
            .send_write()
            .await;
        conditional("UpdateItem", reserved).map(|written| written.is_ok())
    }
}

pub(crate) async fn send(update: UpdateItemFluentBuilder) -> Result<(), StoreError> {
    update.send_write().await.map(drop).map_err(|error| StoreError::unavailable("UpdateItem", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn one_org_stops_an_app_for_itself_alone_and_two_for_all() {
        let refused = |orgs: &[&str]| AppHealth {
            not_before: Some(at(60)),
            orgs: orgs.iter().map(ToString::to_string).collect(),
            ..AppHealth::default()
        };
        assert_eq!(refused(&["one"]).stop("one", at(1)), Some(Stop::Until(at(60))));
        assert_eq!(refused(&["one"]).stop("other", at(1)), None);
        assert_eq!(refused(&["one", "two"]).stop("other", at(1)), Some(Stop::Until(at(60))));
        assert_eq!(refused(&["one"]).stop("one", at(60)), Some(Stop::Probe(at(60))));
        assert_eq!(refused(&["one"]).stop("one", at(-7200)), Some(Stop::Probe(at(60))), "a wrong clock's");
        assert_eq!(AppHealth::default().stop("one", at(1)), None);
    }

    #[test]
    fn five_untrusted_answers_stop_an_app_in_every_org() {
        let app = |untrusted| AppHealth { not_before: Some(at(60)), untrusted, ..AppHealth::default() };
        assert_eq!(app(4).stop("any", at(1)), None);
        assert_eq!(app(5).stop("any", at(1)), Some(Stop::Until(at(60))));
        assert_eq!(app(5).stop("any", at(60)), Some(Stop::Probe(at(60))));
        assert_eq!(app(9).probe_wait(), UNTRUSTED_WAIT);
        assert_eq!(app(4).probe_wait(), APP_WAITS[1]);
    }
}
