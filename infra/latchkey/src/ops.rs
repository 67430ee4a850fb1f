//! `latchkey ops link`: the operators' page, for whoever may write the table.

use domain::{ProductId, secret::OpsKey};
use jiff::{SignedDuration, Timestamp};
use store::{Store, StoreError, ops::OpsScope};

/// How long a link waits for its one use.
const LINK_LIVES: SignedDuration = SignedDuration::from_mins(10);

/// A one-time link to the operators' page at `public_url`, for one product or for all; it works for ten minutes.
pub async fn ops_link(
    store: &Store,
    public_url: &str,
    product: Option<ProductId>,
    now: Timestamp,
) -> Result<String, StoreError> {
    let link = OpsKey::mint();
    let scope = OpsScope { product, key: None };
    store.create_ops_link(&link.hash(), &scope, now + LINK_LIVES).await?;
    Ok(format!("{}/ops/sign-in/{}", public_url.trim_end_matches('/'), link.expose()))
}
