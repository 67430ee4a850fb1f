//! Fernway, the example product: what a SaaS product does with Latchkey, in one file. A login of its own, a
//! Connect button, the return address that redeems, and a page of Salesforce records.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use domain::{ProductId, secret::ApiKey};
use salesforce::Http;
use serde::Deserialize;
use serde_json::{Value, json};

pub use webhooks::{Inbox, Standing};

pub mod webhooks;

/// The example product's backend.
#[derive(Debug, Clone)]
pub struct Example {
    latchkey: Arc<str>,
    origin: Arc<str>,
    product: ProductId,
    api_key: ApiKey,
    http: Http,
    /// Each customer's connection, as the product would keep it in its own database.
    connections: Arc<Mutex<HashMap<&'static str, String>>>,
    /// What its webhook endpoint was told.
    inbox: Inbox,
}

/// A user of the product.
#[derive(Debug, Clone, Copy)]
struct User {
    id: &'static str,
    name: &'static str,
    customer: &'static str,
    company: &'static str,
}

const USERS: [User; 3] = [
    User { id: "u-alice", name: "Alice", customer: "c-acme", company: "Acme Corporation" },
    User { id: "u-bob", name: "Bob", customer: "c-acme", company: "Acme Corporation" },
    User { id: "u-mallory", name: "Mallory", customer: "c-mallory", company: "Mallory & Sons" },
];

#[derive(Template)]
#[template(path = "product.html")]
struct Page<'a> {
    user: Option<User>,
    users: &'a [User],
    connected: bool,
    records: Vec<Record>,
    notice: Option<String>,
    standing: Option<Standing>,
    /// How many events the page knows.
    events: usize,
}

#[derive(Debug)]
struct Record {
    name: String,
    industry: String,
}

#[derive(Debug, Deserialize)]
struct Login {
    user: String,
}

#[derive(Debug, Deserialize)]
struct Connect {
    app: String,
}

#[derive(Debug, Deserialize)]
struct Returned {
    connect_session: Option<String>,
    receipt: Option<String>,
}

impl Example {
    /// The product of that id, as whose backend it calls Latchkey.
    pub fn new(
        latchkey: &str,
        origin: &str,
        (product, api_key): (&ProductId, &ApiKey),
        inbox: Inbox,
    ) -> Self {
        Self {
            latchkey: latchkey.into(),
            origin: origin.into(),
            product: product.clone(),
            api_key: api_key.clone(),
            http: Http::on_this_machine(),
            connections: Arc::default(),
            inbox,
        }
    }

    /// Its web application.
    pub fn router(self) -> Router {
        let webhooks = self.inbox.router();
        Router::new()
            .route("/", get(home))
            .route("/login", post(login))
            .route("/connect", post(connect))
            .route("/salesforce/return", get(returned))
            .with_state(self)
            .merge(webhooks)
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Value), String> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.latchkey))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.api_key.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .map_err(|error| error.to_string())?;
        let answer = self.http.send(request).await.map_err(|error| error.to_string())?;
        Ok((answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null)))
    }

    /// The accounts in the customer's org. A 401 is told to Latchkey, with the token's fingerprint, once.
    async fn accounts(&self, connection: &str) -> Result<Vec<Record>, String> {
        let path = format!("/v1/connections/{connection}/token");
        let (mut status, mut token) = self.call("GET", &path, None).await?;
        for rejected in [false, true] {
            if rejected {
                let body = json!({ "rejected": token["fingerprint"] });
                (status, token) = self.call("POST", &path, Some(body)).await?;
            }
            let (Some(instance), Some(access)) =
                (token["instance_url"].as_str(), token["access_token"].as_str())
            else {
                return Err(format!("{status}: {}", token["title"].as_str().unwrap_or("no token")));
            };
            let query = "SELECT+Id,Name,Industry+FROM+Account+LIMIT+20";
            let request = http::Request::get(format!("{instance}/services/data/v62.0/query?q={query}"))
                .header(header::AUTHORIZATION, format!("Bearer {access}"))
                .body(Vec::new())
                .map_err(|error| error.to_string())?;
            let answer = self.http.send(request).await.map_err(|error| error.to_string())?;
            if answer.status().as_u16() == 401 {
                continue;
            }
            let found: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
            let text = |record: &Value, field: &str| record[field].as_str().unwrap_or("–").to_owned();
            return Ok(found["records"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|record| Record { name: text(record, "Name"), industry: text(record, "Industry") })
                .collect());
        }
        Err("Salesforce rejects the token".into())
    }

    fn connection_of(&self, user: User) -> Option<String> {
        self.connections.lock().expect("no panic while holding it").get(user.customer).cloned()
    }

    async fn page(&self, user: Option<User>, notice: Option<String>) -> Response {
        // Counted first: what comes while the page is made, it fetches again.
        let events = self.inbox.events().len();
        let connection = user.and_then(|user| self.connection_of(user));
        let (records, notice) = match &connection {
            None => (Vec::new(), notice),
            Some(connection) => match self.accounts(connection).await {
                Ok(records) => (records, notice),
                Err(error) => (Vec::new(), Some(error)),
            },
        };
        let standing = user.and_then(|user| self.inbox.standing(user.customer));
        let standing = standing.filter(|standing| standing.notice().is_some());
        let connected = connection.is_some();
        let page = Page { user, users: &USERS, connected, records, notice, standing, events };
        Html(page.render().unwrap_or_else(|error| error.to_string())).into_response()
    }
}

