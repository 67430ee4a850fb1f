//! `POST /v1/connections`: a refresh token that the product holds becomes a connection. [`grants::import`] imports it; here
//! the call is read, and the outcome becomes a response.

mod call;

use diagnosis::Candidate;
use domain::{ConnectionId, FailureId, product::Sharing, secret::RefreshToken};
use grants::import::{ImportError, ImportOutcome, ImportRequest, ImportedConnection};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use store::imports::Import;
use web::{
    Problem, Request, Response,
    api_auth::Caller,
    request, respond,
    views::{CauseView, ConnectionView},
};

use call::Call;
pub(crate) use call::OFFLINE;

use crate::{
    Token,
    error::{TokenError, salesforce_is_away},
};

#[derive(Debug, Serialize)]
struct ImportedView<'a> {
    #[serde(flatten)]
    connection: ConnectionView<'a>,
    /// Whether Salesforce has replaced the token that was sent: then the product's own copy is dead.
    rotated: Option<bool>,
    /// Whether this is a connection of the same Salesforce user that stood before, and has the token now.
    renewed: bool,
    /// Other connections of the same customer, app, org and Salesforce user.
    same_as: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DryRunView<'a> {
    dry_run: bool,
    /// `import` or `already-imported`.
    would: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<&'a str>,
}

impl Token {
    pub(crate) async fn import(&self, request: &Request, now: Timestamp) -> Result<Response, TokenError> {
        let time = request::deadline(request, now);
        let caller = self.caller(request, now).await?;
        let call: Call = request::json(request)?;
        let dry_run = call.dry_run;
        let brought = self.read_import(&caller, call)?;
        match self.importer.import(&brought, dry_run, &time).await {
            Ok(ImportOutcome::Imported(imported)) => {
                let ImportedConnection { connection, rotated, renewed, same_as } = &*imported;
                let status = if *renewed { StatusCode::OK } else { StatusCode::CREATED };
                let view = ImportedView {
                    connection: ConnectionView::from(connection),
                    rotated: Some(*rotated),
                    renewed: *renewed,
                    same_as: same_as.iter().map(ToString::to_string).collect(),
                };
                Ok(respond::json(status, &view))
            }
            Ok(ImportOutcome::ImportedBefore(import)) => {
                self.imported_before(&brought, &import, dry_run).await
            }
            Ok(ImportOutcome::WouldImport) => {
                let view = DryRunView { dry_run, would: "import", connection_id: None };
                Ok(respond::json(StatusCode::OK, &view))
            }
            Err(error) => Err(self.not_imported(&brought, error)),
        }
    }

    /// The answer for a token that was not imported.
    fn not_imported(&self, brought: &ImportRequest<'_>, error: ImportError) -> TokenError {
        let ids = |connections: Vec<ConnectionId>| connections.iter().map(ToString::to_string).collect();
        match error {
            ImportError::AlreadyConnected(connections) => already_connected(
                "The customer is connected at this host. Nothing was sent. If this token is of another org or user, bring \
                 it again with \"another\": true.",
                ids(connections),
            )
            .into(),
            ImportError::ImportedForAnother(connection) => {
                imported_for_another(&connection).into()
            }
            ImportError::UnderWay(seconds) => under_way(seconds).into(),
            ImportError::InQuarantine(failure) => in_quarantine(&failure).into(),
            ImportError::Refused(candidate, failure) => self.refusal(brought, &candidate, &failure).into(),
            ImportError::Away(failure) => {
                salesforce_is_away("Nothing was imported, and the token is as it was: send it again.")
                    .with("reference", failure.reference())
                    .into()
            }
            ImportError::NoTime => no_time().into(),
            ImportError::AppStopped(seconds) => app_stopped(seconds).into(),
            ImportError::Waits(seconds) => salesforce_is_away(
                "An earlier import was refused or not answered. Nothing was sent, and the token is as it was: send it again \
                 after Retry-After.",
            )
            .retry_after(seconds)
            .into(),
            ImportError::Store(error) => error.into(),
            ImportError::Secret(error) => error.into(),
            ImportError::Refresh(error) => error.into(),
        }
    }

