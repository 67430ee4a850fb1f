//! The operators' sign-in: a one-time link, then a session. The table holds the digests of both and no key.

use aws_sdk_dynamodb::types::Put;
use domain::{ProductId, product::ApiKeyDigest, secret::Hash};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Item, N, S, Store, StoreError,
    item::{from_item, to_item},
    keys::{self, Key},
    millis,
    schema::LISTING,
    ttl,
    write::{SendWrite, built, conditional},
};

/// How long a session may be unused before it ends.
pub const OPS_IDLE_TIMEOUT: SignedDuration = SignedDuration::from_mins(30);

/// How often the use of a session is written: a page view costs no write of its own.
const TOUCH_INTERVAL: SignedDuration = SignedDuration::from_mins(5);

/// Maximum length of an owner's name, in bytes.
pub const MAX_OWNER: usize = 100;

/// What an operator may look at, and who that is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpsScope {
    /// One product; `None`: all of them.
    pub product: Option<ProductId>,
    /// The API key that asked for it. A session ends with its key: the digest decides, not the id.
    #[serde(default)]
    pub made_with: Option<ApiKeyDigest>,
    /// Who asked for it. A row without an owner is of an older version, and opens nothing.
    #[serde(default)]
    pub owner: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpsRow {
    #[serde(flatten)]
    scope: OpsScope,
    expires_at: i64,
    #[serde(default)]
    seen_at: Option<i64>,
}

/// A live session, as the operator's command lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpsSession {
    /// The digest of its cookie: it names the session and opens nothing.
    pub digest: String,
    /// What its browser sees, and whose it is.
    pub scope: OpsScope,
    /// When it was last used, to within five minutes.
    pub seen_at: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
}

impl Store {
    /// Keeps a link by its digest, until then.
    pub async fn create_ops_link(
        &self,
        link: &Hash,
        scope: &OpsScope,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let item = ops_item(&keys::ops_link(link), scope, until)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send_write().await;
        put.map(drop).map_err(|error| StoreError::unavailable("PutItem", &error))
    }

    /// Whether a link still opens, without using it: mail scanners and previews open links too.
    pub async fn ops_link(&self, link: &Hash, now: Timestamp) -> Result<Option<OpsScope>, StoreError> {
        let key = keys::ops_link(link);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        if item.contains_key("claimed_at") {
            return Ok(None);
        }
        read(&key, item, now).map(|found| found.map(|(scope, _)| scope))
    }

    /// Uses a link: of any number of callers one gets the session, in the same write that marks the link.
    pub async fn claim_ops_link(
        &self,
        link: &Hash,
        session: &Hash,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<OpsScope>, StoreError> {
        let Some(scope) = self.ops_link(link, now).await? else { return Ok(None) };
        let claim = self
            .update_together(&keys::ops_link(link))
            .update_expression("SET claimed_at = :now")
            .condition_expression(
                "attribute_exists(pk) AND attribute_not_exists(claimed_at) AND expires_at > :now",
            )
            .expression_attribute_values(":now", millis(now));
        let mut item = ops_item(&keys::ops_session(session), &scope, until)?;
        item.insert("seen_at".into(), N(now.as_millisecond()));
        item.insert("listing_pk".into(), S(keys::OPS_SESSIONS));
        item.insert("listing_sk".into(), S(session.as_str()));
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let claimed = self.transact(vec![built(claim.build())?, built(put.build())?]).await?;
        Ok(claimed.is_ok().then_some(scope))
    }

    /// What the holder of a session may look at, and until when.
    pub async fn ops_session(
        &self,
        session: &Hash,
        now: Timestamp,
    ) -> Result<Option<(OpsScope, Timestamp)>, StoreError> {
        let key = keys::ops_session(session);
        let Some(item) = self.get(&key, true).await? else { return Ok(None) };
        let seen_at = item.get("seen_at").and_then(|at| at.as_n().ok()?.parse::<i64>().ok());
        let Some(found) = read(&key, item, now)? else { return Ok(None) };
        if seen_at.is_none_or(|at| at + millis_of(TOUCH_INTERVAL) <= now.as_millisecond()) {
            let touch = self.update(&key).update_expression("SET seen_at = :now");
            let touch = touch.condition_expression("attribute_exists(pk)");
            let touched = touch.expression_attribute_values(":now", millis(now)).send_write().await;
            // It was ended a moment ago: it must not come back as an item without a scope.
            if conditional("UpdateItem", touched)?.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// The live sessions, for the operator's command.
    pub async fn ops_sessions(&self, now: Timestamp) -> Result<Vec<OpsSession>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(LISTING)
                .key_condition_expression("listing_pk = :sessions")
                .expression_attribute_values(":sessions", S(keys::OPS_SESSIONS))
                .set_exclusive_start_key(after.take())
                .send()
                .await
                .map_err(|error| StoreError::unavailable("Query", &error))?;
            for listed in page.items.unwrap_or_default() {
                let Some(digest) = listed.get("listing_sk").and_then(|digest| digest.as_s().ok()) else {
                    continue;
                };
                let key = keys::ops_session_of(digest);
                let Some(item) = self.get(&key, true).await? else { continue };
                let row: OpsRow = from_item(&key.pk, item)?;
                let seen_at = row.seen_at.and_then(|at| Timestamp::from_millisecond(at).ok());
                if let (Some(seen_at), Some((scope, until))) = (seen_at, row.live(now)) {
                    found.push(OpsSession { digest: digest.clone(), scope, seen_at, until });
                }
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Ends a session.
    pub async fn end_ops_session(&self, session: &str) -> Result<(), StoreError> {
        let key = keys::ops_session_of(session);
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", S(key.pk))
            .key("sk", S(key.sk))
            .send_write()
            .await;
        conditional("DeleteItem", deleted).map(drop)
    }
}

fn ops_item(key: &Key, scope: &OpsScope, until: Timestamp) -> Result<Item, StoreError> {
    let mut item = to_item(key, scope)?;
    item.insert("expires_at".into(), N(until.as_millisecond()));
    item.insert("ttl".into(), ttl(until));
    Ok(item)
}

impl OpsRow {
    /// What the row opens, and until when; `None`: it is over, unused for too long, or has no owner.
    fn live(self, now: Timestamp) -> Option<(OpsScope, Timestamp)> {
        let until = Timestamp::from_millisecond(self.expires_at).ok().filter(|until| now < *until)?;
        let idle = millis_of(OPS_IDLE_TIMEOUT);
        let is_idle = self.seen_at.is_some_and(|at| at + idle <= now.as_millisecond());
        (!is_idle && !self.scope.owner.is_empty()).then_some((self.scope, until))
    }
}

fn read(key: &Key, item: Item, now: Timestamp) -> Result<Option<(OpsScope, Timestamp)>, StoreError> {
    Ok(from_item::<OpsRow>(&key.pk, item)?.live(now))
}

fn millis_of(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
