//! `/services/oauth2/authorize`, the consent page, and the page on which most approval errors end.

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    super::{Salesforce, authorize::Step, params::Params},
    login, message, page, redirect, text,
    visit::{AtMyDomain, Visit},
    with_query,
};

pub(super) const CONSENT_PATH: &str = "/setup/secur/RemoteAccessAuthorizationPage.apexp";
const ERROR_PATH: &str = "/setup/secur/RemoteAccessErrorPage.apexp";

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route("/services/oauth2/authorize", get(authorize))
        .route(CONSENT_PATH, get(consent).post(decide))
        .route(ERROR_PATH, get(error_page))
}

async fn authorize(
    State(salesforce): State<Salesforce>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::read(query.unwrap_or_default().as_bytes());
    let now = salesforce.now();
    let step = salesforce.change(|state| state.authorize(visit.host, &params, visit.login, now));
    walk(&salesforce, step)
}

/// The answer that takes the browser to where a request goes next.
fn walk(salesforce: &Salesforce, step: Step) -> Response {
    match step {
        Step::RawText { error, description } => {
            let encoded = utf8_percent_encode(description, NON_ALPHANUMERIC).to_string().replace("%5F", "_");
            text(StatusCode::BAD_REQUEST, format!("error={error}&error_description={encoded}"))
        }
        Step::Callback(url) => redirect(url.as_str()),
        Step::ErrorPage { org, error, description } => {
            let page = format!("{}{ERROR_PATH}", salesforce.my_domain(&org));
            redirect(&with_query(&page, &[("error", error), ("error_description", description)]))
        }
        Step::LogIn { source } => {
            let host = salesforce
                .read(|state| state.approvals.get(&source).map(|pending| pending.request.host.origin(state)));
            let consent = with_query(CONSENT_PATH, &[("source", &source)]);
            host.map_or_else(expired, |host| login::ask(&host, &consent))
        }
        Step::Consent { org, source } => redirect(&with_query(
            &format!("{}{CONSENT_PATH}", salesforce.my_domain(&org)),
            &[("source", &source)],
        )),
        Step::Expired => expired(),
    }
}

fn expired() -> Response {
    let told = "You didn't complete the approval process before it expired. Please try again.";
    message(StatusCode::OK, "Remote Access Authorization Error", &[told])
}

#[derive(Template)]
#[template(path = "salesforce/consent.html")]
struct ConsentPage {
    org_title: String,
    app: String,
    /// What Allow allows, as Salesforce words it.
    permissions: Vec<String>,
    username: String,
    action: &'static str,
    source: String,
    log_in_again: String,
}

/// Comes after login: asks for consent if that is still needed.
async fn consent(
    State(salesforce): State<Salesforce>,
    AtMyDomain { org }: AtMyDomain,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let source = Params::read(query.as_bytes()).get("source").unwrap_or_default().to_owned();
    let Some((_, user)) = visit.login.filter(|(of, _)| *of == org.name) else {
        return walk(&salesforce, Step::LogIn { source });
    };
    let now = salesforce.now();
    match salesforce.change(|state| state.go_on(&source, &org.name, &user, now)) {
        Step::Consent { .. } => {}
        step => return walk(&salesforce, step),
    }
    let asked = salesforce.read(|state| {
        let request = &state.pending(&source, now)?.request;
        Some((state.app(&request.consumer_key)?.label.clone(), request.scopes.clone()))
    });
    let Some((app, scopes)) = asked else { return expired() };
    let start = with_query(CONSENT_PATH, &[("source", &source)]);
    page(&ConsentPage {
        app,
        permissions: scopes.iter().map(|scope| scope_in_words(scope)).collect(),
        username: org.user(&user).map(|user| user.username.clone()).unwrap_or_default(),
        org_title: org.title,
        action: CONSENT_PATH,
        log_in_again: with_query("/", &[("ec", "302"), ("startURL", &start)]),
        source,
    })
}

async fn decide(
    State(salesforce): State<Salesforce>,
    AtMyDomain { org }: AtMyDomain,
    visit: Visit,
    body: Bytes,
) -> Response {
    let form = Params::read(&body);
    let source = form.get("source").unwrap_or_default().to_owned();
    let Some((_, user)) = visit.login.filter(|(of, _)| *of == org.name) else {
        return walk(&salesforce, Step::LogIn { source });
    };
    let allow = form.get("decision") == Some("allow");
    let now = salesforce.now();
    let step = salesforce.change(|state| state.decide(&source, &org.name, &user, allow, now));
    walk(&salesforce, step)
}

fn scope_in_words(scope: &str) -> String {
    match scope {
        "api" => "Manage user data via APIs",
        "refresh_token" | "offline_access" => "Perform requests at any time",
        "openid" => "Access unique user identifiers",
        "id" | "profile" | "email" | "address" | "phone" => "Access the identity URL service",
        "web" => "Manage user data via Web browsers",
        "full" => "Full access",
        "custom_permissions" => "Access custom permissions",
        other => other,
    }
    .to_owned()
}

#[derive(Template)]
#[template(path = "salesforce/error_page.html")]
struct ErrorPage {
    org_title: String,
}

/// Says the same whatever went wrong; only this page's own address knows.
async fn error_page(AtMyDomain { org }: AtMyDomain) -> Response {
    page(&ErrorPage { org_title: org.title })
}
