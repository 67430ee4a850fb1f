//! Failures, and the counter of callbacks that belong to nobody.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::{
    operation::query::builders::QueryFluentBuilder,
    types::{Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem},
};
use domain::{
    AppId, ConnectionId, Environment, Failure, FailureId, ProductId, Provenance, Stage, secret::Hash,
};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    Item, N, S, Store, StoreError, conditional, keys, millis,
    rows::{from_item, to_item},
    sessions::built,
    table::{CUSTOMER, FAILURES, LISTING},
    ttl,
    write::SendWrite as _,
};

/// How long a failure and its help page are kept.
pub const FAILURE_KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// A day's stray callbacks are counted up to here: strangers cannot make the counter cost more.
const MAX_STRAYS: u32 = 10_000;

/// How long it is known that something was met before.
const NOTED_KEPT: SignedDuration = SignedDuration::from_hours(48);

/// What became of noting a failure.
#[derive(Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is recorded.
    New,
    /// The same was recorded a moment ago, as this failure.
    Before(FailureId),
    /// This connection has had too many today.
    TooMany,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotedRow {
    failure: FailureId,
    at: i64,
}

impl Store {
    /// The failure of that id, while it is kept.
    pub async fn failure(&self, id: &FailureId, now: Timestamp) -> Result<Option<Failure>, StoreError> {
        let key = keys::failure(id);
        let item = self.get(&key, false).await?;
        let Some(item) = item else { return Ok(None) };
        let failure: Failure = from_item(&key.pk, item)?;
        Ok((now < failure.at + FAILURE_KEPT).then_some(failure))
    }

    /// The failures of those ids (at most 100: `BatchGetItem`'s limit), as far as they are kept and DynamoDB answers for
    /// all at once.
    pub async fn failures(&self, ids: &[FailureId], now: Timestamp) -> Result<Vec<Failure>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: BTreeSet<&FailureId> = ids.iter().collect();
        let keys = keys.into_iter().map(keys::failure).collect();
        let answer = self.batch(keys, false).await?;
        let mut found = Vec::with_capacity(answer.items.len());
        for item in answer.items {
            let failure: Failure = from_item("a failure", item)?;
            if now < failure.at + FAILURE_KEPT {
                found.push(failure);
            }
        }
        Ok(found)
    }

    /// Records a failure that belongs to no connect session.
    pub async fn record_failure(&self, failure: &Failure) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(failure_item(failure)?))
            .send_write()
            .await
            .map(drop)
            .map_err(|error| StoreError::unavailable("PutItem", &error))
    }

    /// A failure's record as part of a transaction, with the change that it causes.
    pub(crate) fn failure_write(&self, failure: &Failure) -> Result<TransactWriteItem, StoreError> {
        built(Put::builder().table_name(&self.table).set_item(Some(failure_item(failure)?)).build())
    }

    /// The failure that the same thing, met at the same connection since then, has made.
    pub async fn noted(
        &self,
        connection: &ConnectionId,
        what: &Hash,
        since: Timestamp,
    ) -> Result<Option<FailureId>, StoreError> {
        let key = keys::noted(connection, what);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        let noted: NotedRow = from_item(&key.pk, item)?;
        Ok((since.as_millisecond() < noted.at).then_some(noted.failure))
    }

    /// Records a failure of a connection that may be met again and again: the same one is recorded once, and
    /// again only if the last time was before `since`; and of one connection no more than `most` a day.
    pub async fn note_failure(
        &self,
        connection: &ConnectionId,
        what: &Hash,
        failure: &Failure,
        since: Timestamp,
        most: u32,
    ) -> Result<Noted, StoreError> {
        let key = keys::noted(connection, what);
        let row = NotedRow { failure: failure.id.clone(), at: failure.at.as_millisecond() };
        let mut item = to_item(&key, &row)?;
        item.insert("ttl".into(), ttl(failure.at + NOTED_KEPT));
        let mark = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR #at <= :since")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":since", millis(since))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build();
        let count = self
            .update_together(&keys::noted_today(connection, failure.at))
            .update_expression("SET #ttl = :ttl ADD met :one")
            .condition_expression("attribute_not_exists(met) OR met < :most")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", ttl(failure.at + NOTED_KEPT))
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(most))
            .build();
        let writes = vec![built(mark)?, self.failure_write(failure)?, built(count)?];
        let Err(reasons) = self.transact(writes).await? else { return Ok(Noted::New) };
        match reasons.into_iter().next().and_then(|reason| reason.item) {
            Some(before) => Ok(Noted::Before(from_item::<NotedRow>(&key.pk, before)?.failure)),
            None => Ok(Noted::TooMany),
        }
    }

    /// Counts a callback without a known attempt and browser. Nothing of it is kept.
    pub async fn count_stray(&self, now: Timestamp) -> Result<(), StoreError> {
        let key = keys::stray(now);
        let counted = self
            .update(&key)
            .update_expression("SET #ttl = :ttl ADD callbacks :one")
            .condition_expression("attribute_not_exists(callbacks) OR callbacks < :most")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", ttl(now + FAILURE_KEPT))
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(MAX_STRAYS))
            .send_write()
            .await;
        conditional("UpdateItem", counted).map(drop)
    }
}

