//! What an operator's tools are told: each invocation ends in a line that CloudWatch reads as metrics, and a cause has
//! the same name wherever it stands.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Stage, diagnosis};
use jiff::SignedDuration;
use journeys::{Story, approve, emf};
use local::functions::DEPLOYMENT;
use serde_json::{Value, json};
use telemetry::{Metric, Outcome, Refresh, emf::NAMESPACE};
use world::salesforce::Fault;

/// Every line, read; a line that CloudWatch would not take as metrics fails the story.
fn lines(story: &Story) -> Vec<(Value, emf::Read)> {
    let read = |line: &String| {
        let read = emf::read(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        (serde_json::from_str(line).expect("JSON"), read)
    };
    story.stack.functions.lines.all().iter().map(read).collect()
}

/// How often a metric was counted under these dimensions.
#[expect(clippy::cast_possible_truncation, reason = "counts of a short story")]
fn times(story: &Story, metric: &str, dimensions: &[(&str, &str)]) -> i64 {
    sum(story, metric, dimensions).round() as i64
}

/// The sum of a metric under these dimensions.
fn sum(story: &Story, metric: &str, dimensions: &[(&str, &str)]) -> f64 {
    let wanted: BTreeMap<String, String> =
        dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    lines(story)
        .iter()
        .flat_map(|(_, read)| &read.metrics)
        .filter(|(name, _, sets)| {
            name == metric
                && sets.iter().any(|set| {
                    let mut set = set.clone();
                    set.remove("Deployment") == Some(DEPLOYMENT.to_owned()) && set == wanted
                })
        })
        .flat_map(|(_, values, _)| values)
        .sum()
}

/// The values that a dimension may have.
fn bounds(dimension: &str) -> BTreeSet<&'static str> {
    use Stage::{Api, Authorize, Callback, Exchange, Lost, Refresh as Refreshing};
    match dimension {
        "Deployment" => [DEPLOYMENT].into(),
        "Function" => ["authorize", "callback", "token", "errors", "sweep", "ops"].into(),
        "Outcome" => Outcome::ALL.map(Outcome::word).into(),
        "Refresh" => Refresh::ALL.map(Refresh::word).into(),
        "Cause" => diagnosis::catalogue().iter().map(|cause| cause.id).collect(),
        "Stage" => [Authorize, Lost, Callback, Exchange, Refreshing, Api].map(Stage::word).into(),
        other => panic!("{other} is no dimension of ours"),
    }
}

/// A story with a bit of everything: strangers, a refused attempt, what people report, a connect, refreshes that work
/// and one that does not, a sweep.
async fn a_bit_of_everything() -> (Story, String) {
    let story = Story::begin().await;
    let browser = story.signed_in("Alice").await;
    for stranger in ["/oauth/callback?state=made-up&code=x", "/help/nothing", "/connect/nobody"] {
        browser.get(&format!("{}{stranger}", story.stack.latchkey)).await;
    }
    assert_eq!(story.call_with("lk_nobody_nothing", &[], "GET", "/v1/connections", None).await.status, 401);

    // The app is not installed: Salesforce keeps the user, who says what was seen.
    story.leave(&browser).await.click("uma@acme.example").await;
    let link = story.wish(json!({})).await.text("connect_url").to_owned();
    let told = browser.get(&format!("{link}/trouble")).await;
    assert_eq!(told.status, 200);
    let told = told.fill("pasted", "OAUTH_APPROVAL_ERROR_GENERIC").click("Show me what to do").await;
    assert!(told.url.path().starts_with("/help/"), "{told:?}");

    story.install("sync");
    let page =
        approve(browser.get(&link).await.choose("Production").click("Continue to Salesforce").await).await;
    assert!(page.has("Your Salesforce accounts"), "{page:?}");
    let connection = story.connections().await[0]["id"].as_str().expect("an id").to_owned();

    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.status, 200);
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.pass(SignedDuration::from_hours(3));
    assert_eq!(story.token(&connection).await.status, 409);
    story.stack.sweep().await;
    story.stack.tally().await;
    (story, connection)
}

#[tokio::test]
async fn every_line_is_valid_and_every_dimension_is_bounded() {
    let (story, connection) = a_bit_of_everything().await;

    let lines = lines(&story);
    assert!(lines.len() > 20, "{}", lines.len());
    for (line, read) in &lines {
        for (metric, values, sets) in &read.metrics {
            assert!(values.iter().all(|value| *value >= 0.0 && value.is_finite()), "{metric}: {line}");
            for (dimension, value) in sets.iter().flatten() {
                assert!(bounds(dimension).contains(value.as_str()), "{dimension}={value}: {line}");
            }
        }
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], NAMESPACE);
        assert!(line["message"].is_string() && line["Function"].is_string(), "{line}");
    }

    // It was there, and it counted.
    for (outcome, often) in [("connected", 1), ("redirected", 2), ("stray", 1), ("stopped", 1)] {
        assert_eq!(times(&story, "Outcomes", &[("Outcome", outcome)]), often, "{outcome}");
    }
    assert_eq!(times(&story, "Refreshes", &[("Refresh", "fresh")]), 1);
    assert_eq!(times(&story, "Refreshes", &[("Refresh", "reauthorize")]), 1);
    assert!(sum(&story, Metric::ReadUnits.name(), &[("Function", "token")]) >= 2.0);
    assert!(sum(&story, Metric::WriteUnits.name(), &[("Function", "callback")]) >= 2.0);
    assert!(sum(&story, Metric::SalesforceTime.name(), &[("Function", "callback")]) > 0.0);
    assert_eq!(times(&story, Metric::ColdStarts.name(), &[("Function", "token")]), 1);

    // A line is found by what a person has at hand.
    let stopped =
        lines.iter().map(|(line, _)| line).find(|line| line["Outcome"] == "stopped").expect("its line");
    assert_eq!(stopped["connection"], connection.as_str());
    assert_eq!((&stopped["product"], &stopped["status"]), (&json!("fernway"), &json!("409")));
    assert!(stopped["reference"].as_str().is_some_and(|reference| reference.starts_with("LK-")));
}

