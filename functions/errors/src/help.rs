//! `GET /help/{id}`: one failure, two readers. The diagnosis is made anew from the stored evidence, so that a
//! page is never older than the catalogue.

use diagnosis::{Actor, Context, guide::Audience};
use domain::{ConnectSession, ConnectionState, Environment, Failure, FailureId, SessionState, Stage};
use http::StatusCode;
use jiff::Timestamp;
use pages::{HelpPage, HelpState, Page, WayOn};
use serde::Serialize;
use store::StoreError;
use web::{
    Request, Response,
    browser_binding::AttemptCookie,
    respond::{self, Forms, page},
};

use crate::{Errors, error::ErrorsError};

#[derive(Debug, Serialize)]
struct Status {
    state: &'static str,
}

impl Errors {
    pub(crate) async fn help(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, ErrorsError> {
        let (failure, session) = self.found(id, now).await?;
        let (product, app) = self.parties(&failure.product, &failure.app, now).await?;
        let context = Context {
            stage: failure.stage,
            app_kind: app.kind,
            environment: failure.environment,
            connected_before: failure.connected_before,
        };
        let diagnosis = diagnosis::diagnose(&failure.evidence, &context);
        let address = self.platform.settings.public_url.at(&format!("/help/{}", failure.id));
        let status = format!("/help/{}/status", failure.id);
        let guide = pages::guide::path(&failure.product, &failure.app, Audience::Admin);
        let setup_origin = self.setup_origin(&failure);
        let open = session.as_ref().filter(|session| session.is_open(now));
        // An answer that was released from quarantine: the link leads on to the product.
        let returned =
            session.as_ref().filter(|session| matches!(session.state, SessionState::Returned { .. }));
        let connect = open
            .or(returned)
            .and_then(|session| AttemptCookie::of_session(request, session))
            .map(|cookie| format!("/connect/{}", cookie.key.expose()));
        let trouble = open.and(connect.as_ref()).map(|connect| format!("{connect}/trouble"));
        // A help link goes from hand to hand: only the browser that the session is bound to may go on there.
        let retry = match (&connect, &session) {
            (Some(connect), _) => Some(WayOn::Connect(connect)),
            (None, Some(session)) => Some(WayOn::Product(session.return_to.as_str())),
            (None, None) => None,
        };
        let state = self.state(&failure, session.as_ref()).await?;
        Ok(page(StatusCode::OK, Forms::Ours, |nonce| {
            HelpPage {
                nonce,
                brand: &product.brand,
                app: &app,
                customer: &failure.customer,
                diagnosis: &diagnosis,
                evidence: &failure.evidence,
                at: failure.at,
                environment: failure.environment,
                setup_origin: setup_origin.as_deref(),
                address: &address,
                status: Some(&status),
                reference: &failure.id.reference(),
                retry,
                tell_more: trouble.as_deref(),
                guide: &guide,
                wave: failure.incident.as_ref().map(|incident| incident.scope),
                state,
            }
            .html()
        }))
    }

    pub(crate) async fn status(&self, id: &str, now: Timestamp) -> Result<Response, ErrorsError> {
        let (failure, session) = self.found(id, now).await?;
        let state = match self.state(&failure, session.as_ref()).await? {
            HelpState::Open => "open",
            HelpState::Resolved => "resolved",
        };
        Ok(respond::json(StatusCode::OK, &Status { state }))
    }

    async fn found(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<(Failure, Option<ConnectSession>), ErrorsError> {
        let id: FailureId = id.parse().map_err(|_| ErrorsError::UnknownLink)?;
        let failure = self.platform.store.failure(&id, now).await?.ok_or(ErrorsError::UnknownLink)?;
        let session = match &failure.session {
            Some(session) => self.platform.store.session(session).await?,
            None => None,
        };
        Ok((failure, session))
    }

    /// Whether it is over: the customer has connected since, in the same session; or a connection that had stopped
    /// works again. The session that made a connection says nothing of what befell the connection later.
    async fn state(
        &self,
        failure: &Failure,
        session: Option<&ConnectSession>,
    ) -> Result<HelpState, StoreError> {
        let resolved = match (failure.stage, &failure.connection) {
            (Stage::Refresh, Some(connection)) if stops(failure) => {
                let listed = self.platform.store.listed(&failure.product, connection).await?;
                listed.is_some_and(|listed| listed.state == ConnectionState::Active.word())
            }
            (Stage::Refresh | Stage::Api, _) => false,
            _ => matches!(session.map(|session| &session.state), Some(SessionState::Connected { .. })),
        };
        Ok(if resolved { HelpState::Resolved } else { HelpState::Open })
    }

    /// The org's own My Domain, for links into its Setup: from the login host that the attempt went to, or
    /// from an address that the user pasted; either only if it is one of Salesforce's. A shared login host
    /// names no org.
    fn setup_origin(&self, failure: &Failure) -> Option<String> {
        let hosts = self.platform.salesforce.hosts();
        [failure.login_host.as_deref(), failure.evidence.host.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(|host| hosts.my_domain(host).ok())
            .find(|host| host.environment() == Environment::MyDomain)
            .map(|host| host.origin().to_owned())
    }
}

/// Whether a connection that meets this stops until somebody has acted.
fn stops(failure: &Failure) -> bool {
    let cause = diagnosis::cause(&failure.cause);
    cause.is_some_and(|cause| matches!(cause.actor, Actor::EndUser | Actor::Admin))
}
