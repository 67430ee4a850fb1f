//! `POST /v1/connections/{id}/check`: a connection, proved against Salesforce. It says what is wrong, or soon will
//! be, as a diagnosis, and changes nothing of a connection that works.

use diagnosis::evidence;
use grants::record_failure::record_once;
use std::{sync::Arc, time::Duration};

use diagnosis::{Actor, Cause, guide::Audience};
use domain::{
    App, Confidence, Connection, ConnectionId, ConnectionState, Evidence, FailureId, Identity, Product,
    SaturatingTime as _, Stage, Surface, secret::AccessToken,
};
use grants::record_failure::{FailureSubject, Observation, RecordOutcome};
use grants::refresh::{Need, Renewal};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use platform::Deadline;
use salesforce::{
    SalesforceError,
    probe::{Told, Unknown, Who},
};
use serde::Serialize;
use store::ConnectionRecord;
use tokio::time::{Instant, timeout_at};
use web::{
    Problem, Request, Response, respond,
    views::{self, CauseView},
};

use crate::{
    Token,
    error::{TokenError, not_yet, salesforce_is_away},
    import::OFFLINE,
};

/// How long Salesforce may take over one question.
const QUESTION: Duration = Duration::from_secs(5);

/// What of an invocation is kept for putting on record what was found, and for the answer.
const RECORD: Duration = Duration::from_secs(3);

/// A grant that Salesforce ends within this time, if nothing refreshes it, is worth a word. Keep-alive refreshes at
/// half of the idle life, so only one whose refreshes fail comes so close.
const IDLE_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a check says that got no answer.
const NOTHING_FOUND: &str = "Nothing was found out, and the connection is as it was: ask again.";

#[derive(Debug, Serialize)]
struct CheckView<'a> {
    connection_id: &'a str,
    checked_at: String,
    /// Whether nothing is wrong now.
    ok: bool,
    state: &'a str,
    /// Who the token speaks for, as Salesforce tells it now; null where it could not be asked.
    identity: Option<IdentityView<'a>>,
    scopes: ScopesView<'a>,
    api: ApiView,
    app: AppView,
    token: TokenView<'a>,
    /// Null: there is no refresh token.
    refresh: Option<RefreshView>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct IdentityView<'a> {
    org_id: &'a str,
    salesforce_user_id: &'a str,
    username: Option<&'a str>,
    active: Option<bool>,
}

#[derive(Debug, Serialize)]
struct ScopesView<'a> {
    granted: Vec<&'a str>,
    missing: Vec<&'a str>,
}

#[derive(Debug, Default, Serialize)]
struct ApiView {
    enabled: Option<bool>,
    /// Why `enabled` is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct AppView {
    installed: Option<bool>,
    /// Why `installed` is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    installed_why: Option<&'static str>,
    admin_approved_only: Option<bool>,
    /// Why `admin_approved_only` is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_approved_only_why: Option<&'static str>,
}

/// The access token that Salesforce was asked with, or the last one.
#[derive(Debug, Serialize)]
struct TokenView<'a> {
    issued_at: String,
    /// Until when it is taken to work.
    expires_at: String,
    /// On what that rests.
    expires_at_basis: &'a str,
}

#[derive(Debug, Serialize)]
struct RefreshView {
    /// When the connection was refreshed last.
    last_at: String,
    /// When Salesforce ends it, if nothing refreshes it before then.
    idle_ends_at: String,
}

#[derive(Debug, Serialize)]
struct Finding {
    #[serde(flatten)]
    cause: CauseView,
    /// Whether it does not hurt yet.
    soon: bool,
    /// What a person reads out to support, where the failure is on record.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The failure's own page, or the guide for whoever acts.
    help_url: String,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    who: Option<Who>,
    api: ApiView,
    installed: Option<Told>,
    admin_approved_only: Option<Told>,
    /// What is wrong now, in Salesforce's words or ours.
    wrong: Vec<Evidence>,
}

/// What Salesforce says to a token, of who and of what it may do.
struct Answers {
    who: Result<Who, SalesforceError>,
    /// `None`: the scope was not granted, so there is nothing to ask.
    api: Option<Result<(), SalesforceError>>,
}

/// A check under way.
struct Check<'a> {
    product: &'a Arc<Product>,
    app: &'a App,
    now: Timestamp,
    findings: Vec<Finding>,
}

