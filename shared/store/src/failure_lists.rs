//! Lists of failures, from the index `failures`.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use domain::{AppId, Environment, Failure, FailureId, ProductId, Provenance, Stage};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    Item, S, Store, StoreError,
    item::from_item,
    keys,
    schema::{CUSTOMER, FAILURES, LISTING},
};

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
        let is_over = place.day < day_of(query.from);
        Ok((found, (!is_over).then_some(place)))
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
