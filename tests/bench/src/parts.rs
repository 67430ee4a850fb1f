//! Ways out that are timed, so that what a function does itself can be told from what it waits for; and its steps, each
//! by itself.

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
use telemetry::spans::TARGET;
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use crate::report::median;

/// Times the steps of what is done: how long each computed, without what it waited for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    /// Each span's name, the time that it has computed, and since when it does.
    spans: Vec<(&'static str, Duration, Option<Instant>)>,
}

impl Steps {
    /// Of all the steps of that name.
    pub(crate) fn median(&self, name: &str) -> Duration {
        let told = self.0.lock().expect("no panic while holding it");
        let times = told.spans.iter().filter(|(step, ..)| *step == name).map(|(_, time, _)| *time);
        median(&times.collect::<Vec<_>>())
    }

    fn with(&self, id: &Id, change: impl FnOnce(&mut Duration, &mut Option<Instant>)) {
        let mut told = self.0.lock().expect("no panic while holding it");
        let index = usize::try_from(id.into_u64() - 1).expect("few spans");
        let (_, computed, since) = &mut told.spans[index];
        change(computed, since);
    }
}

impl Subscriber for Steps {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == TARGET
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut told = self.0.lock().expect("no panic while holding it");
        told.spans.push((span.metadata().name(), Duration::ZERO, None));
        Id::from_u64(told.spans.len() as u64)
    }

    fn enter(&self, id: &Id) {
        self.with(id, |_, since| *since = Some(Instant::now()));
    }

    fn exit(&self, id: &Id) {
        self.with(id, |computed, since| {
            *computed += since.take().map(|since| since.elapsed()).unwrap_or_default()
        });
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
}

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
        let (waits, client) = (self.clone(), platform::aws_https::client());
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
    fn send(&self, request: http::Request<Vec<u8>>, _timeout: Duration) -> Sending {
        let (waits, http, began) = (self.waits.clone(), self.http.clone(), Instant::now());
        let path = request.uri().path().to_owned();
        Box::pin(async move {
            let answer = http.send(request).await;
            waits.note(path, began.elapsed());
            answer
        })
    }
}
