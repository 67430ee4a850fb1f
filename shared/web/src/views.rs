//! Connections and causes as the API shows them. Times are RFC 3339 in UTC; no token is ever part of a view.

use diagnosis::{Candidate, Cause};
use domain::{
    App, Connection, ConnectionState, Customer, Environment, Failure, Identity, Product,
    session::{Change, Whose},
};
use jiff::Timestamp;
use pages::{Names, fill};
use serde::Serialize;

/// A time as every answer has it: RFC 3339 in UTC, cut to milliseconds as the table stores it. So each way of reading a
/// resource says the same, and clients that take at most six digits of a second can parse it.
pub fn time(at: Timestamp) -> String {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at).to_string()
}

/// A connection.
#[derive(Debug, Serialize)]
pub struct ConnectionView<'a> {
    id: &'a str,
    state: &'a str,
    app: &'a str,
    customer: &'a Customer,
    /// The product's user who made it.
    user: &'a str,
    org_id: &'a str,
    salesforce_user_id: &'a str,
    username: Option<&'a str>,
    environment: Environment,
    login_host: &'a str,
    instance_url: &'a str,
    scopes: Vec<&'a str>,
    created_at: String,
    /// The failure that stands in the way, where one does: its help page is `/help/{failure}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

impl<'a> From<&'a Connection> for ConnectionView<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            id: connection.id.as_str(),
            state: connection.state.word(),
            app: connection.app.as_str(),
            customer: &connection.customer,
            user: &connection.user,
            org_id: connection.identity.org.as_str(),
            salesforce_user_id: connection.identity.user.as_str(),
            username: connection.identity.username.as_deref(),
            environment: connection.environment,
            login_host: &connection.login_host,
            instance_url: &connection.instance_url,
            scopes: connection.scopes.iter().collect(),
            created_at: time(connection.created_at),
            failure: match &connection.state {
                ConnectionState::NeedsReauth { failure, .. } | ConnectionState::Blocked { failure, .. } => {
                    Some(failure.as_str())
                }
                _ => None,
            },
        }
    }
}

/// A Salesforce user and their org.
#[derive(Debug, Serialize)]
pub struct IdentityView<'a> {
    org_id: &'a str,
    salesforce_user_id: &'a str,
    username: Option<&'a str>,
}

impl<'a> From<&'a Identity> for IdentityView<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self {
            org_id: identity.org.as_str(),
            salesforce_user_id: identity.user.as_str(),
            username: identity.username.as_deref(),
        }
    }
}

/// A reconnect that came back as another org or user.
#[derive(Debug, Serialize)]
pub struct ChangeView<'a> {
    before: WhoseView<'a>,
    after: WhoseView<'a>,
    /// The same username in a sandbox whose org id is a new one.
    sandbox_refreshed: bool,
}

#[derive(Debug, Serialize)]
struct WhoseView<'a> {
    #[serde(flatten)]
    identity: IdentityView<'a>,
    environment: Environment,
    instance_url: &'a str,
}

impl<'a> From<&'a Change> for ChangeView<'a> {
    fn from(change: &'a Change) -> Self {
        let whose = |whose: &'a Whose| WhoseView {
            identity: IdentityView::from(&whose.identity),
            environment: whose.environment,
            instance_url: &whose.instance_url,
        };
        Self {
            before: whose(&change.before),
            after: whose(&change.after),
            sandbox_refreshed: change.is_sandbox_refresh(),
        }
    }
}

/// A cause, read from evidence.
#[derive(Debug, Clone, Serialize)]
pub struct CauseView {
    /// Its id in the catalogue.
    pub cause: &'static str,
    /// What happened, in a sentence for people.
    pub title: String,
    /// Who acts: `end_user`, `admin`, `vendor` or `wait`.
    pub actor: &'static str,
    /// How sure the reading is: `sure`, `likely` or `possible`.
    pub confidence: &'static str,
}

impl CauseView {
    /// One reading, in the words of this product and app.
    pub fn new(candidate: &Candidate, product: &Product, app: &App, customer: &Customer) -> Self {
        Self::of(candidate.cause, candidate.confidence, product, app, customer)
    }

    /// A cause that is held to be so sure, in the words of this product and app.
    pub fn of(
        cause: &'static Cause,
        confidence: domain::Confidence,
        product: &Product,
        app: &App,
        customer: &Customer,
    ) -> Self {
        Self {
            cause: cause.id,
            title: title(cause, product, app, customer),
            actor: cause.actor_in(Some(app)).word(),
            confidence: confidence.word(),
        }
    }
}

/// A failure, as it is on record.
#[derive(Debug, Serialize)]
pub struct FailureView<'a> {
    id: &'a str,
    /// What a person reads out.
    reference: String,
    at: String,
    product: &'a str,
    app: &'a str,
    customer: &'a Customer,
    org_id: Option<&'a str>,
    environment: Option<Environment>,
    login_host: Option<&'a str>,
    stage: &'static str,
    surface: &'static str,
    /// `observed` by us, or `reported` by somebody: that proves nothing.
    provenance: &'static str,
    code: Option<&'a str>,
    description: Option<&'a str>,
    http_status: Option<u16>,
    cause: &'a str,
    title: Option<String>,
    /// Who acts; absent where the catalogue no longer has the cause.
    actor: Option<&'static str>,
    confidence: Option<&'static str>,
    session_id: Option<&'a str>,
    connection_id: Option<&'a str>,
    help_url: String,
    resolved: Option<ResolvedView<'a>>,
}

/// The success that ended a failure.
#[derive(Debug, Serialize)]
pub struct ResolvedView<'a> {
    at: String,
    session_id: Option<&'a str>,
    connection_id: Option<&'a str>,
}

impl<'a> FailureView<'a> {
    /// A failure of a product's; `origin` is ours.
    pub fn new(failure: &'a Failure, product: &Product, origin: &str) -> Self {
        let (cause, app) = (diagnosis::cause(&failure.cause), product.app(&failure.app));
        Self {
            id: failure.id.as_str(),
            reference: failure.id.reference(),
            at: time(failure.at),
            product: failure.product.as_str(),
            app: failure.app.as_str(),
            customer: &failure.customer,
            org_id: failure.org.as_ref().map(domain::OrgId::as_str),
            environment: failure.environment,
            login_host: failure.login_host.as_deref(),
            stage: failure.stage.word(),
            surface: failure.evidence.surface.word(),
            provenance: failure.evidence.provenance.word(),
            code: failure.evidence.code.as_deref(),
            description: failure.evidence.description.as_deref(),
            http_status: failure.evidence.http_status,
            cause: &failure.cause,
            title: cause.zip(app).map(|(cause, app)| title(cause, product, app, &failure.customer)),
            actor: cause.map(|cause| cause.actor_in(app).word()),
            confidence: failure.confidence.map(domain::Confidence::word),
            session_id: failure.session.as_ref().map(domain::SessionId::as_str),
            connection_id: failure.connection.as_ref().map(domain::ConnectionId::as_str),
            help_url: format!("{origin}/help/{}", failure.id),
            resolved: failure.resolved.as_ref().map(|resolved| ResolvedView {
                at: time(resolved.at),
                session_id: resolved.session.as_ref().map(domain::SessionId::as_str),
                connection_id: resolved.connection.as_ref().map(domain::ConnectionId::as_str),
            }),
        }
    }
}

/// What happened, in the words of this product and app.
pub fn title(cause: &Cause, product: &Product, app: &App, customer: &Customer) -> String {
    fill(cause.title, &Names::of(&product.brand).app(app, None).customer(customer))
}
