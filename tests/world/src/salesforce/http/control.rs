//! `/_world/…` on `salesforce.localhost`: the controls that a test has who is not written in Rust.

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::SignedDuration;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::super::{
    Salesforce,
    app::{AppRegistration, PermittedUsers},
    fault::Outcome,
    hostile::{Endpoint, Misbehavior, catalog},
    state::CannotInstall,
};

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route("/_world/pass", post(pass))
        .route("/_world/expire-access-tokens", post(expire_access_tokens))
        .route("/_world/install", post(install))
        .route("/_world/uninstall", post(uninstall))
        .route("/_world/block", post(block))
        .route("/_world/unblock", post(unblock))
        .route("/_world/policies", post(policies))
        .route("/_world/unreachable", post(unreachable))
        .route("/_world/misbehave", get(faults).post(misbehave).delete(behave))
        .route("/_world/calls", get(calls).delete(forget_calls))
}

/// 400, with what was wrong with the request.
pub(super) struct Refused(pub(super) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": self.0 }))).into_response()
    }
}

pub(super) type Answer = Result<Json<Value>, Refused>;

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused(error.to_string()))
}

pub(super) fn done() -> Json<Value> {
    Json(json!({}))
}

#[derive(Deserialize)]
struct Pass {
    seconds: i64,
}

async fn pass(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let Pass { seconds } = read(&body)?;
    if !salesforce.clock().try_pass(SignedDuration::from_secs(seconds)) {
        return Err(Refused("seconds: the clock would leave the years 1970 to 8999".into()));
    }
    Ok(Json(json!({ "now": salesforce.now().to_string() })))
}

async fn expire_access_tokens(State(salesforce): State<Salesforce>) -> Json<Value> {
    salesforce.expire_access_tokens();
    done()
}

/// An org by its My Domain label, an app by its consumer key.
#[derive(Deserialize)]
struct Target {
    org: String,
    app: String,
}

impl Target {
    fn read(salesforce: &Salesforce, body: &[u8]) -> Result<(String, AppRegistration), Refused> {
        let Self { org, app } = read(body)?;
        salesforce.read(|state| {
            let name = state.org(&org).map(|org| org.name.clone());
            let registered = state.app(&app).cloned();
            Ok((
                name.ok_or_else(|| Refused(format!("there is no org {org}")))?,
                registered.ok_or_else(|| Refused(format!("no app has the consumer key {app}")))?,
            ))
        })
    }
}

async fn install(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let (org, app) = Target::read(&salesforce, &body)?;
    let installed = salesforce.change(|state| state.install(&org, &app));
    installed.map_err(|CannotInstall| Refused("an app made in a sandbox stays there".to_owned()))?;
    Ok(done())
}

async fn uninstall(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let (org, app) = Target::read(&salesforce, &body)?;
    salesforce.change(|state| state.uninstall(&org, &app));
    Ok(done())
}

async fn block(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let (org, app) = Target::read(&salesforce, &body)?;
    salesforce.change(|state| state.block(&org, &app));
    Ok(done())
}

async fn unblock(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let (org, app) = Target::read(&salesforce, &body)?;
    salesforce.change(|state| state.unblock(&org, &app));
    Ok(done())
}

#[derive(Deserialize)]
struct Policies {
    #[serde(default)]
    admin_approved: bool,
    #[serde(default)]
    profiles: Vec<String>,
    #[serde(default)]
    permission_sets: Vec<String>,
}

async fn policies(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let (org, app) = Target::read(&salesforce, &body)?;
    let Policies { admin_approved, profiles, permission_sets } = read(&body)?;
    salesforce.change(|state| {
        state.set_policy(&org, &app, |policy| {
            policy.permitted_users = if admin_approved {
                PermittedUsers::AdminApprovedPreAuthorized
            } else {
                PermittedUsers::AllSelfAuthorize
            };
            policy.profiles = profiles.into_iter().collect();
            policy.permission_sets = permission_sets.into_iter().collect();
        });
    });
    Ok(done())
}

#[derive(Deserialize)]
struct Unreachable {
    unreachable: bool,
}

async fn unreachable(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let Unreachable { unreachable } = read(&body)?;
    salesforce.set_unreachable(unreachable);
    Ok(done())
}

#[derive(Deserialize)]
struct Misbehave {
    endpoint: String,
    fault: String,
    /// How many requests; without it until it is cleared.
    times: Option<u32>,
}

async fn misbehave(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let Misbehave { endpoint, fault, times } = read(&body)?;
    let endpoint =
        Endpoint::named(&endpoint).ok_or_else(|| Refused(format!("there is no endpoint {endpoint}")))?;
    Misbehavior::named(&fault).ok_or_else(|| Refused(format!("there is no fault {fault}")))?;
    salesforce.misbehave(endpoint, &fault, times);
    Ok(done())
}

async fn behave(State(salesforce): State<Salesforce>) -> Json<Value> {
    salesforce.behave();
    done()
}

async fn faults() -> Json<Value> {
    let faults: Vec<String> = catalog().into_iter().map(|fault| fault.name).collect();
    Json(json!({ "endpoints": Endpoint::ALL.map(Endpoint::as_str), "faults": faults }))
}

async fn calls(State(salesforce): State<Salesforce>) -> Json<Value> {
    let told = salesforce.calls().into_iter().map(|call| {
        let (status, error) = match call.outcome {
            Outcome::Answered { status, error } => (Some(status), error),
            Outcome::Dropped => (None, None),
        };
        json!({
            "at": call.at.to_string(),
            "method": call.method,
            "host": call.host,
            "path": call.path,
            "grant_type": call.grant_type,
            "status": status,
            "error": error,
        })
    });
    Json(told.collect())
}

async fn forget_calls(State(salesforce): State<Salesforce>) -> Json<Value> {
    salesforce.forget_calls();
    done()
}
