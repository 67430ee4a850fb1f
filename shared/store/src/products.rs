//! A product's configuration: one item, so that one read answers both who calls and what is configured.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Product, ProductId};

use crate::{
    Item, N, S, Sought, Store, StoreError, keys,
    rows::{VERSION, is_readable},
    write::SendWrite as _,
};

impl Store {
    /// The product of that id.
    pub async fn product(&self, id: &ProductId) -> Result<Option<Product>, StoreError> {
        let key = keys::product(id);
        let item = self.get(&key, false).await?;
        item.map(|item| read(&key.pk, item)).transpose()
    }

    /// The product of that id and another item, in one request.
    pub async fn product_and<T>(
        &self,
        id: &ProductId,
        sought: &Sought<T>,
    ) -> Result<(Option<Product>, Option<T>), StoreError> {
        let key = keys::product(id);
        let (product, item) = self.get_both(&key, &sought.key).await?;
        let product = product.map(|item| read(&key.pk, item)).transpose()?;
        Ok((product, item.map(|item| (sought.read)(&sought.key.pk, item)).transpose()?))
    }

    /// Stores a product's configuration, whatever was there before.
    pub async fn put_product(&self, product: &Product) -> Result<(), StoreError> {
        let key = keys::product(&product.id);
        let config = serde_json::to_string(product)
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
}

fn read(pk: &str, mut item: Item) -> Result<Product, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt { pk: pk.to_owned(), what };
    is_readable(pk, &item)?;
    let Some(AttributeValue::S(config)) = item.remove("config") else {
        return Err(corrupt("no config".into()));
    };
    serde_json::from_str(&config).map_err(|error| corrupt(error.to_string()))
}
