//! What is counted, from the table's stream: each change once, whatever Lambda brings again.

use std::collections::BTreeMap;

use domain::{Environment, ProductId, tally::Counter};
use jiff::{SignedDuration, civil::date};
use journeys::Story;
use local::stack::{TABLE, TALLIED};
use serde_json::{Value, json};
use store::Store;
use tally::{Event, Tallied, Tally};
use world::{
    dynamodb::{DynamoDb, Which},
    salesforce::Fault,
};

/// Every counter of the day, added up over the apps.
async fn counts(store: &Store) -> BTreeMap<String, i64> {
    let product: ProductId = "fernway".parse().expect("an id");
    let day = date(2026, 11, 22);
    let tallies = store.tallies_of_days(&product, day, day).await.expect("the tallies");
    let mut sums = BTreeMap::new();
    for (counter, count) in tallies.iter().flat_map(|tally| &tally.counts) {
        *sums.entry(Counter::name(counter)).or_default() += count;
    }
    sums
}

/// The stream as Lambda would bring it: in batches of so many.
fn batches(story: &Story, size: usize) -> Vec<Vec<Value>> {
    let (mut records, _) = story.stack.dynamodb.changes(TABLE, None, 1000).expect("the stream");
    records.retain(|record| {
        let pk = record["dynamodb"]["Keys"]["pk"]["S"].as_str().expect("a key");
        TALLIED.iter().any(|kind| pk.starts_with(kind))
    });
    records.chunks(size).map(<[Value]>::to_vec).collect()
}

fn tallier(story: &Story) -> Tally {
    Tally::new(story.stack.store.clone())
}

impl Brings for Tally {
    async fn bring(&self, story: &Story, records: &[Value]) -> Tallied {
        let event = story.stack.stream().event(records.to_vec());
        self.run(event, story.stack.clock.now()).await.expect("tallied")
    }
}

trait Brings {
    async fn bring(&self, story: &Story, records: &[Value]) -> Tallied;
}

/// A product whose user connects, presses Deny, and stays out.
async fn a_day() -> Story {
    let story = Story::installed().await;
    story.connected().await;
    let browser = story.signed_in("Mallory").await;
    story.leave(&browser).await.click("sam@acme.example").await.click("Deny").await;
    let out = story.signed_in("Mallory").await;
    story.leave(&out).await;
    story.wish(json!({})).await;
    story.pass(SignedDuration::from_mins(31));
    story.stack.sweep().await;
    story
}

#[tokio::test]
async fn a_session_is_counted_once_a_step_where_it_was_created() {
    let story = a_day().await;
    story.stack.tally().await;

    let sums = counts(&story.stack.store).await;

    let of = |name: &str| sums.get(name).copied().unwrap_or_default();
    let all = |step: &str| {
        ["production", "unknown"].map(|kind| of(&format!("{kind}/sessions/{step}"))).iter().sum::<i64>()
    };
    assert_eq!(all("created"), 4, "{sums:?}");
    assert_eq!(
        (all("opened"), all("redirected"), all("returned"), all("connected")),
        (3, 3, 1, 1),
        "{sums:?}"
    );
    assert_eq!((all("failed"), all("lost")), (1, 1), "{sums:?}");
    assert_eq!(
        sums.iter().filter(|(name, _)| name.contains("/failures/")).map(|(_, count)| count).sum::<i64>(),
        2
    );
    assert_eq!(of("unknown/sessions/created"), 1, "the one that was never opened: {sums:?}");
    let gauges = story.stack.store.gauges(&"fernway".parse().unwrap()).await.unwrap();
    assert_eq!(
        gauges[0].counts.iter().map(|(name, count)| (name.name(), *count)).collect::<Vec<_>>(),
        [("production/connections/active".to_owned(), 1)]
    );
}

#[tokio::test]
async fn whatever_lambda_brings_again_is_counted_once() {
    let story = a_day().await;
    story.stack.tally().await;
    let once = counts(&story.stack.store).await;
    assert!(!once.is_empty());

    let again = tallier(&story);
    for size in [1, 3, 1000] {
        for batch in batches(&story, size) {
            let done = again.bring(&story, &batch).await;
            assert_eq!(done.counted, 0, "{done:?}");
        }
    }
    assert_eq!(counts(&story.stack.store).await, once);
}

