//! What happened to one of a product's customers: sessions, failures and connections, for operators.
//!
//! A customer is named by the digest of its id, so that no link and no log holds the id. No token, digest of a secret or
//! Salesforce user name is read: every request names the attributes that it wants.

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::KeysAndAttributes};
use domain::{
    AppId, ConnectionId, Customer, Environment, Failure, FailureId, OrgId, ProductId, SessionId, secret::Hash,
};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    Item, S, Store, StoreError,
    item::{from_item, time},
    keys,
    schema::{CUSTOMER, LISTING},
};

/// Maximum sessions, failures and connections of one customer that are read, the latest of each.
pub const MAX_HISTORY: u8 = 20;

/// Maximum pages of the index `listing` that a search for a customer reads: 1 MB each.
const MAX_LISTING_PAGES: usize = 4;

/// A customer's history.
#[derive(Debug, Default)]
pub struct CustomerHistory {
    /// The latest sessions.
    pub sessions: Vec<SessionSummary>,
    /// The latest failures.
    pub failures: Vec<Failure>,
    /// The latest connections.
    pub connections: Vec<ConnectionOfCustomer>,
}

/// A connect session, as operators see it.
#[derive(Debug)]
pub struct SessionSummary {
    /// Its id.
    pub id: SessionId,
    /// Its product.
    pub product: ProductId,
    /// Its customer.
    pub customer: Customer,
    /// Its app.
    pub app: AppId,
    /// The word for its state.
    pub state: String,
    /// Which kind of host, once chosen.
    pub environment: Option<Environment>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its page was first opened.
    pub opened_at: Option<Timestamp>,
    /// When the last attempt was sent to Salesforce.
    pub redirected_at: Option<Timestamp>,
    /// When Salesforce's answer came back with a grant.
    pub returned_at: Option<Timestamp>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The connection that it reconnects.
    pub reconnects: Option<ConnectionId>,
}

/// A connection, as operators see it.
#[derive(Debug)]
pub struct ConnectionOfCustomer {
    /// Its id.
    pub id: ConnectionId,
    /// Its customer.
    pub customer: Customer,
    /// Its app.
    pub app: AppId,
    /// Its org.
    pub org: OrgId,
    /// The word for its state.
    pub state: String,
    /// Which kind of login host.
    pub environment: Environment,
    /// When it was made.
    pub created_at: Timestamp,
}

impl CustomerHistory {
    /// The customer, as the latest item names it; `None`: nothing is known of it.
    pub fn customer(&self) -> Option<&Customer> {
        let sessions = self.sessions.iter().map(|session| &session.customer);
        let failures = self.failures.iter().map(|failure| &failure.customer);
        let connections = self.connections.iter().map(|connection| &connection.customer);
        let mut all = sessions.chain(failures).chain(connections).peekable();
        let first = all.peek().copied();
        all.find(|customer| customer.name.is_some()).or(first)
    }
}

/// Whether a list of this length was cut at [`MAX_HISTORY`].
pub fn is_cut(length: usize) -> bool {
    length >= usize::from(MAX_HISTORY)
}

#[derive(Debug, Deserialize)]
struct SessionSummaryRow {
    id: SessionId,
    product: ProductId,
    customer: Customer,
    app: AppId,
    state: String,
    environment: Option<Environment>,
    created_at: i64,
    opened_at: Option<i64>,
    redirected_at: Option<i64>,
    returned_at: Option<i64>,
    #[serde(default)]
    attempts: u32,
    reconnects: Option<ConnectionId>,
}

#[derive(Debug, Deserialize)]
struct ConnectionOfCustomerRow {
    pk: String,
    customer: Customer,
    app: AppId,
    org_id: OrgId,
    state: String,
    environment: Environment,
    created_at: i64,
}

/// The attributes of a session that are read, each behind `#`: some are reserved words.
const OF_SESSION: [&str; 13] = [
    "v",
    "id",
    "product",
    "customer",
    "app",
    "state",
    "environment",
    "created_at",
    "opened_at",
    "redirected_at",
    "returned_at",
    "attempts",
    "reconnects",
];

/// The attributes of a connection that are read.
const OF_CONNECTION: [&str; 7] = ["pk", "customer", "app", "org_id", "state", "environment", "created_at"];

