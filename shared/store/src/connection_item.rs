//! A connection as its item, and the part of it that the index `listing` holds.

use domain::{
    AppId, Connection, ConnectionId, ConnectionState, Customer, Environment, EventType, ExpiryBasis,
    FailureId, Identity, OrgId, ProductId, SalesforceUserId, Scopes, SessionId, secret::Fingerprint,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    StoreError,
    backoff::Backoff,
    connections::{ConnectionRecord, Paused},
    item::{duration, learnt, time},
    reconnects::Reconnect,
    rejected,
    revisions::Revision,
    token_cipher::Sealed,
};

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
    pub(crate) fn read(self, pk: &str) -> Result<crate::connection_lists::ConnectionSummary, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
        Ok(crate::connection_lists::ConnectionSummary {
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
    // Since v1 was first written, so absent from older items.
    revision: Option<u64>,
    revised_at: Option<i64>,
    revision_event: Option<EventType>,
    // Present only while the product knows of trouble.
    failing: Option<bool>,
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
            revision: (record.revision.number > 0).then_some(record.revision.number),
            revised_at: record.revision.at.map(Timestamp::as_millisecond),
            revision_event: record.revision.event,
            failing: record.revision.is_failing.then_some(true),
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
            revision: Revision {
                number: self.revision.unwrap_or_default(),
                at: time(self.revised_at),
                event: self.revision_event,
                is_failing: self.failing.unwrap_or_default(),
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
