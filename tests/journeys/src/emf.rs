//! CloudWatch's embedded metric format, read as AWS specifies it
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! A line that is not valid is an ordinary log line to CloudWatch: its metrics are lost without a word.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What may stand as a metric's unit (MetricDatum).
const UNITS: [&str; 6] = ["Seconds", "Milliseconds", "Bytes", "Count", "Percent", "None"];

/// A valid line's metrics: each with its values, and the dimensions of each set that it is written under.
#[derive(Debug, Default)]
pub struct Read {
    /// Name, values, dimension sets.
    pub metrics: Vec<(String, Vec<f64>, Vec<Dimensions>)>,
}

/// A set of dimensions, each with its value.
pub type Dimensions = BTreeMap<String, String>;

/// Reads a line, or says which rule it breaks.
pub fn read(line: &str) -> Result<Read, String> {
    let root: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let root = root.as_object().ok_or("no object")?;
    if line.len() > 1_048_576 || line.contains('\n') {
        return Err("longer than an event, or more than one line".into());
    }
    let aws = root.get("_aws").and_then(Value::as_object).ok_or("no _aws")?;
    let at = aws.get("Timestamp").and_then(Value::as_i64).ok_or("Timestamp is no integer")?;
    // Milliseconds: seconds would be in 1970.
    if !(1_500_000_000_000..=4_000_000_000_000).contains(&at) {
        return Err(format!("Timestamp {at} is not in milliseconds"));
    }
    let directives = aws.get("CloudWatchMetrics").and_then(Value::as_array).ok_or("no CloudWatchMetrics")?;
    if directives.is_empty() {
        return Err("no metric directive".into());
    }
    let mut read = Read::default();
    let mut written = BTreeSet::new();
    for directive in directives {
        name(directive["Namespace"].as_str(), 1024, "Namespace")?;
        let sets = directive["Dimensions"].as_array().ok_or("Dimensions is no array")?;
        if sets.is_empty() {
            return Err("no dimension set".into());
        }
        let sets = sets.iter().map(|set| dimensions(set, root)).collect::<Result<Vec<_>, _>>()?;
        let metrics = directive["Metrics"].as_array().ok_or("Metrics is no array")?;
        if metrics.is_empty() || metrics.len() > 100 {
            return Err(format!("{} metrics in a directive", metrics.len()));
        }
        for metric in metrics {
            let metric_name = name(metric["Name"].as_str(), 1024, "a metric's name")?;
            let unit = metric["Unit"].as_str().unwrap_or("None");
            if !UNITS.contains(&unit) {
                return Err(format!("{metric_name}: the unit {unit}"));
            }
            if !written.insert(metric_name.to_owned()) {
                return Err(format!("{metric_name} stands in two directives: it would count twice"));
            }
            let values = values(root.get(metric_name)).ok_or(format!("{metric_name} has no number"))?;
            read.metrics.push((metric_name.to_owned(), values, sets.clone()));
        }
    }
    Ok(read)
}

fn dimensions(set: &Value, root: &serde_json::Map<String, Value>) -> Result<Dimensions, String> {
    let set = set.as_array().ok_or("a dimension set is no array")?;
    if set.len() > 30 {
        return Err(format!("{} dimensions in a set", set.len()));
    }
    set.iter()
        .map(|dimension| {
            let dimension = name(dimension.as_str(), 250, "a dimension's name")?;
            let value = root.get(dimension).and_then(Value::as_str);
            let value =
                name(value, 1024, "a dimension's value").map_err(|why| format!("{dimension}: {why}"))?;
            Ok((dimension.to_owned(), value.to_owned()))
        })
        .collect()
}

/// ASCII without control characters, not empty, no colon at the start.
fn name<'a>(text: Option<&'a str>, most: usize, what: &str) -> Result<&'a str, String> {
    let fits = |text: &&str| {
        (1..=most).contains(&text.len())
            && text.bytes().all(|b| (0x20..0x7f).contains(&b))
            && !text.trim().is_empty()
            && !text.starts_with(':')
    };
    text.filter(fits).ok_or_else(|| format!("{what}: {text:?}"))
}

fn values(value: Option<&Value>) -> Option<Vec<f64>> {
    match value? {
        Value::Array(values) if (1..=100).contains(&values.len()) => {
            values.iter().map(Value::as_f64).collect()
        }
        value => Some(vec![value.as_f64()?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"_aws":{"Timestamp":1764000000000,"CloudWatchMetrics":[{"Namespace":"Latchkey",
        "Dimensions":[["Function"]],"Metrics":[{"Name":"Duration","Unit":"Milliseconds"}]}]},
        "Function":"token","Duration":[1.5,2]}"#;

    #[test]
    fn a_good_line_is_read_and_each_way_of_spoiling_it_is_named() {
        let good = GOOD.replace('\n', "");
        assert_eq!(read(&good).unwrap().metrics[0].1, [1.5, 2.0]);
        for (part, spoilt) in [
            ("1764000000000", "1764000000"),
            ("1764000000000", "\"2026\""),
            ("\"Function\":\"token\"", "\"Function\":7"),
            ("\"Function\":\"token\"", "\"Function\":\"\""),
            ("\"Function\":\"token\"", "\"Function\":\"é\""),
            ("\"Function\":\"token\",", ""),
            ("[1.5,2]", "\"1.5\""),
            ("[1.5,2]", "[]"),
            ("Milliseconds", "ms"),
            ("\"Namespace\":\"Latchkey\",", ""),
            ("[{\"Name\":\"Duration\",\"Unit\":\"Milliseconds\"}]", "[]"),
            ("[[\"Function\"]]", "[\"Function\"]"),
            ("\"_aws\"", "\"aws\""),
        ] {
            let bad = good.replace(part, spoilt);
            assert_ne!(bad, good, "{part}");
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
