//! The one place that knows the keys. The item table is in this crate's README.

use domain::{
    AppId, AttemptId, Connection, ConnectionId, EndpointId, EventId, FailureId, ProductId, SalesforceUserId,
    SessionId, incident::Over, product::Sharing, secret::Hash,
};
use jiff::{Timestamp, civil::Date};
use std::borrow::Cow;

use crate::health::AppAt;

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

/// The list of all products.
pub fn products() -> Key {
    Key { pk: "PRODUCTS#ALL".into(), sk: "PRODUCTS".into() }
}

/// A link to the operators' page.
pub fn ops_link(link: &Hash) -> Key {
    Key { pk: format!("OPSLINK#{}", link.as_str()), sk: "OPSLINK".into() }
}

/// An operator's session.
pub fn ops_session(session: &Hash) -> Key {
    ops_session_of(session.as_str())
}

/// An operator's session, by its digest as text.
pub fn ops_session_of(digest: &str) -> Key {
    Key { pk: format!("OPSSESSION#{digest}"), sk: "OPSSESSION".into() }
}

/// Under which key of the index `listing` all operators' sessions are listed.
pub const OPS_SESSIONS: &str = "OPSSESSIONS";

/// The ids of a product's former API keys.
pub fn retired_key_ids(product: &ProductId) -> Key {
    Key { pk: format!("RETIRED#{product}"), sk: "RETIRED".into() }
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

/// The sort key of uniqueness items.
pub const UNIQUE: &str = "UNIQUE";

/// The uniqueness item of a connection. The 15- and the 18-character forms of Salesforce's ids are one.
pub fn unique(connection: &Connection, sharing: Sharing) -> Key {
    let Connection { product, app, customer, user, identity, .. } = connection;
    let (org, salesforce_user) = (&identity.org.as_str()[..15], &identity.user.as_str()[..15]);
    let user = match sharing {
        Sharing::PerUser => Hash::of(user).as_str().to_owned(),
        Sharing::Shared => String::new(),
    };
    let customer = Hash::of(&customer.id);
    let whose = Hash::of(&format!("{app} {org} {salesforce_user} {} {user}", customer.as_str()));
    Key { pk: format!("UNIQUE#{product}#{}", whose.as_str()), sk: UNIQUE.into() }
}

/// A failure.
pub fn failure(id: &FailureId) -> Key {
    Key { pk: format!("FAILURE#{id}"), sk: "FAILURE".into() }
}

/// That a product brought a refresh token of its own, by the token's mark.
pub fn import(product: &ProductId, mark: &Hash) -> Key {
    Key { pk: format!("IMPORT#{product}#{}", mark.as_str()), sk: "IMPORT".into() }
}

/// That something was reported of a subject (the id of a connection or of a failure) a moment ago, by its digest.
pub fn noted(subject: &str, what: &Hash) -> Key {
    Key { pk: format!("REPORT#{subject}#{}", what.as_str()), sk: "REPORT".into() }
}

/// The day's counter of what was reported of a subject.
pub fn noted_today(subject: &str, now: Timestamp) -> Key {
    Key { pk: format!("REPORT#{subject}#{}", now.strftime("%Y-%m-%d")), sk: "REPORT".into() }
}

/// The partition of a product's waves.
pub fn waves(product: &ProductId) -> String {
    format!("WAVE#{product}")
}

/// A wave by its sort key.
pub fn wave_at(product: &ProductId, sk: &str) -> Key {
    Key { pk: waves(product), sk: sk.to_owned().into() }
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
    customer_of_digest(product, &Hash::of(customer))
}

/// The same partition, by the digest of the customer's id.
pub fn customer_of_digest(product: &ProductId, digest: &Hash) -> String {
    format!("PRODUCT#{product}#CUSTOMER#{}", digest.as_str())
}

/// The partition of index `customer` that holds the connect sessions of one of a product's customers.
pub fn customers_sessions(product: &ProductId, digest: &Hash) -> String {
    format!("{}#SESSIONS", customer_of_digest(product, digest))
}

/// The partition of index `failures` that holds a product's failures of one day (UTC).
pub fn failures(product: &ProductId, day: Date) -> String {
    format!("PRODUCT#{product}#FAILURES#{day}")
}

/// The partition of index `customer` that holds the failures of one of a product's customers.
pub fn customers_failures(product: &ProductId, customer: &str) -> String {
    customers_failures_of_digest(product, &Hash::of(customer))
}

/// The same partition, by the digest of the customer's id.
pub fn customers_failures_of_digest(product: &ProductId, digest: &Hash) -> String {
    format!("{}#FAILURES", customer_of_digest(product, digest))
}

/// The partition of index `listing` that holds the failures of one reference: as good as always one.
pub fn reference(product: &ProductId, reference: &str) -> String {
    format!("PRODUCT#{product}#REFERENCE#{reference}")
}

/// The partition that holds what of one customer's failures with one app is not resolved, and their last success.
pub fn open(product: &ProductId, app: &AppId, customer: &str) -> String {
    format!("OPEN#{product}#{app}#{}", Hash::of(customer).as_str())
}

/// The partition that holds which of a product's connections wait for somebody.
pub fn needy_of(product: &ProductId) -> String {
    format!("NEEDY#{product}")
}

/// That a connection waits for somebody: they are sorted by since when.
pub fn needy(product: &ProductId, since: Timestamp, connection: &ConnectionId) -> Key {
    Key { pk: needy_of(product), sk: format!("{:013}#{connection}", since.as_millisecond()).into() }
}

/// The partition that holds a product's counters of one hour's day.
pub fn hours(product: &ProductId, day: Date) -> String {
    format!("TALLY#{product}#HOURS#{day}")
}

/// The partition that holds a product's counters of the days of one month.
pub fn days(product: &ProductId, day: Date) -> String {
    format!("TALLY#{product}#DAYS#{}", day.strftime("%Y-%m"))
}

/// The partition that holds how many connections a product has in which state.
pub fn gauges(product: &ProductId) -> String {
    format!("TALLY#{product}#NOW")
}

/// What refreshes have seen of an app.
pub fn app_health(AppAt { product, app, consumer_key }: AppAt<'_>) -> Key {
    let consumer_key = Hash::of(consumer_key);
    Key { pk: format!("HEALTH#APP#{product}#{app}#{}", consumer_key.as_str()), sk: "HEALTH".into() }
}

/// What refreshes have seen of a login host, by its origin.
pub fn host_health(origin: &str) -> Key {
    Key { pk: format!("HEALTH#HOST#{origin}"), sk: "HEALTH".into() }
}

/// Until when imports of an app wait at a login host: all of them, or a customer's.
pub fn imports_health(AppAt { product, app, consumer_key }: AppAt<'_>, origin: &str, customer: &str) -> Key {
    let (consumer_key, customer) = (Hash::of(consumer_key), Hash::of(customer));
    let whose = format!("{product}#{app}#{}", consumer_key.as_str());
    Key { pk: format!("HEALTH#IMPORTS#{whose}#{origin}#{}", customer.as_str()), sk: "HEALTH".into() }
}

/// How far one shard of the table's stream is tallied.
pub fn tallied(shard: &str) -> Key {
    Key { pk: format!("TALLIED#{shard}"), sk: "TALLIED".into() }
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

/// An event.
pub fn event(id: &EventId) -> Key {
    Key { pk: format!("EVENT#{id}"), sk: "EVENT".into() }
}

/// The partition of index `failures` that holds a product's events in the order in which they were recorded.
pub fn events(product: &ProductId) -> String {
    format!("PRODUCT#{product}#EVENTS")
}

/// What is known of a webhook endpoint.
pub fn endpoint(product: &ProductId, endpoint: &EndpointId) -> Key {
    Key { pk: format!("ENDPOINT#{product}#{endpoint}"), sk: "ENDPOINT".into() }
}

/// The event that a partition key names.
pub fn event_of(pk: &str) -> Option<EventId> {
    pk.strip_prefix("EVENT#")?.parse().ok()
}

/// The session that a partition key names.
pub fn session_of(pk: &str) -> Option<SessionId> {
    pk.strip_prefix("SESSION#")?.parse().ok()
}

/// The product whose waves a partition key names.
pub fn wave_of(pk: &str) -> Option<ProductId> {
    pk.strip_prefix("WAVE#")?.parse().ok()
}

/// The failure that a partition key names.
pub fn failure_of(pk: &str) -> Option<FailureId> {
    pk.strip_prefix("FAILURE#")?.parse().ok()
}

/// The connection that a partition key names.
pub fn connection_of(pk: &str) -> Option<ConnectionId> {
    pk.strip_prefix("CONNECTION#")?.parse().ok()
}
