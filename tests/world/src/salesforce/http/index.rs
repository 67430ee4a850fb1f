//! `salesforce.localhost`: a person's guide to this world.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    super::{
        Salesforce,
        app::{PermittedUsers, Standing},
        host::Host,
        org::{Org, OrgKind},
    },
    page, setup, with_query,
};

pub(super) fn routes() -> Router<Salesforce> {
    Router::new().route("/", get(index))
}

#[derive(Template)]
#[template(path = "salesforce/index.html")]
struct Index {
    login: String,
    test: String,
    orgs: Vec<OrgGuide>,
    /// Whether anybody has registered an app yet.
    any_app: bool,
    time: String,
}

struct OrgGuide {
    title: String,
    kind: &'static str,
    id: String,
    my_domain: String,
    setup: String,
    usage: String,
    log_out: String,
    /// Username, name, profile.
    users: Vec<(String, String, String)>,
    /// Label, kind, how the org sees it, and the package link if there is one.
    apps: Vec<(String, &'static str, &'static str, Option<String>)>,
}

async fn index(State(salesforce): State<Salesforce>) -> Response {
    let now = salesforce.now();
    page(&salesforce.read(|state| {
        let guide = |org: &Org| {
            let my_domain = state.origin(org);
            OrgGuide {
                title: org.title.clone(),
                kind: match org.kind {
                    OrgKind::Production => "production",
                    OrgKind::Sandbox => "sandbox",
                    OrgKind::Developer => "developer edition",
                },
                id: org.id.clone(),
                setup: format!("{my_domain}{}", setup::HOME),
                usage: format!("{my_domain}{}", setup::USAGE),
                log_out: format!("{my_domain}/secur/logout.jsp"),
                users: org
                    .users
                    .iter()
                    .map(|user| (user.username.clone(), user.name.clone(), user.profile.clone()))
                    .collect(),
                apps: state
                    .apps
                    .iter()
                    .map(|app| {
                        let kind = if app.is_external_client_app() {
                            "external client app"
                        } else {
                            "connected app"
                        };
                        let link = app.package_id.as_ref().map(|package| {
                            with_query(
                                &format!("{my_domain}/packaging/installPackage.apexp"),
                                &[("p0", package)],
                            )
                        });
                        (app.label.clone(), kind, in_words(&org.standing(app)), link)
                    })
                    .collect(),
                my_domain,
            }
        };
        Index {
            login: Host::Login.origin(state),
            test: Host::Test.origin(state),
            orgs: state.orgs.iter().map(guide).collect(),
            any_app: !state.apps.is_empty(),
            time: now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        }
    }))
}

fn in_words(standing: &Standing) -> &'static str {
    match standing {
        Standing::Unseen => "never seen",
        Standing::Seen => "seen, not installed",
        Standing::Blocked(_) => "blocked",
        Standing::Installed(policy) => match policy.permitted_users {
            PermittedUsers::AllSelfAuthorize => "installed, all users may self-authorize",
            PermittedUsers::AdminApprovedPreAuthorized => "installed, admin approved users only",
        },
    }
}
