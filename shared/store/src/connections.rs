//! Connections: what is handed out, listed, and taken back.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::{
    App, AppId, Connection, ConnectionId, EventId, ExpiryBasis, FailureId, LearntLife, ProductId,
    SaturatingTime as _, SessionId,
    secret::{AccessToken, Fingerprint, Hash, RefreshToken},
    session::BoundBrowser,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    Item, Lookup, N, Next, Page, S, Store, StoreError,
    backoff::Backoff,
    clocks,
    connection_item::ConnectionRow,
    expression::Expression,
    item::{VERSION, from_item, to_item},
    keys,
    leases::MAX_LEASE_AHEAD,
    millis,
    reconnects::Reconnect,
    rejected::Rejected,
    revisions::{Revision, look},
    schema::DUE,
    secrets::SecretError,
    token_cipher::{Field, Owner, Sealed, TokenCipher},
    write::{SendWrite, built, conditional},
};

/// A connection with its sealed tokens and the state of its refreshes.
#[derive(Debug, Clone)]
pub struct ConnectionRecord {
    /// What may be shown.
    pub connection: Connection,
    /// The access token, sealed.
    pub access_token: Sealed,
    /// Which access token that is.
    pub access_fingerprint: Fingerprint,
    /// The refresh token, sealed, where one was granted.
    pub refresh_token: Option<Sealed>,
    /// Which refresh token that is.
    pub refresh_fingerprint: Option<Fingerprint>,
    /// When Salesforce issued the access token.
    pub issued_at: Timestamp,
    /// When the access token came, by our clock; unknown of tokens that came before this was noted.
    pub fetched_at: Option<Timestamp>,
    /// Until when the access token is taken to work.
    pub expires_at: Timestamp,
    /// Counts the leases ever taken: a lease of an older epoch can save nothing.
    pub epoch: u64,
    /// Until when somebody holds the lease.
    pub lease_until: Option<Timestamp>,
    /// When a refresh was begun whose answer has not been saved.
    pub began_at: Option<Timestamp>,
    /// When the one recovery of an unanswered refresh was begun.
    pub recovered_at: Option<Timestamp>,
    /// On what `expires_at` rests.
    pub expiry_basis: ExpiryBasis,
    /// How long this connection's access tokens live, where it was learnt.
    pub learnt: Option<LearntLife>,
    /// How many tokens in a row Salesforce rejected while they were fresh.
    pub rejections: u32,
    /// Set where refreshing was no cure: until when it is not tried, and the failure that tells why.
    pub paused: Option<Paused>,
    /// Of a blocked connection: when Salesforce last refused. Items of before it have none: then it was when they stopped.
    pub refused_at: Option<Timestamp>,
    /// Whether the sweep fetched this token and nobody has asked for it yet.
    pub unasked: bool,
    /// What it holds of another connection's reconnect, if it is no connection of its own.
    pub reconnect: Option<Reconnect>,
    /// The partition of index `grants` that counts it; items of before that index have none, and are not counted.
    pub grants_key: Option<String>,
    /// The partition key of its uniqueness item; one more connection of the same user has none.
    pub unique: Option<String>,
    /// Of a new grant: whether it makes one more connection of a user who has one.
    pub another: bool,
    /// Until when nothing is sent after a refusal, and why. It may be over.
    pub backoff: Option<Backoff>,
    /// How often it changed in a way that its product is told of.
    pub revision: Revision,
    /// Set where a caller reported the access token as rejected.
    pub rejected: Option<Rejected>,
}

/// Refreshing is paused: fresh tokens are rejected too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Until when.
    pub until: Timestamp,
    /// The failure that tells why.
    pub failure: FailureId,
}

/// How long refreshing is paused where it does not help.
pub const PAUSE: SignedDuration = SignedDuration::from_mins(10);

impl Paused {
    /// Whether it is not over yet.
    pub fn holds(&self, now: Timestamp) -> bool {
        clocks::is_ahead(self.until, PAUSE, now)
    }
}

/// The tokens of a grant, before they are sealed.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// The access token.
    pub access: &'a AccessToken,
    /// The refresh token, where there is one.
    pub refresh: Option<&'a RefreshToken>,
    /// When Salesforce issued the access token.
    pub issued_at: Timestamp,
}

/// A connection to be stored.
#[derive(Debug)]
pub struct NewConnection<'a> {
    /// The connection.
    pub record: &'a ConnectionRecord,
    /// The session that it was made in.
    pub session: &'a SessionId,
    /// The browser that went to Salesforce, and the only one that gets the receipt.
    pub browser: &'a BoundBrowser,
    /// The digest of the receipt that redeems it, and until when.
    pub receipt: (Hash, Timestamp),
    /// When the sweep has to look at it: to revoke what was not redeemed or confirmed, to keep alive what is not
    /// used.
    pub due: Timestamp,
}

