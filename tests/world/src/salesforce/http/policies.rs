//! An installed app's page in Setup: its policies, and the profiles and permission sets that it is assigned to.
//!
//! A connected app's page has Edit Policies, Manage Profiles and Manage Permission Sets; an external client app's
//! has one Policies tab. Both change the same `Policy`.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    response::Response,
    routing::get,
};

use super::{
    super::{
        Salesforce,
        app::{AppRegistration, PermittedUsers, Policy},
        org::{Org, PermissionSet},
        params::Params,
    },
    Refusal, page, redirect,
    setup::named_app,
    visit::Admin,
    with_query,
};

pub(super) const DETAIL: &str = "/lightning/setup/ConnectedApplication/page";
const EDIT: &str = "/lightning/setup/ConnectedApplication/edit";
const PROFILES: &str = "/lightning/setup/ConnectedApplication/profiles";
const PERMISSION_SETS: &str = "/lightning/setup/ConnectedApplication/permissionSets";

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route("/lightning/setup/ConnectedApplication/home", get(connected_apps))
        .route("/lightning/setup/ManageExternalClientApplication/home", get(external_client_apps))
        .route(DETAIL, get(detail))
        .route(EDIT, get(edit).post(save_policies))
        .route(PROFILES, get(profiles).post(save_profiles))
        .route(PERMISSION_SETS, get(permission_sets).post(save_permission_sets))
}

/// The address of one of an app's pages.
pub(super) fn url(path: &str, app: &AppRegistration) -> String {
    with_query(path, &[("app", &app.consumer_key)])
}

#[derive(Template)]
#[template(path = "salesforce/apps.html")]
struct Apps {
    org_title: String,
    title: &'static str,
    /// Label, vendor, and the address of its page.
    listed: Vec<(String, String, String)>,
}

fn installed(salesforce: &Salesforce, org: Org, title: &'static str, external: bool) -> Response {
    let listed = salesforce.read(|state| {
        let installed = state
            .apps
            .iter()
            .filter(|app| app.is_external_client_app() == external && org.standing(app).is_installed());
        installed.map(|app| (app.label.clone(), app.vendor.clone(), url(DETAIL, app))).collect()
    });
    page(&Apps { org_title: org.title, title, listed })
}

async fn connected_apps(State(salesforce): State<Salesforce>, Admin { org }: Admin) -> Response {
    installed(&salesforce, org, "Manage Connected Apps", false)
}

async fn external_client_apps(State(salesforce): State<Salesforce>, Admin { org }: Admin) -> Response {
    installed(&salesforce, org, "External Client App Manager", true)
}

#[derive(Template)]
#[template(path = "salesforce/app.html")]
struct Detail {
    org_title: String,
    app: AppRegistration,
    /// `None` until the app is installed.
    policy: Option<Policy>,
    edit: String,
    profiles: String,
    permission_sets: String,
}

async fn detail(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, query.unwrap_or_default().as_bytes())?;
    Ok(page(&Detail {
        policy: org.standing(&app).policy().cloned(),
        org_title: org.title,
        edit: url(EDIT, &app),
        profiles: url(PROFILES, &app),
        permission_sets: url(PERMISSION_SETS, &app),
        app,
    }))
}

impl Detail {
    fn permitted_users(&self) -> &'static str {
        let permitted = self.policy.as_ref().map(|policy| policy.permitted_users).unwrap_or_default();
        permitted_users_label(&self.app, permitted)
    }
}

/// As Setup words it for this kind of app.
fn permitted_users_label(app: &AppRegistration, permitted: PermittedUsers) -> &'static str {
    match permitted {
        PermittedUsers::AllSelfAuthorize if app.is_external_client_app() => "All users can self-authorize",
        PermittedUsers::AllSelfAuthorize => "All users may self-authorize",
        PermittedUsers::AdminApprovedPreAuthorized => "Admin approved users are pre-authorized",
    }
}

