//! A product's configuration: one item, so that one read answers both who calls and what is configured.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Product, ProductId};

use crate::write::SendWrite;
use crate::{
    Item, Lookup, N, S, Store, StoreError,
    item::{VERSION, is_readable},
    keys,
    write::conditional,
};

impl Store {
    /// The product of that id.
    pub async fn product(&self, id: &ProductId) -> Result<Option<Product>, StoreError> {
        let key = keys::product(id);
        let item = self.get(&key, false).await?;
        item.map(|item| read(&key.pk, item)).transpose()
    }

    /// The product of that id, as it is now.
    pub async fn product_now(&self, id: &ProductId) -> Result<Option<Product>, StoreError> {
        let key = keys::product(id);
        let item = self.get(&key, true).await?;
        item.map(|item| read(&key.pk, item)).transpose()
    }

    /// The product of that id and another item, in one request.
    pub async fn product_and<T>(
        &self,
        id: &ProductId,
        sought: &Lookup<T>,
    ) -> Result<(Option<Product>, Option<T>), StoreError> {
        let key = keys::product(id);
        let (product, item) = self.get_both(&key, &sought.key).await?;
        let product = product.map(|item| read(&key.pk, item)).transpose()?;
        Ok((product, item.map(|item| (sought.read)(&sought.key.pk, item)).transpose()?))
    }

    /// Stores a product's configuration, whatever was there before. Consumer keys that its apps had are remembered.
    pub async fn put_product(&self, product: &Product) -> Result<(), StoreError> {
        let key = keys::product(&product.id);
        let mut product = product.clone();
        if let Some(before) = self.product(&product.id).await? {
            product.remember_consumer_keys(&before);
        }
        let config = serde_json::to_string(&product)
            .map_err(|error| StoreError::Corrupt { pk: key.pk.clone(), what: error.to_string() })?;
        let item = Item::from([
            ("pk".into(), S(key.pk)),
            ("sk".into(), S(key.sk)),
            ("v".into(), N(VERSION)),
            ("config".into(), S(config)),
        ]);
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .send_write()
            .await
            .map_err(|error| StoreError::unavailable("PutItem", &error))?;
        self.note_product(&product.id).await
    }

    /// The ids of the products that the operator's command has stored.
    pub async fn products(&self) -> Result<Vec<ProductId>, StoreError> {
        let item = self.get(&keys::products(), false).await?;
        let ids = item.and_then(|item| item.get("ids").and_then(|ids| ids.as_ss().ok().cloned()));
        let mut ids: Vec<ProductId> =
            ids.unwrap_or_default().iter().filter_map(|id| id.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// The ids of API keys that a product had once. None of them is given to another key.
    pub async fn retired_key_ids(&self, product: &ProductId) -> Result<Vec<String>, StoreError> {
        let item = self.get(&keys::retired_key_ids(product), true).await?;
        let ids = item.and_then(|item| item.get("ids").and_then(|ids| ids.as_ss().ok().cloned()));
        Ok(ids.unwrap_or_default())
    }

    /// Retires ids of API keys for good.
    pub async fn retire_key_ids(&self, product: &ProductId, ids: Vec<String>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let update = self.update(&keys::retired_key_ids(product)).update_expression("ADD ids :ids");
        let ids = aws_sdk_dynamodb::types::AttributeValue::Ss(ids);
        let retired = update.expression_attribute_values(":ids", ids).send_write().await;
        conditional("UpdateItem", retired).map(drop)
    }

    /// Adds a product to that list.
    pub async fn note_product(&self, id: &ProductId) -> Result<(), StoreError> {
        let ids = aws_sdk_dynamodb::types::AttributeValue::Ss(vec![id.to_string()]);
        let update = self.update(&keys::products()).update_expression("ADD ids :id");
        let noted = update.expression_attribute_values(":id", ids).send_write().await;
        conditional("UpdateItem", noted).map(drop)
    }
}

fn read(pk: &str, mut item: Item) -> Result<Product, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt { pk: pk.to_owned(), what };
    is_readable(pk, &item)?;
    let Some(AttributeValue::S(config)) = item.remove("config") else {
        return Err(corrupt("no config".into()));
    };
    serde_json::from_str(&config).map_err(|error| corrupt(error.to_string()))
}