fn projection(names: &[&str]) -> String {
    names.iter().map(|name| format!("#{name}")).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// What is known of a customer: at most [`MAX_HISTORY`] of each kind. Five requests at most.
    pub async fn customer_history(
        &self,
        product: &ProductId,
        customer: &Hash,
        now: Timestamp,
    ) -> Result<CustomerHistory, StoreError> {
        let sessions = async {
            let found = self.latest_of_customer(keys::customers_sessions(product, customer), &["pk"]).await?;
            let ids: Vec<SessionId> =
                found.iter().filter_map(|item| keys::session_of(pk_of(item)?)).collect();
            self.session_summaries(&ids).await
        };
        let failures = async {
            let partition = keys::customers_failures_of_digest(product, customer);
            let found = self.latest_of_customer(partition, &["pk"]).await?;
            let ids: Vec<FailureId> =
                found.iter().filter_map(|item| keys::failure_of(pk_of(item)?)).collect();
            let mut failures = self.failures(&ids, now).await?;
            failures.sort_by_key(|failure| std::cmp::Reverse(failure.at));
            Ok(failures)
        };
        let connections = async {
            let partition = keys::customer_of_digest(product, customer);
            let found = self.latest_of_customer(partition, &OF_CONNECTION).await?;
            found.into_iter().map(connection_of_customer).collect::<Result<Vec<_>, _>>()
        };
        let (sessions, failures, connections) = tokio::try_join!(sessions, failures, connections)?;
        Ok(CustomerHistory { sessions, failures, connections })
    }

    /// Sessions by their ids (at most 100), the latest first.
    pub async fn session_summaries(&self, ids: &[SessionId]) -> Result<Vec<SessionSummary>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let item_keys = ids.iter().map(|id| {
            let key = keys::session(id);
            Item::from([("pk".into(), S(key.pk)), ("sk".into(), S(key.sk))])
        });
        let mut wanted = KeysAndAttributes::builder()
            .set_keys(Some(item_keys.collect()))
            .projection_expression(projection(&OF_SESSION));
        for name in OF_SESSION {
            wanted = wanted.expression_attribute_names(format!("#{name}"), name);
        }
        let corrupt = |what: &str| StoreError::Corrupt { pk: self.table.clone(), what: what.into() };
        let wanted = wanted.build().map_err(|_| corrupt("no keys to look for"))?;
        let answer = self.client.batch_get_item().request_items(&self.table, wanted).send().await;
        let answer = answer.map_err(|error| StoreError::unavailable("BatchGetItem", &error))?;
        let items = answer.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default();
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let row: SessionSummaryRow = from_item("a session", item)?;
            found.push(SessionSummary {
                id: row.id,
                product: row.product,
                customer: row.customer,
                app: row.app,
                state: row.state,
                environment: row.environment,
                created_at: time(Some(row.created_at)).ok_or_else(|| corrupt("created_at"))?,
                opened_at: time(row.opened_at),
                redirected_at: time(row.redirected_at),
                returned_at: time(row.returned_at),
                attempts: row.attempts,
                reconnects: row.reconnects,
            });
        }
        found.sort_by_key(|session| std::cmp::Reverse(session.created_at));
        Ok(found)
    }

    /// A connection of a product's by its id, in one request.
    pub async fn connection_of_customer(
        &self,
        product: &ProductId,
        id: &ConnectionId,
    ) -> Result<Option<ConnectionOfCustomer>, StoreError> {
        let query = self
            .listing_facts(product)
            .key_condition_expression("listing_pk = :partition AND listing_sk = :id");
        let answer = query.expression_attribute_values(":id", S(id.as_str())).send().await;
        let answer = answer.map_err(|error| StoreError::unavailable("Query", &error))?;
        answer.items.unwrap_or_default().into_iter().next().map(connection_of_customer).transpose()
    }

    /// Those of a product's connections that are wanted, among the first 4 MB of its listing: about 10,000 connections.
    /// `true`: there are more.
    pub async fn search_connections(
        &self,
        product: &ProductId,
        is_wanted: impl Fn(&ConnectionOfCustomer) -> bool,
    ) -> Result<(Vec<ConnectionOfCustomer>, bool), StoreError> {
        let (mut found, mut start) = (Vec::new(), None);
        for _ in 0..MAX_LISTING_PAGES {
            let query = self.listing_facts(product).key_condition_expression("listing_pk = :partition");
            let answer = query.set_exclusive_start_key(start).send().await;
            let answer = answer.map_err(|error| StoreError::unavailable("Query", &error))?;
            for item in answer.items.unwrap_or_default() {
                found.extend(Some(connection_of_customer(item)?).filter(&is_wanted));
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok((found, false));
            }
        }
        Ok((found, true))
    }

    fn listing_facts(&self, product: &ProductId) -> QueryFluentBuilder {
        self.facts(LISTING, &OF_CONNECTION)
            .expression_attribute_values(":partition", S(keys::listing(product)))
    }

    /// A query of an index for these attributes.
    fn facts(&self, index: &str, names: &[&str]) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.table).index_name(index);
        names
            .iter()
            .fold(query, |query, name| query.expression_attribute_names(format!("#{name}"), *name))
            .projection_expression(projection(names))
    }

    /// The latest items of a partition of the index `customer`.
    async fn latest_of_customer(&self, partition: String, names: &[&str]) -> Result<Vec<Item>, StoreError> {
        let answer = self
            .facts(CUSTOMER, names)
            .key_condition_expression("customer_pk = :partition")
            .expression_attribute_values(":partition", S(partition))
            .scan_index_forward(false)
            .limit(i32::from(MAX_HISTORY))
            .send()
            .await;
        let answer = answer.map_err(|error| StoreError::unavailable("Query", &error))?;
        Ok(answer.items.unwrap_or_default())
    }
}

fn pk_of(item: &Item) -> Option<&str> {
    Some(item.get("pk")?.as_s().ok()?.as_str())
}

fn connection_of_customer(item: Item) -> Result<ConnectionOfCustomer, StoreError> {
    let row: ConnectionOfCustomerRow = from_item("a listed connection", item)?;
    let corrupt = |what: &str| StoreError::Corrupt { pk: row.pk.clone(), what: what.into() };
    Ok(ConnectionOfCustomer {
        id: keys::connection_of(&row.pk).ok_or_else(|| corrupt("not a connection"))?,
        created_at: time(Some(row.created_at)).ok_or_else(|| corrupt("created_at"))?,
        customer: row.customer,
        app: row.app,
        org: row.org_id,
        state: row.state,
        environment: row.environment,
    })
}