#[derive(Template)]
#[template(path = "salesforce/edit_policies.html")]
struct EditPolicies {
    org_title: String,
    app: AppRegistration,
    action: &'static str,
    back: String,
    /// Label, and whether it is the present one.
    permitted_users: Vec<(&'static str, bool)>,
    /// For an external client app, which has all of its policies on one page.
    profiles: Vec<(String, bool)>,
    permission_sets: Vec<(String, bool)>,
}

fn choices(sets: &[PermissionSet], chosen: &BTreeSet<String>) -> Vec<(String, bool)> {
    sets.iter().map(|set| (set.name.clone(), chosen.contains(&set.name))).collect()
}

async fn edit(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, query.unwrap_or_default().as_bytes())?;
    let policy = org.standing(&app).policy().cloned().unwrap_or_default();
    let permitted = [PermittedUsers::AllSelfAuthorize, PermittedUsers::AdminApprovedPreAuthorized];
    Ok(page(&EditPolicies {
        permitted_users: permitted
            .map(|option| (permitted_users_label(&app, option), option == policy.permitted_users))
            .to_vec(),
        profiles: choices(&org.profiles, &policy.profiles),
        permission_sets: choices(&org.permission_sets, &policy.permission_sets),
        org_title: org.title,
        action: EDIT,
        back: url(DETAIL, &app),
        app,
    }))
}

async fn save_policies(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    form: Bytes,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, &form)?;
    let form = Params::read(&form);
    salesforce.set_policy(&org.name, &app.consumer_key, |policy| {
        let admin_approved = permitted_users_label(&app, PermittedUsers::AdminApprovedPreAuthorized);
        policy.permitted_users = match form.get("permitted_users") {
            Some(label) if label == admin_approved => PermittedUsers::AdminApprovedPreAuthorized,
            _ => PermittedUsers::AllSelfAuthorize,
        };
        if app.is_external_client_app() {
            policy.profiles = form.all("profile").map(str::to_owned).collect();
            policy.permission_sets = form.all("permission_set").map(str::to_owned).collect();
        }
    });
    Ok(redirect(&url(DETAIL, &app)))
}

#[derive(Template)]
#[template(path = "salesforce/assign.html")]
struct Assign {
    org_title: String,
    title: &'static str,
    app: AppRegistration,
    action: &'static str,
    back: String,
    choices: Vec<(String, bool)>,
}

async fn profiles(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, query.unwrap_or_default().as_bytes())?;
    let chosen = org.standing(&app).policy().map(|policy| policy.profiles.clone()).unwrap_or_default();
    Ok(page(&Assign {
        choices: choices(&org.profiles, &chosen),
        org_title: org.title,
        title: "Manage Profiles",
        action: PROFILES,
        back: url(DETAIL, &app),
        app,
    }))
}

async fn permission_sets(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let app = named_app(&salesforce, query.unwrap_or_default().as_bytes())?;
    let chosen = org.standing(&app).policy().map(|policy| policy.permission_sets.clone()).unwrap_or_default();
    Ok(page(&Assign {
        choices: choices(&org.permission_sets, &chosen),
        org_title: org.title,
        title: "Manage Permission Sets",
        action: PERMISSION_SETS,
        back: url(DETAIL, &app),
        app,
    }))
}

fn save(
    salesforce: &Salesforce,
    org: &Org,
    form: &Bytes,
    set: impl FnOnce(&mut Policy, BTreeSet<String>),
) -> Result<Response, Refusal> {
    let app = named_app(salesforce, form)?;
    let chosen = Params::read(form).all("choice").map(str::to_owned).collect();
    salesforce.set_policy(&org.name, &app.consumer_key, |policy| set(policy, chosen));
    Ok(redirect(&url(DETAIL, &app)))
}

async fn save_profiles(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    form: Bytes,
) -> Result<Response, Refusal> {
    save(&salesforce, &org, &form, |policy, chosen| policy.profiles = chosen)
}

async fn save_permission_sets(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    form: Bytes,
) -> Result<Response, Refusal> {
    save(&salesforce, &org, &form, |policy, chosen| policy.permission_sets = chosen)
}
