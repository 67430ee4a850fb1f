//! Permission sets in Setup: enough to give a user *Approve Uninstalled Connected Apps*, and to take it away again.

use std::collections::BTreeSet;

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
        org::{Org, Permission, PermissionSet},
        params::Params,
    },
    Refusal, message, page, redirect,
    visit::Admin,
    with_query,
};

const LIST: &str = "/lightning/setup/PermSets/home";
const DETAIL: &str = "/lightning/setup/PermSets/page";
const PERMISSIONS: &str = "/lightning/setup/PermSets/systemPermissions";
const ASSIGNMENTS: &str = "/lightning/setup/PermSets/assignments";

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route(LIST, get(list).post(create))
        .route(DETAIL, get(detail))
        .route(PERMISSIONS, post(save_permissions))
        .route(ASSIGNMENTS, post(save_assignments))
}

fn url(set: &str) -> String {
    with_query(DETAIL, &[("set", set)])
}

#[derive(Template)]
#[template(path = "salesforce/permission_sets.html")]
struct List {
    org_title: String,
    /// Name, and the address of its page.
    sets: Vec<(String, String)>,
}

async fn list(Admin { org }: Admin) -> Response {
    let sets = org.permission_sets.iter().map(|set| (set.name.clone(), url(&set.name))).collect();
    page(&List { org_title: org.title, sets })
}

async fn create(State(salesforce): State<Salesforce>, Admin { org }: Admin, form: Bytes) -> Response {
    let form = Params::read(&form);
    let name = form.get("label").unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return redirect(LIST);
    }
    if !org.permission_sets.iter().any(|set| set.name == name) {
        let set = PermissionSet { name: name.clone(), permissions: BTreeSet::new() };
        salesforce.change_org(&org.name, |org| org.permission_sets.push(set));
    }
    redirect(&url(&name))
}

#[derive(Template)]
#[template(path = "salesforce/permission_set.html")]
struct Detail {
    org_title: String,
    name: String,
    permissions: Vec<(&'static str, bool)>,
    /// Username, name, and whether the set is assigned.
    users: Vec<(String, String, bool)>,
}

fn named<'a>(org: &'a Org, params: &Params) -> Result<&'a PermissionSet, Refusal> {
    let name = params.get("set").unwrap_or_default();
    let set = org.permission_sets.iter().find(|set| set.name == name);
    let told = ["The permission set was not found."];
    set.ok_or_else(|| message(StatusCode::NOT_FOUND, "Data Not Available", &told).into())
}

async fn detail(Admin { org }: Admin, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let set = named(&org, &Params::read(query.unwrap_or_default().as_bytes()))?;
    let users = org
        .users
        .iter()
        .map(|user| (user.username.clone(), user.name.clone(), user.permission_sets.contains(&set.name)));
    Ok(page(&Detail {
        name: set.name.clone(),
        permissions: Permission::ALL.map(|held| (held.label(), set.permissions.contains(&held))).to_vec(),
        users: users.collect(),
        org_title: org.title.clone(),
    }))
}

async fn save_permissions(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    form: Bytes,
) -> Result<Response, Refusal> {
    let form = Params::read(&form);
    let name = &named(&org, &form)?.name;
    let chosen =
        Permission::ALL.into_iter().filter(|held| form.all("permission").any(|label| label == held.label()));
    salesforce.change_org(&org.name, |org| {
        for set in org.permission_sets.iter_mut().filter(|set| set.name == *name) {
            set.permissions = chosen.clone().collect();
        }
    });
    Ok(redirect(&url(name)))
}

async fn save_assignments(
    State(salesforce): State<Salesforce>,
    Admin { org }: Admin,
    form: Bytes,
) -> Result<Response, Refusal> {
    let form = Params::read(&form);
    let name = &named(&org, &form)?.name;
    salesforce.change_org(&org.name, |org| {
        for user in &mut org.users {
            if form.all("user").any(|username| username == user.username) {
                user.permission_sets.insert(name.clone());
            } else {
                user.permission_sets.remove(name);
            }
        }
    });
    Ok(redirect(&url(name)))
}
