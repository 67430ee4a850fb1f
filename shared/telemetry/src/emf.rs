//! An invocation's meter → its lines, in CloudWatch's embedded metric format: JSON whose `_aws` member says which of
//! the other members are metrics, under which dimensions
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//!
//! The first line is the invocation's own and has its facts as fields. A metric whose dimension has several values in
//! one invocation (a sweep's failures) has a line for each, for a line can name but one.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    Meter, Metric, Outcome,
    meter::{Failure, Tally},
};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Latchkey";

/// Metrics of a deployment as a whole; every other of [`Metric::ALL`] is a function's.
pub const OF_DEPLOYMENT: [Metric; 12] = [
    Metric::SweepOverdue,
    Metric::SweepPutOff,
    Metric::SweepCutShort,
    Metric::FallbackAnswers,
    Metric::QuarantinedAnswers,
    Metric::UntrustedApps,
    Metric::UnreadableItems,
    Metric::UnreadableRecords,
    Metric::DisabledEndpoints,
    Metric::WebhookFailures,
    Metric::OldestUndelivered,
    Metric::Incidents,
];

/// A millisecond in seconds: times are told in the first and measured in the second.
pub const MILLISECOND: f64 = 0.001;

/// CloudWatch takes so many values of a metric in a line.
const MOST_VALUES: usize = 100;

/// A line of JSON.
pub type Line = String;

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// Which deployment: the stack's stage.
    pub deployment: &'a str,
    /// Which function.
    pub function: &'a str,
}

impl Speaker<'_> {
    /// The lines of an invocation that entered at `at` and has ended; `usual` is its outcome where nobody said more.
    pub fn lines(&self, meter: &Meter, usual: Outcome, at: Timestamp) -> Vec<Line> {
        let tally = meter.tally();
        let mut lines = vec![self.own(&tally, usual, at)];
        lines.extend(tally.failures.iter().map(|(failure, count)| self.failure(failure, *count, at)));
        lines.extend(tally.refreshes.iter().map(|(refresh, count)| {
            let mut line = self.line(at, "refreshed");
            line.insert("Refresh".into(), refresh.word().into());
            line.insert("Refreshes".into(), (*count).into());
            told(line, at, &[directive(&[&["Deployment", "Refresh"]], &[("Refreshes", "Count")])])
        }));
        lines
    }

    fn own(&self, tally: &Tally, usual: Outcome, at: Timestamp) -> Line {
        let outcome = tally.outcome.unwrap_or(usual);
        let mut line = self.line(at, outcome.word());
        line.insert("Outcome".into(), outcome.word().into());
        line.insert("Outcomes".into(), 1.into());
        let (mut of_function, mut of_deployment) = (Vec::new(), Vec::new());
        for metric in Metric::ALL {
            let value = match (tally.sums.get(&metric), tally.samples.get(&metric)) {
                (Some(sum), _) => json!(short(*sum)),
                (None, Some(samples)) => few(samples),
                (None, None) => continue,
            };
            line.insert(metric.name().into(), value);
            let of = if OF_DEPLOYMENT.contains(&metric) { &mut of_deployment } else { &mut of_function };
            of.push((metric.name(), metric.unit()));
        }
        for (fact, value) in &tally.facts {
            line.insert(fact.name().into(), value.as_str().into());
        }
        for (name, number) in &tally.counts {
            line.insert((*name).into(), (*number).into());
        }
        let directives = [
            directive(&[&["Deployment", "Outcome"]], &[("Outcomes", "Count")]),
            directive(&[&["Deployment", "Function"]], &of_function),
            directive(&[&["Deployment"]], &of_deployment),
        ];
        told(line, at, &directives)
    }

    fn failure(&self, failure: &Failure, count: u32, at: Timestamp) -> Line {
        let metric = if failure.reported { "Reported" } else { "Failures" };
        let mut line = self.line(at, if failure.reported { "reported" } else { "failed" });
        line.insert("Cause".into(), failure.cause.into());
        line.insert("Stage".into(), failure.stage.into());
        line.insert(metric.into(), count.into());
        let sets: &[&[&str]] = &[&["Deployment", "Cause"], &["Deployment", "Stage"]];
        told(line, at, &[directive(sets, &[(metric, "Count")])])
    }

    fn line(&self, at: Timestamp, message: &str) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("timestamp".into(), at.to_string().into());
        line.insert("level".into(), "INFO".into());
        line.insert("message".into(), message.into());
        line.insert("Deployment".into(), self.deployment.into());
        line.insert("Function".into(), self.function.into());
        line
    }
}

/// A metric directive: these metrics under each of these sets of dimensions. Without metrics it says nothing.
fn directive(dimensions: &[&[&str]], metrics: &[(&str, &str)]) -> Option<Value> {
    let metrics: Vec<Value> =
        metrics.iter().map(|(name, unit)| json!({ "Name": name, "Unit": unit })).collect();
    (!metrics.is_empty())
        .then(|| json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics }))
}

fn told(mut line: Map<String, Value>, at: Timestamp, directives: &[Option<Value>]) -> Line {
    let directives: Vec<&Value> = directives.iter().flatten().collect();
    line.insert("_aws".into(), json!({ "Timestamp": at.as_millisecond(), "CloudWatchMetrics": directives }));
    Value::Object(line).to_string()
}

/// At most as many values as a line may have: more are thinned evenly, for a mean and percentiles stand that.
fn few(samples: &[f64]) -> Value {
    let step = samples.len().div_ceil(MOST_VALUES).max(1);
    samples.iter().step_by(step).map(|value| short(*value)).collect()
}

/// Three decimals are enough, and a line is paid for by the byte.
fn short(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
