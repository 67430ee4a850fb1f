//! Lists of connections, from the index `listing`.

use domain::{AppId, ConnectionId, Customer, Environment, Identity, ProductId, Scopes};
use jiff::Timestamp;

use crate::{
    Item, S, Store, StoreError,
    connection_item::ListedRow,
    item::from_item,
    keys,
    schema::{CUSTOMER, LISTING},
};

/// A connection as a list shows it.
#[derive(Debug)]
pub struct ConnectionSummary {
    /// Its id.
    pub id: ConnectionId,
    /// Its app.
    pub app: AppId,
    /// Its customer.
    pub customer: Customer,
    /// Who it is at Salesforce.
    pub identity: Identity,
    /// The word for its state.
    pub state: String,
    /// Which kind of login host.
    pub environment: Environment,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which of a product's connections to list.
#[derive(Debug, Default)]
pub struct ListQuery {
    /// Only this customer's.
    pub customer: Option<String>,
    /// Only those after this one.
    pub after: Option<ConnectionId>,
    /// At most so many, 1 to 100.
    pub limit: u8,
}

impl Store {
    /// A product's connections in the order they were made, and where to go on.
    pub async fn list_connections(
        &self,
        product: &ProductId,
        query: &ListQuery,
    ) -> Result<(Vec<ConnectionSummary>, Option<ConnectionId>), StoreError> {
        let limit = usize::from(query.limit.clamp(1, 100));
        let mut listed: Vec<ConnectionSummary> = Vec::new();
        let mut after = query.after.clone();
        loop {
            let page = self.listing_page(product, query, after.as_ref()).await?;
            let last = page
                .last_evaluated_key
                .as_ref()
                .and_then(|key| key.get("listing_sk"))
                .and_then(|id| id.as_s().ok().and_then(|id| id.parse::<ConnectionId>().ok()));
            for item in page.items.unwrap_or_default() {
                let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default();
                listed.push(from_item::<ListedRow>(&pk, item)?.read(&pk)?);
            }
            if listed.len() > limit {
                listed.truncate(limit);
                let next = listed.last().map(|connection| connection.id.clone());
                return Ok((listed, next));
            }
            match last {
                Some(id) => after = Some(id),
                None => return Ok((listed, None)),
            }
        }
    }

    /// What a list shows of one connection of a product's, by its id; nothing of its tokens is read. The index
    /// follows a write within moments: what was made just now may not be in it yet.
    pub async fn listed(
        &self,
        product: &ProductId,
        id: &ConnectionId,
    ) -> Result<Option<ConnectionSummary>, StoreError> {
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(LISTING)
            .key_condition_expression("listing_pk = :product AND listing_sk = :id")
            .expression_attribute_values(":product", S(keys::listing(product)))
            .expression_attribute_values(":id", S(id.as_str()))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))?;
        let found = page.items.unwrap_or_default().into_iter().next();
        let pk = keys::connection(id).pk;
        found.map(|item| from_item::<ListedRow>(&pk, item)?.read(&pk)).transpose()
    }

    /// Where a connection signs in and what it was granted, and nothing else of it: no token is read.
    pub async fn granted_at(&self, id: &ConnectionId) -> Result<Option<(String, Scopes)>, StoreError> {
        #[derive(serde::Deserialize)]
        struct Row {
            login_host: String,
            scopes: String,
        }
        let key = keys::connection(id);
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", S(&key.pk))
            .key("sk", S(&*key.sk))
            .projection_expression("login_host, scopes")
            .send()
            .await
            .map_err(|error| StoreError::unavailable("GetItem", &error))?;
        let row = answer.item.map(|item| from_item::<Row>(&key.pk, item)).transpose()?;
        Ok(row.map(|row| (row.login_host, Scopes::parse(&row.scopes))))
    }

    /// What a list shows of a customer's connections with one app, in any state.
    pub async fn connections_of(
        &self,
        product: &ProductId,
        app: &AppId,
        customer: &str,
    ) -> Result<Vec<ConnectionSummary>, StoreError> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(CUSTOMER)
                .key_condition_expression("customer_pk = :customer")
                .filter_expression("app = :app")
                .expression_attribute_values(":app", S(app.as_str()))
                .expression_attribute_values(":customer", S(keys::customer(product, customer)))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::unavailable("Query", &error))?;
            for item in page.items.unwrap_or_default() {
                let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default();
                found.push(from_item::<ListedRow>(&pk, item)?.read(&pk)?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    async fn listing_page(
        &self,
        product: &ProductId,
        query: &ListQuery,
        after: Option<&ConnectionId>,
    ) -> Result<aws_sdk_dynamodb::operation::query::QueryOutput, StoreError> {
        let (index, hash, partition) = match &query.customer {
            Some(customer) => (CUSTOMER, "customer_pk", keys::customer(product, customer)),
            None => (LISTING, "listing_pk", keys::listing(product)),
        };
        let start = after.map(|id| {
            let key = keys::connection(id);
            Item::from([
                ("pk".into(), S(key.pk)),
                ("sk".into(), S(key.sk)),
                (hash.into(), S(&partition)),
                ("listing_sk".into(), S(id.as_str())),
            ])
        });
        self.client
            .query()
            .table_name(&self.table)
            .index_name(index)
            .key_condition_expression("#hash = :partition")
            .expression_attribute_names("#hash", hash)
            .expression_attribute_values(":partition", S(&partition))
            .limit(i32::from(query.limit.clamp(1, 100)) + 1)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))
    }
}
