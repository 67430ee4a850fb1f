//! A product's connections: list, show, revoke.

use domain::{ConnectionId, FailureId};
use grants::revoke::revoke_and_delete;
use http::StatusCode;
use jiff::Timestamp;
use platform::{
    Platform,
    log::{about_connection, internal},
};
use serde::Serialize;
use store::{
    Backoff, ConnectionRecord, Lookup,
    connection_lists::{ConnectionSummary, ListQuery},
};
use web::{
    Problem, Query, Request, Response, api_auth,
    api_auth::Caller,
    respond,
    views::{self, ConnectionView},
};

use crate::{Token, error::TokenError};

const PAGE: u8 = 50;

#[derive(Debug, Serialize)]
struct ListView<'a> {
    connections: Vec<ListedView<'a>>,
    /// Send it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ListedView<'a> {
    id: &'a str,
    state: &'a str,
    app: &'a str,
    customer: &'a domain::Customer,
    org_id: &'a str,
    salesforce_user_id: &'a str,
    username: Option<&'a str>,
    environment: domain::Environment,
    created_at: String,
}

impl<'a> From<&'a ConnectionSummary> for ListedView<'a> {
    fn from(listed: &'a ConnectionSummary) -> Self {
        Self {
            id: listed.id.as_str(),
            state: &listed.state,
            app: listed.app.as_str(),
            customer: &listed.customer,
            org_id: listed.identity.org.as_str(),
            salesforce_user_id: listed.identity.user.as_str(),
            username: listed.identity.username.as_deref(),
            environment: listed.environment,
            created_at: views::time(listed.created_at),
        }
    }
}

/// One connection.
#[derive(Debug, Serialize)]
struct ShownView<'a> {
    #[serde(flatten)]
    connection: ConnectionView<'a>,
    /// Present while refreshes are refused and retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    retrying: Option<RetryingView<'a>>,
}

/// What is wrong with the refreshes of a connection that may recover.
#[derive(Debug, Serialize)]
struct RetryingView<'a> {
    /// Nothing is sent to Salesforce before this.
    not_before: String,
    /// How many refusals came in a row.
    refusals: u32,
    /// Since when Salesforce refuses the grant itself without a reason that is known to be final; after a day the user
    /// has to connect again.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_url: Option<String>,
}

impl<'a> RetryingView<'a> {
    fn new(backoff: &'a Backoff, platform: &Platform) -> Self {
        let page = |failure| platform.settings.public_url.at(&format!("/help/{failure}"));
        Self {
            not_before: views::time(backoff.not_before),
            refusals: backoff.refusals,
            refused_since: backoff.unexplained_since.map(views::time),
            cause: backoff.cause.as_deref(),
            reference: backoff.failure.as_ref().map(FailureId::reference),
            help_url: backoff.failure.as_ref().map(page),
        }
    }
}

impl Token {
    pub(crate) async fn caller(&self, request: &Request, now: Timestamp) -> Result<Caller, TokenError> {
        Ok(api_auth::caller(&self.platform.products, request, now)
            .await?
            .ok_or_else(|| Problem::unauthorized(request))?)
    }

    /// The caller, and a connection of its product. Another product's is not found: the two are not told apart.
    pub(crate) async fn own(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<(Caller, ConnectionRecord), TokenError> {
        let unknown = || Problem::not_found("connection");
        let Ok(id) = id.parse() else {
            self.caller(request, now).await?;
            return Err(unknown().into());
        };
        let found =
            api_auth::caller_and(&self.platform.products, request, &Lookup::connection(&id), now).await?;
        let (caller, record) = found.ok_or_else(|| Problem::unauthorized(request))?;
        let record = record.filter(|record| record.connection.product == caller.product.id);
        let record = record.ok_or_else(unknown)?;
        about_connection(&record.connection);
        Ok((caller, record))
    }

    pub(crate) async fn list(
        &self,
        request: &Request,
        given: &Query,
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let caller = self.caller(request, now).await?;
        let after = given.get("after").map(str::parse).transpose();
        let limit = given.get("limit").map_or(Ok(PAGE), str::parse);
        let query = ListQuery {
            customer: given.get("customer").map(str::to_owned),
            after: after.map_err(|_| Problem::bad_request("after must be the next of an earlier answer"))?,
            limit: limit
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| Problem::bad_request("limit must be 1 to 100"))?,
        };
        let (listed, next) = self.platform.store.list_connections(&caller.product.id, &query).await?;
        let view = ListView {
            connections: listed.iter().map(ListedView::from).collect(),
            next: next.as_ref().map(ConnectionId::as_str),
        };
        Ok(respond::json(StatusCode::OK, &view))
    }

    pub(crate) async fn show(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let (_, record) = self.own(request, id, now).await?;
        let connection = ConnectionView::from(&record.connection);
        let retrying = record.backoff.as_ref().map(|backoff| RetryingView::new(backoff, &self.platform));
        Ok(respond::json(StatusCode::OK, &ShownView { connection, retrying }))
    }

    /// Revokes at Salesforce and deletes. From the first write on the connection hands out nothing; if
    /// Salesforce cannot be reached, or the connection's last refresh is not answered yet, the answer is 202, and the
    /// sweep goes on.
    pub(crate) async fn revoke(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let (caller, record) = self.own(request, id, now).await?;
        let id = &record.connection.id;
        if !self.platform.store.begin_revoking(&caller.product.id, id, now).await? {
            return Err(Problem::not_found("connection").into());
        }
        // Read again: a refresh may have rotated the refresh token in between.
        let Some(record) = self.platform.store.connection(id).await? else {
            return Ok(respond::no_content());
        };
        // Where a refresh stands begun, what lives at Salesforce may wait in the fallback. The sweep revokes that first;
        // deleted before, the connection would leave nobody to say that it is to be revoked.
        if record.began_at.is_none() {
            match revoke_and_delete(&self.platform, &self.cipher, &record, now).await {
                Ok(()) => return Ok(respond::no_content()),
                Err(error) => {
                    internal(&error);
                }
            }
        }
        Ok(respond::json(StatusCode::ACCEPTED, &ConnectionView::from(&record.connection)))
    }
}
