//! Who a token speaks for: the identity URL, userinfo, discovery and the signing keys.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{
    super::{Salesforce, host::Host, sign, state},
    Refusal, text,
    visit::bearer,
};

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route("/id/{org}/{user}", get(identity).post(identity))
        .route("/id/keys", get(|| async { Json(sign::jwks()) }))
        .route("/services/oauth2/userinfo", get(userinfo).post(userinfo))
        .route("/.well-known/openid-configuration", get(discovery))
}

/// The org's and the user's id that the bearer token speaks for. Both must be served at this host.
fn bearer_of(salesforce: &Salesforce, host: &Host, headers: &HeaderMap) -> Result<(String, String), Refusal> {
    let refused = |told: &str| Refusal::from(text(StatusCode::FORBIDDEN, told));
    let token = bearer(headers).ok_or_else(|| refused("Missing_OAuth_Token"))?;
    salesforce
        .read(|state| {
            let (_, grant) = state.live_token(token, salesforce.now())?;
            let (org, user) = state.holder(grant);
            host.serves(org).then(|| (org.id.clone(), user.id.clone()))
        })
        .ok_or_else(|| refused("Bad_OAuth_Token"))
}

async fn identity(
    State(salesforce): State<Salesforce>,
    host: Host,
    Path((org_id, user_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (org, _) = bearer_of(&salesforce, &host, &headers)?;
    if org != org_id {
        return Err(text(StatusCode::FORBIDDEN, "Wrong_Org").into());
    }
    let told = salesforce.read(|state| told_of(state, &org_id, &user_id));
    told.map(|told| Json(told).into_response()).ok_or_else(|| text(StatusCode::NOT_FOUND, "Bad_Id").into())
}

fn told_of(state: &state::State, org: &str, user: &str) -> Option<Value> {
    let org = state.org(org)?;
    let user = org.user(user)?;
    let instance = state.origin(org);
    let id = state.identity_url(org, user);
    Some(json!({
        "id": id,
        "asserted_user": true,
        "user_id": user.id,
        "organization_id": org.id,
        "username": user.username,
        "nick_name": user.username.split('@').next(),
        "display_name": user.name,
        "email": user.email,
        "email_verified": true,
        "status": { "created_date": null, "body": null },
        "urls": {
            "rest": format!("{instance}/services/data/v{{version}}/"),
            "sobjects": format!("{instance}/services/data/v{{version}}/sobjects/"),
            "query": format!("{instance}/services/data/v{{version}}/query/"),
            "profile": format!("{instance}/{}", user.id),
            "custom_domain": instance,
        },
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 0,
        "is_lightning_login_user": false,
    }))
}

async fn userinfo(
    State(salesforce): State<Salesforce>,
    host: Host,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (org, user) = bearer_of(&salesforce, &host, &headers)?;
    let told = salesforce.read(|state| {
        let org = state.org(&org)?;
        let user = org.user(&user)?;
        Some(json!({
            "sub": state.identity_url(org, user),
            "user_id": user.id,
            "organization_id": org.id,
            "preferred_username": user.username,
            "nickname": user.username.split('@').next(),
            "name": user.name,
            "email": user.email,
            "email_verified": true,
            "zoneinfo": "GMT",
            "active": user.active,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
        }))
    });
    Ok(Json(told).into_response())
}

async fn discovery(State(salesforce): State<Salesforce>, host: Host) -> Json<Value> {
    let issuer = salesforce.read(|state| host.origin(state));
    let at = |path: &str| format!("{issuer}{path}");
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": at("/services/oauth2/authorize"),
        "token_endpoint": at("/services/oauth2/token"),
        "revocation_endpoint": at("/services/oauth2/revoke"),
        "introspection_endpoint": at("/services/oauth2/introspect"),
        "userinfo_endpoint": at("/services/oauth2/userinfo"),
        "jwks_uri": at("/id/keys"),
        "scopes_supported": ["api", "web", "full", "id", "openid", "profile", "email", "refresh_token", "offline_access"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "display_values_supported": ["page", "popup", "touch"],
    }))
}
