//! The way to AWS: the HTTP and TLS libraries that Salesforce is asked through, so that a function carries and starts
//! one of each. Roots are built in: nothing of the system's is read, at start or later.

use std::{sync::OnceLock, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::Full;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(1);

/// Built when it is first used. How long an answer may take is the SDK's affair: its attempt is dropped.
#[derive(Debug, Default)]
struct Https(OnceLock<reqwest::Client>);

/// The client for the SDKs.
pub fn client() -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Https::default());
    http_client_fn(move |_, _| connector.clone())
}

impl Https {
    fn client(&self) -> reqwest::Client {
        let build = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(salesforce::http::tls())
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .no_proxy()
                .build()
                .expect("the settings above are valid")
        };
        self.0.get_or_init(build).clone()
    }
}

impl HttpConnector for Https {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            // What the SDKs send to DynamoDB and Secrets Manager is JSON in memory, never a stream.
            let request = request.map(|body| body.bytes().unwrap_or_default().to_vec());
            let request =
                request.try_into().map_err(|error: reqwest::Error| ConnectorError::user(error.into()))?;
            let mut answer = client.execute(request).await.map_err(unanswered)?;
            let mut whole = http::Response::builder().status(answer.status());
            if let Some(headers) = whole.headers_mut() {
                *headers = std::mem::take(answer.headers_mut());
            }
            // Not as bytes in memory, which the SDK prints at its most verbose level: a secret may be in them.
            let body = SdkBody::from_body_1_x(Full::new(answer.bytes().await.map_err(unanswered)?));
            let whole = whole.body(body).map_err(|error| ConnectorError::other(error.into(), None))?;
            HttpResponse::try_from(whole).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What the SDK may try again: a connection that never stood, or broke.
fn unanswered(error: reqwest::Error) -> ConnectorError {
    let connected = !error.is_connect();
    let error = if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    };
    if connected { error } else { error.never_connected() }
}
