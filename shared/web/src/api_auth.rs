//! API authentication: the request's API key, checked against the product that it names.

use std::sync::Arc;

use domain::{Product, ProductId, secret::ApiKey};
use jiff::Timestamp;
use store::{Lookup, StoreError};
use telemetry::{Fact, about};

use crate::{Request, request};
use platform::Products;

/// A product's backend that sent a valid API key.
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

/// The API key of the request, and the product that it names. Nothing is checked yet.
fn claimed(request: &Request) -> Option<(ApiKey, ProductId)> {
    let key = request::bearer(request)?;
    let (product, _) = key.claims()?;
    Some((key, product))
}

/// The product whose API key the request has; `None` if the key is missing or unknown. A key is accepted for as long as
/// its product is cached ([`platform::PRODUCT_AGE`]).
pub async fn caller(
    products: &Products,
    request: &Request,
    now: Timestamp,
) -> Result<Option<Caller>, StoreError> {
    let Some((key, id)) = claimed(request) else { return Ok(None) };
    let product = products.get(&id, now).await?;
    Ok(product.and_then(|product| Caller::admitted(product, key)))
}

/// The caller, and the item that the request is about: one request to the table, whether the product has to be read or
/// not. The item may belong to another product: the caller of this function checks that.
pub async fn caller_and<T>(
    products: &Products,
    request: &Request,
    sought: &Lookup<T>,
    now: Timestamp,
) -> Result<Option<(Caller, Option<T>)>, StoreError> {
    let Some((key, id)) = claimed(request) else { return Ok(None) };
    if let Some(product) = products.cached(&id, now) {
        let Some(caller) = Caller::admitted(product, key) else { return Ok(None) };
        return Ok(Some((caller, products.store().find(sought).await?)));
    }
    let (product, found) = products.store().product_and(&id, sought).await?;
    let caller = products.cache(&id, product, now).and_then(|product| Caller::admitted(product, key));
    Ok(caller.map(|caller| (caller, found)))
}
