//! `GET /v1/connect-sessions/{id}`: how it stands.

use domain::{ConnectSession, ConnectionId, Customer, SessionState};
use jiff::Timestamp;
use platform::settings::PublicUrl;
use serde::Serialize;
use store::Lookup;
use web::{
    Problem, Request, Response, api_auth, respond,
    views::{self, ChangeView},
};

use crate::{Authorize, error::AuthorizeError};

/// A session as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct SessionView<'a> {
    id: &'a str,
    /// `created`, `opened`, `redirected`, `returned`, `parked`, `connected`, `failed`, `lost` or `expired`.
    status: &'a str,
    /// The link for the user, in the answer to the creating call alone: the table holds no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_url: Option<String>,
    app: &'a str,
    customer: &'a Customer,
    user: &'a str,
    return_to: &'a str,
    created_at: String,
    expires_at: String,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<&'a str>,
    /// The connection that is authorized anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    reconnects: Option<&'a str>,
    /// Until when the user can confirm that another org or user than before is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked_until: Option<String>,
    /// That another org or user than before came back, and which.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_change: Option<ChangeView<'a>>,
    /// What went wrong last, while nothing has gone right since.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView<'a>>,
}

#[derive(Debug, Serialize)]
struct FailureView<'a> {
    id: &'a str,
    cause: &'a str,
    reference: String,
    help_url: String,
}

impl<'a> SessionView<'a> {
    pub(crate) fn of(session: &'a ConnectSession, public_url: &PublicUrl, now: Timestamp) -> Self {
        let (connection, parked_until) = match &session.state {
            SessionState::Connected { connection } => (Some(connection.as_str()), None),
            SessionState::Parked { until, .. } => (None, Some(*until)),
            _ => (None, None),
        };
        let returned_until = match &session.state {
            SessionState::Returned { redeem_by, .. } => Some(session.expires_at.max(*redeem_by)),
            _ => None,
        };
        let over = now >= parked_until.or(returned_until).unwrap_or(session.expires_at);
        Self {
            id: session.id.as_str(),
            status: if over && connection.is_none() { "expired" } else { session.state.word() },
            connect_url: None,
            app: session.app.as_str(),
            customer: &session.customer,
            user: &session.user,
            return_to: session.return_to.as_str(),
            created_at: views::time(session.created_at),
            expires_at: views::time(session.expires_at),
            attempts: session.attempts,
            connection_id: connection,
            reconnects: session.reconnects.as_ref().map(ConnectionId::as_str),
            parked_until: parked_until.map(views::time),
            identity_change: session.change.as_ref().map(ChangeView::from),
            failure: session.last_failure.as_ref().map(|failure| FailureView {
                id: failure.id.as_str(),
                cause: &failure.cause,
                reference: failure.id.reference(),
                help_url: public_url.at(&format!("/help/{}", failure.id)),
            }),
        }
    }

    pub(crate) fn with_link(mut self, connect_url: String) -> Self {
        self.connect_url = Some(connect_url);
        self
    }
}

impl Authorize {
    pub(crate) async fn show(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, AuthorizeError> {
        let unknown = || Problem::not_found("connect session");
        let products = &self.platform.products;
        let Ok(id) = id.parse() else {
            api_auth::caller(products, request, now).await?.ok_or_else(|| Problem::unauthorized(request))?;
            return Err(unknown().into());
        };
        let found = api_auth::caller_and(products, request, &Lookup::session(&id), now).await?;
        let (caller, session) = found.ok_or_else(|| Problem::unauthorized(request))?;
        let session = session.filter(|session| session.product == caller.product.id).ok_or_else(unknown)?;
        Ok(respond::json(
            http::StatusCode::OK,
            &SessionView::of(&session, &self.platform.settings.public_url, now),
        ))
    }
}