#[tokio::test]
async fn batches_in_any_cut_by_several_at_once_come_to_the_same() {
    let story = a_day().await;
    let cuts = batches(&story, 3);
    // Two invocations have the same batch, as after a time-out; and a bisected batch comes after the whole one.
    for batch in &cuts {
        let (one, two) = (tallier(&story), tallier(&story));
        let half = &batch[..batch.len().div_ceil(2)];
        let (a, b) = tokio::join!(one.bring(&story, batch), two.bring(&story, batch));
        assert!(a.counted.max(b.counted) <= batch.len());
        tallier(&story).bring(&story, half).await;
    }
    let cut = counts(&story.stack.store).await;

    let fresh = a_day().await;
    fresh.stack.tally().await;
    assert_eq!(cut, counts(&fresh.stack.store).await);
}

#[tokio::test]
async fn a_batch_that_is_half_applied_goes_on_where_it_stopped() {
    let story = a_day().await;
    let all: Vec<Value> = batches(&story, 1000).concat();
    for (after, effect) in [(0, true), (1, true), (2, false), (4, false), (7, true)] {
        // From some write on the table fails, before or after it has carried the write out.
        let dynamodb = &story.stack.dynamodb;
        if effect {
            dynamodb.inject(world::dynamodb::Fault::lose_answer().on(Which::Writes).after(after).times(3));
        } else {
            dynamodb.inject(
                world::dynamodb::Fault::refuse("InternalServerError")
                    .on(Which::Writes)
                    .after(after)
                    .times(30),
            );
        }
        let event = story.stack.stream().event(all.clone());
        let _ = tallier(&story).run(event, story.stack.clock.now()).await;
        dynamodb.mend();
    }
    tallier(&story).bring(&story, &all).await;
    let torn = counts(&story.stack.store).await;

    let fresh = a_day().await;
    fresh.stack.tally().await;
    assert_eq!(torn, counts(&fresh.stack.store).await);
}

#[tokio::test]
async fn a_batch_without_its_shard_is_refused_and_one_of_nothing_is_fine() {
    let story = a_day().await;
    let event: Event =
        serde_json::from_value(json!({ "Records": batches(&story, 1)[0], "shardId": null })).unwrap();
    let refused = tallier(&story).run(event, story.stack.clock.now()).await.unwrap_err();
    assert!(refused.to_string().contains("TumblingWindowInSeconds"), "{refused}");
    let nothing = serde_json::from_value(
        json!({ "Records": [], "isFinalInvokeForWindow": true, "shardId": DynamoDb::shard(TABLE) }),
    );
    assert_eq!(
        tallier(&story).run(nothing.unwrap(), story.stack.clock.now()).await.unwrap(),
        Tallied::default()
    );
}

#[tokio::test]
async fn a_failure_is_resolved_by_the_customers_next_success_and_the_time_is_counted() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    for _ in 0..2 {
        story.leave(&browser).await.click("uma@acme.example").await.click("Deny").await;
        story.stack.tally().await;
        story.pass(SignedDuration::from_mins(50));
        browser.forget_cookies();
        browser.get(&story.stack.product).await.click("Alice").await;
    }
    let open = story.call("GET", "/v1/failures?resolved=false", None).await;
    assert_eq!(open.body["failures"].as_array().unwrap().len(), 2, "{}", open.body);

    let connection = story.connected().await;
    assert_eq!(story.stack.tally().await.resolved, 2);

    let found = story.call("GET", "/v1/failures?resolved=true", None).await;
    let failures = found.body["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{}", found.body);
    for failure in failures {
        assert_eq!(failure["resolved"]["at"], "2026-11-22T10:40:00Z", "{failure}");
        assert_eq!(failure["resolved"]["connection_id"], connection.as_str());
        assert!(failure["resolved"]["session_id"].as_str().unwrap().starts_with("cs_"));
    }
    let summary = story.call("GET", "/v1/failures/summary?from=2026-11-22T00:00:00Z", None).await;
    let fixed = &summary.body["fixed"];
    assert_eq!(
        (fixed[0]["count"].as_u64(), fixed.as_array().unwrap().len()),
        (Some(1), 1),
        "from the first: {fixed}"
    );
    assert_eq!(fixed[0]["provenance"], "observed");
    let median = fixed[0]["median_minutes"].as_i64().unwrap();
    assert!((90..=180).contains(&median), "100 minutes are in that band: {fixed}");
}

