//! The package install link, `/packaging/installPackage.apexp?p0=04t…`.

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
    routing::get,
};

use super::{
    super::{Salesforce, app::AppRegistration, host::Host, org::Org, params::Params, state},
    Refusal,
    login::{self, insufficient_privileges},
    message, page,
    visit::Visit,
    with_query,
};

const INSTALL: &str = "/packaging/installPackage.apexp";

pub(super) fn routes() -> Router<Salesforce> {
    Router::new().route(INSTALL, get(ask).post(install))
}

#[derive(Template)]
#[template(path = "salesforce/install_package.html")]
struct InstallPackage {
    org_title: String,
    app: AppRegistration,
    package: String,
    /// Install was pressed, and the acknowledgement was not given.
    unacknowledged: bool,
}

#[derive(Template)]
#[template(path = "salesforce/package_installed.html")]
struct PackageInstalled {
    org_title: String,
    app: AppRegistration,
    is_external_client_app: bool,
}

/// The admin's org and the package's app. The link also works at `login.*` and `test.*`, for whoever logs in there.
fn prepare(salesforce: &Salesforce, visit: Visit, package: &str) -> Result<(Org, AppRegistration), Refusal> {
    let here = with_query(INSTALL, &[("p0", package)]);
    let serves =
        |host: &Host, org: &str| salesforce.read(|state| state.org(org).is_some_and(|org| host.serves(org)));
    let Some((org, user)) = visit.login.filter(|(org, _)| serves(&visit.host, org)) else {
        let origin = salesforce.read(|state| visit.host.origin(state));
        return Err(login::ask(&origin, &here).into());
    };
    let org = salesforce.org(&org);
    if !org.user(&user).is_some_and(|user| org.may_administer(user)) {
        return Err(insufficient_privileges(&here).into());
    }
    let app = salesforce.read(|state| {
        let mut apps = state.apps.iter();
        apps.find(|app| app.package_id.as_deref().is_some_and(|id| id == package)).cloned()
    });
    let told = "The package you are trying to install cannot be found. Check the link with its provider.";
    app.map(|app| (org, app))
        .ok_or_else(|| message(StatusCode::NOT_FOUND, "Package Not Found", &[told]).into())
}

async fn ask(
    State(salesforce): State<Salesforce>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let package = Params::read(query.unwrap_or_default().as_bytes()).get("p0").unwrap_or_default().to_owned();
    let (org, app) = prepare(&salesforce, visit, &package)?;
    Ok(page(&InstallPackage { org_title: org.title, app, package, unacknowledged: false }))
}

async fn install(
    State(salesforce): State<Salesforce>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Refusal> {
    let form = Params::read(&body);
    let package = form.get("p0").unwrap_or_default().to_owned();
    let (org, app) = prepare(&salesforce, visit, &package)?;
    if form.get("acknowledge").is_none() {
        let again = InstallPackage { org_title: org.title, app, package, unacknowledged: true };
        return Ok(page(&again));
    }
    if let Err(state::CannotInstall) = salesforce.install(&org.name, &app.consumer_key) {
        let told = "This package can't be installed in your organization.";
        return Err(message(StatusCode::OK, "Installation Failed", &[told]).into());
    }
    let is_external_client_app = app.is_external_client_app();
    Ok(page(&PackageInstalled { org_title: org.title, is_external_client_app, app }))
}
