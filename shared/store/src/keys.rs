//! The one place that knows the keys. The item table is in this crate's README.

use std::borrow::Cow;

use domain::{
    AppId, AttemptId, ConnectionId, FailureId, ProductId, SalesforceUserId, SessionId, incident::Over,
    secret::Hash,
};
use jiff::Timestamp;

/// An item's partition key and sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: Cow<'static, str>,
}

/// How many partitions the due index is spread over, so that no sweep or storm meets one hot key.
pub const DUE_SHARDS: u8 = 16;

/// A product's configuration.
pub fn product(id: &ProductId) -> Key {
    Key { pk: format!("PRODUCT#{id}"), sk: "PRODUCT".into() }
}

/// A connect session.
pub fn session(id: &SessionId) -> Key {
    Key { pk: format!("SESSION#{id}"), sk: "SESSION".into() }
}

/// An attempt.
pub fn attempt(id: &AttemptId) -> Key {
    Key { pk: format!("ATTEMPT#{id}"), sk: "ATTEMPT".into() }
}

/// A connection.
pub fn connection(id: &ConnectionId) -> Key {
    Key { pk: format!("CONNECTION#{id}"), sk: "CONNECTION".into() }
}

/// A failure.
pub fn failure(id: &FailureId) -> Key {
    Key { pk: format!("FAILURE#{id}"), sk: "FAILURE".into() }
}

/// That a product brought a refresh token of its own, by the token's mark.
pub fn import(product: &ProductId, mark: &Hash) -> Key {
    Key { pk: format!("IMPORT#{product}#{}", mark.as_str()), sk: "IMPORT".into() }
}

/// That something was met at a connection a moment ago, by the digest of what it was.
pub fn noted(connection: &ConnectionId, what: &Hash) -> Key {
    Key { pk: format!("REPORT#{connection}#{}", what.as_str()), sk: "REPORT".into() }
}

/// The day's counter of what was noted of a connection.
pub fn noted_today(connection: &ConnectionId, now: Timestamp) -> Key {
    Key { pk: format!("REPORT#{connection}#{}", now.strftime("%Y-%m-%d")), sk: "REPORT".into() }
}

/// The partition of a product's waves.
pub fn waves(product: &ProductId) -> String {
    format!("WAVE#{product}")
}

/// The stops of one cause in a product, over one app or in one org.
pub fn wave(product: &ProductId, over: &Over<'_>, cause: &str) -> Key {
    Key { pk: waves(product), sk: format!("{}#{}#{cause}", over.word(), over.what()).into() }
}

/// The day's counter of callbacks that belong to no attempt.
pub fn stray(now: Timestamp) -> Key {
    Key { pk: format!("STRAY#{}", now.strftime("%Y-%m-%d")), sk: "STRAY".into() }
}

/// That an app was connected from an org: the org by its own host.
pub fn history(product: &ProductId, app: &AppId, host: &str) -> Key {
    Key { pk: format!("HISTORY#{product}#{app}#{host}"), sk: "HISTORY".into() }
}

/// The partition of index `listing` that holds a product's connections.
pub fn listing(product: &ProductId) -> String {
    format!("PRODUCT#{product}#CONNECTIONS")
}

/// The partition of index `customer` that holds the connections of one of a product's customers.
pub fn customer(product: &ProductId, customer: &str) -> String {
    format!("PRODUCT#{product}#CUSTOMER#{}", Hash::of(customer).as_str())
}

/// The partition of index `grants` that holds the connections, of whichever product, that one Salesforce user
/// has granted to one app. The 15- and the 18-character form of the user's id are one.
pub fn grants(consumer_key: &str, user: &SalesforceUserId) -> String {
    format!("GRANT#{}#{}", Hash::of(consumer_key).as_str(), &user.as_str()[..15])
}

/// The partition of index `due` that a connection or session falls in.
pub fn due_shard(id: &str) -> String {
    let shard = id.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % DUE_SHARDS;
    due_partition(shard)
}

/// A partition of index `due`.
pub fn due_partition(shard: u8) -> String {
    format!("DUE#{shard:02}")
}

/// The session that a partition key names.
pub fn session_of(pk: &str) -> Option<SessionId> {
    pk.strip_prefix("SESSION#")?.parse().ok()
}

/// The connection that a partition key names.
pub fn connection_of(pk: &str) -> Option<ConnectionId> {
    pk.strip_prefix("CONNECTION#")?.parse().ok()
}
