//! `latchkey ops link`: the operators' page, for whoever may write the table.

use domain::{ProductId, secret::OpsKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::{Store, StoreError, ops::OpsScope};

use crate::{
    apply,
    report::{CommandError, Report},
};

/// How long a link waits for its one use.
const LINK_LIVES: SignedDuration = SignedDuration::from_mins(10);

/// Makes a link, for a product that there is; in a dry run, none.
pub async fn link(
    store: &Store,
    public_url: &str,
    product: Option<ProductId>,
    now: Timestamp,
    dry_run: bool,
) -> Result<Report, CommandError> {
    if let Some(product) = &product {
        apply::stored(store, product).await?;
    }
    if dry_run {
        let whose =
            product.as_ref().map_or_else(|| "all products".to_owned(), |product| format!("{product} alone"));
        let text = format!("A link for {whose} would be made; nothing was written: a dry run");
        return Ok(Report::good(text, json!({ "product": product, "created": false })));
    }
    let url = ops_link(store, public_url, product.clone(), now).await?;
    Ok(Report::good(&url, json!({ "url": url, "product": product, "created": true })))
}

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
