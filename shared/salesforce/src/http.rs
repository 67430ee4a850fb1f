//! The one HTTP client: no redirects (a redirect would carry a code or secret to another host), bounded
//! bodies, and time-outs that end before the invocation does.

use std::{
    error::Error as _,
    fmt,
    pin::Pin,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use telemetry::{Metric, add, emf::MILLISECOND, sample, spans::TARGET};
use tracing::{Instrument as _, field::Empty, info_span};

/// Salesforce's answers are a few kB; a token may be a JWT of some kB more.
const MAX_BODY: usize = 256 * 1024;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer may take, all in all: well inside every function's own time-out.
pub const ANSWER: Duration = Duration::from_secs(8);

/// How long the token endpoint may take to answer an exchange or a refresh, redirects included. An answer that is cut
/// off may be the only copy of a rotated token, so this is as long as a lease and an invocation allow.
pub const TOKEN_ENDPOINT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an operator's command waits for an answer of Latchkey's own or AWS's: as long as API Gateway does.
const OPERATOR: Duration = Duration::from_secs(30);

/// The client.
#[derive(Debug, Clone)]
pub struct Http(Way);

#[derive(Debug, Clone)]
enum Way {
    Network(Arc<LazyLock<reqwest::Client, Build>>),
    Other(Arc<dyn Transport>),
}

/// Builds the client when it is first used: most cold starts hand out a fresh token, and ask Salesforce nothing.
type Build = fn() -> reqwest::Client;

/// A way to Salesforce other than the network, for tests that must command every delay and every loss. It gives up
/// itself once `timeout` has passed.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Carries a request over and its answer back.
    fn send(&self, request: http::Request<Vec<u8>>, timeout: Duration) -> Sending;
}

/// An answer on its way.
pub type Sending = Pin<Box<dyn Future<Output = Result<http::Response<Vec<u8>>, NoAnswer>> + Send>>;

/// No whole answer came.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct NoAnswer {
    /// What happened, for the log. It holds no address and no body.
    pub what: String,
    /// Whether the request may have reached the other side.
    pub sent: bool,
    /// Whether an answer came that was too large to be one of Salesforce's.
    pub oversized: bool,
}

impl Http {
    /// The client that deployed functions use: https alone, roots built in.
    pub fn new() -> Self {
        Self::lazily(|| built(settings().https_only(true)))
    }

    /// The client of the local stack: `*.localhost` is this machine and nothing else resolves.
    pub fn on_this_machine() -> Self {
        Self::lazily(|| built(settings().dns_resolver(Arc::new(ThisMachine))))
    }

    /// The client of an operator's command, which talks to Latchkey: https alone.
    ///
    /// # Panics
    /// If the TLS library refuses its own defaults.
    pub fn of_operator() -> Self {
        Self::lazily(|| built(settings().https_only(true).timeout(OPERATOR)))
    }

    /// The client of an operator's command that talks to the local stack: this machine and nothing else resolves.
    ///
    /// # Panics
    /// If the TLS library refuses its own defaults.
    pub fn of_operator_here() -> Self {
        Self::lazily(|| built(settings().dns_resolver(Arc::new(ThisMachine)).timeout(OPERATOR)))
    }

    /// The client of an operator's command that asks AWS, whose address the environment may name: http as well.
    ///
    /// # Panics
    /// If the TLS library refuses its own defaults.
    pub fn to_aws() -> Self {
        Self::lazily(|| built(settings().timeout(OPERATOR)))
    }

    /// The client of a collector of traces, which may listen in the sandbox itself: http as well.
    ///
    /// # Panics
    /// If the TLS library refuses its own defaults.
    pub fn to_collector() -> Self {
        Self::lazily(|| built(settings()))
    }

    /// A client that takes another way than the network.
    pub fn through(transport: impl Transport + 'static) -> Self {
        Self(Way::Other(Arc::new(transport)))
    }

    fn lazily(build: Build) -> Self {
        Self(Way::Network(Arc::new(LazyLock::new(build))))
    }

    /// Sends a request and reads the whole answer within [`ANSWER`]. What it took is counted.
    pub async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, NoAnswer> {
        self.send_within(request, None).await
    }

