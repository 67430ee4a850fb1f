//! Stops that are counted, so that a wave of them is known as one incident.

use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use domain::{
    ConnectionId, Event, EventId, EventType, Incident, IncidentId, OrgId, ProductId, SaturatingTime as _,
    event::EventData,
    incident::{MOST, Over, Stops, WINDOW},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Item, N, S, Store, StoreError,
    item::{from_item, time_in, to_item},
    keys::{self, Key},
    millis, ttl,
    write::{SendWrite, conditional},
};

/// How long an hour's stops are kept after its last: what comes later finds nothing usual.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How long after an hour of stops began its incident is over: what stops then is another one.
const OVER_AFTER: SignedDuration = SignedDuration::from_secs(2 * WINDOW.as_secs());

/// An incident that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedIncident {
    /// The incident.
    pub incident: Incident,
    /// The cause's id.
    pub cause: String,
    /// Since when its last hour was counted.
    pub counted_since: Timestamp,
    /// Since when it is over.
    pub over_at: Timestamp,
}

/// How often the hour's first stop is tried to be written: another may be the first.
const TRIES: u32 = 3;

/// The stops of one cause, counted.
#[derive(Debug, Serialize, Deserialize)]
struct WaveRow {
    cause: String,
    since: i64,
    #[serde(with = "serde_dynamo::string_set")]
    members: std::collections::BTreeSet<String>,
    usual: usize,
    incident: Option<Incident>,
}

/// A wave, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// The incident.
    pub incident: Incident,
    /// The app or the org.
    pub over: String,
    /// The cause's id.
    pub cause: String,
    /// How many have stopped in its last hour, orgs or connections; [`MOST`] may be more.
    pub stopped: usize,
    /// Since when that hour is counted.
    pub counted_since: Timestamp,
}

/// What a stop is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The wave.
    pub incident: Incident,
    /// Whether this stop made it one.
    pub begins: bool,
}

/// The event of an incident. `sk` is the sort key of its wave, which says over what it is.
pub fn incident_event(
    kind: EventType,
    product: &ProductId,
    sk: &str,
    cause: &str,
    incident: Incident,
    at: Timestamp,
) -> Event {
    let mut over = sk.split('#');
    let (app, org) = match (over.next(), over.next()) {
        (Some("APP"), Some(app)) => (app.parse().ok(), None),
        (Some("ORG"), Some(org)) => (None, org.parse().ok()),
        _ => (None, None),
    };
    Event {
        id: EventId::of(kind, incident.id.as_str(), ""),
        kind,
        product: product.clone(),
        at,
        sequence: None,
        data: EventData {
            app,
            org,
            incident: Some(incident.id),
            cause: Some(cause.to_owned()),
            ..EventData::default()
        },
    }
}

impl WaveRow {
    fn read(self, pk: &str) -> Result<Stops, StoreError> {
        let since = time_in(pk, self.since)?;
        Ok(Stops { since, members: self.members, usual: self.usual, incident: self.incident })
    }
}

impl Store {
    /// Counts a connection that stops, and tells of which wave it is a part. The same connection, or org, counts
    /// once an hour however often it comes.
    pub async fn count_stop(
        &self,
        product: &ProductId,
        over: &Over<'_>,
        cause: &str,
        (connection, org): (&ConnectionId, &OrgId),
        now: Timestamp,
    ) -> Result<Option<Part>, StoreError> {
        let key = keys::wave(product, over, cause);
        let member = over.member(connection, org);
        for _ in 0..TRIES {
            let stops = match self.add_stop(&key, &member, now).await? {
                Ok(stops) => stops,
                // The hour has as many as are counted.
                Err(Some(full)) if full.take(now) => full,
                Err(before) => {
                    let first = Stops::first(member.clone(), before.as_ref(), now);
                    if !self.first_stop(&key, cause, &first, before.as_ref()).await? {
                        continue;
                    }
                    first
                }
            };
            return match stops.incident {
                Some(incident) => Ok(Some(Part { incident, begins: false })),
                None if stops.is_wave() => self.begin_incident(&key, over, now).await.map(Some),
                None => Ok(None),
            };
        }
        Ok(None)
    }

    /// Adds to the hour's stops. `Err`: the hour is full, or over, or there is none.
    async fn add_stop(
        &self,
        key: &Key,
        member: &str,
        now: Timestamp,
    ) -> Result<Result<Stops, Option<Stops>>, StoreError> {
        let added = self
            .update(key)
            .update_expression("ADD members :member")
            .condition_expression("since > :hour_ago AND size(members) < :most")
            .expression_attribute_values(
                ":member",
                aws_sdk_dynamodb::types::AttributeValue::Ss(vec![member.to_owned()]),
            )
            .expression_attribute_values(":hour_ago", millis(now - WINDOW))
            .expression_attribute_values(":most", N(MOST as i128))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        let read = |item: Item| from_item::<WaveRow>(&key.pk, item)?.read(&key.pk);
        Ok(match conditional("UpdateItem", added)? {
            Ok(output) => Ok(read(output.attributes.unwrap_or_default())?),
            Err(None) => Err(None),
            Err(Some(item)) => Err(Some(read(item)?)),
        })
    }

