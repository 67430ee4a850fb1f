//! Accepting connections: plain HTTP and TLS on one port, told apart by the first byte.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use crate::loopback::Loopback;

use super::{
    super::{
        Salesforce,
        fault::{Call, Outcome},
        host::{Host, SITE},
        hostile::Endpoint,
        params::Params,
    },
    hostile, index_routes, org_routes, text,
    tls::Certificate,
    token::{CloseConnection, TokenNote},
};

/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// A Salesforce that answers on a port of 127.0.0.1 and `::1`, until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    site: String,
    ca_pem: String,
    accepting: JoinHandle<()>,
}

impl Running {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `salesforce.localhost:<port>`.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The authority, as PEM, that signed the certificate of every host.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Closes the port and every connection.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // Cancelled, as asked for: nothing to learn from it.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Salesforce {
    /// Serves on a port of 127.0.0.1 and `::1`; 0 takes a free one.
    pub async fn serve(&self, port: u16) -> io::Result<Running> {
        let Loopback { v4, v6 } = Loopback::bind(port).await?;
        self.serve_both(v4, v6)
    }

    /// Serves on a listener.
    pub fn serve_on(&self, listener: TcpListener) -> io::Result<Running> {
        self.serve_both(listener, None)
    }

    fn serve_both(&self, listener: TcpListener, other: Option<TcpListener>) -> io::Result<Running> {
        let addr = listener.local_addr()?;
        let site = format!("{SITE}:{}", addr.port());
        self.change(|state| state.site.clone_from(&site));
        let certificate = Certificate::new(&self.read(|state| {
            let orgs = state.orgs.iter().map(|org| org.host(SITE));
            orgs.chain(["", "login.", "test."].map(|prefix| format!("{prefix}{SITE}"))).collect::<Vec<_>>()
        }));
        let face = Arc::new(Face { desk: self.desk(), tls: certificate.acceptor });
        let accepting = tokio::spawn(async move {
            let of_other = async {
                match other {
                    Some(other) => face.clone().accept(other).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(face.clone().accept(listener), of_other);
        });
        Ok(Running { addr, site, ca_pem: certificate.ca_pem, accepting })
    }
}

impl Salesforce {
    /// This Salesforce without a port: for tests that carry each request over themselves.
    pub fn desk(&self) -> Arc<Desk> {
        Arc::new(Desk {
            salesforce: self.clone(),
            orgs: org_routes(self.clone()),
            index: index_routes(self.clone()),
        })
    }
}

/// Everything that answers, whatever way a request came.
#[derive(Debug)]
pub struct Desk {
    salesforce: Salesforce,
    orgs: Router,
    index: Router,
}

struct Face {
    desk: Arc<Desk>,
    tls: TlsAcceptor,
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

impl Face {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        // Owned by this task, so that stopping it closes every connection.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    connections.spawn(self.clone().converse(stream));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] == TLS_HANDSHAKE => {
                if let Ok(stream) = self.tls.accept(stream).await {
                    self.serve(stream).await;
                }
            }
            Ok(1) => self.serve(stream).await,
            _ => {}
        }
    }

    async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request: Request<Incoming>| {
            // A task of its own: a caller that hangs up does not undo what it asked for.
            let answer = tokio::spawn(self.desk.clone().answer(request.map(Body::new)));
            async { answer.await.unwrap_or(Err(Closed)) }
        });
        // A peer that goes away is no concern of ours.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

impl Desk {
    /// Answers one request, or closes its connection.
    pub async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<Response, Closed> {
        let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let named = named.or(request.uri().host()).unwrap_or_default().to_owned();
        match self.salesforce.read(|state| Host::read(&named, state)) {
            None => Ok(text(StatusCode::NOT_FOUND, format!("{named} is not a host of this Salesforce"))),
            Some(Host::Index) => Ok(infallible(self.index.clone().call(request).await)),
            Some(host) => self.answer_on_record(host, &named, request).await,
        }
    }

    /// Answers for a login host or a My Domain, and writes the call down.
    async fn answer_on_record(
        &self,
        host: Host,
        named: &str,
        mut request: Request<Body>,
    ) -> Result<Response, Closed> {
        let mut call = Call {
            at: self.salesforce.now(),
            method: request.method().to_string(),
            host: named.rsplit_once(':').map_or(named, |(name, _)| name).to_owned(),
            path: request.uri().path().to_owned(),
            grant_type: None,
            outcome: Outcome::Dropped,
        };
        let answer = if self.salesforce.read(|state| state.unreachable) {
            Err(Closed)
        } else {
            request.extensions_mut().insert(host);
            let mut endpoints: Vec<Endpoint> = Endpoint::of(&call.path).into_iter().collect();
            if endpoints == [Endpoint::Token]
                && self.salesforce.read(|state| state.misbehaviors.reads_grant_type())
            {
                let (parts, body) = request.into_parts();
                let sent = to_bytes(body, usize::MAX).await.unwrap_or_default();
                match Params::read(&sent).get("grant_type") {
                    Some("authorization_code") => endpoints.insert(0, Endpoint::Exchange),
                    Some("refresh_token") => endpoints.insert(0, Endpoint::Refresh),
                    _ => {}
                }
                request = Request::from_parts(parts, Body::from(sent));
            }
            let misbehavior = self
                .salesforce
                .change(|state| endpoints.into_iter().find_map(|endpoint| state.misbehaviors.next(endpoint)));
            let mut routes = self.orgs.clone();
            let response = match misbehavior {
                Some(misbehavior) => hostile::answer(&self.salesforce, routes, &misbehavior, request).await,
                None => infallible(routes.call(request).await),
            };
            let note = response.extensions().get::<TokenNote>().cloned().unwrap_or_default();
            call.grant_type = note.grant_type;
            if response.extensions().get::<CloseConnection>().is_some() {
                Err(Closed)
            } else {
                call.outcome = Outcome::Answered { status: response.status().as_u16(), error: note.error };
                Ok(response)
            }
        };
        self.salesforce.change(|state| state.calls.push(call));
        answer
    }
}

pub(super) fn infallible<T>(result: Result<T, std::convert::Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
