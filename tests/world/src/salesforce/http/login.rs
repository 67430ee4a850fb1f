//! Logging in and out, at a login host or a My Domain.

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::{get, post},
};

use super::{
    super::{
        Salesforce,
        grant::LoginSession,
        host::{Host, SITE},
        ids::random_text,
        params::Params,
    },
    message, page, redirect,
    visit::{SESSION_COOKIE, Visit},
    with_query,
};

const HOME: &str = "/lightning/page/home";

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route("/", get(form))
        .route("/login", post(log_in))
        .route("/secur/logout.jsp", get(log_out))
        .route(HOME, get(home))
}

/// Sends the browser to the login page of `origin`, to go on at `start_url` afterwards.
pub(super) fn ask(origin: &str, start_url: &str) -> Response {
    redirect(&with_query(&format!("{origin}/"), &[("ec", "302"), ("startURL", start_url)]))
}

#[derive(Template)]
#[template(path = "salesforce/insufficient_privileges.html")]
struct InsufficientPrivileges {
    log_in_again: String,
}

/// Turns a user away who is no admin, with a way to become one.
pub(super) fn insufficient_privileges(here: &str) -> Response {
    let log_in_again = with_query("/", &[("ec", "302"), ("startURL", here)]);
    let mut response = page(&InsufficientPrivileges { log_in_again });
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

#[derive(Template)]
#[template(path = "salesforce/login.html")]
struct LoginPage {
    /// The org's name on a My Domain; nothing on a login host.
    org_title: Option<String>,
    is_sandbox: bool,
    /// The app that is waiting for this login, if one is.
    app: Option<String>,
    start_url: String,
    username: String,
    refused: bool,
    orgs: Vec<OrgUsers>,
}

/// One org's users, for logging in with one click.
struct OrgUsers {
    title: String,
    /// Username, name and profile.
    users: Vec<(String, String, String)>,
}

async fn form(State(salesforce): State<Salesforce>, host: Host, RawQuery(query): RawQuery) -> Response {
    let params = Params::read(query.unwrap_or_default().as_bytes());
    page(&login_page(&salesforce, &host, start_url(&params), "", false))
}

fn login_page(
    salesforce: &Salesforce,
    host: &Host,
    start_url: String,
    username: &str,
    refused: bool,
) -> LoginPage {
    salesforce.read(|state| {
        let pending = source(&start_url).and_then(|source| state.pending(&source, salesforce.now()));
        let hint = pending.and_then(|pending| pending.request.login_hint.clone()).unwrap_or_default();
        let served = || state.orgs.iter().filter(|org| host.serves(org));
        let orgs = served().map(|org| OrgUsers {
            title: org.title.clone(),
            users: org
                .users
                .iter()
                .filter(|user| user.active)
                .map(|user| (user.username.clone(), user.name.clone(), user.profile.clone()))
                .collect(),
        });
        LoginPage {
            org_title: matches!(host, Host::MyDomain(_))
                .then(|| served().next().map(|org| org.title.clone()))
                .flatten(),
            is_sandbox: served().next().is_some_and(super::super::org::Org::is_sandbox),
            app: pending
                .and_then(|pending| state.app(&pending.request.consumer_key))
                .map(|app| app.label.clone()),
            username: if username.is_empty() { hint } else { username.to_owned() },
            refused,
            orgs: orgs.collect(),
            start_url,
        }
    })
}

/// A user of another org, or one who is inactive, is refused as if the password were wrong.
async fn log_in(State(salesforce): State<Salesforce>, host: Host, body: Bytes) -> Response {
    let form = Params::read(&body);
    let start_url = start_url(&form);
    let username = form.get("username").unwrap_or_default().trim().to_owned();
    let sid = random_text(24);
    let logged_in = salesforce.change(|state| {
        let mut served = state.orgs.iter().filter(|org| host.serves(org));
        let (org, user) = served.find_map(|org| Some((org, org.user(&username)?)))?;
        if !user.active {
            return None;
        }
        let session = LoginSession { org: org.name.clone(), user: user.id.clone(), since: salesforce.now() };
        let my_domain = state.origin(org);
        state.logins.insert(sid.clone(), session);
        if let Some(source) = source(&start_url) {
            state.note_login(&source);
        }
        Some(my_domain)
    });
    let Some(my_domain) = logged_in else {
        return page(&login_page(&salesforce, &host, start_url, &username, true));
    };
    with_cookie(redirect(&format!("{my_domain}{start_url}")), &sid, "")
}

async fn log_out() -> Response {
    with_cookie(redirect("/"), "", "; Max-Age=0")
}

async fn home(visit: Visit, State(salesforce): State<Salesforce>) -> Response {
    let greeted = visit.login.map(|(org, user)| {
        let org = salesforce.org(&org);
        let name = org.user(&user).map(|user| user.name.clone()).unwrap_or_default();
        (name, org.title)
    });
    match greeted {
        Some((name, title)) => {
            let told = format!("You are logged in to {title}.");
            message(StatusCode::OK, &format!("Welcome, {name}"), &[&told])
        }
        None => redirect("/"),
    }
}

/// One cookie for the whole site: whoever logs in is who every host sees, as in a browser with an open org.
fn with_cookie(mut response: Response, sid: &str, more: &str) -> Response {
    let cookie = format!("{SESSION_COOKIE}={sid}; Domain={SITE}; Path=/; HttpOnly; SameSite=Lax{more}");
    let cookie = HeaderValue::from_str(&cookie).expect("a cookie of URL-safe characters");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// Where to go after login: a path of this host, never another one.
fn start_url(params: &Params) -> String {
    let given = params.get("startURL").filter(|path| path.starts_with('/') && !path.starts_with("//"));
    given.unwrap_or(HOME).to_owned()
}

/// The pending approval that a start URL leads to.
fn source(start_url: &str) -> Option<String> {
    let (_, query) = start_url.split_once('?')?;
    Params::read(query.as_bytes()).get("source").map(str::to_owned)
}
