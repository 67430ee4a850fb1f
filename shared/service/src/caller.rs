//! Who calls: an API key, checked against the product that it names.

use std::sync::Arc;

use domain::{Product, secret::ApiKey};
use jiff::Timestamp;
use store::StoreError;
use telemetry::{Fact, about};

use crate::{Products, Request, request};

/// A product's backend, proved by one of its API keys.
#[derive(Debug)]
pub struct Caller {
    /// The product. Everything that a call reads or writes is of this product alone.
    pub product: Arc<Product>,
    /// The key that it used.
    pub key: ApiKey,
}

impl Products {
    /// Who sent this request; `None`: nobody whom we know. A key is believed for as long as its product's
    /// configuration is ([`crate::platform::PRODUCT_AGE`]).
    pub async fn caller(&self, request: &Request, now: Timestamp) -> Result<Option<Caller>, StoreError> {
        let Some(key) = request::bearer(request) else { return Ok(None) };
        let Some((id, _)) = key.claims() else { return Ok(None) };
        let Some(product) = self.get(&id, now).await? else { return Ok(None) };
        if product.admits(&key).is_none() {
            return Ok(None);
        }
        about(Fact::Product, product.id.as_str());
        Ok(Some(Caller { product, key }))
    }
}