fn failure_item(failure: &Failure) -> Result<Item, StoreError> {
    let key = keys::failure(&failure.id);
    let mut item = to_item(&key, failure)?;
    let reference = failure.id.reference();
    let day = failure.at.to_zoned(TimeZone::UTC).date();
    for (name, value) in [
        ("ttl", ttl(failure.at + FAILURE_KEPT)),
        ("listing_pk", S(keys::reference(&failure.product, &reference))),
        ("reference", S(reference)),
        ("failures_pk", S(keys::failures(&failure.product, day))),
        ("customer_pk", S(keys::customers_failures(&failure.product, &failure.customer.id))),
        ("listing_sk", S(failure.id.as_str())),
    ] {
        item.insert(name.into(), value);
    }
    Ok(item)
}

/// Which of a product's failures to list, the latest first.
#[derive(Debug, Clone)]
pub struct FailureQuery {
    /// Not before.
    pub from: Timestamp,
    /// Before.
    pub to: Timestamp,
    /// Only this customer's.
    pub customer: Option<String>,
    /// Only those that the filter lets through.
    pub filter: FailureFilter,
    /// At most so many, 1 to 100.
    pub limit: u8,
    /// Go on after this place.
    pub after: Option<Place>,
}

/// What listed failures have in common.
#[derive(Debug, Clone, Default)]
pub struct FailureFilter {
    /// The cause, one of these (at most 100: DynamoDB's `IN`); none: any.
    pub causes: Vec<String>,
    /// The app.
    pub app: Option<AppId>,
    /// The stage.
    pub stage: Option<Stage>,
    /// The environment.
    pub environment: Option<Environment>,
    /// Who saw it.
    pub provenance: Option<Provenance>,
    /// Whether the customer has succeeded since.
    pub resolved: Option<bool>,
}

/// A place in a list of failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// In the failures of this day.
    pub day: Date,
    /// After this failure; `None`: from the day's latest on.
    pub after: Option<FailureId>,
}

/// So many requests one page may take: who asks for a rare cause over months gets a short page and where to go on.
const MOST_REQUESTS: usize = 31;

impl FailureFilter {
    /// Whether it lets a failure through.
    pub fn admits(&self, failure: &Failure) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, has: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == has)
        }
        (self.causes.is_empty() || self.causes.contains(&failure.cause))
            && is(self.app.as_ref(), &failure.app)
            && is(self.stage.as_ref(), &failure.stage)
            && (self.environment.is_none() || self.environment == failure.environment)
            && is(self.provenance.as_ref(), &failure.evidence.provenance)
            && is(self.resolved.as_ref(), &failure.resolved.is_some())
    }

    /// As DynamoDB filters; the conditions of [`FailureFilter::admits`].
    fn on(&self, query: QueryFluentBuilder) -> QueryFluentBuilder {
        let mut conditions = Vec::new();
        let mut query = query;
        let equal = [
            ("app", "app", self.app.as_ref().map(ToString::to_string)),
            ("stage", "stage", self.stage.map(|stage| stage.word().to_owned())),
            ("environment", "environment", self.environment.map(|kind| kind.word().to_owned())),
            ("evidence.#provenance", "provenance", self.provenance.map(|who| who.word().to_owned())),
        ];
        for (path, name, wanted) in equal {
            let Some(wanted) = wanted else { continue };
            let path = if path == name { format!("#{name}") } else { path.to_owned() };
            conditions.push(format!("{path} = :{name}"));
            query = query
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), S(wanted));
        }
        if !self.causes.is_empty() {
            let names: Vec<String> = (0..self.causes.len()).map(|number| format!(":cause{number}")).collect();
            conditions.push(format!("#cause IN ({})", names.join(", ")));
            query = query.expression_attribute_names("#cause", "cause");
            for (name, cause) in names.into_iter().zip(&self.causes) {
                query = query.expression_attribute_values(name, S(cause));
            }
        }
        match self.resolved {
            Some(true) => conditions.push("attribute_exists(resolved)".into()),
            Some(false) => conditions.push("attribute_not_exists(resolved)".into()),
            None => {}
        }
        let all = conditions.join(" AND ");
        query.set_filter_expression((!all.is_empty()).then_some(all))
    }
}

