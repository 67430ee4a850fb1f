//! `GET|POST /v1/connections/{id}/token`: what a caller gets.

use std::time::Duration;

use domain::{
    App, Connection, ConnectionState,
    secret::{AccessToken, Fingerprint},
};
use grants::refresh::{MAX_WAIT, Need, REPORTED, Renewal};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, log::internal};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::{ConnectionRecord, Field, Owner};
use telemetry::{Fact, Outcome, about, ended};
use web::{Problem, Query, Request, Response, request, respond, views};

use crate::{
    Token,
    error::{TokenError, not_yet, reconnect_call, stopped},
};

/// What the caller knows (POST), or nothing (GET).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    /// The fingerprint of a token that Salesforce answered with 401.
    rejected: Option<String>,
    /// How long, in seconds, the token has to live at least.
    minimum_lifetime: Option<u32>,
}

/// Maximum of `minimum_lifetime`, in seconds.
const MAX_MINIMUM_LIFETIME: u32 = 12 * 60 * 60;

#[derive(Debug, Serialize)]
struct TokenView<'a> {
    connection_id: &'a str,
    access_token: &'a str,
    token_type: &'static str,
    instance_url: &'a str,
    scopes: Vec<&'a str>,
    scopes_missing: Vec<&'a str>,
    issued_at: String,
    /// Until when the token is taken to work: Salesforce does not say in its answer.
    expires_at: String,
    /// On what that rests.
    expires_at_basis: &'static str,
    /// Send it back as `rejected` if Salesforce answers this token with 401.
    fingerprint: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

fn need(request: &Request, query: &Query) -> Result<Need, TokenError> {
    let call: Call = if request.method() == Method::POST { request::json(request)? } else { Call::default() };
    let rejected = match call.rejected.as_deref() {
        None => None,
        Some(text) => Some(Fingerprint::parse(text).ok_or_else(|| {
            Problem::bad_request("rejected must be the fingerprint that came with the token, not the token")
        })?),
    };
    let wait = query.get("wait").map(str::parse::<u64>).transpose();
    let longest = MAX_WAIT.as_secs();
    let wait = match wait {
        Ok(wait) if wait.unwrap_or_default() <= longest => wait.map(Duration::from_secs),
        _ => return Err(Problem::bad_request(format!("wait must be 0 to {longest} seconds")).into()),
    };
    let seconds = call.minimum_lifetime.unwrap_or_default();
    if seconds > MAX_MINIMUM_LIFETIME {
        let what = format!("minimum_lifetime is 0 to {MAX_MINIMUM_LIFETIME} seconds");
        return Err(Problem::bad_request(what).into());
    }
    let need = Need::of_product(rejected, SignedDuration::from_secs(i64::from(seconds)));
    Ok(match wait {
        Some(wait) => need.waiting(wait),
        None => need,
    })
}

impl Token {
    pub(crate) async fn get_token(
        &self,
        request: &Request,
        query: &Query,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let time = request::deadline(request, now);
        let (caller, record) = self.own(request, id, now).await?;
        let need = need(request, query)?;
        let app = caller
            .product
            .app(&record.connection.app)
            .ok_or_else(|| TokenError::Unconfigured(record.connection.id.to_string()))?;
        let reconnect = reconnect_call(&caller.product, &record.connection);
        match self.usable(record, app, &need, &time).await? {
            Renewal::Fresh(record) => {
                let shortfall = need.shortfall(&record, time.now());
                self.view(app, &record, shortfall).await
            }
            Renewal::StillWorks(record, why) => self.view(app, &record, Some(why)).await,
            Renewal::NotYet(later) => {
                ended(Outcome::NotReady);
                if let Some(cause) = later.cause {
                    about(Fact::Cause, cause.id);
                }
                Err(not_yet(&later, &self.platform.settings.public_url).into())
            }
            Renewal::Stopped(why) => {
                ended(Outcome::Stopped);
                about(Fact::Cause, why.cause.id);
                about(Fact::Reference, why.failure.reference());
                Err(stopped(reconnect, &why, &self.platform.settings.public_url).into())
            }
            Renewal::Gone => Err(Problem::not_found("connection").into()),
        }
    }

    /// A record whose token will do: as it is stored or, where that is not fresh, renewed.
    pub(crate) async fn usable(
        &self,
        record: ConnectionRecord,
        app: &App,
        need: &Need,
        time: &Deadline,
    ) -> Result<Renewal, TokenError> {
        if let Some(refused) = Self::refused(&record) {
            return Err(refused.into());
        }
        let now = time.now();
        if record.connection.state != ConnectionState::Active || !need.is_met_by(&record, now) {
            return Ok(self.refresher.renew(record, app, need, time).await?);
        }
        if record.unasked {
            self.ask_on(&record).await;
        }
        let paused = record.paused.as_ref().is_some_and(|paused| paused.holds(now));
        // Reported, and tested since: else it would not be returned at all.
        let reported = record.rejected.is_some();
        let record = Box::new(record);
        Ok(if reported {
            Renewal::StillWorks(record, REPORTED)
        } else if paused {
            Renewal::StillWorks(record, "Salesforce rejects fresh tokens")
        } else {
            Renewal::Fresh(record)
        })
    }

    /// The access token itself.
    pub(crate) async fn open(&self, record: &ConnectionRecord) -> Result<AccessToken, TokenError> {
        let Connection { product, id, .. } = &record.connection;
        let owner = Owner { product, connection: id };
        let token = self.cipher.open(owner, Field::AccessToken, &record.access_token).await?;
        Ok(AccessToken::new(token.expose_secret()))
    }

    /// Somebody asks for a token that the sweep fetched: one write a token's life. What goes wrong with it
    /// costs a refresh ahead and no more.
    async fn ask_on(&self, record: &ConnectionRecord) {
        let due = grants::refresh::token_lifetime::ahead_of(record);
        if let Err(error) = self.platform.store.mark_asked(record, due).await {
            internal(&error);
        }
    }

    /// The answer for a connection that was not redeemed, or is on its way out.
    pub(crate) fn refused(record: &ConnectionRecord) -> Option<Problem> {
        match &record.connection.state {
            ConnectionState::Active
            | ConnectionState::RefreshUnknown { .. }
            | ConnectionState::NeedsReauth { .. }
            | ConnectionState::Blocked { .. } => None,
            ConnectionState::Pending { .. } | ConnectionState::Parked { .. } => Some(Problem::not_redeemed()),
            ConnectionState::Revoking { .. } => Some(Problem::not_found("connection")),
        }
    }

    async fn view(
        &self,
        app: &App,
        record: &ConnectionRecord,
        warning: Option<&'static str>,
    ) -> Result<Response, TokenError> {
        let connection = &record.connection;
        let token = self.open(record).await?;
        ended(Outcome::HandedOut);
        let view = TokenView {
            connection_id: connection.id.as_str(),
            access_token: token.expose(),
            token_type: "Bearer",
            instance_url: &connection.instance_url,
            scopes: connection.scopes.iter().collect(),
            scopes_missing: connection.scopes.missing(&app.scopes),
            issued_at: views::time(record.issued_at),
            expires_at: views::time(record.expires_at),
            expires_at_basis: record.expiry_basis.word(),
            fingerprint: record.access_fingerprint.as_str(),
            state: connection.state.word(),
            warning,
        };
        Ok(respond::json(StatusCode::OK, &view))
    }
}
