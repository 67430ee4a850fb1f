//! Spans of `tracing`, kept with the invocation that they belong to, and told in OTLP's JSON
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
//!
//! The layer is in place where a collector is configured, and there alone: without it the target is off, and a span
//! costs the reading of one flag.
//!
//! Why not `opentelemetry-otlp` (with its SDK and `tracing-opentelemetry`): measured, it adds 180 kB to a function, and
//! it exports from a thread or a timer of its own, which Lambda freezes between invocations. Here an invocation's spans go
//! in one request, before it ends.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use crate::{
    Meter, Outcome,
    emf::Speaker,
    meter::with_meter,
    trace::{SpanId, TraceId},
};

/// The target of the spans that are told. Every other span and every event is a log's.
pub const TARGET: &str = "latchkey::span";

/// A step of what is done, as a span: a future under a name.
#[macro_export]
macro_rules! step {
    ($name:literal, $future:expr) => {
        $crate::tracing::Instrument::instrument(
            $future,
            $crate::tracing::info_span!(target: $crate::spans::TARGET, $name),
        )
    };
}

/// So many spans of one invocation are told: a sweep over thousands must not make a request of megabytes.
const MOST: usize = 512;

/// A span that has ended.
#[derive(Debug)]
pub(crate) struct Span {
    id: SpanId,
    parent: Option<SpanId>,
    name: &'static str,
    began: Instant,
    ended: Instant,
    attributes: Vec<(&'static str, Value)>,
}

/// A span that has not ended.
struct Open {
    id: SpanId,
    parent: Option<SpanId>,
    began: Instant,
    attributes: Vec<(&'static str, Value)>,
}

/// Keeps spans with their invocation.
#[derive(Debug, Clone, Copy)]
pub struct Spans;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let above = |span: &SpanRef<'_, S>| span.extensions().get::<Open>().map(|open| open.id);
        let parent = span.scope().skip(1).find_map(|parent| above(&parent));
        let mut open = Open { id: SpanId::random(), parent, began: Instant::now(), attributes: Vec::new() };
        attributes.record(&mut open);
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(open);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let name = span.name();
        let Some(Open { id, parent, began, attributes }) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let ended = Span { id, parent, name, began, ended: Instant::now(), attributes };
        with_meter(|meter| {
            let spans = &mut meter.tally().spans;
            if spans.len() < MOST {
                spans.push(ended);
            }
        });
    }
}

impl Visit for Open {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.attributes.push((field.name(), json!({ "stringValue": format!("{value:?}") })));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.attributes.push((field.name(), json!({ "stringValue": value })));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attributes.push((field.name(), json!({ "intValue": value.to_string() })));
    }
}

impl Speaker<'_> {
    /// What a collector is sent of an invocation that entered at `at` and has ended.
    pub fn spans(&self, meter: &Meter, usual: Outcome, at: Timestamp) -> String {
        let trace = meter.trace();
        let tally = meter.tally();
        let nanos = |instant: Instant| {
            let since = instant.saturating_duration_since(meter.began());
            (at.as_nanosecond() + i128::try_from(since.as_nanos()).unwrap_or_default()).to_string()
        };
        let outcome = tally.outcome.unwrap_or(usual);
        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let mut attributes = vec![text("outcome", outcome.word())];
        attributes.extend(tally.facts.iter().map(|(fact, value)| text(fact.name(), value)));
        let own = json!({
            "traceId": trace.to_string(),
            "spanId": meter.span().to_string(),
            "parentSpanId": meter.parent().map(|parent| parent.to_string()),
            "name": self.function,
            "kind": SERVER,
            "startTimeUnixNano": nanos(meter.began()),
            "endTimeUnixNano": nanos(Instant::now()),
            "attributes": attributes,
            "status": if outcome == Outcome::Unavailable { json!({ "code": ERROR }) } else { json!({}) },
        });
        let spans = tally.spans.iter().map(|span| told(span, trace, meter.span(), &nanos));
        json!({ "resourceSpans": [{
            "resource": { "attributes": [
                text("service.name", &format!("latchkey-{}", self.function)),
                text("deployment.environment.name", self.deployment),
            ] },
            "scopeSpans": [{
                "scope": { "name": "latchkey" },
                "spans": std::iter::once(own).chain(spans).collect::<Vec<_>>(),
            }],
        }] })
        .to_string()
    }
}

/// OTLP's numbers of kinds and of a status.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

fn told(span: &Span, trace: TraceId, root: SpanId, nanos: &impl Fn(Instant) -> String) -> Value {
    let attributes: Vec<Value> =
        span.attributes.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let calls = matches!(span.name, "salesforce" | "aws");
    json!({
        "traceId": trace.to_string(),
        "spanId": span.id.to_string(),
        "parentSpanId": span.parent.unwrap_or(root).to_string(),
        "name": span.name,
        "kind": if calls { CLIENT } else { INTERNAL },
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes,
        "status": {},
    })
}