impl Store {
    /// A product's failures, the latest first, and where to go on. A page may be short, or empty, and still have a
    /// place to go on.
    pub async fn list_failures(
        &self,
        product: &ProductId,
        query: &FailureQuery,
    ) -> Result<(Vec<Failure>, Option<Place>), StoreError> {
        if let Some(customer) = &query.customer {
            return self.list_customers_failures(product, customer, query).await;
        }
        let limit = usize::from(query.limit.clamp(1, 100));
        let day_of = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        let mut place = query.after.clone().unwrap_or(Place { day: day_of(query.to), after: None });
        let mut found = Vec::new();
        for _ in 0..MOST_REQUESTS {
            if place.day < day_of(query.from) {
                return Ok((found, None));
            }
            let partition = ("failures_pk", keys::failures(product, place.day));
            let page = query.filter.on(self.failures_page(FAILURES, &partition, query, place.after.as_ref()));
            let answer = page.send().await.map_err(|error| StoreError::unavailable("Query", &error))?;
            for item in answer.items.unwrap_or_default() {
                let failure: Failure = from_item("an item of index failures", item)?;
                if found.len() == limit {
                    place.after = found.last().map(|last: &Failure| last.id.clone());
                    return Ok((found, Some(place)));
                }
                found.push(failure);
            }
            let last = answer.last_evaluated_key.as_ref().and_then(last_failure_of);
            place = match (last, place.day.yesterday()) {
                (Some(last), _) => Place { after: Some(last), ..place },
                (None, Ok(day)) => Place { day, after: None },
                (None, Err(_)) => return Ok((found, None)),
            };
        }
        Ok((found, Some(place)))
    }

    /// Of one customer: index `customer` knows which, the table what.
    async fn list_customers_failures(
        &self,
        product: &ProductId,
        customer: &str,
        query: &FailureQuery,
    ) -> Result<(Vec<Failure>, Option<Place>), StoreError> {
        let limit = usize::from(query.limit.clamp(1, 100));
        let partition = ("customer_pk", keys::customers_failures(product, customer));
        let mut after = query.after.as_ref().and_then(|place| place.after.clone());
        let mut found = Vec::new();
        for _ in 0..MOST_REQUESTS {
            let page = self.failures_page(CUSTOMER, &partition, query, after.as_ref()).limit(25);
            let answer = page.send().await.map_err(|error| StoreError::unavailable("Query", &error))?;
            let more = answer.last_evaluated_key.is_some();
            for item in answer.items.unwrap_or_default() {
                let Some(id) = last_failure_of(&item) else { continue };
                if found.len() == limit {
                    return Ok((found, at(after.as_ref())));
                }
                let failure = self.failure(&id, query.to.min(Timestamp::MAX)).await?;
                found.extend(failure.filter(|failure| query.filter.admits(failure)));
                after = Some(id);
            }
            if !more {
                return Ok((found, None));
            }
        }
        Ok((found, at(after.as_ref())))
    }

    /// One page of an index over failures, the latest first.
    fn failures_page(
        &self,
        index: &str,
        (name, partition): &(&str, String),
        query: &FailureQuery,
        after: Option<&FailureId>,
    ) -> QueryFluentBuilder {
        let start = after.map(|id| {
            let key = keys::failure(id);
            Item::from([
                ("pk".into(), S(key.pk)),
                ("sk".into(), S(key.sk)),
                ((*name).into(), S(partition)),
                ("listing_sk".into(), S(id.as_str())),
            ])
        });
        self.client
            .query()
            .table_name(&self.table)
            .index_name(index)
            .key_condition_expression("#partition = :partition AND listing_sk BETWEEN :from AND :to")
            .expression_attribute_names("#partition", *name)
            .expression_attribute_values(":partition", S(partition))
            .expression_attribute_values(":from", S(FailureId::floor(query.from)))
            .expression_attribute_values(":to", S(FailureId::floor(query.to)))
            .scan_index_forward(false)
            .limit(i32::from(query.limit.clamp(1, 100)) + 1)
            .set_exclusive_start_key(start)
    }

    /// The failure of a product's that a person reads out by this reference.
    pub async fn failure_of_reference(
        &self,
        product: &ProductId,
        reference: &str,
        now: Timestamp,
    ) -> Result<Option<Failure>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(LISTING)
            .key_condition_expression("listing_pk = :reference")
            .expression_attribute_values(":reference", S(keys::reference(product, reference)))
            .scan_index_forward(false)
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))?;
        match answer.items.unwrap_or_default().first().and_then(last_failure_of) {
            Some(id) => self.failure(&id, now).await,
            None => Ok(None),
        }
    }
}

fn at(after: Option<&FailureId>) -> Option<Place> {
    after.map(|after| Place { day: Date::ZERO, after: Some(after.clone()) })
}

/// The failure whose key this is.
fn last_failure_of(key: &Item) -> Option<FailureId> {
    keys::failure_of(key.get("pk")?.as_s().ok()?)
}
