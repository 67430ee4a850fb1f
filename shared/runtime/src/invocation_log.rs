//! Every invocation is watched: what is counted while it runs becomes its lines when it has ended.

use std::{
    io::Write as _,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
};

use http::HeaderValue;
use jiff::Timestamp;
use lambda_http::{RequestExt as _, request::RequestContext};
use telemetry::{
    Fact, Line, Meter, Metric, Outcome, about, add,
    emf::{MILLISECOND, Speaker},
    trace::{TraceContext, traceresponse},
};
use tokio::time::Instant;

use crate::{logs::init_logs, otlp::Collector};
use platform::SettingError;
use web::{Request, Response, routes};

/// Watches the invocations of one function. One for each sandbox.
#[derive(Debug)]
pub struct Observer {
    deployment: String,
    function: &'static str,
    warm: AtomicBool,
    collector: Option<Collector>,
}

impl Observer {
    /// Watches a function of the deployment of that name.
    pub fn new(function: &'static str, deployment: impl Into<String>) -> Self {
        Self { deployment: deployment.into(), function, warm: AtomicBool::new(false), collector: None }
    }

    /// Sends spans there too.
    #[must_use]
    pub fn traced(self, collector: Option<Collector>) -> Self {
        Self { collector, ..self }
    }

    /// Watches a deployed function, and starts its logs: the template names the deployment in `STAGE`, and the
    /// collector, where there is one, in `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn from_env(function: &'static str) -> Result<Self, SettingError> {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = get("OTEL_EXPORTER_OTLP_ENDPOINT");
        init_logs(endpoint.is_some());
        let collector = endpoint.map(|endpoint| Collector::at(&endpoint)).transpose()?;
        Ok(Self::new(function, get("STAGE").unwrap_or_else(|| "none".into())).traced(collector))
    }

    /// Watches a request until it is answered. `answer` must not have begun: what is counted before is lost. It comes
    /// boxed, for it is tens of kB that would be moved again at each step.
    pub async fn request(
        &self,
        asked: RequestFacts,
        now: Timestamp,
        answer: Pin<Box<impl Future<Output = Response>>>,
    ) -> (Response, Vec<Line>) {
        let meter = Meter::new(asked.context);
        let told = asked.context.is_some();
        let watched = async {
            asked.tell();
            let answer = answer.await;
            about(Fact::TraceId, meter.trace().to_string());
            about(Fact::Status, answer.status().as_str());
            answer
        };
        let mut answer = self.watch(&meter, watched).await;
        let usual = Outcome::of_status(answer.status().as_u16());
        let lines = self.end(&meter, usual, now).await;
        let response = traceresponse(meter.trace(), meter.span(), meter.sampled());
        if told && let Ok(response) = HeaderValue::from_str(&response) {
            answer.headers_mut().insert("traceresponse", response);
        }
        (answer, lines)
    }

    /// Watches a run that is about many things at once: its line has numbers, and names none of them.
    pub async fn run<T>(
        &self,
        request_id: &str,
        now: Timestamp,
        run: Pin<Box<impl Future<Output = T>>>,
    ) -> (T, Vec<Line>) {
        let meter = Meter::of_many();
        let watched = async {
            about(Fact::RequestId, request_id);
            run.await
        };
        let done = self.watch(&meter, watched).await;
        (done, self.end(&meter, Outcome::Unavailable, now).await)
    }

    /// The invocation is over: its spans go to the collector, before Lambda freezes the sandbox.
    async fn end(&self, meter: &Meter, usual: Outcome, now: Timestamp) -> Vec<Line> {
        if let Some(collector) = self.collector.as_ref().filter(|_| meter.sampled()) {
            collector.send(self.speaker().spans(meter, usual, now)).await;
        }
        self.speaker().lines(meter, usual, now)
    }

    async fn watch<T>(&self, meter: &Meter, run: impl Future<Output = T>) -> T {
        let began = Instant::now();
        meter
            .over(async {
                add(Metric::ColdStarts, if self.warm.swap(true, Ordering::Relaxed) { 0.0 } else { 1.0 });
                let done = run.await;
                add(Metric::Duration, began.elapsed().as_secs_f64() / MILLISECOND);
                done
            })
            .await
    }

    fn speaker(&self) -> Speaker<'_> {
        Speaker { deployment: &self.deployment, function: self.function }
    }
}

/// What of a request is told: never a path, a key or a query.
#[derive(Debug)]
pub struct RequestFacts {
    facts: Vec<(Fact, String)>,
    context: Option<TraceContext>,
}

impl RequestFacts {
    /// Of a request, before it is given away.
    pub fn of(request: &Request) -> Self {
        let mut facts = vec![
            (Fact::Method, method(request).to_owned()),
            (Fact::Section, routes::section(request.uri().path()).to_owned()),
        ];
        if let Some(context) = request.lambda_context_ref() {
            facts.push((Fact::RequestId, context.request_id.clone()));
        }
        if let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() {
            facts.extend(context.request_id.clone().map(|id| (Fact::GatewayRequestId, id)));
        }
        // A product's backend continues its trace in ours. A browser does not: its address may be anybody's link.
        let product = request.uri().path().starts_with("/v1/");
        let given = request.headers().get("traceparent").filter(|_| product);
        let context = given.and_then(|given| TraceContext::parse(given.to_str().ok()?));
        Self { facts, context }
    }

    fn tell(self) {
        for (fact, value) in self.facts {
            about(fact, value);
        }
    }
}

/// Puts lines where CloudWatch reads them, each in one write: another task's must not come between.
pub fn print(lines: &[Line]) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        // A log that cannot be written has nobody left to be told.
        let _ = writeln!(out, "{line}");
    }
}

/// The method; one that HTTP does not have is the caller's own text.
fn method(request: &Request) -> &str {
    match request.method().as_str() {
        known @ ("GET" | "POST" | "DELETE" | "HEAD" | "PUT" | "PATCH" | "OPTIONS") => known,
        _ => "other",
    }
}
