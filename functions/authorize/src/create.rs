//! `POST /v1/connect-sessions`: a product wishes that one of its users connects an org.

use domain::{
    AppId, ConnectSession, ConnectionId, Customer, Environment, HostChoice, Product, Scopes, SessionState,
    secret::{ConnectKey, Hash},
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use platform::log::about_session;
use serde::Deserialize;
use store::{Created, connection_lists::ConnectionSummary};
use telemetry::{Outcome, ended};
use web::{Problem, Request, Response, api_auth, connect_params, json_object, request, respond};

use crate::{Authorize, error::AuthorizeError, show::SessionView};

/// What the call takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    app: Option<AppId>,
    connection_id: Option<String>,
    #[serde(default, deserialize_with = "json_object::optional_object")]
    customer: Option<Customer>,
    user: String,
    /// The user's name, for the admin who is asked for help.
    user_name: Option<String>,
    environment: Option<Environment>,
    my_domain: Option<String>,
    return_to: Option<String>,
    expires_in: Option<i64>,
    /// Whether a user who has a connection gets one more.
    #[serde(default)]
    another: bool,
    /// For a reconnect: what to ask for beside what the connection has, such as its `scopes_missing`.
    scopes: Option<Vec<String>>,
}

/// The connection that is authorized anew.
struct Target {
    listed: ConnectionSummary,
    /// Where it signs in and what it was granted, where the session needs to know.
    granted_at: Option<(String, Scopes)>,
}

/// How long a link works unless the call says otherwise, and the bounds of what it may say.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
const SHORTEST: SignedDuration = SignedDuration::from_mins(5);
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 7);

impl Authorize {
    pub(crate) async fn create(&self, request: &Request, now: Timestamp) -> Result<Response, AuthorizeError> {
        let caller = api_auth::caller(&self.platform.products, request, now)
            .await?
            .ok_or_else(|| Problem::unauthorized(request))?;
        let idempotency = idempotency_key(request)?;
        let call: Call = request::json(request)?;

        let key = match idempotency {
            Some(idempotency) => ConnectKey::for_idempotency(&caller.key, idempotency),
            None => ConnectKey::mint(),
        };
        let target = match &call.connection_id {
            Some(id) => Some(self.target(&caller.product, id, &call).await?),
            None => None,
        };
        let session = self.wish(&key, call, &caller.product, target.as_ref(), now)?;
        let digest = Hash::of(&String::from_utf8_lossy(request.body().as_ref()));
        let (status, session) = match self.platform.store.create_session(&session, &digest).await? {
            Created::New => (StatusCode::CREATED, session),
            // A minted key is nobody else's: the write was carried out, and only its answer was lost.
            Created::Before(before) if idempotency.is_none() => (StatusCode::CREATED, *before),
            Created::Before(before) => (StatusCode::OK, *before),
            Created::Different => {
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "idempotency-key-reused",
                    "This Idempotency-Key was used for a different call",
                    "Send the same body again, or a new Idempotency-Key.",
                )
                .into());
            }
        };
        about_session(&session);
        ended(Outcome::Created);
        let connect_url = self.platform.settings.public_url.at(&format!("/connect/{}", key.expose()));
        let view = SessionView::of(&session, &self.platform.settings.public_url, now).with_link(connect_url);
        Ok(respond::json(status, &view))
    }

    /// The connection that is to be authorized anew. Another product's is not found; one that was never redeemed
    /// has a receipt to be brought.
    async fn target(&self, product: &Product, id: &str, call: &Call) -> Result<Target, AuthorizeError> {
        let unknown = || Problem::not_found("connection");
        let id: ConnectionId = id.parse().map_err(|_| unknown())?;
        let target = self.platform.store.listed(&product.id, &id).await?.ok_or_else(unknown)?;
        match target.state.as_str() {
            "revoking" => Err(unknown().into()),
            "pending" | "parked" => Err(Problem::not_redeemed().into()),
            _ => {
                let asks_host = call.environment.is_none() && call.my_domain.is_none();
                let needs =
                    call.scopes.is_some() || (asks_host && target.environment == Environment::MyDomain);
                let granted_at = if needs { self.platform.store.granted_at(&id).await? } else { None };
                Ok(Target { listed: target, granted_at })
            }
        }
    }

    /// Checks what was asked for against what the product has.
    fn wish(
        &self,
        key: &ConnectKey,
        call: Call,
        product: &Product,
        target: Option<&Target>,
        now: Timestamp,
    ) -> Result<ConnectSession, Problem> {
        let scopes = scopes(product, &call, target)?;
        let granted_at = target.and_then(|target| target.granted_at.as_ref());
        let target = target.map(|target| &target.listed);
        let app = connect_params::app(product, call.app.as_ref().or(target.map(|target| &target.app)))?;
        let customer = choose_customer(call.customer, target)?;
        let hosts = self.platform.salesforce.hosts();
        let host = connect_params::host(hosts, app, call.environment, call.my_domain.as_deref())?;
        let return_to = match (&call.return_to, product.return_addresses.as_slice()) {
            (Some(asked), _) => product.returns_to(asked).ok_or_else(|| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "return-address-not-registered",
                    "The return address is not registered",
                    "return_to must be, character for character, one of the product's return_addresses.",
                )
            })?,
            (None, [only]) => only,
            (None, _) => {
                return Err(Problem::bad_request(
                    "return_to is needed: the product has several return addresses",
                ));
            }
        };
        if call.another && target.is_some() {
            return Err(Problem::bad_request(
                "another makes a new connection, and connection_id renews one: send one of them",
            ));
        }
        connect_params::names(&customer, &call.user)?;
        connect_params::user_name(call.user_name.as_deref())?;
        let lifetime = call.expires_in.map_or(LIFETIME, SignedDuration::from_secs);
        if !(SHORTEST..=LONGEST).contains(&lifetime) {
            return Err(Problem::bad_request(format!(
                "expires_in must be {} to {} seconds",
                SHORTEST.as_secs(),
                LONGEST.as_secs()
            )));
        }
        Ok(ConnectSession {
            id: key.session(),
            product: product.id.clone(),
            app: app.id.clone(),
            customer,
            user: call.user,
            user_name: call.user_name,
            reconnects: target.map(|target| target.id.clone()),
            known_host: granted_at
                .filter(|_| host == HostChoice::Open)
                .and_then(|(origin, _)| hosts.readmit(origin).ok())
                .filter(|known| known.environment() == Environment::MyDomain)
                .map(|known| known.host().to_owned()),
            scopes,
            another: call.another,
            environment: host.environment(),
            host,
            return_to: return_to.clone(),
            state: SessionState::Created,
            created_at: now,
            expires_at: now + lifetime,
            attempts: 0,
            last_failure: None,
            change: None,
            browser: None,
            open_attempts: Vec::new(),
        })
    }
}

