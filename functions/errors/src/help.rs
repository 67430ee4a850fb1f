//! `GET|POST /help/{id}`: one failure, two readers. The diagnosis is made from the stored evidence at each visit, so a
//! page is never older than the catalogue. Anyone with the link can paste more: that makes a failure of its own, which
//! changes neither session nor connection.

use diagnosis::{Actor, Context, evidence, guide::Audience, read_paste, scrub};
use domain::{
    ConnectSession, ConnectionState, Environment, Evidence, Failure, FailureId, Provenance, SessionState,
    Stage, Surface,
};
use grants::record_failure::{FailureSubject, Observation, RecordOutcome, record_once};
use http::StatusCode;
use jiff::Timestamp;
use pages::{HelpPage, HelpState, Page, PasteNote, WayOn};
use serde::Serialize;
use store::StoreError;
use telemetry::{Outcome, ended};
use web::{
    Request, Response,
    browser_binding::AttemptCookie,
    request::{Form, is_same_origin},
    respond::{self, Forms, page, redirect},
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
        self.show(request, &failure, session.as_ref(), None, now).await
    }

    /// A new diagnosis from what somebody pasted. A text that nobody understands is recorded, and the page stays.
    pub(crate) async fn refine(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, ErrorsError> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            return Err(ErrorsError::ForeignForm);
        }
        let form = Form::of_body(request).map_err(|_| ErrorsError::BadForm)?;
        let (failure, session) = self.found(id, now).await?;
        let (_, app) = self.parties(&failure.product, &failure.app, now).await?;
        let pasted = form.only("pasted").unwrap_or_default().trim();
        let note = if pasted.is_empty() {
            PasteNote::Empty
        } else {
            let evidence = refined(&failure.evidence, pasted);
            let met = Observation::new(FailureSubject::Refined(&failure), &app, failure.stage, evidence)
                .in_an_org(failure.connected_before);
            let is_understood = met.diagnosis().cause().id != diagnosis::UNKNOWN;
            match record_once(&self.platform, met, now).await? {
                RecordOutcome::TooMany => PasteNote::TooMany,
                RecordOutcome::Now(id) | RecordOutcome::Before(id) => {
                    ended(Outcome::Reported);
                    if is_understood {
                        return Ok(redirect(&format!("/help/{id}")));
                    }
                    PasteNote::Unknown
                }
            }
        };
        self.show(request, &failure, session.as_ref(), Some(note), now).await
    }

    async fn show(
        &self,
        request: &Request,
        failure: &Failure,
        session: Option<&ConnectSession>,
        note: Option<PasteNote>,
        now: Timestamp,
    ) -> Result<Response, ErrorsError> {
        let (product, app) = self.parties(&failure.product, &failure.app, now).await?;
        let context = Context {
            stage: failure.stage,
            app_kind: app.kind,
            environment: failure.environment,
            connected_before: failure.connected_before,
        };
        let diagnosis = diagnosis::diagnose(&failure.evidence, &context);
        let address = self.platform.settings.public_url.at(&format!("/help/{}", failure.id));
        let callback = self.platform.settings.public_url.callback();
        let paste = format!("/help/{}", failure.id);
        let status = format!("{paste}/status");
        let guide = pages::guide::path(&failure.product, &failure.app, Audience::Admin);
        let setup_origin = self.setup_origin(failure);
        let open = session.filter(|session| session.is_open(now));
        // An answer that was released from quarantine: the link leads on to the product.
        let returned = session.filter(|session| matches!(session.state, SessionState::Returned { .. }));
        let connect = open
            .or(returned)
            .and_then(|session| AttemptCookie::of_session(request, session))
            .map(|cookie| format!("/connect/{}", cookie.key.expose()));
        let trouble = open.and(connect.as_ref()).map(|connect| format!("{connect}/trouble"));
        // A help link goes from hand to hand: only the browser that the session is bound to may go on there.
        let retry = match (&connect, session) {
            (Some(connect), _) => Some(WayOn::Connect(connect)),
            (None, Some(session)) => Some(WayOn::Product(session.return_to.as_str())),
            (None, None) => None,
        };
        let state = self.state(failure, session).await?;
        let status_code = match note {
            None => StatusCode::OK,
            Some(PasteNote::TooMany) => StatusCode::TOO_MANY_REQUESTS,
            Some(PasteNote::Empty | PasteNote::Unknown) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Ok(page(status_code, Forms::Ours, |nonce| {
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
                return_to: session.map(|session| session.return_to.as_str()),
                tell_more: trouble.as_deref(),
                asked_by: session.and_then(|session| session.user_name.as_deref()),
                callback: &callback,
                addresses: &self.platform.settings.egress,
                paste: &paste,
                paste_note: note,
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

    /// Whether it is over: the failure's record says so, whichever session or refresh resolved it. Until the record
    /// follows (the table's stream), what can be seen at once counts too: the same session has connected, or the
    /// connection that had stopped works again.
    async fn state(
        &self,
        failure: &Failure,
        session: Option<&ConnectSession>,
    ) -> Result<HelpState, StoreError> {
        if failure.resolved.is_some() {
            return Ok(HelpState::Resolved);
        }
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

/// What somebody pasted on the page of an earlier failure. Where they saw it stays, if an earlier report said so and a text
/// that is understood does not.
fn refined(before: &Evidence, pasted: &str) -> Evidence {
    let Some(read) = read_paste(pasted) else {
        let text = evidence::observed(Surface::Unknown, None, Some(&scrub(pasted)), None);
        return Evidence { provenance: Provenance::Reported, ..text };
    };
    let is_placed = read.surface != Surface::Unknown || before.provenance != Provenance::Reported;
    let host = read.host.clone().or_else(|| before.host.clone());
    Evidence { surface: if is_placed { read.surface } else { before.surface }, host, ..read }
}

/// Whether a connection that meets this stops until somebody has acted.
fn stops(failure: &Failure) -> bool {
    let cause = diagnosis::cause(&failure.cause);
    cause.is_some_and(|cause| matches!(cause.actor, Actor::EndUser | Actor::Admin))
}
