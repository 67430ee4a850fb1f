//! Setup's front page and *Connected Apps OAuth Usage*, where an admin installs, blocks and unblocks.

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};

use super::{
    super::{
        Salesforce,
        app::{AppRegistration, Standing},
        org::Org,
        params::Params,
        state,
    },
    Refusal, message, page, policies, redirect,
    visit::Admin,
    with_query,
};

pub(super) const HOME: &str = "/lightning/setup/SetupOneHome/home";
pub(super) const USAGE: &str = "/lightning/setup/ConnectedAppsUsage/home";
const INSTALL: &str = "/lightning/setup/ConnectedAppsUsage/install";
const INSTALL_ERROR: &str = "/identity/app/AppInstallErrorPage.apexp";

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route("/lightning/setup", get(|_: Admin| async { redirect(HOME) }))
        .route(HOME, get(home))
        .route(USAGE, get(usage))
        .route(INSTALL, get(confirm_install).post(install))
        .route("/lightning/setup/ConnectedAppsUsage/act", post(act))
        .route(INSTALL_ERROR, get(install_error))
}

#[derive(Template)]
#[template(path = "salesforce/setup_home.html")]
struct SetupHome {
    org_title: String,
}

async fn home(Admin { org }: Admin) -> Response {
    page(&SetupHome { org_title: org.title })
}

#[derive(Template)]
#[template(path = "salesforce/usage.html")]
struct Usage {
    org_title: String,
    rows: Vec<UsageRow>,
}

struct UsageRow {
    app: String,
    consumer_key: String,
    external_client_app: bool,
    installed: bool,
    blocked: bool,
    users: usize,
    policies: String,
}

impl UsageRow {
    fn read(state: &state::State, org: &Org, app: &AppRegistration) -> Option<Self> {
        let standing = org.standing(app);
        if standing == Standing::Unseen {
            return None;
        }
        let live = state.grants.iter().filter(|grant| grant.is_live() && grant.org == org.name);
        let users: std::collections::BTreeSet<_> =
            live.filter(|grant| grant.consumer_key == app.consumer_key).map(|grant| &grant.user).collect();
        Some(Self {
            app: app.label.clone(),
            consumer_key: app.consumer_key.clone(),
            external_client_app: app.is_external_client_app(),
            installed: matches!(standing, Standing::Installed(_)),
            blocked: standing.is_blocked(),
            users: users.len(),
            policies: policies::url(policies::DETAIL, app),
        })
    }

    /// "Allowed" is not installed: the offered action tells them apart.
    fn status(&self) -> &'static str {
        if self.blocked { "Blocked" } else { "Allowed" }
    }
}

/// Uninstalled and blocked apps stand at the bottom, out of alphabetical order.
async fn usage(State(salesforce): State<Salesforce>, Admin { org }: Admin) -> Response {
    let mut rows: Vec<_> = salesforce
        .read(|state| state.apps.iter().filter_map(|app| UsageRow::read(state, &org, app)).collect());
    rows.sort_by_key(|row: &UsageRow| (!row.installed, row.blocked, row.app.to_lowercase()));
    page(&Usage { org_title: org.title, rows })
}

#[derive(Template)]
#[template(path = "salesforce/confirm_install.html")]
struct ConfirmInstall {
    org_title: String,
    app: AppRegistration,
}

/// The app that a query or form names by its consumer key.
pub(super) fn named_app(salesforce: &Salesforce, encoded: &[u8]) -> Result<AppRegistration, Refusal> {
    let params = Params::read(encoded);
    let app = salesforce.read(|state| state.app(params.get("app").unwrap_or_default()).cloned());
    app.ok_or_else(|| {
        message(StatusCode::NOT_FOUND, "Data Not Available", &["The app was not found."]).into()
    })
}

async fn confirm_install(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, query.unwrap_or_default().as_bytes())?;
    Ok(page(&ConfirmInstall { org_title: org.title, app }))
}

async fn install(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    form: Bytes,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, &form)?;
    Ok(match salesforce.install(&org.name, &app.consumer_key) {
        Ok(()) => redirect(&policies::url(policies::DETAIL, &app)),
        Err(state::CannotInstall) => redirect(&with_query(INSTALL_ERROR, &[("error_code", "generic_error")])),
    })
}

async fn install_error(_: Admin) -> Response {
    let told = "There was a problem in installing the application.";
    message(StatusCode::OK, "Managed Application Installation Error", &[told])
}

async fn act(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    form: Bytes,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, &form)?;
    match Params::read(&form).get("action") {
        Some("Block") => salesforce.block(&org.name, &app.consumer_key),
        Some("Unblock") => salesforce.unblock(&org.name, &app.consumer_key),
        Some("Uninstall") => salesforce.uninstall(&org.name, &app.consumer_key),
        _ => {
            let told = "No such action.";
            return Err(message(StatusCode::BAD_REQUEST, "Unable to Process Request", &[told]).into());
        }
    }
    Ok(redirect(USAGE))
}