#[tokio::test]
async fn a_success_that_is_tallied_before_the_failure_resolves_it_all_the_same() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    story.leave(&browser).await.click("uma@acme.example").await.click("Deny").await;
    story.pass(SignedDuration::from_mins(5));
    browser.forget_cookies();
    browser.get(&story.stack.product).await.click("Alice").await;
    story.connect(&browser).await;

    failures_last(&story).await;

    let found = story.call("GET", "/v1/failures?resolved=true", None).await;
    assert_eq!(found.body["failures"].as_array().unwrap().len(), 1, "{}", found.body);
}

/// The stream in two shards, of which the failures' lags behind.
async fn failures_last(story: &Story) {
    let (failures, others): (Vec<Value>, Vec<Value>) =
        batches(story, 1000).concat().into_iter().partition(|record| {
            let pk = record["dynamodb"]["Keys"]["pk"]["S"].as_str();
            pk.expect("a key").starts_with("FAILURE#")
        });
    assert_eq!(failures.len(), 1);
    for (shard, records) in [("shard-a", others), ("shard-b", failures)] {
        let mut event = story.stack.stream().event(records);
        event.shard = Some(shard.into());
        tallier(story).run(event, story.stack.clock.now()).await.expect("tallied");
    }
}

/// Salesforce refuses the next refresh, and blames the app's own set-up or the org's.
fn refuse(story: &Story, why: &str) {
    story.stack.salesforce.queue_token_fault(Fault::Answer {
        status: 400,
        error: "invalid_grant".into(),
        description: why.into(),
    });
}

#[tokio::test]
async fn a_refresh_that_is_tallied_before_its_failure_resolves_it_all_the_same() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    refuse(&story, "ip restricted by app developer");
    story.pass(SignedDuration::from_mins(16));
    story.token(&connection).await;
    story.pass(SignedDuration::from_mins(7));
    assert_eq!(story.token(&connection).await.status, 200);

    failures_last(&story).await;

    let found = story.call("GET", "/v1/failures", None).await;
    let resolved = &found.body["failures"][0]["resolved"];
    assert_eq!(resolved["at"], "2026-11-22T09:23:00Z", "by the refresh, not by the next one: {}", found.body);
}

#[tokio::test]
async fn who_waits_for_somebody_is_known_by_name_until_it_is_over_whatever_comes_again() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let (store, product) = (&story.stack.store, "fernway".parse::<ProductId>().unwrap());
    let waiting = async || store.needy(&product, None, None, 10).await.expect("who waits");
    let all_again = async |shard: &str| {
        for batch in batches(&story, 2) {
            let mut event = story.stack.stream().event(batch);
            event.shard = Some(shard.into());
            tallier(&story).run(event, story.stack.clock.now()).await.unwrap();
        }
    };

    refuse(&story, "ip restricted");
    story.pass(SignedDuration::from_mins(16));
    let refused = story.token(&connection).await;
    story.stack.tally().await;
    let blocked = waiting().await;
    assert_eq!((blocked.len(), blocked[0].connection.as_str()), (1, connection.as_str()));
    assert_eq!(blocked[0].customer.name.as_deref(), Some("Acme Corporation"));
    assert_eq!(blocked[0].failure.reference(), refused.text("reference"));

    story.pass(SignedDuration::from_mins(5));
    assert_eq!(story.token(&connection).await.status, 200, "the admin has acted");
    story.stack.tally().await;
    assert_eq!(waiting().await, []);
    all_again("again").await;
    assert_eq!(waiting().await, [], "what comes again begins nothing anew");

    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.problem(), "reauthorization-needed");
    story.stack.tally().await;
    assert_eq!(waiting().await.len(), 1);
    let sandboxes = store.needy(&product, None, Some(Environment::Sandbox), 10).await.unwrap();
    assert_eq!(sandboxes, []);
    assert_eq!(store.needy(&product, Some(&"nope".parse().unwrap()), None, 10).await.unwrap(), []);

    let gone = story.call("DELETE", &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    story.stack.tally().await;
    assert_eq!(waiting().await, []);
    all_again("once more").await;
    assert_eq!(waiting().await, []);
}

#[tokio::test]
async fn a_connections_refreshes_are_counted_and_resolve_their_own_failures_alone() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let reported = json!({ "code": "API_DISABLED_FOR_ORG", "http_status": 403 });
    story.call("POST", &format!("/v1/connections/{connection}/failures"), Some(reported)).await;
    refuse(&story, "ip restricted");
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.problem(), "blocked-by-org");
    story.pass(SignedDuration::from_mins(90));
    assert_eq!(story.token(&connection).await.status, 200);
    story.stack.tally().await;

    let summary = story.call("GET", "/v1/failures/summary?from=2026-11-22T00:00:00Z", None).await;
    assert_eq!(summary.body["refreshes"], json!({ "blocked": 1, "refreshed": 1 }), "{}", summary.body);
    let open = story.call("GET", "/v1/failures?resolved=false", None).await;
    let open = open.body["failures"].as_array().unwrap();
    assert_eq!((open.len(), open[0]["stage"].as_str()), (1, Some("api")), "a token proves no API: {open:?}");
}

