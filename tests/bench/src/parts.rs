//! Ways out that are timed, so that what a function does itself can be told from what it waits for.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector, http_client_fn,
    },
    orchestrator::HttpRequest,
};
use salesforce::{
    Http,
    http::{Sending, Transport},
};

/// What was waited for: the operation, and how long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits(Arc<Mutex<Vec<(String, Duration)>>>);

impl Waits {
    /// What was waited for since the last time.
    ///
    /// # Panics
    /// Never: nobody panics while holding it.
    pub(crate) fn take(&self) -> Vec<(String, Duration)> {
        std::mem::take(&mut self.0.lock().expect("no panic while holding it"))
    }

    fn note(&self, what: String, time: Duration) {
        self.0.lock().expect("no panic while holding it").push((what, time));
    }

    /// The functions' own way to AWS, timed.
    pub(crate) fn aws(&self) -> SharedHttpClient {
        let (waits, client) = (self.clone(), service::https::client());
        http_client_fn(move |settings: &HttpConnectorSettings, components| {
            let connector = client.http_connector(settings, components);
            SharedHttpConnector::new(Timed { waits: waits.clone(), connector })
        })
    }

    /// The functions' own way to Salesforce, timed.
    pub(crate) fn salesforce(&self) -> Http {
        Http::through(TimedSalesforce { waits: self.clone(), http: Http::on_this_machine() })
    }
}

#[derive(Debug)]
struct Timed {
    waits: Waits,
    connector: SharedHttpConnector,
}

impl HttpConnector for Timed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let (waits, began, answer) = (self.waits.clone(), Instant::now(), self.connector.call(request));
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            waits.note(operation, began.elapsed());
            answer
        })
    }
}

#[derive(Debug)]
struct TimedSalesforce {
    waits: Waits,
    http: Http,
}

impl Transport for TimedSalesforce {
    fn send(&self, request: http::Request<Vec<u8>>) -> Sending {
        let (waits, http, began) = (self.waits.clone(), self.http.clone(), Instant::now());
        let path = request.uri().path().to_owned();
        Box::pin(async move {
            let answer = http.send(request).await;
            waits.note(path, began.elapsed());
            answer
        })
    }
}
