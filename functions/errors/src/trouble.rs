//! `GET|POST /connect/{key}/trouble`: Salesforce kept the user on a page of its own and told us nothing. The
//! user tells: a choice, or the pasted address or text, in which the true cause stands.

use diagnosis::evidence;
use diagnosis::{read_paste, scrub};
use domain::{ConnectSession, Evidence, Provenance, Stage, Surface, secret::ConnectKey};
use grants::record_failure::{FailureSubject, Observation, diagnose};
use http::StatusCode;
use jiff::Timestamp;
use pages::{NoticePage, Page, Seen, TroublePage, WayOn};
use platform::log::refused;
use telemetry::{Outcome, ended};
use web::{
    Request, Response,
    request::{Form, is_same_origin},
    respond::{Forms, page, redirect},
};

use crate::{Errors, error::ErrorsError};

impl Errors {
    pub(crate) async fn trouble(&self, key: &str, now: Timestamp) -> Result<Response, ErrorsError> {
        let key = ConnectKey::new(key);
        let session = self.platform.store.session(&key.session()).await?.ok_or(ErrorsError::UnknownLink)?;
        self.ask(&key, &session, StatusCode::OK, None, now).await
    }

    pub(crate) async fn told(
        &self,
        request: &Request,
        key: &str,
        now: Timestamp,
    ) -> Result<Response, ErrorsError> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            return Err(ErrorsError::ForeignForm);
        }
        let form = Form::of_body(request).map_err(|_| ErrorsError::BadForm)?;
        let key = ConnectKey::new(key);
        let session = self.platform.store.session(&key.session()).await?.ok_or(ErrorsError::UnknownLink)?;
        let seen = form.only("seen").and_then(Seen::from_word);
        let pasted = form.only("pasted").unwrap_or_default().trim();
        if !session.is_open(now) || (seen.is_none() && pasted.is_empty()) {
            return self.ask(&key, &session, StatusCode::UNPROCESSABLE_ENTITY, seen, now).await;
        }
        let (_, app) = self.parties(&session.product, &session.app, now).await?;
        let evidence = evidence(seen, pasted);
        let host = evidence.host.clone().or_else(|| session.host.my_domain().map(str::to_owned));
        let connected_before =
            self.platform.connected_before(&session.product, &session.app, host.as_deref()).await;
        let met = Observation::new(FailureSubject::Session(&session), &app, Stage::Authorize, evidence);
        let (failure, _) = diagnose(met.in_an_org(connected_before), now);
        if !self.platform.store.report_failure(&session.id, &failure).await? {
            return self.ask(&key, &session, StatusCode::TOO_MANY_REQUESTS, seen, now).await;
        }
        ended(Outcome::Reported);
        Ok(redirect(&format!("/help/{}", failure.id)))
    }

    async fn ask(
        &self,
        key: &ConnectKey,
        session: &ConnectSession,
        status: StatusCode,
        seen: Option<Seen>,
        now: Timestamp,
    ) -> Result<Response, ErrorsError> {
        let (product, app) = self.parties(&session.product, &session.app, now).await?;
        if !session.is_open(now) {
            refused(format_args!("the connect session is over: {}", session.id));
            let back = WayOn::Product(session.return_to.as_str());
            return Ok(page(StatusCode::GONE, Forms::Ours, |nonce| {
                NoticePage::expired_link(nonce, &product.brand).with_way_on(back).html()
            }));
        }
        let back = format!("/connect/{}", key.expose());
        let action = format!("{back}/trouble");
        Ok(page(status, Forms::Ours, |nonce| {
            TroublePage {
                nonce,
                brand: &product.brand,
                app: &app,
                customer: &session.customer,
                action: &action,
                back: &back,
                seen,
                nothing_given: status == StatusCode::UNPROCESSABLE_ENTITY,
            }
            .html()
        }))
    }
}

/// What the user reported. A pasted text outranks a choice, because it contains the cause. The choice still says where the
/// text was seen, and it alone decides if the text is unknown.
fn evidence(seen: Option<Seen>, pasted: &str) -> Evidence {
    let (surface, code) = match seen {
        Some(Seen::GenericError) => (Surface::HostedPage, Some("OAUTH_APPROVAL_ERROR_GENERIC")),
        Some(Seen::RawText) => (Surface::RawBody, None),
        Some(Seen::LoginProblem) => (Surface::OtherPage, None),
        Some(Seen::Other) | None => (Surface::Unknown, None),
    };
    if let Some(read) = (!pasted.is_empty()).then(|| read_paste(pasted)).flatten() {
        let place = if read.surface == Surface::Unknown { surface } else { read.surface };
        return Evidence { surface: place, ..read };
    }
    let text = scrub(pasted);
    let read = evidence::observed(surface, code, Some(&text), None);
    Evidence { provenance: Provenance::Reported, ..read }
}

#[cfg(test)]
mod tests {
    use diagnosis::{Context, diagnose};
    use domain::{AppKind, Stage};

    use super::*;

    fn cause(seen: Seen, pasted: &str) -> &'static str {
        let context = Context {
            stage: Stage::Authorize,
            app_kind: AppKind::ConnectedApp,
            environment: None,
            connected_before: None,
        };
        diagnose(&evidence(Some(seen), pasted), &context).cause().id
    }

    #[test]
    fn a_choice_counts_where_nobody_understands_the_text() {
        for text in ["", "it was a blue page with a lot of words", "ログインできません"] {
            assert_eq!(cause(Seen::GenericError, text), "app_not_installed", "{text}");
            assert_eq!(cause(Seen::RawText, text), "redirect_uri_mismatch", "{text}");
            assert_eq!(cause(Seen::LoginProblem, text), "authentication_failure", "{text}");
        }
    }

    #[test]
    fn a_text_that_is_understood_counts_before_the_choice() {
        for seen in [Seen::GenericError, Seen::RawText, Seen::LoginProblem, Seen::Other] {
            assert_eq!(cause(seen, "error=invalid_scope"), "scope_not_allowed");
        }
        let read = evidence(Some(Seen::LoginProblem), "our admin blocked your app");
        assert_eq!(read.surface, Surface::OtherPage);
    }
}