/// What became of asking Salesforce.
enum Proof {
    /// It answered.
    Answered(Box<ConnectionRecord>, Answers),
    /// There is no token to ask with.
    Stopped(&'static Cause, FailureId),
}

impl Token {
    pub(crate) async fn check(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let time = web::request::deadline(request, now);
        let (caller, record) = self.own(request, id, now).await?;
        let id = record.connection.id.clone();
        let product = &caller.product;
        let app =
            product.app(&record.connection.app).ok_or_else(|| TokenError::Unconfigured(id.to_string()))?;
        let mut check = Check { product, app, now, findings: Vec::new() };
        let (record, answers) = match self.prove(record, app, &time).await? {
            Proof::Answered(record, answers) => (record, answers),
            Proof::Stopped(cause, failure) => return self.stopped(check, &id, cause, &failure).await,
        };
        let mut seen = Self::read(&record, app, answers)?;
        if seen.api.enabled == Some(true) {
            self.ask_of_the_app(&record, app, &mut seen, &time).await?;
        }
        for evidence in std::mem::take(&mut seen.wrong) {
            self.report(&mut check, &record.connection, evidence).await?;
        }
        self.foresee(&mut check, &record, &seen);
        Ok(check.view(&record, seen))
    }

    /// Asks Salesforce with the connection's token. One that nothing takes has ended before its time; then a newer
    /// one tells what is wrong, if anything is.
    async fn prove(&self, record: ConnectionRecord, app: &App, time: &Deadline) -> Result<Proof, TokenError> {
        let mut held = record;
        let mut rejected = None;
        loop {
            let need = Need::of_product(rejected.clone(), SignedDuration::ZERO);
            let usable = match self.usable(held, app, &need, time).await? {
                Renewal::Fresh(record) | Renewal::StillWorks(record, _) => record,
                Renewal::NotYet(later) => {
                    return Err(not_yet(&later, &self.platform.settings.public_url).into());
                }
                Renewal::Gone => return Err(Problem::not_found("connection").into()),
                Renewal::Stopped(stopped) => return Ok(Proof::Stopped(stopped.cause, stopped.failure)),
            };
            let answers = self.ask(&usable, time).await?;
            if rejected.is_some() || !answers.is_dead() {
                return Ok(Proof::Answered(usable, answers));
            }
            rejected = Some(usable.access_fingerprint.clone());
            held = *usable;
        }
    }

    /// The answer for a connection that has no token: what stands in its way is on record.
    async fn stopped(
        &self,
        mut check: Check<'_>,
        id: &ConnectionId,
        cause: &'static Cause,
        failure: &FailureId,
    ) -> Result<Response, TokenError> {
        let store = &self.platform.store;
        let record = store.connection(id).await?.ok_or_else(|| Problem::not_found("connection"))?;
        let evidence = store.failure(failure, check.now).await?.map(|failure| failure.evidence);
        let ranked = evidence.map(|evidence| {
            Observation::new(
                FailureSubject::Connection(&record.connection),
                check.app,
                Stage::Refresh,
                evidence,
            )
            .diagnosis()
            .ranked
        });
        let confidence = ranked
            .and_then(|ranked| ranked.into_iter().find(|candidate| candidate.cause.id == cause.id))
            .map_or(Confidence::Likely, |candidate| candidate.confidence);
        let help_url = self.platform.settings.public_url.at(&format!("/help/{failure}"));
        check.find(&record.connection, cause, confidence, false, Some(failure.reference()), help_url);
        let mut seen = Seen::default();
        seen.api.why = Some("there is no token to ask with");
        self.foresee(&mut check, &record, &seen);
        Ok(check.view(&record, seen))
    }

    /// Asks Salesforce who the token speaks for, and whether the API takes it, both at once.
    async fn ask(&self, record: &ConnectionRecord, time: &Deadline) -> Result<Answers, TokenError> {
        let token = self.open(record).await?;
        let Connection { instance_url, scopes, .. } = &record.connection;
        let salesforce = &self.platform.salesforce;
        let api = async {
            if scopes.grants("api") { Some(salesforce.try_api(instance_url, &token).await) } else { None }
        };
        let both = async { tokio::join!(salesforce.who(instance_url, &token), api) };
        let asked = timeout_at(patience(time), both).await;
        let (who, api) = asked.map_err(|_| salesforce_is_away(NOTHING_FOUND))?;
        Ok(Answers { who, api })
    }