/// A connection stays with its customer, whose name may have changed.
fn choose_customer(asked: Option<Customer>, target: Option<&ConnectionSummary>) -> Result<Customer, Problem> {
    match (asked, target.map(|target| &target.customer)) {
        (Some(asked), Some(its)) if asked.id != its.id => {
            Err(Problem::bad_request("customer.id is not the connection's; it can be left out"))
        }
        (Some(asked), its) => {
            let name = asked.name.or_else(|| its.and_then(|its| its.name.clone()));
            Ok(Customer { name, ..asked })
        }
        (None, Some(its)) => Ok(its.clone()),
        (None, None) => Err(Problem::bad_request("customer is needed")),
    }
}

/// What a reconnect asks for: what the connection has, what the call names, and what every connection needs. `None`: all
/// scopes of the app.
fn scopes(product: &Product, call: &Call, target: Option<&Target>) -> Result<Option<Vec<String>>, Problem> {
    let Some(wanted) = &call.scopes else { return Ok(None) };
    let Some(target) = target else {
        return Err(Problem::bad_request("scopes adds to what a connection has: send connection_id too"));
    };
    let app = connect_params::app(product, call.app.as_ref().or(Some(&target.listed.app)))?;
    if wanted.is_empty() {
        return Err(Problem::bad_request("scopes is empty: leave it out to ask for all scopes of the app"));
    }
    if wanted.iter().any(|scope| !app.scopes.contains(scope)) {
        return Err(Problem::bad_request("scopes must be among the app's scopes in the product's file"));
    }
    let has = |scope: &str| target.granted_at.as_ref().is_some_and(|(_, granted)| granted.grants(scope));
    let is_needed = |scope: &str| matches!(scope, "refresh_token" | "offline_access" | "openid");
    let asked = app.scopes.iter().filter(|scope| wanted.contains(*scope) || has(scope) || is_needed(scope));
    Ok(Some(asked.cloned().collect()))
}

fn idempotency_key(request: &Request) -> Result<Option<&str>, Problem> {
    let mut values = request.headers().get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request("Idempotency-Key is given more than once"));
    }
    let text = value.to_str().unwrap_or_default();
    if (1..=255).contains(&text.len()) {
        Ok(Some(text))
    } else {
        Err(Problem::bad_request("Idempotency-Key must have 1 to 255 ASCII characters"))
    }
}
