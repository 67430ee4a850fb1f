//! Connect sessions and attempts. Each transition is one conditional write: the check and the mark are the
//! same write, and the refused item tells why.

use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};
use domain::{
    AppId, AttemptId, ConnectSession, ConnectionId, Customer, Environment, Failure, HostChoice, ProductId,
    SessionId, SessionState,
    secret::Hash,
    session::{BoundBrowser, Change, LastFailure},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Lookup, N, S, Store, StoreError,
    attempts::OpenAttempts,
    connections::NewConnection,
    expression::{Expression, OPEN},
    item::{from_item, time, to_item},
    keys, millis, ttl,
    write::{SendWrite, built, conditional},
};

/// How often the person in a session may tell us what Salesforce showed.
const MAX_REPORTS: u32 = 50;

/// How long sessions and attempts are kept after they end, for support to look at.
pub(crate) const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What became of creating a session.
#[derive(Debug)]
pub enum Created {
    /// It is new.
    New,
    /// The same call was made before; this is what it made.
    Before(Box<ConnectSession>),
    /// The idempotency key was used before for a different call.
    Different,
}

impl Lookup<ConnectSession> {
    /// The session of that id.
    pub fn session(id: &SessionId) -> Self {
        Self { key: keys::session(id), read: |pk, item| from_item::<SessionRow>(pk, item)?.read(pk) }
    }
}

impl Store {
    /// Stores a new session, unless the same call was made before. `call` digests what was asked for.
    pub async fn create_session(&self, session: &ConnectSession, call: &Hash) -> Result<Created, StoreError> {
        let key = keys::session(&session.id);
        let mut item = to_item(&key, &SessionRow::new(session))?;
        item.insert("call".into(), S(call.as_str()));
        item.insert("ttl".into(), ttl(session.expires_at + KEPT));
        let customer = keys::customers_sessions(&session.product, &Hash::of(&session.customer.id));
        item.insert("customer_pk".into(), S(customer));
        // In the order of their creation: an id is a digest and has none.
        let order = format!("{:013}#{}", session.created_at.as_millisecond(), session.id);
        item.insert("listing_sk".into(), S(order));
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        match conditional("PutItem", put)? {
            Ok(_) => Ok(Created::New),
            Err(Some(before)) if before.get("call") == Some(&S(call.as_str())) => {
                from_item::<SessionRow>(&key.pk, before)?.read(&key.pk).map(Box::new).map(Created::Before)
            }
            Err(_) => Ok(Created::Different),
        }
    }

    /// The session of that id.
    pub async fn session(&self, id: &SessionId) -> Result<Option<ConnectSession>, StoreError> {
        self.find(&Lookup::session(id)).await
    }

    /// The session of that id, noting that its page was seen: read and mark in one request. Nothing else
    /// changes, for mail scanners and previews open links too.
    pub async fn open_session(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<ConnectSession>, StoreError> {
        let key = keys::session(id);
        let opened = self
            .update(&key)
            .update_expression("SET opened_at = if_not_exists(opened_at, :now)")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", millis(now))
            .return_values(ReturnValue::AllNew)
            .send_write()
            .await;
        match conditional("UpdateItem", opened)? {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                from_item::<SessionRow>(&key.pk, item)?.read(&key.pk).map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    /// Stores a new connection and marks its session as returned, both or neither. `false`: the session has succeeded
    /// before.
    pub async fn save_connection(&self, new: &NewConnection<'_>) -> Result<bool, StoreError> {
        let connection = &new.record.connection;
        let (receipt, redeem_by) = &new.receipt;
        for open in OpenAttempts::ALL {
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(new.record.item(new.due)?))
                .condition_expression("attribute_not_exists(pk)")
                .build();
            let update = self
                .session_update(new.session)
                .update_expression(format!(
                    "SET #state = :returned, #connection = :id, receipt = :receipt, redeem_by = :by, \
                     returned_at = :at, browser = :browser, browser_attempt = :attempt {}",
                    open.without(&["last_failure", "identity_change"])
                ))
                .bound_to(new.browser)
                .expression_attribute_names("#connection", "connection")
                .expression_attribute_values(":returned", S("returned"))
                .expression_attribute_values(":at", millis(connection.created_at))
                .expression_attribute_values(":id", S(connection.id.as_str()))
                .expression_attribute_values(":receipt", S(receipt.as_str()))
                .expression_attribute_values(":by", millis(*redeem_by));
            let update = open.on_open_session(update, &new.browser.attempt).build();
            let writes = vec![built(put)?, built(update)?, self.history_write(connection)?];
            if self.transact(writes).await?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records what the person in a session told us, and leaves the session open. `false`: it has been told
    /// too often, or the session is over; whoever holds a link cannot fill the table. A report ends no attempt.
    pub async fn report_failure(&self, session: &SessionId, failure: &Failure) -> Result<bool, StoreError> {
        let put = self.failure_write(failure)?;
        let update = self
            .session_update(session)
            .update_expression("SET #state = :failed, last_failure = :failure ADD reports :one")
            .condition_expression(format!("{OPEN} AND (attribute_not_exists(reports) OR reports < :most)"))
            .open_states()
            .expression_attribute_values(":failure", last_failure(failure)?)
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(MAX_REPORTS));
        Ok(self.transact(vec![put, built(update.build())?]).await?.is_ok())
    }

    /// Marks a session whose browser never came back, with its likely cause, unless it came back after all. Without a
    /// failure where the product was deleted: nobody is left to show one to.
    pub async fn lose_session(
        &self,
        session: &SessionId,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut update = self
            .session_update(session)
            .update_expression("SET #state = :lost REMOVE due_shard, due_at, open_attempts")
            .condition_expression("#state = :redirected AND due_at <= :now")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":lost", S("lost"))
            .expression_attribute_values(":redirected", S("redirected"))
            .expression_attribute_values(":now", millis(now));
        let mut writes = Vec::new();
        if let Some(failure) = failure {
            update = update
                .update_expression(
                    "SET #state = :lost, last_failure = :failure REMOVE due_shard, due_at, open_attempts",
                )
                .expression_attribute_values(":failure", last_failure(failure)?);
            writes.push(self.failure_write(failure)?);
        }
        writes.push(built(update.build())?);
        Ok(self.transact(writes).await?.is_ok())
    }

    pub(crate) fn session_update(&self, id: &SessionId) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        self.update_together(&keys::session(id))
    }
}

pub(crate) fn last_failure(failure: &Failure) -> Result<AttributeValue, StoreError> {
    let last = LastFailure { id: failure.id.clone(), cause: failure.cause.clone() };
    serde_dynamo::to_attribute_value(last)
        .map_err(|error| StoreError::Corrupt { pk: keys::failure(&failure.id).pk, what: error.to_string() })
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
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
            user_name: session.user_name.clone(),
            known_host: session.known_host.clone(),
            scopes: session.scopes.clone(),
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
            user_name: self.user_name,
            host: self.host,
            known_host: self.known_host,
            scopes: self.scopes,
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
