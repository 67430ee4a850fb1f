//! A product's configuration: one item, so that one read answers both who calls and what is configured.

use domain::{Product, ProductId};

use crate::{Item, N, S, Store, StoreError, keys};

impl Store {
    /// The product of that id.
    pub async fn product(&self, id: &ProductId) -> Result<Option<Product>, StoreError> {
        let key = keys::product(id);
        let item = self.get(&key, false).await?;
        let Some(mut item) = item else { return Ok(None) };
        let config = item.remove("config").and_then(|value| match value {
            aws_sdk_dynamodb::types::AttributeValue::S(text) => Some(text),
            _ => None,
        });
        let corrupt = |what: String| StoreError::Corrupt { pk: key.pk.clone(), what };
        let config = config.ok_or_else(|| corrupt("no config".into()))?;
        serde_json::from_str(&config).map(Some).map_err(|error| corrupt(error.to_string()))
    }

    /// Stores a product's configuration, whatever was there before.
    pub async fn put_product(&self, product: &Product) -> Result<(), StoreError> {
        let key = keys::product(&product.id);
        let config = serde_json::to_string(product)
            .map_err(|error| StoreError::Corrupt { pk: key.pk.clone(), what: error.to_string() })?;
        let item = Item::from([
            ("pk".into(), S(key.pk)),
            ("sk".into(), S(key.sk)),
            ("v".into(), N(1)),
            ("config".into(), S(config)),
        ]);
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("PutItem", &error))?;
        self.note_product(&product.id).await
    }
}
