//! The one client that calls an endpoint: no redirects, no proxy, a bounded answer, and 10 seconds in all.

use std::{
    error::Error as _,
    fmt,
    pin::Pin,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use http::{HeaderValue, header};
use url::Url;

use crate::address_guard::{AddressGuard, GuardError};

/// How long an attempt may take, from the lookup to the end of the answer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum bytes of an answer that are read. The status decides; the rest is for the operators.
const MAX_ANSWER: usize = 64 * 1024;

/// An endpoint's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// Its first bytes, at most 64 kB.
    pub body: Vec<u8>,
}

/// An endpoint gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NoAnswer {
    /// What happened. It holds no address and nothing of the answer.
    pub what: String,
    /// How long it took.
    pub took: Duration,
}

/// The result of a call, on its way.
pub type Answered<'a> = Pin<Box<dyn Future<Output = Result<Answer, NoAnswer>> + Send + 'a>>;

/// Endpoints that are not behind a network: those of a schedule with a clock of its own.
pub trait OtherEndpoints: fmt::Debug + Send + Sync {
    /// Takes a delivery and answers it.
    fn post(&self, url: &Url, signature: [(&'static str, String); 3], body: Vec<u8>) -> Answered<'_>;
}

/// Calls endpoints. Cheap to clone.
#[derive(Clone)]
pub struct EndpointClient(Way);

#[derive(Clone)]
enum Way {
    Network { guard: AddressGuard, client: Arc<LazyLock<reqwest::Client, Build>> },
    Other(Arc<dyn OtherEndpoints>),
}

/// Builds the HTTP client when an endpoint is first called.
type Build = Box<dyn FnOnce() -> reqwest::Client + Send>;

impl fmt::Debug for EndpointClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Network { guard, .. } => f.debug_tuple("EndpointClient").field(guard).finish(),
            Way::Other(endpoints) => f.debug_tuple("EndpointClient").field(endpoints).finish(),
        }
    }
}

impl EndpointClient {
    /// A client that calls only what this guard lets through.
    ///
    /// # Panics
    /// If the HTTP library refuses its own settings.
    pub fn new(guard: AddressGuard) -> Self {
        let resolver = guard.clone();
        let build = move || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(salesforce::http::tls())
                .dns_resolver(Arc::new(resolver))
                .redirect(reqwest::redirect::Policy::none())
                .timeout(ATTEMPT_TIMEOUT)
                .no_proxy()
                .user_agent(concat!("latchkey/", env!("CARGO_PKG_VERSION")))
                .build()
                .expect("the settings above are valid")
        };
        Self(Way::Network { guard, client: Arc::new(LazyLock::new(Box::new(build))) })
    }

    /// A client of endpoints that are not behind a network.
    pub fn other(endpoints: Arc<dyn OtherEndpoints>) -> Self {
        Self(Way::Other(endpoints))
    }

    /// Sends a signed body and reads the answer, up to 64 kB. The headers are Latchkey's own; a product adds none.
    pub async fn post(
        &self,
        url: &Url,
        signature: [(&'static str, String); 3],
        body: Vec<u8>,
    ) -> Result<Answer, NoAnswer> {
        let (guard, client) = match &self.0 {
            Way::Network { guard, client } => (guard, client),
            Way::Other(endpoints) => return endpoints.post(url, signature, body).await,
        };
        let began = Instant::now();
        guard.check_url(url).map_err(|error| NoAnswer { what: error.to_string(), took: Duration::ZERO })?;
        let mut request = client
            .post(url.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in signature {
            request = request.header(name, value);
        }
        let no_answer = |error: reqwest::Error| NoAnswer { what: describe(&error), took: began.elapsed() };
        let mut answer = request.body(body).send().await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER {
            // The whole answer must come in time: a slow one holds one of the endpoint's places.
            let Some(chunk) = answer.chunk().await.map_err(no_answer)? else { break };
            body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]);
        }
        Ok(Answer { status, took: began.elapsed(), body })
    }
}

/// What happened, without the address, which reqwest's own text has.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let what = if error.is_connect() { "no connection" } else { "no whole answer" };
        return format!("{what} within {} seconds", ATTEMPT_TIMEOUT.as_secs());
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<GuardError>() {
            return refused.to_string();
        }
        source = cause.source();
    }
    if error.is_connect() {
        "no connection could be made".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}

#[cfg(test)]
mod tests;
