//! Counters by hour and day, so that a page reads a handful of items for any range: written from the table's stream,
//! each change once.
//!
//! A shard's records come in the order of their sequence numbers, some of them twice. What a run of them adds up to is
//! written in one transaction with the number of the last of them, on condition that the number before is still the one
//! that was read: so a run is counted whole or not at all, and never again.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{AppId, ProductId, tally::Counter};
use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use std::collections::BTreeMap;

use crate::{Item, N, S, Store, StoreError, keys, millis, ttl, write::built};

/// How long the counters of an hour are kept.
const HOURS_KEPT: SignedDuration = SignedDuration::from_hours(24 * 40);

/// How long the counters of a day are kept.
const DAYS_KEPT: SignedDuration = SignedDuration::from_hours(24 * 400);

/// Longer than a stream keeps its records.
const SHARD_KEPT: SignedDuration = SignedDuration::from_hours(72);

/// The number of a record in its shard. They sort as the records came: 21 to 40 digits, filled up to 40.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(String);

/// When something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// In an hour, 0 to 23, of a day (UTC).
    Hour(Date, i8),
    /// On a day (UTC).
    Day(Date),
    /// Now: not how often, but how many there are.
    Now,
}

/// What a run of records adds up to.
pub type Deltas = BTreeMap<(ProductId, AppId, Bucket), BTreeMap<Counter, i64>>;

/// A run of one shard's records.
#[derive(Debug)]
pub struct Run<'a> {
    /// The shard.
    pub shard: &'a str,
    /// How far it was tallied before; `None`: not at all.
    pub before: Option<&'a Sequence>,
    /// The last record of the run.
    pub last: &'a Sequence,
    /// What it adds up to.
    pub deltas: &'a Deltas,
    /// When its last change was made.
    pub changed_at: Timestamp,
}

/// The counters of one app in one bucket.
#[derive(Debug, Clone)]
pub struct Tally {
    /// The app.
    pub app: AppId,
    /// When the bucket begins; of gauges, when they were last written.
    pub at: Timestamp,
    /// What was counted.
    pub counts: BTreeMap<Counter, i64>,
    /// When the last change in it was made.
    pub changed_at: Timestamp,
    /// When that was counted.
    pub tallied_at: Timestamp,
}

impl Sequence {
    /// A record's number; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| Self(format!("{text:0>40}")))
    }
}

impl Bucket {
    /// The hour and the day of a time.
    pub fn of(at: Timestamp) -> [Self; 2] {
        let at = at.to_zoned(TimeZone::UTC);
        [Self::Hour(at.date(), at.hour()), Self::Day(at.date())]
    }

    fn key(self, product: &ProductId, app: &AppId) -> (String, String) {
        match self {
            Self::Hour(day, hour) => (keys::hours(product, day), format!("{hour:02}#{app}")),
            Self::Day(day) => (keys::days(product, day), format!("{:02}#{app}", day.day())),
            Self::Now => (keys::gauges(product), format!("now#{app}")),
        }
    }

    fn ttl(self) -> Option<AttributeValue> {
        let kept =
            |day: Date, kept| day.to_zoned(TimeZone::UTC).ok().map(|begin| ttl(begin.timestamp() + kept));
        match self {
            Self::Hour(day, _) => kept(day, HOURS_KEPT),
            Self::Day(day) => kept(day, DAYS_KEPT),
            Self::Now => None,
        }
    }
}

impl Store {
    /// How far a shard is tallied.
    pub async fn tallied(&self, shard: &str) -> Result<Option<Sequence>, StoreError> {
        let item = self.get(&keys::tallied(shard), true).await?;
        Ok(item.and_then(|item| Sequence::parse(item.get("sequence")?.as_s().ok()?)))
    }

