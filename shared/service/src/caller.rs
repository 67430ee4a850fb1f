//! Who calls: an API key, checked against the product that it names.

use std::sync::Arc;

use domain::{Product, ProductId, secret::ApiKey};
use jiff::Timestamp;
use store::{Sought, StoreError};
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

impl Caller {
    fn admitted(product: Arc<Product>, key: ApiKey) -> Option<Self> {
        product.admits(&key)?;
        about(Fact::Product, product.id.as_str());
        Some(Self { product, key })
    }
}

/// The key that came, and the product that it names.
fn claimed(request: &Request) -> Option<(ApiKey, ProductId)> {
    let key = request::bearer(request)?;
    let (product, _) = key.claims()?;
    Some((key, product))
}

impl Products {
    /// Who sent this request; `None`: nobody whom we know. A key is believed for as long as its product's
    /// configuration is ([`crate::platform::PRODUCT_AGE`]).
    pub async fn caller(&self, request: &Request, now: Timestamp) -> Result<Option<Caller>, StoreError> {
        let Some((key, id)) = claimed(request) else { return Ok(None) };
        let product = self.get(&id, now).await?;
        Ok(product.and_then(|product| Caller::admitted(product, key)))
    }

    /// Who sent this request, and what it is about: one request to the table, whether the product has to be read or
    /// not. Whether what was found is the caller's remains to be seen.
    pub async fn caller_and<T>(
        &self,
        request: &Request,
        sought: &Sought<T>,
        now: Timestamp,
    ) -> Result<Option<(Caller, Option<T>)>, StoreError> {
        let Some((key, id)) = claimed(request) else { return Ok(None) };
        if let Some(product) = self.held(&id, now) {
            let Some(caller) = Caller::admitted(product, key) else { return Ok(None) };
            return Ok(Some((caller, self.store.find(sought).await?)));
        }
        let (product, found) = self.store.product_and(&id, sought).await?;
        let caller = self.hold(&id, product, now).and_then(|product| Caller::admitted(product, key));
        Ok(caller.map(|caller| (caller, found)))
    }
}