/// Who is signed in to the product in this browser.
fn signed_in(headers: &HeaderMap) -> Option<User> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let id = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("fernway_user="))?;
    USERS.into_iter().find(|user| user.id == id)
}

async fn home(State(example): State<Example>, headers: HeaderMap) -> Response {
    example.page(signed_in(&headers), None).await
}

async fn login(Form(login): Form<Login>) -> Response {
    let cookie = format!("fernway_user={}; Path=/; HttpOnly; SameSite=Lax", login.user);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

/// The Connect button: a connect session for the user who is signed in, then on to its link.
async fn connect(State(example): State<Example>, headers: HeaderMap, Form(form): Form<Connect>) -> Response {
    let Some(user) = signed_in(&headers) else { return Redirect::to("/").into_response() };
    let wish = json!({
        "app": form.app,
        "customer": { "id": user.customer, "name": user.company },
        "user": user.id,
        "return_to": format!("{}/salesforce/return", example.origin),
    });
    match example.call("POST", "/v1/connect-sessions", Some(wish)).await {
        Ok((201, session)) => Redirect::to(session["connect_url"].as_str().unwrap_or("/")).into_response(),
        Ok((status, problem)) => {
            let why = format!("{status}: {}", problem["detail"].as_str().unwrap_or("no connect session"));
            (StatusCode::BAD_GATEWAY, example.page(Some(user), Some(why)).await).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, example.page(Some(user), Some(error)).await).into_response(),
    }
}

/// The return address: the receipt counts only together with the user who is signed in *here*.
async fn returned(
    State(example): State<Example>,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> Response {
    let (Some(user), Some(session), Some(receipt)) =
        (signed_in(&headers), returned.connect_session, returned.receipt)
    else {
        // Latchkey's pages lead here too, with nothing to redeem.
        return Redirect::to("/").into_response();
    };
    let path = format!("/v1/connect-sessions/{session}/redeem");
    match example.call("POST", &path, Some(json!({ "receipt": receipt, "user": user.id }))).await {
        Ok((200, connection)) => {
            let id = connection["id"].as_str().unwrap_or_default().to_owned();
            example.connections.lock().expect("no panic while holding it").insert(user.customer, id);
            Redirect::to("/").into_response()
        }
        Ok((_, problem)) => {
            let title = problem["title"].as_str().unwrap_or("Salesforce was not connected").to_owned();
            (StatusCode::CONFLICT, example.page(Some(user), Some(title)).await).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, example.page(Some(user), Some(error)).await).into_response(),
    }
}

impl Example {
    /// Which product it is.
    pub fn id(&self) -> &ProductId {
        &self.product
    }
}