#[tokio::test]
async fn a_summary_tells_apart_what_it_is_asked_to_and_keeps_reports_apart() {
    let story = a_day().await;
    let wish = story.wish(json!({ "environment": "sandbox" })).await;
    story.tell(&wish, "error=invalid_client&error_description=app+must+be+installed+into+org").await;
    story.stack.tally().await;

    let by = |by: &str| {
        let path = format!("/v1/failures/summary?from=2026-11-22T00:00:00Z&by={by}");
        let story = &story;
        async move {
            let answer = story.call("GET", &path, None).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.body
        }
    };
    let by_stage = by("stage").await;
    let row = |stage: &str, count: u32, reported: u32| json!({ "stage": stage, "count": count, "of_these_reported": reported });
    assert_eq!(
        by_stage["failures"],
        json!([row("authorize", 1, 1), row("callback", 1, 0), row("lost", 1, 0)])
    );
    assert_eq!(by_stage["sessions"]["created"], 5);
    assert!(by_stage["sessions_over_time"].is_null(), "{by_stage}");
    let by_all = by("time,cause,app,environment,stage,provenance").await;
    assert_eq!(by_all["failures"].as_array().unwrap().len(), 3, "{by_all}");
    assert_eq!(by_all["failures"][0]["time"], "2026-11-22T00:00:00Z");
    assert!(by_all["counted_until"].as_str().unwrap() <= by_all["counted_at"].as_str().unwrap());
    let hours = story.call("GET", "/v1/failures/summary?bucket=hour&by=time&environment=sandbox", None).await;
    assert_eq!(
        hours.body["failures"],
        json!([{ "time": "2026-11-22T09:00:00Z", "count": 1, "of_these_reported": 1 }])
    );
    let sessions = &hours.body["sessions_over_time"];
    assert_eq!(sessions, &json!([{ "time": "2026-11-22T09:00:00Z", "created": 1, "failed": 1 }]));

    for bad in ["?by=customer", "?bucket=week", "?from=x", "?group=cause", "?from=2020-01-01T00:00:00Z"] {
        let refused = story.call("GET", &format!("/v1/failures/summary{bad}"), None).await;
        assert_eq!((refused.status, refused.problem()), (400, "bad-request"), "{bad}");
    }
    let other = story.stack.api_key("tidewater").expose().to_owned();
    let of_other = story.call_with(&other, &[], "GET", "/v1/failures/summary", None).await;
    assert_eq!(of_other.body["failures"], json!([]), "another product's");
    assert_eq!(of_other.body["sessions"], json!({}));
}

#[tokio::test]
async fn a_range_costs_a_request_a_month_and_tallying_costs_what_the_docs_say() {
    let story = Story::installed().await;
    story.stack.tally().await;
    story.connected().await;
    story.stack.dynamodb.reset_counts();
    story.stack.tally().await;
    let requests = story.stack.dynamodb.requests();
    let written: f64 = requests.iter().map(|request| request.write_units).sum();
    let operations: Vec<&str> = requests.iter().map(|request| request.operation.as_str()).collect();
    // docs/costs.md reckons with these: read the mark; note the success; count. One batch, however many changes.
    let whole = ["GetItem", "UpdateItem", "Query", "TransactWriteItems"];
    assert_eq!((operations, written), (whole.to_vec(), 9.0));

    for (range, queries) in
        [("?from=2026-10-24T00:00:00Z", 2), ("?bucket=hour", 2), ("?from=2026-01-01T00:00:00Z", 11)]
    {
        story.call("GET", "/v1/failures", None).await;
        story.stack.dynamodb.reset_counts();
        assert_eq!(story.call("GET", &format!("/v1/failures/summary{range}"), None).await.status, 200);
        let requests = story.stack.dynamodb.requests();
        assert_eq!(requests.len(), queries, "{range}: {requests:?}");
        assert!(requests.iter().all(|request| request.operation == "Query"), "{requests:?}");
    }
}

