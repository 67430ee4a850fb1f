//! Items as they are stored, and the states that they must fit: a row that fits none says so by name.

use domain::{
    AppId, Attempt, AttemptId, ConnectSession, Connection, ConnectionId, ConnectionState, Customer,
    Environment, ExpiryBasis, FailureId, HostChoice, Identity, LearntLife, OrgId, ProductId,
    SalesforceUserId, Scopes, SessionId, SessionState,
    secret::{Fingerprint, Hash},
    session::{BoundBrowser, Change, LastFailure},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    Backoff, Item, N, S, StoreError,
    connections::{ConnectionRecord, Paused},
    keys::Key,
    reconnects::Reconnect,
    rejected,
    seal::Sealed,
};

/// The version of the items that this code writes; it reads this and all before it. It is raised where the code before
/// would misread what is written, one release after the code that reads both: two versions run side by side while one is
/// deployed, and either may be rolled back to.
pub(crate) const VERSION: u8 = 1;

pub(crate) fn to_item(key: &Key, row: &impl Serialize) -> Result<Item, StoreError> {
    let mut item: Item = serde_dynamo::to_item(row)
        .map_err(|error| StoreError::Corrupt { pk: key.pk.clone(), what: error.to_string() })?;
    item.retain(|_, value| !value.is_null());
    item.insert("pk".into(), S(&key.pk));
    item.insert("sk".into(), S(&*key.sk));
    item.insert("v".into(), N(VERSION));
    Ok(item)
}

pub(crate) fn from_item<R: DeserializeOwned>(pk: &str, item: Item) -> Result<R, StoreError> {
    is_readable(pk, &item)?;
    serde_dynamo::from_item(item)
        .map_err(|error| StoreError::Corrupt { pk: pk.to_owned(), what: error.to_string() })
}

