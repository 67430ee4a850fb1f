//! What an operator's tools are told: each invocation ends in a line that CloudWatch reads as metrics, and a cause has
//! the same name wherever it stands.

use std::collections::{BTreeMap, BTreeSet};

use domain::Stage;
use jiff::SignedDuration;
use journeys::{Story, approve, emf};
use local::functions::DEPLOYMENT;
use serde_json::{Value, json};
use telemetry::{
    Metric, Outcome, Refresh,
    emf::{NAMESPACE, OF_DEPLOYMENT},
};
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
        "Function" => ["authorize", "callback", "token", "errors", "sweep", "tally", "notify", "ops"].into(),
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
    story.stack.notify().await;
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
    // People read the cause's title; its id is for operators and programs.
    let title = diagnosis::cause(&cause).expect("in the catalogue").title;
    assert!(!title.contains('{'), "a title without names in it: {title}");
    assert_eq!(page.heading(), title, "the page tells this cause and no other");
    assert!(page.has(reference), "{page:?}");
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

    assert_eq!((token.status, token.problem()), (503, "token-not-ready"), "it waits for its backoff");
    let of_token = [("Function", "token")];
    assert_eq!(times(&story, Metric::SalesforceErrors.name(), &of_token), 1);
    story.pass(SignedDuration::from_mins(6));
    assert_eq!(story.token(&connection).await.status, 200);
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

    let runbook = include_str!("../../../../docs/runbook.md");
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

/// The dimensions beside `Deployment` under which a metric of ours is written, one of them at a time; none where it has
/// no other.
fn dimensions_of(metric: &str) -> &'static [&'static str] {
    let of_deployment = |known: &Metric| OF_DEPLOYMENT.contains(known);
    match (metric, Metric::ALL.iter().find(|known| known.name() == metric)) {
        ("Outcomes", _) => &["Outcome"],
        ("Failures" | "Reported", _) => &["Cause", "Stage"],
        ("Refreshes", _) => &["Refresh"],
        (_, Some(known)) if of_deployment(known) => &[],
        (_, Some(_)) => &["Function"],
        (_, None) => panic!("no line has the metric {metric}"),
    }
}

/// That lines have this metric under just these dimensions, with these values (`None`: any of them).
fn is_told(metric: &str, dimensions: &[(&str, Option<&str>)]) {
    let (of_deployment, others): (Vec<_>, Vec<_>) =
        dimensions.iter().partition(|(name, _)| *name == "Deployment");
    assert_eq!(of_deployment.len(), 1, "{metric}: {dimensions:?}");
    match (dimensions_of(metric), others[..].first()) {
        ([], None) => {}
        (known, Some((name, value))) if others.len() == 1 && known.contains(name) => {
            assert!(value.is_none_or(|value| bounds(name).contains(value)), "{metric}: {dimensions:?}");
        }
        (known, _) => panic!("{metric} is told by {known:?}, not by {dimensions:?}"),
    }
}

#[test]
fn the_alarms_look_at_what_lines_have() {
    let template = include_str!("../../../../infra/template.yaml");
    let looked_at: Vec<&str> = template.split("Namespace: Latchkey").skip(1).collect();
    assert!(looked_at.len() > 35, "{}", looked_at.len());
    for rest in looked_at {
        let (metric, _) = rest.split_once("}]").expect("dimensions in one line");
        let name = metric.split_once("MetricName: ").and_then(|(_, rest)| rest.split([',', '\n']).next());
        let dimensions: Vec<(&str, Option<&str>)> = metric
            .split("{Name: ")
            .skip(1)
            .map(|dimension| {
                let (name, value) = dimension.split_once(", Value: ").expect("a value");
                (name, Some(value.split('}').next().expect("its end")))
            })
            .collect();
        assert_eq!(dimensions[0], ("Deployment", Some("!Ref Stage")), "{metric}");
        is_told(name.expect("a name"), &dimensions);
    }
}

#[test]
fn the_dashboard_shows_what_lines_have() {
    let template = include_str!("../../../../infra/template.yaml");
    let (_, body) = template.split_once("DashboardBody: !Sub |\n").expect("a dashboard");
    let body: Vec<&str> = body.lines().take_while(|line| line.starts_with("        ")).collect();
    // What else `!Sub` fills in stands within texts: a region, the names of functions and of a queue.
    let body = body.join("\n").replace("${Stage}", DEPLOYMENT);
    let dashboard: Value = serde_json::from_str(&body).expect("JSON");

    let mut shown = 0;
    for widget in dashboard["widgets"].as_array().expect("widgets") {
        let mut before: Vec<&str> = Vec::new();
        for row in widget["properties"]["metrics"].as_array().expect("metrics") {
            let row = row.as_array().expect("a row");
            if let Some(expression) = row[0]["expression"].as_str() {
                shown += usize::from(is_search_told(expression));
                continue;
            }
            // `...`: as the row before, but for its last values.
            let mut words: Vec<&str> = row.iter().filter_map(Value::as_str).collect();
            if words[0] == "..." {
                let own = words.split_off(1);
                words = [&before[..before.len() - own.len()], &own].concat();
            }
            before.clone_from(&words);
            if words[0] == NAMESPACE {
                let dimensions: Vec<_> = words[2..].chunks(2).map(|pair| (pair[0], Some(pair[1]))).collect();
                is_told(words[1], &dimensions);
                shown += 1;
            }
        }
    }
    assert!(shown > 25, "{shown}");
}

/// `SEARCH('{Latchkey,Cause,Deployment} MetricName="Failures" Deployment="…"', 'Sum')`: a line for each value of the
/// dimension that is left open. False for any other expression.
fn is_search_told(expression: &str) -> bool {
    let Some(search) = expression.strip_prefix("SEARCH('{") else { return false };
    let (schema, terms) = search.split_once("} ").expect("a schema");
    let term =
        |name: &str| terms.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next());
    let (namespace, dimensions) = schema.split_once(',').expect("dimensions");
    assert_eq!(namespace, NAMESPACE, "{expression}");
    assert_eq!(term("Deployment"), Some(DEPLOYMENT), "{expression}");
    let dimensions: Vec<_> = dimensions.split(',').map(|name| (name, None)).collect();
    is_told(term("MetricName").expect("a metric"), &dimensions);
    true
}