    /// What the answers mean together.
    fn read(record: &ConnectionRecord, app: &App, answers: Answers) -> Result<Seen, TokenError> {
        let connection = &record.connection;
        let mut seen = Seen::default();
        let missing = connection.scopes.missing(&app.scopes);
        // What comes with a refresh token is not missed before the access token ends.
        let missing: Vec<&str> = missing.into_iter().filter(|scope| !OFFLINE.contains(scope)).collect();
        if !missing.is_empty() {
            let which = format!("not granted: {}", missing.join(" "));
            seen.wrong.push(evidence::our_own(Surface::Api, "scope_missing", Some(&which)));
        }
        match answers.api {
            None => seen.api.why = Some("the scope api was not granted"),
            Some(Ok(())) => seen.api.enabled = Some(true),
            Some(Err(error)) if error.is_absence() => return Err(salesforce_is_away(NOTHING_FOUND).into()),
            Some(Err(error)) => {
                let evidence = error.api_evidence();
                let disabled = evidence.code.as_deref().is_some_and(|code| code.starts_with("API_"));
                seen.api.enabled = disabled.then_some(false);
                seen.api.why = (!disabled).then_some("Salesforce refused the call for another reason");
                seen.wrong.push(evidence);
            }
        }
        match answers.who {
            Ok(who) => {
                if !same(&who.identity, &connection.identity) {
                    let which = format!("{} of {}", who.identity.user, who.identity.org);
                    seen.wrong.push(evidence::our_own(Surface::Api, "identity_mismatch", Some(&which)));
                }
                if who.active == Some(false) {
                    let said = Some("userinfo says that the user is inactive");
                    seen.wrong.push(evidence::observed(Surface::Api, Some("inactive_user"), said, None));
                }
                seen.who = Some(who);
            }
            Err(error) if error.is_absence() => return Err(salesforce_is_away(NOTHING_FOUND).into()),
            // A token that the API takes need not be one that may read the identity.
            Err(_) if seen.api.enabled.is_some() => {}
            Err(error) if seen.wrong.is_empty() || matches!(error, SalesforceError::Untrusted(_)) => {
                seen.wrong.push(error.api_evidence());
            }
            Err(_) => {}
        }
        Ok(seen)
    }

    /// Whether the app is installed in the org, and whom it lets in, where the token may ask.
    async fn ask_of_the_app(
        &self,
        record: &ConnectionRecord,
        app: &App,
        seen: &mut Seen,
        time: &Deadline,
    ) -> Result<(), TokenError> {
        let token: AccessToken = self.open(record).await?;
        let (salesforce, instance_url) = (&self.platform.salesforce, &record.connection.instance_url);
        let both = async {
            tokio::join!(
                salesforce.is_installed(instance_url, &token, &app.names),
                salesforce.is_admin_approved_only(instance_url, &token, &app.names),
            )
        };
        let (installed, approved) = timeout_at(patience(time), both)
            .await
            .unwrap_or((Err(Unknown::NoAnswer), Err(Unknown::NoAnswer)));
        seen.installed = Some(installed);
        seen.admin_approved_only = Some(approved);
        Ok(())
    }

    /// What is wrong now is a failure of the connection's: on record, with its page.
    async fn report(
        &self,
        check: &mut Check<'_>,
        connection: &Connection,
        evidence: Evidence,
    ) -> Result<(), TokenError> {
        let met = Observation::new(FailureSubject::Connection(connection), check.app, Stage::Api, evidence);
        let diagnosis = met.diagnosis();
        let Some(first) = diagnosis.ranked.first() else { return Ok(()) };
        let public_url = &self.platform.settings.public_url;
        let (reference, help_url) = match record_once(&self.platform, met, check.now).await? {
            RecordOutcome::Now(failure) | RecordOutcome::Before(failure) => {
                (Some(failure.reference()), public_url.at(&format!("/help/{failure}")))
            }
            RecordOutcome::TooMany => (None, self.guide(check, first.cause)),
        };
        check.find(connection, first.cause, first.confidence, false, reference, help_url);
        Ok(())
    }

