//! A webhook endpoint of the example product: it accepts everything, and shows it to the tests, which verify it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Deliveries = Arc<Mutex<Vec<Value>>>;

/// Starts it. Returns its origin: deliveries go to `/hook`, and `/deliveries` lists them.
pub(crate) async fn start() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/hook", post(receive)).route("/deliveries", get(list));
    let router = router.with_state(Deliveries::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(origin)
}

async fn receive(State(deliveries): State<Deliveries>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let delivery = json!({
        "webhook-id": header("webhook-id"),
        "webhook-timestamp": header("webhook-timestamp"),
        "webhook-signature": header("webhook-signature"),
        "body": body,
    });
    deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(delivery);
    StatusCode::NO_CONTENT
}

async fn list(State(deliveries): State<Deliveries>) -> Json<Vec<Value>> {
    Json(deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone())
}
