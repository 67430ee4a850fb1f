//! Products, cached for a minute: every request of the API needs one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{App, AppId, Product, ProductId};
use jiff::{SignedDuration, Timestamp};
use store::{Store, StoreError};

/// How long a product is cached. A revoked API key works for as long.
pub const PRODUCT_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Maximum number of products in the cache: a caller who invents product ids must not fill the memory.
const MAX_PRODUCTS: usize = 500;

/// How many locks the reads share: products whose ids fall on the same one wait for each other.
const LOCKS: u8 = 16;

/// Products by id, each believed for [`PRODUCT_AGE`].
#[derive(Debug, Clone)]
pub struct Products {
    store: Store,
    held: Arc<Mutex<Held>>,
    /// Locked while a product is read.
    reading: Arc<[tokio::sync::Mutex<()>; LOCKS as usize]>,
}

/// Each product, and when it was read.
type Held = HashMap<ProductId, (Timestamp, Arc<Product>)>;

impl Products {
    /// Products of this table, none read yet.
    pub fn new(store: Store) -> Self {
        Self { store, held: Arc::default(), reading: Arc::default() }
    }

    /// The table that they are read from.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The product of that id, as it was at most a minute ago. Of several callers that need it at once, one reads it;
    /// if that fails, each of the others tries for itself, so that none waits for more than one other.
    pub async fn get(&self, id: &ProductId, now: Timestamp) -> Result<Option<Arc<Product>>, StoreError> {
        if let Some(product) = self.cached(id, now) {
            return Ok(Some(product));
        }
        let lock = self.reading(id);
        let reads = lock.try_lock();
        if reads.is_err() {
            drop(lock.lock().await);
            if let Some(product) = self.cached(id, now) {
                return Ok(Some(product));
            }
        }
        let product = self.store.product(id).await?;
        Ok(self.cache(id, product, now))
    }

    /// The product as it is now: before what cannot be taken back is decided by something that it lacks. It replaces what
    /// is cached.
    pub async fn get_now(&self, id: &ProductId, now: Timestamp) -> Result<Option<Arc<Product>>, StoreError> {
        let product = self.store.product_now(id).await?;
        Ok(self.cache(id, product, now))
    }

    /// The product, if it was read less than [`PRODUCT_AGE`] ago.
    pub fn cached(&self, id: &ProductId, now: Timestamp) -> Option<Arc<Product>> {
        let held = self.lock();
        let (_, product) = held.get(id).filter(|(read_at, _)| now < *read_at + PRODUCT_AGE)?;
        Some(Arc::clone(product))
    }

    /// Caches what the table answered. `None` removes the product.
    pub fn cache(&self, id: &ProductId, read: Option<Product>, now: Timestamp) -> Option<Arc<Product>> {
        let mut held = self.lock();
        let Some(product) = read.map(Arc::new) else {
            held.remove(id);
            return None;
        };
        if held.len() >= MAX_PRODUCTS {
            held.clear();
        }
        held.insert(id.clone(), (now, Arc::clone(&product)));
        Some(product)
    }

    /// A product and one of its apps; `None`: either is not configured any more.
    pub async fn with_app(
        &self,
        product: &ProductId,
        app: &AppId,
        now: Timestamp,
    ) -> Result<Option<(Arc<Product>, App)>, StoreError> {
        let product = self.get(product, now).await?;
        Ok(product.and_then(|product| product.app(app).cloned().map(|app| (product, app))))
    }

    fn reading(&self, id: &ProductId) -> &tokio::sync::Mutex<()> {
        let mixed = id.as_str().bytes().fold(0, |mixed, byte| mixed ^ byte);
        &self.reading[usize::from(mixed % LOCKS)]
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        // The map is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
