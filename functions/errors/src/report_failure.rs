//! `POST /v1/connections/{id}/failures`: what the product met when it used Salesforce's API. It chooses a page; it
//! raises no alarm and changes no connection. The connection is looked up as a list shows it: this function cannot
//! read tokens.

use diagnosis::evidence;
use diagnosis::{Actor, read_paste, scrub};
use domain::{ConnectionId, Evidence, Stage, Surface};
use grants::record_failure::record_once;
use grants::record_failure::{FailureSubject, Observation, RecordOutcome};
use http::StatusCode;
use jiff::Timestamp;
use platform::log::internal;
use serde::{Deserialize, Serialize};
use store::StoreError;
use telemetry::{Outcome, ended};
use web::{Problem, Request, RequestError, Response, api_auth, request, respond, views::CauseView};

use crate::Errors;

/// Longer error codes are none of Salesforce's.
const MAX_CODE: usize = 100;

/// A message is read up to this many bytes, a raw text (an answer's body, a log's lines) up to the body's limit.
const MAX_MESSAGE: usize = 8 * 1024;

/// So many errors of one answer.
const MAX_ERRORS: usize = 10;

/// What the call takes: at least one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    /// Salesforce's error code.
    code: Option<String>,
    /// What it said with it.
    message: Option<String>,
    /// The answer's HTTP status.
    http_status: Option<u16>,
    /// The answer's body as JSON, where it is Salesforce's list of errors.
    #[serde(default, deserialize_with = "web::json_object::optional_objects")]
    body: Option<Vec<ApiError>>,
    /// Whatever else there is to read, as text.
    raw: Option<String>,
}