/// Refuses what a later version has written: read half, it would be written back without the other half.
pub(crate) fn is_readable(pk: &str, item: &Item) -> Result<(), StoreError> {
    let version = item.get("v").and_then(|version| version.as_n().ok()?.parse::<u32>().ok());
    match version.filter(|version| *version > VERSION.into()) {
        None => Ok(()),
        Some(later) => Err(StoreError::Corrupt {
            pk: pk.to_owned(),
            what: format!(
                "version {later}, of a later Latchkey; this one reads up to {VERSION}: deploy that one again"
            ),
        }),
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionRow {
    id: SessionId,
    product: ProductId,
    app: AppId,
    customer: Customer,
    user: String,
    host: HostChoice,
    // Since v1 was first written, so absent from older items.
    environment: Option<Environment>,
    return_to: Url,
    state: String,
    created_at: i64,
    expires_at: i64,
    opened_at: Option<i64>,
    redirected_at: Option<i64>,
    attempts: u32,
    connection: Option<ConnectionId>,
    receipt: Option<Hash>,
    redeem_by: Option<i64>,
    last_failure: Option<LastFailure>,
    reconnects: Option<ConnectionId>,
    parked_until: Option<i64>,
    identity_change: Option<Change>,
    browser: Option<Hash>,
    browser_attempt: Option<AttemptId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open_attempts: Vec<AttemptId>,
    // Since v1 was first written, so absent from older items.
    #[serde(default)]
    another: bool,
}

impl SessionRow {
    pub(crate) fn new(session: &ConnectSession) -> Self {
        Self {
            id: session.id.clone(),
            product: session.product.clone(),
            app: session.app.clone(),
            customer: session.customer.clone(),
            user: session.user.clone(),
            host: session.host.clone(),
            environment: session.environment,
            return_to: session.return_to.clone(),
            state: session.state.word().to_owned(),
            created_at: session.created_at.as_millisecond(),
            expires_at: session.expires_at.as_millisecond(),
            opened_at: None,
            redirected_at: None,
            attempts: session.attempts,
            connection: None,
            receipt: None,
            redeem_by: None,
            last_failure: None,
            reconnects: session.reconnects.clone(),
            parked_until: None,
            identity_change: None,
            browser: None,
            browser_attempt: None,
            open_attempts: Vec::new(),
            another: session.another,
        }
    }

    pub(crate) fn read(self, pk: &str) -> Result<ConnectSession, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
        let state = match self.state.as_str() {
            "created" if self.opened_at.is_some() => SessionState::Opened,
            "created" => SessionState::Created,
            "redirected" => SessionState::Redirected {
                at: time(self.redirected_at).ok_or_else(|| corrupt("no redirected_at"))?,
            },
            "returned" => SessionState::Returned {
                connection: self.connection.ok_or_else(|| corrupt("returned without a connection"))?,
                receipt: self.receipt.ok_or_else(|| corrupt("returned without a receipt"))?,
                redeem_by: time(self.redeem_by).ok_or_else(|| corrupt("returned without redeem_by"))?,
            },
            "parked" => SessionState::Parked {
                connection: self.connection.ok_or_else(|| corrupt("parked without a connection"))?,
                until: time(self.parked_until).ok_or_else(|| corrupt("parked without parked_until"))?,
            },
            "connected" => SessionState::Connected {
                connection: self.connection.ok_or_else(|| corrupt("connected without a connection"))?,
            },
            "failed" => SessionState::Failed,
            "lost" => SessionState::Lost,
            other => return Err(corrupt(&format!("unknown session state {other}"))),
        };
        Ok(ConnectSession {
            id: self.id,
            product: self.product,
            app: self.app,
            customer: self.customer,
            user: self.user,
            host: self.host,
            environment: self.environment,
            return_to: self.return_to,
            state,
            created_at: time(Some(self.created_at)).ok_or_else(|| corrupt("created_at"))?,
            expires_at: time(Some(self.expires_at)).ok_or_else(|| corrupt("expires_at"))?,
            attempts: self.attempts,
            last_failure: self.last_failure,
            reconnects: self.reconnects,
            another: self.another,
            change: self.identity_change,
            browser: self
                .browser_attempt
                .zip(self.browser)
                .map(|(attempt, secret)| BoundBrowser { attempt, secret }),
            open_attempts: self.open_attempts,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttemptRow {
    id: AttemptId,
    session: SessionId,
    product: ProductId,
    app: AppId,
    customer: Customer,
    user: String,
    login_host: String,
    environment: Environment,
    return_to: Url,
    browser: Hash,
    began_at: i64,
    expires_at: i64,
    claimed_at: Option<i64>,
    reconnects: Option<ConnectionId>,
    // Since v1 was first written, so absent from older items.
    #[serde(default)]
    another: bool,
}

impl AttemptRow {
    pub(crate) fn new(attempt: &Attempt) -> Self {
        Self {
            id: attempt.id.clone(),
            session: attempt.session.clone(),
            product: attempt.product.clone(),
            app: attempt.app.clone(),
            customer: attempt.customer.clone(),
            user: attempt.user.clone(),
            login_host: attempt.login_host.clone(),
            environment: attempt.environment,
            return_to: attempt.return_to.clone(),
            browser: attempt.browser.clone(),
            began_at: attempt.began_at.as_millisecond(),
            expires_at: attempt.expires_at.as_millisecond(),
            claimed_at: attempt.claimed_at.map(Timestamp::as_millisecond),
            reconnects: attempt.reconnects.clone(),
            another: attempt.another,
        }
    }

    pub(crate) fn read(self, pk: &str) -> Result<Attempt, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
        Ok(Attempt {
            id: self.id,
            session: self.session,
            product: self.product,
            app: self.app,
            customer: self.customer,
            user: self.user,
            login_host: self.login_host,
            environment: self.environment,
            return_to: self.return_to,
            browser: self.browser,
            reconnects: self.reconnects,
            another: self.another,
            began_at: time(Some(self.began_at)).ok_or_else(|| corrupt("began_at"))?,
            expires_at: time(Some(self.expires_at)).ok_or_else(|| corrupt("expires_at"))?,
            claimed_at: time(self.claimed_at),
        })
    }
}

/// What the table and its index `listing` both hold of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListedRow {
    app: AppId,
    customer: Customer,
    org_id: OrgId,
    user_id: SalesforceUserId,
    username: Option<String>,
    state: String,
    environment: Environment,
    created_at: i64,
}

impl ListedRow {
    pub(crate) fn read(self, pk: &str) -> Result<crate::connections::Listed, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
        Ok(crate::connections::Listed {
            id: crate::keys::connection_of(pk).ok_or_else(|| corrupt("not a connection"))?,
            app: self.app,
            customer: self.customer,
            identity: Identity { org: self.org_id, user: self.user_id, username: self.username },
            state: self.state,
            environment: self.environment,
            created_at: time(Some(self.created_at)).ok_or_else(|| corrupt("created_at"))?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionRow {
    #[serde(flatten)]
    listed: ListedRow,
    id: ConnectionId,
    product: ProductId,
    product_user: String,
    session: Option<SessionId>,
    login_host: String,
    instance_url: String,
    scopes: String,
    redeem_by: Option<i64>,
    parked_until: Option<i64>,
    since: Option<i64>,
    failure: Option<FailureId>,
    access_token: Sealed,
    access_fingerprint: Fingerprint,
    refresh_token: Option<Sealed>,
    refresh_fingerprint: Option<Fingerprint>,
    issued_at: i64,
    // Since v1 was first written, so absent from older items.
    fetched_at: Option<i64>,
    expires_at: i64,
    epoch: u64,
    lease_until: Option<i64>,
    began_at: Option<i64>,
    began_epoch: Option<u64>,
    recovered_at: Option<i64>,
    refused_at: Option<i64>,
    // Since v1 was first written, so absent from older items.
    #[serde(default)]
    expiry_basis: ExpiryBasis,
    /// Milliseconds.
    learnt_life: Option<i64>,
    learnt_from: Option<ExpiryBasis>,
    #[serde(default)]
    rejections: u32,
    paused_until: Option<i64>,
    paused_for: Option<FailureId>,
    #[serde(default)]
    unasked: bool,
    reconnect: Option<Reconnect>,
    grants_pk: Option<String>,
    // Absent from connections that have no uniqueness item.
    unique_pk: Option<String>,
    // Of a new grant: whether it is to be one more connection of the same user.
    #[serde(default)]
    another: bool,
    // Present only while a refresh waits after a refusal.
    not_before: Option<i64>,
    refusals: Option<u32>,
    unexplained_since: Option<i64>,
    retry_cause: Option<String>,
    retry_failure: Option<FailureId>,
    // Present only where the access token was reported as rejected.
    rejected_token: Option<Fingerprint>,
    rejected_tested_at: Option<i64>,
    #[serde(default)]
    rejected_works: bool,
}

impl ConnectionRow {
    pub(crate) fn new(record: &ConnectionRecord) -> Self {
        let connection = &record.connection;
        let (redeem_by, since, failure) = match &connection.state {
            ConnectionState::Pending { redeem_by } => (Some(*redeem_by), None, None),
            ConnectionState::Parked { .. } | ConnectionState::Active => (None, None, None),
            ConnectionState::RefreshUnknown { since } | ConnectionState::Revoking { since } => {
                (None, Some(*since), None)
            }
            ConnectionState::NeedsReauth { since, failure } | ConnectionState::Blocked { since, failure } => {
                (None, Some(*since), Some(failure.clone()))
            }
        };
        let parked_until = match &connection.state {
            ConnectionState::Parked { until } => Some(*until),
            _ => None,
        };
        Self {
            listed: ListedRow {
                app: connection.app.clone(),
                customer: connection.customer.clone(),
                org_id: connection.identity.org.clone(),
                user_id: connection.identity.user.clone(),
                username: connection.identity.username.clone(),
                state: connection.state.word().to_owned(),
                environment: connection.environment,
                created_at: connection.created_at.as_millisecond(),
            },
            id: connection.id.clone(),
            product: connection.product.clone(),
            product_user: connection.user.clone(),
            session: connection.session.clone(),
            login_host: connection.login_host.clone(),
            instance_url: connection.instance_url.clone(),
            scopes: connection.scopes.to_string(),
            redeem_by: redeem_by.map(Timestamp::as_millisecond),
            parked_until: parked_until.map(Timestamp::as_millisecond),
            since: since.map(Timestamp::as_millisecond),
            failure,
            access_token: record.access_token.clone(),
            access_fingerprint: record.access_fingerprint.clone(),
            refresh_token: record.refresh_token.clone(),
            refresh_fingerprint: record.refresh_fingerprint.clone(),
            issued_at: record.issued_at.as_millisecond(),
            fetched_at: record.fetched_at.map(Timestamp::as_millisecond),
            expires_at: record.expires_at.as_millisecond(),
            epoch: record.epoch,
            lease_until: record.lease_until.map(Timestamp::as_millisecond),
            began_at: record.began_at.map(Timestamp::as_millisecond),
            began_epoch: None,
            recovered_at: record.recovered_at.map(Timestamp::as_millisecond),
            refused_at: record.refused_at.map(Timestamp::as_millisecond),
            expiry_basis: record.expiry_basis,
            learnt_life: record.learnt.map(|learnt| duration(learnt.life)),
            learnt_from: record.learnt.map(|learnt| learnt.basis),
            rejections: record.rejections,
            paused_until: record.paused.as_ref().map(|paused| paused.until.as_millisecond()),
            paused_for: record.paused.as_ref().map(|paused| paused.failure.clone()),
            unasked: record.unasked,
            reconnect: record.reconnect.clone(),
            grants_pk: record.grants_key.clone(),
            unique_pk: record.unique.clone(),
            another: record.another,
            not_before: record.backoff.as_ref().map(|backoff| backoff.not_before.as_millisecond()),
            refusals: record.backoff.as_ref().map(|backoff| backoff.refusals),
            unexplained_since: record
                .backoff
                .as_ref()
                .and_then(|backoff| backoff.unexplained_since)
                .map(Timestamp::as_millisecond),
            retry_cause: record.backoff.as_ref().and_then(|backoff| backoff.cause.clone()),
            retry_failure: record.backoff.as_ref().and_then(|backoff| backoff.failure.clone()),
            rejected_token: record.rejected.map(|_| record.access_fingerprint.clone()),
            rejected_tested_at: record
                .rejected
                .and_then(|rejected| rejected.tested_at)
                .map(Timestamp::as_millisecond),
            rejected_works: record.rejected.is_some_and(|rejected| rejected.works),
        }
    }

    pub(crate) fn read(self, pk: &str) -> Result<ConnectionRecord, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
        let since = || time(self.since).ok_or_else(|| corrupt("no since"));
        let failure = || self.failure.clone().ok_or_else(|| corrupt("no failure"));
        let state = match self.listed.state.as_str() {
            "pending" => ConnectionState::Pending {
                redeem_by: time(self.redeem_by).ok_or_else(|| corrupt("pending without redeem_by"))?,
            },
            "parked" => ConnectionState::Parked {
                until: time(self.parked_until).ok_or_else(|| corrupt("parked without parked_until"))?,
            },
            "active" => ConnectionState::Active,
            "refresh_unknown" => ConnectionState::RefreshUnknown { since: since()? },
            "needs_reauth" => ConnectionState::NeedsReauth { since: since()?, failure: failure()? },
            "blocked" => ConnectionState::Blocked { since: since()?, failure: failure()? },
            "revoking" => ConnectionState::Revoking { since: since()? },
            other => return Err(corrupt(&format!("unknown connection state {other}"))),
        };
        Ok(ConnectionRecord {
            connection: Connection {
                id: self.id,
                product: self.product,
                app: self.listed.app,
                customer: self.listed.customer,
                user: self.product_user,
                session: self.session,
                identity: Identity {
                    org: self.listed.org_id,
                    user: self.listed.user_id,
                    username: self.listed.username,
                },
                login_host: self.login_host,
                environment: self.listed.environment,
                instance_url: self.instance_url,
                scopes: Scopes::parse(&self.scopes),
                state,
                created_at: time(Some(self.listed.created_at)).ok_or_else(|| corrupt("created_at"))?,
            },
            rejected: rejected::read(
                &self.access_fingerprint,
                self.rejected_token.as_ref(),
                time(self.rejected_tested_at),
                self.rejected_works,
            ),
            backoff: time(self.not_before).map(|not_before| Backoff {
                not_before,
                refusals: self.refusals.unwrap_or(1),
                unexplained_since: time(self.unexplained_since),
                cause: self.retry_cause,
                failure: self.retry_failure,
            }),
            access_token: self.access_token,
            access_fingerprint: self.access_fingerprint,
            refresh_token: self.refresh_token,
            refresh_fingerprint: self.refresh_fingerprint,
            fetched_at: time(self.fetched_at),
            issued_at: time(Some(self.issued_at)).ok_or_else(|| corrupt("issued_at"))?,
            expires_at: time(Some(self.expires_at)).ok_or_else(|| corrupt("expires_at"))?,
            epoch: self.epoch,
            lease_until: time(self.lease_until),
            began_at: time(self.began_at),
            recovered_at: time(self.recovered_at),
            refused_at: time(self.refused_at),
            expiry_basis: self.expiry_basis,
            learnt: learnt(self.learnt_life, self.learnt_from),
            rejections: self.rejections,
            paused: time(self.paused_until)
                .zip(self.paused_for)
                .map(|(until, failure)| Paused { until, failure }),
            unasked: self.unasked,
            reconnect: self.reconnect,
            grants_key: self.grants_pk,
            unique: self.unique_pk,
            another: self.another,
        })
    }
}

fn learnt(millis: Option<i64>, basis: Option<ExpiryBasis>) -> Option<LearntLife> {
    let (millis, basis) = millis.zip(basis)?;
    Some(LearntLife { life: SignedDuration::from_millis(millis), basis })
}

/// In whole milliseconds: no session lasts longer than an `i64` of them.
pub(crate) fn duration(life: SignedDuration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX)
}

/// A time that an item must have.
pub(crate) fn time_in(pk: &str, millis: i64) -> Result<Timestamp, StoreError> {
    let corrupt = |_| StoreError::Corrupt { pk: pk.to_owned(), what: format!("{millis} is no time") };
    Timestamp::from_millisecond(millis).map_err(corrupt)
}

fn time(millis: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_millisecond(millis?).ok()
}