    /// Counts a run, all of it or nothing. `false`: somebody else has tallied this shard since `before` was read.
    pub async fn tally(&self, run: &Run<'_>, now: Timestamp) -> Result<bool, StoreError> {
        let mark = self
            .update_together(&keys::tallied(run.shard))
            .update_expression("SET #sequence = :last, tallied_at = :now, #ttl = :ttl")
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":last", S(&run.last.0))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":ttl", ttl(now + SHARD_KEPT));
        let mark = match run.before {
            Some(before) => mark
                .condition_expression("#sequence = :before")
                .expression_attribute_values(":before", S(&before.0)),
            None => mark.condition_expression("attribute_not_exists(#sequence)"),
        };
        let mut writes = vec![built(mark.build())?];
        for ((product, app, bucket), counts) in run.deltas {
            let (pk, sk) = bucket.key(product, app);
            let mut adds = Vec::new();
            let mut update = aws_sdk_dynamodb::types::Update::builder()
                .table_name(&self.table)
                .key("pk", S(pk))
                .key("sk", S(sk))
                .expression_attribute_values(":now", millis(now))
                .expression_attribute_values(":changed", millis(run.changed_at));
            for (number, (counter, delta)) in counts.iter().enumerate() {
                adds.push(format!("#c{number} :d{number}"));
                update = update
                    .expression_attribute_names(format!("#c{number}"), counter.name())
                    .expression_attribute_values(format!(":d{number}"), N(*delta));
            }
            let mut set = "SET tallied_at = :now, changed_at = :changed".to_owned();
            if let Some(ttl) = bucket.ttl() {
                set.push_str(", #ttl = :ttl");
                update =
                    update.expression_attribute_names("#ttl", "ttl").expression_attribute_values(":ttl", ttl);
            }
            writes.push(built(update.update_expression(format!("{set} ADD {}", adds.join(", "))).build())?);
        }
        Ok(self.transact(writes).await?.is_ok())
    }

    /// A product's counters of the hours of one day (UTC), every app's.
    pub async fn tallies_of_hours(&self, product: &ProductId, day: Date) -> Result<Vec<Tally>, StoreError> {
        let begin = |sk: &str| {
            let hour: i8 = sk.get(..2)?.parse().ok()?;
            day.at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
        };
        self.tallies(keys::hours(product, day), begin).await
    }

    /// A product's counters of the days from `first` to `last` (UTC), every app's: one request a month.
    pub async fn tallies_of_days(
        &self,
        product: &ProductId,
        first: Date,
        last: Date,
    ) -> Result<Vec<Tally>, StoreError> {
        let mut found = Vec::new();
        let mut month = first.first_of_month();
        while month <= last {
            let begin = |sk: &str| {
                let day: i8 = sk.get(..2)?.parse().ok()?;
                let date = Date::new(month.year(), month.month(), day).ok()?;
                let within = (first..=last).contains(&date);
                within.then(|| date.to_zoned(TimeZone::UTC).ok()).flatten().map(|at| at.timestamp())
            };
            found.extend(self.tallies(keys::days(product, month), begin).await?);
            let Ok(next) = month.checked_add(1.month()) else { break };
            month = next;
        }
        Ok(found)
    }

    /// How many connections a product has in which state, every app's.
    pub async fn gauges(&self, product: &ProductId) -> Result<Vec<Tally>, StoreError> {
        self.tallies(keys::gauges(product), |_| Some(Timestamp::UNIX_EPOCH)).await
    }

    async fn tallies(
        &self,
        pk: String,
        begin: impl Fn(&str) -> Option<Timestamp>,
    ) -> Result<Vec<Tally>, StoreError> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", S(&pk))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::unavailable("Query", &error))?;
            found.extend(page.items.unwrap_or_default().iter().filter_map(|item| read(item, &begin)));
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(found);
            }
        }
    }
}

fn read(item: &Item, begin: impl Fn(&str) -> Option<Timestamp>) -> Option<Tally> {
    let sk = item.get("sk")?.as_s().ok()?;
    let number = |value: &AttributeValue| value.as_n().ok()?.parse::<i64>().ok();
    let time = |name: &str| Timestamp::from_millisecond(number(item.get(name)?)?).ok();
    let counts = item
        .iter()
        .filter_map(|(name, value)| Some((Counter::parse(name)?, number(value)?)))
        .filter(|(_, count)| *count != 0)
        .collect();
    Some(Tally {
        app: sk.split_once('#')?.1.parse().ok()?,
        at: begin(sk)?,
        counts,
        changed_at: time("changed_at")?,
        tallied_at: time("tallied_at")?,
    })
}
