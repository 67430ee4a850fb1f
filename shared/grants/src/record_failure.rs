//! Evidence → a failure: diagnosed, logged once, and with an address for its help page.

use diagnosis::{Actor, Cause, Context, Diagnosis};
use domain::{
    App, Attempt, ConnectSession, Connection, ConnectionId, Customer, Environment, Evidence, Failure,
    FailureId, OrgId, ProductId, Provenance, SessionState, Stage, secret::Hash,
};
use jiff::{SignedDuration, Timestamp};
use store::{NoteOutcome, StoreError, connection_lists::ConnectionSummary};
use telemetry::{Fact, about, failed};

use platform::Platform;

/// The same thing that is met at a connection again within this time is one failure.
const SAME: SignedDuration = SignedDuration::from_mins(10);

/// Maximum repeatable failures recorded per connection per day.
const MAX_PER_CONNECTION: u32 = 50;

/// Maximum texts recorded per day of what people paste on the help page of one failure.
const MAX_REFINEMENTS: u32 = 10;

/// What a failure happened to.
#[derive(Debug, Clone, Copy)]
pub enum FailureSubject<'a> {
    /// An attempt to connect.
    Attempt(&'a Attempt),
    /// A connect session, told by the person in it.
    Session(&'a ConnectSession),
    /// A connection.
    Connection(&'a Connection),
    /// A connection of a product's as a list shows it, for functions that may not read tokens.
    Listed(&'a ProductId, &'a ConnectionSummary),
    /// An earlier failure, of which somebody tells more.
    Refined(&'a Failure),
    /// A refresh token that a product brought, which is no connection yet.
    Import {
        /// The product.
        product: &'a ProductId,
        /// The customer.
        customer: &'a Customer,
        /// The origin where the token is refreshed.
        login_host: &'a str,
        /// Which kind of host that is.
        environment: Environment,
    },
}

/// What became of recording what may be met again and again.
#[derive(Debug)]
pub enum RecordOutcome {
    /// It has a help page, made now.
    Now(FailureId),
    /// The same was recorded a moment ago: this is its page.
    Before(FailureId),
    /// The connection, or the failure that is refined, has had too many today.
    TooMany,
}

impl FailureSubject<'_> {
    fn environment(&self) -> Option<Environment> {
        match self {
            FailureSubject::Attempt(attempt) => Some(attempt.environment),
            FailureSubject::Connection(connection) => Some(connection.environment),
            FailureSubject::Listed(_, listed) => Some(listed.environment),
            FailureSubject::Import { environment, .. } => Some(*environment),
            FailureSubject::Session(session) => session.environment,
            FailureSubject::Refined(failure) => failure.environment,
        }
    }

    fn connection(&self) -> Option<&ConnectionId> {
        match self {
            FailureSubject::Connection(connection) => Some(&connection.id),
            FailureSubject::Listed(_, listed) => Some(&listed.id),
            FailureSubject::Refined(failure) => failure.connection.as_ref(),
            FailureSubject::Attempt(_) | FailureSubject::Session(_) | FailureSubject::Import { .. } => None,
        }
    }

    /// Maximum reports about the subject per day.
    fn most(&self) -> u32 {
        if matches!(self, FailureSubject::Refined(_)) { MAX_REFINEMENTS } else { MAX_PER_CONNECTION }
    }

    /// What repeated reports are counted by: the connection, or the first failure of those that refine it.
    fn subject(&self) -> Option<&str> {
        match self {
            FailureSubject::Refined(failure) => {
                Some(failure.refines.as_ref().unwrap_or(&failure.id).as_str())
            }
            _ => self.connection().map(ConnectionId::as_str),
        }
    }
}

/// What was met, and on what way.
#[derive(Debug)]
pub struct Observation<'a> {
    of: FailureSubject<'a>,
    app: &'a App,
    stage: Stage,
    evidence: Evidence,
    connected_before: Option<bool>,
    error: Option<&'a (dyn std::error::Error + Sync)>,
}

impl<'a> Observation<'a> {
    /// Evidence, met at a stage of what it happened to.
    pub fn new(of: FailureSubject<'a>, app: &'a App, stage: Stage, evidence: Evidence) -> Self {
        let connected_before = of.connection().is_some().then_some(true);
        Self { of, app, stage, evidence, connected_before, error: None }
    }

    /// In an org from which this app was, or was not, connected before; `None`: not known.
    #[must_use]
    pub fn in_an_org(self, connected_before: Option<bool>) -> Self {
        Self { connected_before, ..self }
    }

    /// What it means.
    pub fn diagnosis(&self) -> Diagnosis {
        let context = Context {
            stage: self.stage,
            app_kind: self.app.kind,
            environment: self.of.environment(),
            connected_before: self.connected_before,
        };
        diagnosis::diagnose(&self.evidence, &context)
    }

    /// What tells it from whatever else is met at the same connection.
    fn digest(&self) -> Hash {
        let Evidence { surface, provenance, code, description, http_status, .. } = &self.evidence;
        Hash::of(&format!(
            "{:?} {surface:?} {provenance:?} {http_status:?} {code:?} {description:?}",
            self.stage
        ))
    }

    /// The same as before: it is counted as often as it is met, and has the page that it had.
    pub fn again(&self, before: &FailureId) {
        let cause = self.diagnosis().cause();
        failed(self.stage.word(), cause.id, self.evidence.provenance == Provenance::Reported);
        about(Fact::Reference, before.reference());
        about(Fact::Cause, cause.id);
        about(Fact::Stage, self.stage.word());
    }

    /// Because of this error: for the log alone.
    #[must_use]
    pub fn because(self, error: &'a (dyn std::error::Error + Sync)) -> Self {
        Self { error: Some(error), ..self }
    }
}

/// Diagnoses what was met and makes the failure to be recorded. It is logged here, once, with the error
/// behind it: an operator finds it by the reference that a person reads out.
pub fn diagnose(met: Observation<'_>, now: Timestamp) -> (Failure, Diagnosis) {
    let diagnosis = met.diagnosis();
    let Observation { of, app, stage, evidence, connected_before, error } = met;
    let environment = of.environment();
    let connection = of.connection().cloned();
    let (product, customer, session, login_host) = match of {
        FailureSubject::Attempt(attempt) => (
            &attempt.product,
            &attempt.customer,
            Some(attempt.session.clone()),
            Some(attempt.login_host.clone()),
        ),
        FailureSubject::Session(session) => {
            (&session.product, &session.customer, Some(session.id.clone()), None)
        }
        FailureSubject::Connection(connection) => (
            &connection.product,
            &connection.customer,
            connection.session.clone(),
            Some(connection.login_host.clone()),
        ),
        FailureSubject::Listed(product, listed) => (product, &listed.customer, None, None),
        FailureSubject::Refined(failure) => {
            (&failure.product, &failure.customer, failure.session.clone(), failure.login_host.clone())
        }
        FailureSubject::Import { product, customer, login_host, .. } => {
            (product, customer, None, Some(login_host.to_owned()))
        }
    };
    let sent_at = match of {
        FailureSubject::Attempt(attempt) => Some(attempt.began_at),
        FailureSubject::Session(ConnectSession { state: SessionState::Redirected { at }, .. }) => Some(*at),
        FailureSubject::Refined(failure) => failure.sent_at,
        _ => None,
    };
    let org: Option<OrgId> = match of {
        FailureSubject::Connection(connection) => Some(connection.identity.org.clone()),
        FailureSubject::Listed(_, listed) => Some(listed.identity.org.clone()),
        FailureSubject::Refined(failure) => failure.org.clone(),
        FailureSubject::Attempt(_) | FailureSubject::Session(_) | FailureSubject::Import { .. } => None,
    };
    let failure = Failure {
        id: FailureId::mint(now),
        at: now,
        sent_at,
        product: product.clone(),
        app: app.id.clone(),
        customer: customer.clone(),
        session,
        connection,
        org,
        login_host,
        environment,
        connected_before,
        stage,
        evidence,
        cause: diagnosis.cause().id.to_owned(),
        incident: None,
        confidence: diagnosis.ranked.first().map(|first| first.confidence),
        resolved: None,
        refines: match of {
            FailureSubject::Refined(failure) => Some(failure.refines.as_ref().unwrap_or(&failure.id).clone()),
            _ => None,
        },
    };
    count(&failure, diagnosis.cause());
    log(&failure, diagnosis.cause().actor_in(Some(app)), error);
    (failure, diagnosis)
}

/// Records what may be reported repeatedly: a repeated check, a product that reports each call, a refresh that is refused
/// each time, a page on which somebody pastes more. The same report within ten minutes is one failure, and a day has a
/// limit: beyond it a report that was made before keeps its page.
pub async fn record_once(
    platform: &Platform,
    met: Observation<'_>,
    now: Timestamp,
) -> Result<RecordOutcome, StoreError> {
    let (what, since) = (met.digest(), now - SAME);
    let Some(subject) = met.of.subject().map(str::to_owned) else {
        let (failure, _) = diagnose(met, now);
        platform.store.record_failure(&failure).await?;
        return Ok(RecordOutcome::Now(failure.id));
    };
    if let Some(before) = platform.store.noted(&subject, &what, since).await? {
        met.again(&before);
        return Ok(RecordOutcome::Before(before));
    }
    let most = met.of.most();
    let (failure, _) = diagnose(met, now);
    Ok(match platform.store.note_failure(&subject, &what, &failure, since, most).await? {
        NoteOutcome::New => RecordOutcome::Now(failure.id),
        NoteOutcome::Before(before) => RecordOutcome::Before(before),
        NoteOutcome::TooMany => match platform.store.noted(&subject, &what, Timestamp::MIN).await? {
            Some(before) => RecordOutcome::Before(before),
            None => RecordOutcome::TooMany,
        },
    })
}

/// The same names as in the log, on the page and in the API.
fn count(failure: &Failure, cause: &'static Cause) {
    let Failure { stage, product, app, session, connection, evidence, .. } = failure;
    failed(stage.word(), cause.id, evidence.provenance == Provenance::Reported);
    about(Fact::Reference, failure.id.reference());
    about(Fact::Cause, cause.id);
    about(Fact::Stage, stage.word());
    about(Fact::Product, product.as_str());
    about(Fact::App, app.as_str());
    if let Some(session) = session {
        about(Fact::Session, session.as_str());
    }
    if let Some(connection) = connection {
        about(Fact::Connection, connection.as_str());
    }
}

fn log(failure: &Failure, actor: Actor, error: Option<&(dyn std::error::Error + Sync)>) {
    let (code, description) = (failure.evidence.code.as_deref(), failure.evidence.description.as_deref());
    tracing::warn!(
        reference = failure.id.reference(),
        cause = failure.cause,
        stage = failure.stage.word(),
        acts = ?actor,
        provenance = ?failure.evidence.provenance,
        product = %failure.product,
        app = %failure.app,
        session = failure.session.as_ref().map(tracing::field::display),
        connection = failure.connection.as_ref().map(tracing::field::display),
        status = failure.evidence.http_status,
        code,
        description,
        error = error.map(tracing::field::display),
        "{}: {}",
        failure.stage.word(),
        failure.cause,
    );
}
