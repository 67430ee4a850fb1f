//! Evidence → a failure: diagnosed, logged once, and with an address for its help page.

use domain::{
    App, Attempt, ConnectSession, Connection, Evidence, Failure, FailureId, OrgId, Stage,
    diagnosis::{self, Actor, Context, Diagnosis},
};
use jiff::Timestamp;
use lambda_http::tracing;

/// What a failure happened to.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// An attempt to connect.
    Attempt(&'a Attempt),
    /// A connect session, told by the person in it.
    Session(&'a ConnectSession),
    /// A connection.
    Connection(&'a Connection),
}

/// What was met, and on what way.
#[derive(Debug)]
pub struct Met<'a> {
    of: Of<'a>,
    app: &'a App,
    stage: Stage,
    evidence: Evidence,
    connected_before: Option<bool>,
    error: Option<&'a (dyn std::error::Error + Sync)>,
}

impl<'a> Met<'a> {
    /// Evidence, met at a stage of what it happened to.
    pub fn new(of: Of<'a>, app: &'a App, stage: Stage, evidence: Evidence) -> Self {
        let connected_before = matches!(of, Of::Connection(_)).then_some(true);
        Self { of, app, stage, evidence, connected_before, error: None }
    }

    /// In an org from which this app was, or was not, connected before; `None`: not known.
    #[must_use]
    pub fn in_an_org(self, connected_before: Option<bool>) -> Self {
        Self { connected_before, ..self }
    }

    /// Because of this error: for the log alone.
    #[must_use]
    pub fn because(self, error: &'a (dyn std::error::Error + Sync)) -> Self {
        Self { error: Some(error), ..self }
    }
}

/// Diagnoses what was met and makes the failure to be recorded. It is logged here, once, with the error
/// behind it: an operator finds it by the reference that a person reads out.
pub fn diagnose(met: Met<'_>, now: Timestamp) -> (Failure, Diagnosis) {
    let Met { of, app, stage, evidence, connected_before, error } = met;
    let environment = match of {
        Of::Attempt(attempt) => Some(attempt.environment),
        Of::Connection(connection) => Some(connection.environment),
        Of::Session(_) => None,
    };
    let diagnosis =
        diagnosis::diagnose(&evidence, &Context { stage, app_kind: app.kind, environment, connected_before });
    let (product, customer, session, connection, login_host) = match of {
        Of::Attempt(attempt) => (
            &attempt.product,
            &attempt.customer,
            Some(attempt.session.clone()),
            None,
            Some(attempt.login_host.clone()),
        ),
        Of::Session(session) => (&session.product, &session.customer, Some(session.id.clone()), None, None),
        Of::Connection(connection) => (
            &connection.product,
            &connection.customer,
            Some(connection.session.clone()),
            Some(connection.id.clone()),
            Some(connection.login_host.clone()),
        ),
    };
    let org: Option<OrgId> = match of {
        Of::Connection(connection) => Some(connection.identity.org.clone()),
        Of::Attempt(_) | Of::Session(_) => None,
    };
    let failure = Failure {
        id: FailureId::mint(now),
        at: now,
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
    };
    log(&failure, diagnosis.cause().actor, error);
    (failure, diagnosis)
}

/// Logs what failed on our own side, once, and gives the reference under which the log has it.
pub fn internal(error: &dyn std::error::Error) -> String {
    let reference = format!("LK-{}", domain::id::base32(&domain::secret::random::<5>()).to_ascii_uppercase());
    tracing::error!(reference, error = %error, "failed: {error}");
    reference
}

/// Logs why a visit was refused, once. What was sent is not repeated: it may be anybody's, and anything.
pub fn refused(why: impl std::fmt::Display) {
    tracing::info!(refused = %why, "refused: {why}");
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