    /// Writes an hour's first stop over the hour before. `false`: another was first.
    async fn first_stop(
        &self,
        key: &Key,
        cause: &str,
        first: &Stops,
        before: Option<&Stops>,
    ) -> Result<bool, StoreError> {
        let row = WaveRow {
            cause: cause.to_owned(),
            since: first.since.as_millisecond(),
            members: first.members.clone(),
            usual: first.usual,
            incident: first.incident.clone(),
        };
        let mut item = to_item(key, &row)?;
        item.insert("ttl".into(), ttl(first.since + KEPT));
        if first.incident.is_some() {
            item.insert("due_shard".into(), S(keys::due_shard(&key.sk)));
            item.insert("due_at".into(), millis(first.since + OVER_AFTER));
        }
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = match before {
            Some(before) => put
                .condition_expression("since = :before")
                .expression_attribute_values(":before", millis(before.since)),
            None => put.condition_expression("attribute_not_exists(pk)"),
        };
        Ok(conditional("PutItem", put.send_write().await)?.is_ok())
    }

    /// The hour's stops are a wave: the first to see it names it.
    async fn begin_incident(&self, key: &Key, over: &Over<'_>, now: Timestamp) -> Result<Part, StoreError> {
        let incident = Incident { id: IncidentId::mint(now), scope: over.scope(), since: now };
        let value = serde_dynamo::to_attribute_value(&incident)
            .map_err(|error| StoreError::Corrupt { pk: key.pk.clone(), what: error.to_string() })?;
        let named = self
            .update(key)
            .update_expression("SET incident = :incident, due_shard = :shard, due_at = :due")
            .condition_expression("attribute_not_exists(incident)")
            .expression_attribute_values(":shard", S(keys::due_shard(&key.sk)))
            .expression_attribute_values(":due", millis(now + OVER_AFTER))
            .expression_attribute_values(":incident", value)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        match conditional("UpdateItem", named)? {
            Ok(_) => Ok(Part { incident, begins: true }),
            Err(item) => {
                let named = from_item::<WaveRow>(&key.pk, item.unwrap_or_default())?.incident;
                // The SDK tries a write again whose answer was lost: then it is this caller's own name.
                let named = named.unwrap_or_else(|| incident.clone());
                Ok(Part { begins: named.id == incident.id, incident: named })
            }
        }
    }

    /// The incident of a wave, if it is over: nothing that stops from now on belongs to it. `Err`: it is not over before
    /// this. `Ok(None)`: there is none.
    pub async fn ended_incident(
        &self,
        product: &ProductId,
        sk: &str,
        now: Timestamp,
    ) -> Result<Result<Option<EndedIncident>, Timestamp>, StoreError> {
        let key = keys::wave_at(product, sk);
        let Some(item) = self.get(&key, true).await? else { return Ok(Ok(None)) };
        let row: WaveRow = from_item(&key.pk, item)?;
        let cause = row.cause.clone();
        let Stops { since, incident, .. } = row.read(&key.pk)?;
        let over_at = since.later_by(OVER_AFTER);
        if now < over_at {
            return Ok(Err(over_at));
        }
        Ok(Ok(incident.map(|incident| EndedIncident { incident, cause, counted_since: since, over_at })))
    }

    /// Takes a wave whose incident is over off the sweep's list, unless it has gone on.
    pub async fn wave_not_due(
        &self,
        product: &ProductId,
        sk: &str,
        counted_since: Timestamp,
    ) -> Result<(), StoreError> {
        let removed = self
            .update(&keys::wave_at(product, sk))
            .update_expression("REMOVE due_shard, due_at")
            .condition_expression("since = :since")
            .expression_attribute_values(":since", millis(counted_since))
            .send_write()
            .await;
        conditional("UpdateItem", removed).map(drop)
    }

    /// A product's waves that are going on, or were an hour ago, the latest first.
    pub async fn waves(&self, product: &ProductId, now: Timestamp) -> Result<Vec<Wave>, StoreError> {
        let pk = keys::waves(product);
        let items: Vec<Item> = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .filter_expression("attribute_exists(incident) AND since > :ago")
            .expression_attribute_values(":pk", S(&pk))
            .expression_attribute_values(":ago", millis(now - WINDOW - WINDOW))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))?;
        let mut waves = Vec::new();
        for item in items {
            let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
            let row: WaveRow = from_item(&pk, item)?;
            let cause = row.cause.clone();
            let Stops { since, members, incident, .. } = row.read(&pk)?;
            let over = sk.split('#').nth(1).unwrap_or_default().to_owned();
            waves.extend(incident.map(|incident| Wave {
                incident,
                over,
                cause,
                stopped: members.len(),
                counted_since: since,
            }));
        }
        waves.sort_by_key(|wave| std::cmp::Reverse(wave.incident.since));
        Ok(waves)
    }
}