#[tokio::test]
async fn open_failures_are_bounded_and_a_refresh_reads_one_note() {
    let story = Story::installed().await;
    story.connected().await;
    story.stack.tally().await;
    let connection = story.connections().await[0]["id"].as_str().expect("an id").to_owned();
    let id: domain::ConnectionId = connection.parse().expect("an id");
    let (product, app) = ("fernway".parse().expect("an id"), "sync".parse().expect("an id"));
    let customer = story.connections().await[0]["customer"]["id"].as_str().expect("an id").to_owned();
    let party = store::unresolved_failures::Party { product: &product, app: &app, customer: &customer };
    let now = story.stack.clock.now();
    for number in 0..store::unresolved_failures::MAX_OPEN + 30 {
        let open = store::unresolved_failures::Open {
            id: domain::FailureId::mint(now),
            at: now + SignedDuration::from_secs(number.into()),
            cause: "api_limit".into(),
            stage: domain::Stage::Api,
            connection: Some(id.clone()),
        };
        story.stack.store.note_open(party, &open).await.expect("noted");
        if number % 50 == 0 {
            // The stream brings a record again.
            story.stack.store.note_open(party, &open).await.expect("noted");
        }
    }
    let items = story.stack.dynamodb.dump(TABLE);
    let open = items.iter().filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("OPEN#")));
    let most = store::unresolved_failures::MAX_OPEN as usize + 2;
    assert!(open.clone().count() <= most, "{} notes", open.count());

    // A refresh of a connection that never failed one: one read, whatever else stands open.
    let at = now + SignedDuration::from_hours(1);
    let refreshed = store::unresolved_failures::Success::Refreshed { at, connection: id.clone() };
    story.stack.dynamodb.reset_counts();
    assert_eq!(story.stack.store.note_success(party, &refreshed).await.expect("noted"), 0);
    let requests = story.stack.dynamodb.requests();
    assert_eq!(requests.iter().map(|request| request.operation.as_str()).collect::<Vec<_>>(), ["GetItem"]);
    assert!(requests[0].read_units <= 1.0, "{requests:?}");

    let connected =
        store::unresolved_failures::Success::Connected { at, session: None, connection: Some(id) };
    let resolved = story.stack.store.note_success(party, &connected).await.expect("noted");
    assert_eq!(resolved, store::unresolved_failures::MAX_OPEN as usize);
    let again = store::unresolved_failures::Open {
        id: domain::FailureId::mint(now),
        at: at + SignedDuration::from_secs(1),
        cause: "api_limit".into(),
        stage: domain::Stage::Api,
        connection: None,
    };
    story.stack.store.note_open(party, &again).await.expect("noted");
    let items = story.stack.dynamodb.dump(TABLE);
    assert!(items.iter().any(|item| item["sk"]["S"] == again.id.as_str()), "there is room again");
}

#[tokio::test]
async fn failed_refresh_is_resolved_by_the_next_success_of_its_connection_alone() {
    let story = Story::installed().await;
    let (product, app) = ("fernway".parse().expect("an id"), "sync".parse().expect("an id"));
    let party = store::unresolved_failures::Party { product: &product, app: &app, customer: "any" };
    let now = story.stack.clock.now();
    let [failed, other] = [0, 1].map(|_| domain::ConnectionId::mint(now));
    let later = |seconds: i64| now + SignedDuration::from_secs(seconds);
    let open = |connection: &domain::ConnectionId, at: i64| store::unresolved_failures::Open {
        id: domain::FailureId::mint(now),
        at: later(at),
        cause: "rate_limited".into(),
        stage: domain::Stage::Refresh,
        connection: Some(connection.clone()),
    };
    let refreshed = |connection: &domain::ConnectionId, at: i64| {
        store::unresolved_failures::Success::Refreshed { at: later(at), connection: connection.clone() }
    };
    let store = &story.stack.store;
    store.note_open(party, &open(&failed, 1)).await.expect("noted");
    store.note_open(party, &open(&failed, 2)).await.expect("noted");
    assert_eq!(store.note_success(party, &refreshed(&other, 3)).await.expect("noted"), 0, "another's");
    assert_eq!(store.note_success(party, &refreshed(&failed, 4)).await.expect("noted"), 2);
    assert_eq!(store.note_success(party, &refreshed(&failed, 5)).await.expect("noted"), 0);
    // A failure that comes late finds the success after it; one that is newer waits for the next.
    store.note_open(party, &open(&failed, 3)).await.expect("noted");
    store.note_open(party, &open(&failed, 6)).await.expect("noted");
    assert_eq!(store.note_success(party, &refreshed(&failed, 7)).await.expect("noted"), 1);
}
