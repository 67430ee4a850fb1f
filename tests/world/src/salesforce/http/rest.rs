//! The REST calls that show that a token works, as far as jsforce and simple-salesforce make them.

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, RawQuery, State},
    http::{StatusCode, request::Parts},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use super::{
    super::{
        Salesforce,
        app::PermittedUsers,
        org::{Org, Permission},
        params::Params,
        soql,
    },
    Refusal,
    visit::{AtMyDomain, bearer},
};

/// The versions offered, newest last: Summer '20 to Winter '27.
const VERSIONS: std::ops::RangeInclusive<u32> = 49..=68;

pub(super) fn routes() -> Router<Salesforce> {
    let at = "/services/data/{version}";
    Router::new()
        .route("/services/data", get(versions))
        .route("/services/data/", get(versions))
        .route(at, get(resources))
        .route(&format!("{at}/"), get(resources))
        .route(&format!("{at}/query"), get(query))
        .route(&format!("{at}/query/"), get(query))
        .route(&format!("{at}/limits"), get(limits))
        .route(&format!("{at}/limits/"), get(limits))
        .route(&format!("{at}/sobjects"), get(sobjects))
        .route(&format!("{at}/sobjects/"), get(sobjects))
        .route(&format!("{at}/sobjects/{{object}}/describe"), get(describe))
        .route(&format!("{at}/sobjects/{{object}}/describe/"), get(describe))
        .route(&format!("{at}/sobjects/{{object}}/{{id}}"), get(record))
}

/// An API error: a list of one, as Salesforce writes it.
fn refuse(status: StatusCode, code: &str, told: &str) -> Refusal {
    (status, Json(json!([{ "message": told, "errorCode": code }]))).into_response().into()
}

fn not_found() -> Refusal {
    refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested resource does not exist")
}

/// A caller whose token is good for the REST API of this org.
struct ApiSession {
    org: Org,
    /// The id of the token's user.
    user: String,
    /// The identity URL of the token's user.
    identity: String,
}

impl FromRequestParts<Salesforce> for ApiSession {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, salesforce: &Salesforce) -> Result<Self, Refusal> {
        let AtMyDomain { org } =
            AtMyDomain::from_request_parts(parts, salesforce).await.map_err(|_| not_found())?;
        let (latency, busy) = salesforce.read(|state| (state.api_latency, state.api_busy));
        tokio::time::sleep(latency).await;
        if busy {
            let told = "The server is currently unavailable. Please try again later.";
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "SERVER_UNAVAILABLE", told));
        }
        let invalid = |told: &str| refuse(StatusCode::UNAUTHORIZED, "INVALID_SESSION_ID", told);
        let dead = || invalid("Session expired or invalid");
        let token = bearer(&parts.headers).ok_or_else(dead)?;
        let (user, has_api) = salesforce
            .read(|state| {
                let (_, grant) = state.live_token(token, salesforce.now())?;
                let here = grant.org == org.name;
                here.then(|| (grant.user.clone(), grant.has_scope("api") || grant.has_scope("full")))
            })
            .ok_or_else(dead)?;
        if !has_api {
            return Err(invalid("This session is not valid for use with the REST API"));
        }
        let found = org.user(&user).filter(|user| org.may(user, Permission::ApiEnabled));
        let identity = found.map(|user| salesforce.read(|state| state.identity_url(&org, user)));
        let Some(identity) = identity else {
            let told = "The REST API is not enabled for this Organization.";
            return Err(refuse(StatusCode::FORBIDDEN, "API_DISABLED_FOR_ORG", told));
        };
        Ok(Self { org, user, identity })
    }
}

/// Needs no token, as at Salesforce.
async fn versions(_: AtMyDomain) -> Json<Value> {
    let version = |number: u32| {
        let label = match number % 3 {
            0 => format!("Spring '{}", number / 3 + 4),
            1 => format!("Summer '{}", number / 3 + 4),
            _ => format!("Winter '{}", number / 3 + 5),
        };
        json!({ "label": label, "url": format!("/services/data/v{number}.0"), "version": format!("{number}.0") })
    };
    Json(VERSIONS.map(version).collect())
}