    fn read_import<'a>(&self, caller: &'a Caller, call: Call) -> Result<ImportRequest<'a>, TokenError> {
        let product = &*caller.product;
        let (app, host) = call.check(product, self.platform.salesforce.hosts())?;
        let token = RefreshToken::new(call.refresh_token.as_str());
        let mark = token.import_mark(&product.id);
        let Call { customer, user, another, .. } = call;
        Ok(ImportRequest { product, app, customer, user, token, mark, host, another })
    }

    /// The answer for a token that was imported before.
    async fn imported_before(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        dry_run: bool,
    ) -> Result<Response, TokenError> {
        let id = &import.connection;
        let record = self.platform.store.connection(id).await?;
        let is_shared = brought.app.connections == Sharing::Shared;
        if !is_shared && record.as_ref().is_some_and(|record| record.connection.user != brought.user) {
            return Err(imported_for_another(id).into());
        }
        if dry_run {
            let view = DryRunView { dry_run, would: "already-imported", connection_id: Some(id.as_str()) };
            return Ok(respond::json(StatusCode::OK, &view));
        }
        match record {
            Some(record) => {
                let connection = ConnectionView::from(&record.connection);
                let view = ImportedView { connection, rotated: None, renewed: false, same_as: Vec::new() };
                Ok(respond::json(StatusCode::OK, &view))
            }
            None => Err(Problem::new(
                StatusCode::CONFLICT,
                "imported-and-deleted",
                "What this token was imported as has been deleted",
                "Deleting it revoked the grant at Salesforce, so the token is dead: let the user connect.",
            )
            .with("connection_id", id.as_str())
            .into()),
        }
    }

    fn refusal(&self, brought: &ImportRequest<'_>, candidate: &Candidate, failure: &FailureId) -> Problem {
        let CauseView { cause, title, actor, confidence } =
            CauseView::new(candidate, brought.product, brought.app, &brought.customer);
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "import-refused",
            "Salesforce does not take this token",
            "Nothing was imported; help_url says why, and who can do something about it.",
        )
        .with("cause", cause)
        .with("cause_title", title)
        .with("actor", actor)
        .with("confidence", confidence)
        .with("reference", failure.reference())
        .with("help_url", self.platform.settings.public_url.at(&format!("/help/{failure}")))
    }
}

/// Nothing is sent for an app that Salesforce refuses, or whose answers cannot be trusted.
fn app_stopped(seconds: u32) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-sent",
        "Salesforce refuses this app, or its answers for it cannot be used",
        "Nothing was sent, and the token is as it was: send it again. Latchkey's operators have been told.",
    )
    .retry_after(seconds)
}

/// A token is not sent by an invocation that may end before the answer is stored.
fn no_time() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-sent",
        "There was no time left to send this token",
        "Nothing was sent, and the token is as it was: send it again.",
    )
    .retry_after(2)
}

/// The token is being sent, or was sent and not answered.
fn under_way(retry_after: u32) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "import-under-way",
        "This token was sent to Salesforce, and no answer is stored yet",
        "Do not use it elsewhere. Bring it again after Retry-After: then the answer is there, or it is sent once more.",
    )
    .retry_after(retry_after)
}

/// The answer to this token fails a check, and an operator has to look at it.
fn in_quarantine(failure: &FailureId) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "import-quarantined",
        "Salesforce's answer for this token failed a check",
        "The answer is kept, and Latchkey's operators have to look at it. Do not use the token elsewhere. Once they have \
         released it, the same call returns the connection.",
    )
    .with("reference", failure.reference())
}

fn imported_for_another(connection: &ConnectionId) -> Problem {
    let why = "This token was imported for another customer, app or user. Nothing was sent.";
    already_connected(why, vec![connection.to_string()])
}

fn already_connected(why: &str, connections: Vec<String>) -> Problem {
    Problem::new(StatusCode::CONFLICT, "already-connected", "There is a connection already", why)
        .with("connections", connections)
}

#[cfg(test)]
#[path = "../../../tests/fuzz/held/row.rs"]
mod held;
#[cfg(test)]
mod tests;
