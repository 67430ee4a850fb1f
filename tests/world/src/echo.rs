//! A host on the internet that answers with the address that a request came from, as AWS's does.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinSet};

/// The running host. Dropping it ends its server.
#[derive(Debug)]
pub struct Echo {
    address: String,
    instead: Arc<Mutex<Option<Instead>>>,
    _server: JoinSet<()>,
}

/// What is answered in place of the address.
#[derive(Debug, Clone)]
struct Instead(StatusCode, String);

impl Echo {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port for the echo");
        let address = listener.local_addr().expect("a bound listener has an address");
        let instead = Arc::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&instead));
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await.expect("serves until it is dropped") });
        Self { address: format!("http://{address}/"), instead, _server: server }
    }

    /// Where it answers.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on it answers this.
    pub fn answers(&self, status: u16, body: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        *lock(&self.instead) = Some(Instead(status, body.to_owned()));
    }
}

fn lock(instead: &Mutex<Option<Instead>>) -> MutexGuard<'_, Option<Instead>> {
    instead.lock().expect("no panic while holding it")
}

async fn answer(
    State(instead): State<Arc<Mutex<Option<Instead>>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Response {
    match lock(&instead).clone() {
        Some(Instead(status, body)) => (status, [(header::LOCATION, "/elsewhere")], body).into_response(),
        None => format!("{}\n", from.ip()).into_response(),
    }
}