/// What has come due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Due {
    /// A connection: unredeemed, or to be revoked.
    Connection(ConnectionId),
    /// A session whose browser has not come back.
    Session(SessionId),
    /// An incident that may be over: the product, and the sort key of its wave.
    Wave(ProductId, String),
    /// An event, one of whose deliveries is due.
    Event(EventId),
}

/// How far from now a time that Salesforce names may be. No clock is a day off; a time that is cannot be reckoned with.
const MAX_CLOCK_ERROR: SignedDuration = SignedDuration::from_hours(24);

/// When a token was issued, as Salesforce says; where that is far from now, now.
pub fn credible(issued_at: Timestamp, now: Timestamp) -> Timestamp {
    if issued_at.duration_since(now).abs() <= MAX_CLOCK_ERROR { issued_at } else { now }
}

impl Lookup<ConnectionRecord> {
    /// The connection of that id.
    pub fn connection(id: &ConnectionId) -> Self {
        Self { key: keys::connection(id), read: |pk, item| from_item::<ConnectionRow>(pk, item)?.read(pk) }
    }
}

impl ConnectionRecord {
    /// Whether somebody holds the lease. A lease that ends later than a lease can last was taken by a process whose
    /// clock is wrong: it is over.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.lease_until.is_some_and(|until| now < until && until <= now + MAX_LEASE_AHEAD)
    }

    /// Whether somebody who holds the lease may still save an answer. If not, and *began* stands, nobody
    /// knows what became of it.
    pub fn may_still_answer(&self, now: Timestamp) -> bool {
        self.began_at.is_none() || self.is_leased(now)
    }

    /// A connection with the tokens of a fresh grant to `app`, sealed for it alone. An access token is taken to
    /// live as long as the app says: Salesforce does not (fact base 3.7).
    pub async fn seal(
        cipher: &TokenCipher,
        connection: Connection,
        tokens: Tokens<'_>,
        app: &App,
    ) -> Result<Self, SecretError> {
        let owner = Owner { product: &connection.product, connection: &connection.id };
        let now = connection.created_at;
        let issued_at = credible(tokens.issued_at, now);
        let access_token = cipher.seal(owner, Field::AccessToken, tokens.access.expose()).await?;
        let refresh_token = match tokens.refresh {
            Some(refresh) => Some(cipher.seal(owner, Field::RefreshToken, refresh.expose()).await?),
            None => None,
        };
        Ok(Self {
            access_token,
            access_fingerprint: tokens.access.fingerprint(),
            refresh_token,
            refresh_fingerprint: tokens.refresh.map(RefreshToken::fingerprint),
            issued_at,
            fetched_at: Some(now),
            // The earlier of both clocks counts: a token must not be taken to outlive itself.
            expires_at: issued_at.min(now).later_by(app.access_token_life()),
            epoch: 0,
            lease_until: None,
            began_at: None,
            recovered_at: None,
            refused_at: None,
            expiry_basis: ExpiryBasis::AppPolicy,
            learnt: None,
            rejections: 0,
            paused: None,
            unasked: false,
            reconnect: None,
            grants_key: Some(keys::grants(&app.consumer_key, &connection.identity.user)),
            unique: None,
            another: false,
            backoff: None,
            revision: Revision::default(),
            rejected: None,
            connection,
        })
    }

    /// The item of a new connection, listed among its product's and its customer's, and due then for the sweep.
    pub(crate) fn item(&self, due: Timestamp) -> Result<Item, StoreError> {
        let connection = &self.connection;
        let mut item = to_item(&keys::connection(&connection.id), &ConnectionRow::new(self))?;
        item.insert("listing_pk".into(), S(keys::listing(&connection.product)));
        item.insert("listing_sk".into(), S(connection.id.as_str()));
        item.insert("customer_pk".into(), S(keys::customer(&connection.product, &connection.customer.id)));
        item.insert("due_shard".into(), S(keys::due_shard(connection.id.as_str())));
        let due = self.revision.at.map_or(due, |changed_at| look(due, changed_at));
        item.insert("due_at".into(), millis(due));
        Ok(item)
    }
}

impl Store {
    /// The connection of that id: one strongly consistent read.
    pub async fn connection(&self, id: &ConnectionId) -> Result<Option<ConnectionRecord>, StoreError> {
        self.find(&Lookup::connection(id)).await
    }