    /// What does not hurt yet, and will.
    fn foresee(&self, check: &mut Check<'_>, record: &ConnectionRecord, seen: &Seen) {
        let wants_refresh = check.app.scopes.iter().any(|scope| OFFLINE.contains(&scope.as_str()));
        let idle_ends_at = record.issued_at.later_by(check.app.idle_life());
        let soon = IDLE_SOON.min(check.app.idle_life() / 4);
        let ended = matches!(record.connection.state, ConnectionState::NeedsReauth { .. });
        let idles_out = record.refresh_token.is_some() && !ended && check.now + soon >= idle_ends_at;
        let foreseen = [
            (idles_out, "refresh_policy", Confidence::Likely),
            (record.refresh_token.is_none() && wants_refresh, "refresh_token_missing", Confidence::Sure),
            (
                matches!(record.connection.state, ConnectionState::RefreshUnknown { .. }),
                "answer_lost",
                Confidence::Possible,
            ),
            (seen.installed == Some(Ok(false)), "app_not_installed", Confidence::Likely),
        ];
        for (_, cause, confidence) in foreseen.into_iter().filter(|(holds, ..)| *holds) {
            let known = check.findings.iter().any(|finding| finding.cause.cause == cause);
            if let Some(cause) = diagnosis::cause(cause).filter(|_| !known) {
                let guide = self.guide(check, cause);
                check.find(&record.connection, cause, confidence, true, None, guide);
            }
        }
    }

    /// The guide for whoever acts.
    fn guide(&self, check: &Check<'_>, cause: &Cause) -> String {
        let audience = match cause.actor_in(Some(check.app)) {
            Actor::Vendor | Actor::Wait => Audience::Vendor,
            Actor::Admin | Actor::EndUser => Audience::Admin,
        };
        self.platform.settings.public_url.at(&pages::guide::path(&check.product.id, &check.app.id, audience))
    }
}

impl Answers {
    /// Whether nothing takes the token: it has ended, whatever was thought.
    fn is_dead(&self) -> bool {
        let refused =
            |error: &SalesforceError| matches!(error, SalesforceError::Refused { status: 401 | 403, .. });
        let api = match &self.api {
            Some(Ok(())) => false,
            Some(Err(error)) => matches!(error, SalesforceError::Refused { status: 401, .. }),
            None => true,
        };
        api && self.who.as_ref().is_err_and(refused)
    }
}

impl Check<'_> {
    fn find(
        &mut self,
        connection: &Connection,
        cause: &'static Cause,
        confidence: Confidence,
        soon: bool,
        reference: Option<String>,
        help_url: String,
    ) {
        let cause = CauseView::of(cause, confidence, self.product, self.app, &connection.customer);
        self.findings.push(Finding { cause, soon, reference, help_url });
    }

    fn view(self, record: &ConnectionRecord, seen: Seen) -> Response {
        let connection = &record.connection;
        let ok = self.findings.iter().all(|finding| finding.soon);
        let told = |told: Option<Told>| match told {
            Some(Ok(told)) => (Some(told), None),
            Some(Err(unknown)) => (None, Some(unknown.why())),
            None => (None, Some("it can be asked only with a token that the API takes")),
        };
        let (installed, installed_why) = told(seen.installed);
        let (admin_approved_only, admin_approved_only_why) = told(seen.admin_approved_only);
        let view = CheckView {
            connection_id: connection.id.as_str(),
            checked_at: views::time(self.now),
            ok,
            state: connection.state.word(),
            identity: seen.who.as_ref().map(|who| IdentityView {
                org_id: who.identity.org.as_str(),
                salesforce_user_id: who.identity.user.as_str(),
                username: who.identity.username.as_deref(),
                active: who.active,
            }),
            scopes: ScopesView {
                granted: connection.scopes.iter().collect(),
                missing: connection.scopes.missing(&self.app.scopes),
            },
            api: seen.api,
            app: AppView { installed, installed_why, admin_approved_only, admin_approved_only_why },
            token: TokenView {
                issued_at: views::time(record.issued_at),
                expires_at: views::time(record.expires_at),
                expires_at_basis: record.expiry_basis.word(),
            },
            refresh: record.refresh_token.is_some().then(|| RefreshView {
                last_at: views::time(record.issued_at),
                idle_ends_at: views::time(record.issued_at.later_by(self.app.idle_life())),
            }),
            findings: self.findings,
        };
        respond::json(StatusCode::OK, &view)
    }
}

/// Until when a question that is asked now is worth waiting for.
fn patience(time: &Deadline) -> Instant {
    Instant::now() + QUESTION.min(time.left().saturating_sub(RECORD))
}

fn same(one: &Identity, other: &Identity) -> bool {
    one.org.same_as(&other.org) && one.user.same_as(&other.user)
}