    /// The same with a timeout of its own.
    pub(crate) async fn send_within(
        &self,
        request: http::Request<Vec<u8>>,
        timeout: Option<Duration>,
    ) -> Result<http::Response<Vec<u8>>, NoAnswer> {
        let began = Instant::now();
        let span = info_span!(
            target: TARGET,
            "salesforce",
            method = request.method().as_str(),
            endpoint = endpoint(request.uri().path()),
            status = Empty
        );
        let answer = self.carry(request, timeout).instrument(span.clone()).await;
        if let Ok(answer) = &answer {
            span.record("status", u64::from(answer.status().as_u16()));
        }
        sample(Metric::SalesforceTime, began.elapsed().as_secs_f64() / MILLISECOND);
        if answer.as_ref().map_or(true, |answer| answer.status().is_server_error()) {
            add(Metric::SalesforceErrors, 1.0);
        }
        answer
    }

    async fn carry(
        &self,
        request: http::Request<Vec<u8>>,
        timeout: Option<Duration>,
    ) -> Result<http::Response<Vec<u8>>, NoAnswer> {
        let client = match &self.0 {
            Way::Network(client) => client,
            Way::Other(transport) => return transport.send(request, timeout.unwrap_or(ANSWER)).await,
        };
        let mut request: reqwest::Request =
            request.try_into().map_err(|_| NoAnswer::unsent("the request's address is not valid"))?;
        if timeout.is_some() {
            // In place of the client's own, which an operator's command sets longer.
            *request.timeout_mut() = timeout;
        }
        let mut answer = client.execute(request).await.map_err(|error| NoAnswer::from(&error))?;
        let mut head = http::Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            head = head.header(name, value);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| NoAnswer::from(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(NoAnswer {
                    what: format!("an answer of more than {MAX_BODY} bytes"),
                    sent: true,
                    oversized: true,
                });
            }
            body.extend_from_slice(&chunk);
        }
        head.body(body).map_err(|_| NoAnswer {
            what: "an answer with unusable headers".into(),
            sent: true,
            oversized: false,
        })
    }
}

/// What of a path a span tells: which of Salesforce's endpoints, never an org, a user or a record.
fn endpoint(path: &str) -> &'static str {
    const KNOWN: [&str; 7] = [
        "/services/oauth2/token",
        "/services/oauth2/revoke",
        "/services/oauth2/introspect",
        "/services/oauth2/userinfo",
        "/services/data",
        "/id/",
        "/v1/traces",
    ];
    KNOWN.into_iter().find(|known| path.starts_with(known)).unwrap_or("other")
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl NoAnswer {
    /// Nothing was sent.
    pub fn unsent(what: &str) -> Self {
        Self { what: what.to_owned(), sent: false, oversized: false }
    }
}

impl From<&reqwest::Error> for NoAnswer {
    fn from(error: &reqwest::Error) -> Self {
        // The error's own text holds the address; its innermost source says what happened and nothing more.
        let mut innermost = error.source();
        while let Some(next) = innermost.and_then(std::error::Error::source) {
            innermost = Some(next);
        }
        let what = match innermost {
            _ if error.is_timeout() && error.is_connect() => "connecting took too long".to_owned(),
            _ if error.is_timeout() => "no whole answer in time".to_owned(),
            Some(source) => source.to_string(),
            None => "the request failed".to_owned(),
        };
        Self { what, sent: !error.is_connect() && !error.is_builder(), oversized: false }
    }
}

fn settings() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls())
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .no_proxy()
        .user_agent(concat!("latchkey/", env!("CARGO_PKG_VERSION")))
}

fn built(client: reqwest::ClientBuilder) -> reqwest::Client {
    client.build().expect("the settings above are valid")
}

/// How TLS is spoken, with whomever: the roots are built in. One for the process, made when it is first used.
///
/// # Panics
/// If the TLS library refuses its own defaults.
pub fn tls() -> rustls::ClientConfig {
    static TLS: LazyLock<rustls::ClientConfig> = LazyLock::new(|| {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth()
    });
    TLS.clone()
}

/// Resolves `*.localhost` to this machine (RFC 6761 §6.3), which the system's resolver may not do.
struct ThisMachine;

impl reqwest::dns::Resolve for ThisMachine {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let local = name.as_str() == "localhost" || name.as_str().ends_with(".localhost");
        Box::pin(async move {
            if local {
                let addresses: reqwest::dns::Addrs = Box::new(std::iter::once(([127, 0, 0, 1], 0).into()));
                Ok(addresses)
            } else {
                Err("the local stack talks to this machine alone".into())
            }
        })
    }
}

#[cfg(test)]
mod tests;