/// One error of Salesforce's REST API. Salesforce adds members as it likes.
#[derive(Deserialize)]
struct ApiError {
    #[serde(rename = "errorCode")]
    code: String,
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct ReportView<'a> {
    id: &'a str,
    reference: String,
    connection_id: &'a str,
    #[serde(flatten)]
    cause: CauseView,
    /// What else it may be, the likeliest first.
    others: Vec<CauseView>,
    help_url: String,
    /// What the product does next: `retry`, `reconnect`, `send_to_admin` or `fix_app`.
    next: &'static str,
}

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreported {
    /// The answer says why.
    #[error("refused")]
    Refused(Box<Problem>),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Problem> for Unreported {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<RequestError> for Unreported {
    fn from(refused: RequestError) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}

impl From<Unreported> for Response {
    fn from(unreported: Unreported) -> Self {
        match unreported {
            Unreported::Refused(problem) => (*problem).into(),
            Unreported::Store(_) => Problem::internal(&internal(&unreported)).into(),
        }
    }
}

impl Errors {
    pub(crate) async fn report_failure(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, Unreported> {
        let caller = api_auth::caller(&self.platform.products, request, now)
            .await?
            .ok_or_else(|| Problem::unauthorized(request))?;
        let evidence = request::json::<Call>(request)?.evidence()?;
        let unknown = || Problem::not_found("connection");
        let id: ConnectionId = id.parse().map_err(|_| unknown())?;
        let product = &caller.product;
        let listed = self.platform.store.listed(&product.id, &id).await?.ok_or_else(unknown)?;
        let app = product.app(&listed.app).ok_or_else(unknown)?;

        let met = Observation::new(FailureSubject::Listed(&product.id, &listed), app, Stage::Api, evidence);
        let ranked = met.diagnosis().ranked;
        let (status, failure) = match record_once(&self.platform, met, now).await? {
            RecordOutcome::Now(failure) => (StatusCode::CREATED, failure),
            RecordOutcome::Before(failure) => (StatusCode::OK, failure),
            RecordOutcome::TooMany => return Err(too_many().into()),
        };
        ended(Outcome::Reported);
        let mut causes = ranked.iter().map(|found| CauseView::new(found, product, app, &listed.customer));
        let (Some(cause), Some(first)) = (causes.next(), ranked.first()) else {
            return Err(unknown().into());
        };
        let view = ReportView {
            id: failure.as_str(),
            reference: failure.reference(),
            connection_id: id.as_str(),
            cause,
            others: causes.collect(),
            help_url: self.platform.settings.public_url.at(&format!("/help/{failure}")),
            next: next(first.cause.actor_in(Some(app))),
        };
        Ok(respond::json(status, &view))
    }
}

impl Call {
    /// What was reported. Secrets that came along are taken out of whatever is kept.
    fn evidence(self) -> Result<Evidence, Problem> {
        let Self { code, message, http_status, body, raw } = self;
        if http_status.is_some_and(|status| !(100..=599).contains(&status)) {
            return Err(Problem::bad_request("http_status is 100 to 599"));
        }
        let (code, message) = match (code, body) {
            (Some(_), Some(_)) => return Err(Problem::bad_request("give code or body, not both")),
            (None, Some(errors)) if errors.is_empty() || errors.len() > MAX_ERRORS => {
                return Err(Problem::bad_request(format!("body is a list of 1 to {MAX_ERRORS} errors")));
            }
            (None, Some(errors)) => {
                let first = errors.into_iter().next();
                let (code, said) = first.map_or((None, None), |error| (Some(error.code), error.message));
                (code, said.or(message))
            }
            (code, None) => (code, message),
        };
        if code.as_deref().is_some_and(|code| !is_code(code)) {
            return Err(Problem::bad_request("the error code is not of the form of one of Salesforce's"));
        }
        if message.as_ref().is_some_and(|message| message.len() > MAX_MESSAGE) {
            return Err(Problem::bad_request(format!("a message has at most {} kB", MAX_MESSAGE / 1024)));
        }
        let message = message.map(|message| scrub(&message)).filter(|message| !message.trim().is_empty());
        match (&code, &message, raw) {
            (None, None, Some(raw)) if !raw.trim().is_empty() => {
                let read = read_paste(&raw)
                    .unwrap_or_else(|| evidence::reported(None, Some(&scrub(&raw)), http_status));
                Ok(Evidence { surface: Surface::Api, http_status, ..read })
            }
            (None, None, _) if http_status.is_none() => {
                Err(Problem::bad_request("give code, body, message, http_status or raw"))
            }
            _ => Ok(evidence::reported(code.as_deref(), message.as_deref(), http_status)),
        }
    }
}

/// Whether it can be an error code: a misplaced token is none, and is not kept.
fn is_code(code: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=MAX_CODE).contains(&code.len()) && code.bytes().all(plain) && scrub(code) == code
}

/// What the product does, by who can act.
fn next(actor: Actor) -> &'static str {
    match actor {
        Actor::Wait => "retry",
        Actor::EndUser => "reconnect",
        Actor::Admin => "send_to_admin",
        Actor::Vendor => "fix_app",
    }
}

fn too_many() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-reports",
        "This connection has had too many different failures today",
        "What was reported before has its pages; more tomorrow.",
    )
    .retry_after(3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Evidence, Problem> {
        serde_json::from_str::<Call>(json).expect("the form").evidence()
    }

    #[test]
    fn salesforces_own_answer_is_read_as_it_stands() {
        let body = r#"{"http_status":403,"body":[{"message":"The REST API is not enabled for this Organization.",
            "errorCode":"API_DISABLED_FOR_ORG","fields":[]}]}"#;
        let evidence = read(body).unwrap();
        assert_eq!(evidence.code.as_deref(), Some("API_DISABLED_FOR_ORG"));
        assert_eq!(evidence.http_status, Some(403));
        assert_eq!(evidence.provenance, domain::Provenance::Reported);
    }

    #[test]
    fn a_secret_is_neither_a_code_nor_kept_in_a_message() {
        let token = "5Aep861TSESvWeug_w5Oil7mXqYqYDVVTTvp6AFDGd3LFyvZDuaZPQGuJyyVf3sdfqGkGbdxvpRTUk8yf4hJdxC";
        assert!(read(&format!(r#"{{"code":"{token}"}}"#)).is_err());
        let kept = read(&format!(r#"{{"code":"INVALID_SESSION_ID","message":"sent {token}"}}"#)).unwrap();
        assert!(!format!("{kept:?}").contains(token), "{kept:?}");
        let raw =
            read(&format!(r#"{{"raw":"401 INVALID_SESSION_ID for GET /x Authorization: Bearer {token}"}}"#));
        let raw = raw.unwrap();
        assert!(!format!("{raw:?}").contains(token), "{raw:?}");
        assert_eq!(raw.code.as_deref(), Some("INVALID_SESSION_ID"));
    }

    #[test]
    fn nobody_reports_what_only_we_can_find() {
        for own in diagnosis::evidence::OUR_OWN {
            let code = read(&format!(r#"{{"code":"{own}"}}"#)).unwrap().code;
            assert_eq!(code.as_deref(), Some("unexpected_answer"));
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for bad in [
            "{}",
            r#"{"raw":"  "}"#,
            r#"{"http_status":42}"#,
            r#"{"body":[]}"#,
            r#"{"code":"x","body":[{"errorCode":"y"}]}"#,
            r#"{"code":"two words"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