    /// Notes by what name a connection's user signs in. It is for people to read.
    pub async fn name_user(&self, id: &ConnectionId, username: &str) -> Result<(), StoreError> {
        let named = self
            .update(&keys::connection(id))
            .update_expression("SET username = :username")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":username", S(username))
            .send_write()
            .await;
        conditional("UpdateItem", named).map(drop)
    }

    /// Marks a connection as to be revoked: from now on it hands out nothing, and the sweep sees to it if
    /// whoever marked it does not. `false`: it is gone, or another product's.
    pub async fn begin_revoking(
        &self,
        product: &ProductId,
        id: &ConnectionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let marked = self
            .update(&keys::connection(id))
            .revoking(id, now)
            .condition_expression("attribute_exists(pk) AND product = :product")
            .expression_attribute_values(":product", S(product.as_str()))
            .send_write()
            .await;
        Ok(conditional("UpdateItem", marked)?.is_ok())
    }

    /// Marks an unredeemed connection as to be revoked, unless it was redeemed in the meantime.
    pub async fn expire_pending(&self, id: &ConnectionId, now: Timestamp) -> Result<bool, StoreError> {
        let marked = self
            .update(&keys::connection(id))
            .revoking(id, now)
            .condition_expression("#state = :pending AND redeem_by <= :now")
            .expression_attribute_values(":pending", S("pending"))
            .send_write()
            .await;
        Ok(conditional("UpdateItem", marked)?.is_ok())
    }

    /// Puts off what was due at `seen`: the next look at it is at `until`. What has changed since is left alone.
    pub async fn put_off(&self, due: &Due, seen: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        let put_off = self
            .update(&match due {
                Due::Connection(id) => keys::connection(id),
                Due::Session(id) => keys::session(id),
                Due::Wave(product, sk) => keys::wave_at(product, sk),
                Due::Event(id) => keys::event(id),
            })
            .update_expression("SET due_at = :until")
            .condition_expression("attribute_exists(due_shard) AND due_at = :seen")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":seen", millis(seen))
            .send_write()
            .await;
        conditional("UpdateItem", put_off).map(drop)
    }

    /// Takes a connection off the sweep's list: there is nothing that it could do for it.
    pub async fn not_due(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let removed = self
            .update(&keys::connection(id))
            .update_expression("REMOVE due_shard, due_at")
            .condition_expression("#state = :needs_reauth OR attribute_not_exists(refresh_token)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":needs_reauth", S("needs_reauth"))
            .send_write()
            .await;
        conditional("UpdateItem", removed).map(drop)
    }

    /// Deletes a connection whose grant was revoked, and its uniqueness item first. Only a connection that is being
    /// revoked is deleted: a grant that lives keeps its item.
    pub async fn delete_revoked(&self, id: &ConnectionId, unique: Option<&str>) -> Result<(), StoreError> {
        if let Some(unique) = unique {
            self.free(unique, id).await?;
        }
        let key = keys::connection(id);
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", S(key.pk))
            .key("sk", S(key.sk))
            .condition_expression("#state = :revoking")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":revoking", S("revoking"))
            .send_write()
            .await;
        conditional("DeleteItem", deleted).map(drop)
    }

    /// Whether this app was ever connected from the org of that host.
    pub async fn connected_before(
        &self,
        product: &ProductId,
        app: &AppId,
        host: &str,
    ) -> Result<bool, StoreError> {
        Ok(self.get(&keys::history(product, app, host), false).await?.is_some())
    }

    /// That the app was connected from its org, as part of the transaction that stores the connection.
    pub(crate) fn history_write(&self, connection: &Connection) -> Result<TransactWriteItem, StoreError> {
        let host = connection.instance_url.split_once("://").map_or("", |(_, host)| host);
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        let key = keys::history(&connection.product, &connection.app, host);
        let item = Item::from([
            ("pk".into(), S(key.pk)),
            ("sk".into(), S(key.sk)),
            ("v".into(), N(VERSION)),
            ("connected_at".into(), millis(connection.created_at)),
        ]);
        built(Put::builder().table_name(&self.table).set_item(Some(item)).build())
    }

    /// What of one partition of the due index has come due, the longest due first, a page at a time.
    pub async fn due(
        &self,
        shard: u8,
        now: Timestamp,
        limit: i32,
        after: Option<Next>,
    ) -> Result<Page<(Timestamp, Due)>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(DUE)
            .key_condition_expression("due_shard = :shard AND due_at <= :now")
            .expression_attribute_values(":shard", S(keys::due_partition(shard)))
            .expression_attribute_values(":now", millis(now))
            .limit(limit)
            .set_exclusive_start_key(after.map(|Next(key)| key))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Query", &error))?;
        let due = |pk: &str, sk: &str| {
            keys::connection_of(pk)
                .map(Due::Connection)
                .or_else(|| keys::session_of(pk).map(Due::Session))
                .or_else(|| keys::wave_of(pk).map(|product| Due::Wave(product, sk.to_owned())))
                .or_else(|| keys::event_of(pk).map(Due::Event))
        };
        let read = |item: &Item| {
            let since = item.get("due_at")?.as_n().ok()?.parse().ok()?;
            Some((
                Timestamp::from_millisecond(since).ok()?,
                due(item.get("pk")?.as_s().ok()?, item.get("sk")?.as_s().ok()?)?,
            ))
        };
        let items = answer.items.unwrap_or_default();
        Ok(Page { items: items.iter().filter_map(read).collect(), next: answer.last_evaluated_key.map(Next) })
    }
}