fn known_version(version: &str) -> Result<(), Refusal> {
    let number = version.strip_prefix('v').and_then(|version| version.strip_suffix(".0"));
    let known =
        number.and_then(|number| number.parse().ok()).is_some_and(|number: u32| VERSIONS.contains(&number));
    if known { Ok(()) } else { Err(not_found()) }
}

async fn resources(session: ApiSession, Path(version): Path<String>) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    let at = |name: &str| format!("/services/data/{version}/{name}");
    Ok(Json(json!({
        "sobjects": at("sobjects"),
        "query": at("query"),
        "limits": at("limits"),
        "identity": session.identity,
    })))
}

/// What a user may query: the org's records, the tokens (the own ones, or everybody's with Customize Application),
/// and, for whoever may see Setup, the apps.
fn objects(salesforce: &Salesforce, org: &Org, user: &str) -> soql::Objects {
    let sees_setup = org.user(user).is_some_and(|user| org.may(user, Permission::CustomizeApplication));
    let record = |fields: Value| fields.as_object().cloned().unwrap_or_default();
    let mut objects = org.records.clone();
    salesforce.read(|state| {
        let tokens = state
            .grants
            .iter()
            .filter(|grant| grant.is_live() && grant.org == org.name && (sees_setup || grant.user == user));
        let tokens = tokens.filter_map(|grant| {
            let app = state.app(&grant.consumer_key)?;
            let installed = org.standing(app).policy().is_some();
            let menu_item = installed.then(|| format!("0DS{:015}", grant.id));
            Some(record(json!({ "AppName": app.label, "AppMenuItemId": menu_item })))
        });
        objects.insert("OauthToken".to_owned(), tokens.collect());
        if sees_setup {
            let apps = state.apps.iter().filter_map(|app| {
                let standing = org.standing(app);
                let approved =
                    standing.policy()?.permitted_users == PermittedUsers::AdminApprovedPreAuthorized;
                Some(record(json!({ "Name": app.label, "OptionsAllowAdminApprovedUsersOnly": approved })))
            });
            objects.insert("ConnectedApplication".to_owned(), apps.collect());
        }
    });
    objects
}

async fn query(
    State(salesforce): State<Salesforce>,
    ApiSession { org, user, .. }: ApiSession,
    Path(version): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    let params = Params::read(query.unwrap_or_default().as_bytes());
    let answer = soql::run(&objects(&salesforce, &org, &user), params.get("q").unwrap_or_default(), &version);
    answer.map(Json).map_err(|(code, told)| refuse(StatusCode::BAD_REQUEST, code, &told))
}

async fn limits(_: ApiSession, Path(version): Path<String>) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    Ok(Json(json!({ "DailyApiRequests": { "Max": 15000, "Remaining": 14998 } })))
}

async fn sobjects(
    ApiSession { org, .. }: ApiSession,
    Path(version): Path<String>,
) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    let sobjects: Vec<Value> = org.records.keys().map(|name| described(name, &version)).collect();
    Ok(Json(json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": sobjects })))
}

fn described(name: &str, version: &str) -> Value {
    let url = format!("/services/data/{version}/sobjects/{name}");
    json!({
        "name": name,
        "label": name,
        "labelPlural": format!("{name}s"),
        "keyPrefix": if name == "Account" { "001" } else { "003" },
        "custom": false,
        "queryable": true,
        "urls": { "sobject": url, "describe": format!("{url}/describe") },
    })
}

async fn describe(
    ApiSession { org, .. }: ApiSession,
    Path((version, object)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    let records = org.records.get(&object).ok_or_else(not_found)?;
    let fields = records.first().into_iter().flat_map(serde_json::Map::keys).map(|name| {
        let kind = if name == "Id" { "id" } else { "string" };
        json!({ "name": name, "label": name, "type": kind })
    });
    let mut told = described(&object, &version);
    told["fields"] = fields.collect();
    Ok(Json(told))
}

async fn record(
    ApiSession { org, .. }: ApiSession,
    Path((version, object, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    known_version(&version)?;
    let records = org.records.get(&object).ok_or_else(not_found)?;
    let record = records.iter().find(|record| record["Id"] == id.as_str()).ok_or_else(not_found)?;
    Ok(Json(soql::with_attributes(&object, record, &version, None)))
}