#[tokio::test]
async fn a_cause_has_one_name_in_log_metric_page_and_api() {
    let (story, connection) = a_bit_of_everything().await;

    let refused = story.token(&connection).await;

    let cause = refused.text("cause").to_owned();
    assert!(diagnosis::cause(&cause).is_some(), "{cause} is in the catalogue");
    assert_eq!(times(&story, "Failures", &[("Cause", &cause)]), 1);
    assert_eq!(times(&story, "Failures", &[("Stage", "refresh")]), 1);
    let reference = refused.text("reference");
    let logged = story.logs.text();
    let logged = logged.lines().find(|line| line.contains(reference)).expect("a log line of the failure");
    let logged: Value = serde_json::from_str(logged).expect("JSON");
    assert_eq!((&logged["cause"], &logged["connection"]), (&json!(cause), &json!(connection)));
    let page = story.stack.browser().get(refused.text("help_url")).await;
    assert!(page.has(&cause) || page.has(reference), "the page names its cause: {page:?}");
}

#[tokio::test]
async fn what_is_reported_and_what_strangers_send_counts_for_no_alarm() {
    let story = Story::begin().await;
    let browser = story.signed_in("Alice").await;
    let failures = |story: &Story| {
        let lines = lines(story);
        let failed = lines.iter().flat_map(|(_, read)| &read.metrics).filter(|(name, ..)| name == "Failures");
        failed.count()
    };

    // A vendor's cause, pasted by whoever holds the link; and callbacks that nobody asked for.
    let link = story.wish(json!({})).await.text("connect_url").to_owned();
    let told = browser.get(&format!("{link}/trouble")).await;
    let told = told.fill("pasted", "error=invalid_client_id&error_description=client identifier invalid");
    let told = told.click("Show me what to do").await;
    assert!(told.url.path().starts_with("/help/"), "{told:?}");
    for code in ["invalid_client_id", "redirect_uri_mismatch"] {
        browser.get(&format!("{}/oauth/callback?state=made-up&error={code}", story.stack.latchkey)).await;
    }

    assert_eq!(failures(&story), 0);
    assert_eq!(times(&story, "Reported", &[("Cause", "client_id_invalid")]), 1);
    assert_eq!(times(&story, "Outcomes", &[("Outcome", "stray")]), 2);
}

#[tokio::test]
async fn a_salesforce_that_is_slow_or_down_is_counted_in_calls_and_tries() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(SignedDuration::from_hours(3));
    story.stack.salesforce.queue_token_fault(Fault::Html(503));

    let token = story.token(&connection).await;

    assert_eq!(token.status, 200);
    let of_token = [("Function", "token")];
    assert_eq!(times(&story, Metric::SalesforceErrors.name(), &of_token), 1);
    assert_eq!(times(&story, Metric::Retries.name(), &of_token), 1);
}

/// Names of members, of those within members too.
fn members(value: &Value, within: &str, all: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{within}{name}");
        members(value, &format!("{name}."), all);
        all.insert(name);
    }
}

#[tokio::test]
async fn the_runbooks_queries_name_fields_that_there_are() {
    let (story, _) = a_bit_of_everything().await;
    // Lambda's own, and what takes a wave, a full table or a gateway to be seen.
    let mut fields: BTreeSet<String> = [
        "@timestamp",
        "@message",
        "@log",
        "@logStream",
        "version",
        "request_id",
        "gateway_request_id",
        "span.requestId",
        "error",
        "FallbackAnswers",
        "incident",
        "scope",
        "over",
    ]
    .map(str::to_owned)
    .into();
    let logs = story.logs.text();
    for line in logs.lines().chain(story.stack.functions.lines.all().iter().map(String::as_str)) {
        members(&serde_json::from_str(line).expect("every line is JSON"), "", &mut fields);
    }
    let words = [
        "fields",
        "parse",
        "filter",
        "sort",
        "stats",
        "count",
        "as",
        "by",
        "asc",
        "desc",
        "and",
        "or",
        "in",
        "like",
        "bin",
        "1h",
        "0",
        "ispresent",
        "failures",
        "times",
    ];

    let runbook = include_str!("../../../docs/runbook.md");
    let blocks = runbook.split("\n```").skip(1).step_by(2);
    // A block with a language is an operator's command.
    let queries: Vec<&str> = blocks.filter(|block| block.starts_with('\n')).collect();
    assert!(queries.len() > 8, "{}", queries.len());
    for query in queries {
        let bare: String = query.split('"').step_by(2).collect();
        let bare = bare.split('/').step_by(2).collect::<String>();
        let named = bare.split(|c: char| !(c.is_ascii_alphanumeric() || "@._".contains(c)));
        for name in named.filter(|name| !name.is_empty() && !words.contains(name)) {
            assert!(fields.contains(name), "no line has {name}, which a query asks for: {query}");
        }
    }
}
