//! Growth: the same calls on a table of a thousand, a hundred thousand and a million connections, on file.

use runtime::HttpFunction as _;
use std::time::{Duration, Instant};

use domain::ConnectionId;
use http::Request;
use jiff::SignedDuration;
use lambda_http::Body;
use local::stack::TABLE;
use ops::Ops;
use platform::{Deadline, Platform};
use serde_json::{Value, json};
use store::{Field, Owner, connection_lists::ListQuery};
use sweep::Sweep;
use token::Token;
use world::Clock;

use crate::{
    report::{Section, median, time},
    stage::{Stage, platform},
};

/// How many of each call at each size.
const CALLS: usize = 200;

/// Connections are brought in so many at a time.
const BATCH: usize = 10_000;

/// Connections to a customer.
const PER_CUSTOMER: usize = 5;

/// One size's medians, by call.
pub(crate) type Size = (usize, Vec<(&'static str, Duration)>);

/// Measures at each size, the smallest first.
pub(crate) async fn measure(sizes: &[usize]) -> (Section, Vec<Size>) {
    let folder = std::env::temp_dir().join(format!("latchkey-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the table");
    let stage = Stage::on(Some(folder.clone())).await;
    let platform = platform(&stage);
    let mut ids = Vec::new();
    let mut seen: Vec<Size> = Vec::new();
    let mut section = Section::new("Growth");
    for size in sizes {
        let began = Instant::now();
        grow(&stage, &mut ids, *size);
        section.note(format!("{size} connections: brought in within {}.", time(began.elapsed())));
        let mut calls = calls(&stage, &platform, &ids).await;
        calls.push(("the operators' page", operators_page(&stage).await));
        seen.push((*size, calls));
    }
    drop(stage);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    let first = seen[0].1.clone();
    for (size, calls) in &seen {
        for ((name, took), (_, least)) in calls.iter().zip(&first) {
            section.row(
                format!("{name}, {size} connections"),
                time(*took),
                format!("{} at the least", time(*least)),
            );
            section.at_most(took.as_secs_f64() / least.as_secs_f64(), 1.5);
        }
    }
    (section, seen)
}

/// Copies of the one connection, each with its own keys and none due within a year.
fn grow(stage: &Stage, ids: &mut Vec<ConnectionId>, size: usize) {
    let dynamodb = &stage.story.stack.dynamodb;
    let pk = format!("CONNECTION#{}", stage.connection);
    // The first time there is little else in the table.
    let item = if ids.is_empty() {
        dynamodb.dump(TABLE).into_iter().find(|item| item["pk"]["S"] == pk).expect("the connection")
    } else {
        dynamodb.item(TABLE, &pk, "CONNECTION").expect("the connection")
    };
    let (now, product) = (Clock::running().now(), "fernway".parse().expect("an id"));
    while ids.len() < size {
        let fresh: Vec<ConnectionId> =
            (0..BATCH.min(size - ids.len())).map(|_| ConnectionId::mint(now)).collect();
        let items = fresh.iter().enumerate().map(|(number, id)| {
            let customer = format!("c-{}", (ids.len() + number) / PER_CUSTOMER);
            let mut item: Value = item.clone();
            for (attribute, value) in [
                ("pk", format!("CONNECTION#{id}")),
                ("id", id.to_string()),
                ("listing_sk", id.to_string()),
                ("customer_pk", store::keys::customer(&product, &customer)),
                ("grants_pk", format!("GRANT#{customer}")),
                ("due_shard", store::keys::due_shard(id.as_str())),
            ] {
                item[attribute] = json!({ "S": value });
            }
            let due = now + SignedDuration::from_hours(24 * 365);
            item["due_at"] = json!({ "N": due.as_millisecond().to_string() });
            item
        });
        dynamodb.seed(TABLE, items);
        ids.extend(fresh);
    }
}

/// The page, waits included.
async fn operators_page(stage: &Stage) -> Duration {
    let (ops, visit) =
        (Ops::new(platform(stage)).expect("the settings are complete"), stage.operators_visit().await);
    let mut took = Vec::new();
    for _ in 0..=15 {
        let began = Instant::now();
        assert_eq!(ops.respond(visit("/ops"), Clock::running().now()).await.status(), 200);
        took.push(began.elapsed());
    }
    median(&took[1..])
}

/// The copies' own tokens, sealed for them: those of the one connection open for it alone. They live for an hour.
async fn seal(stage: &Stage, platform: &Platform, ids: &[&ConnectionId]) {
    let (cipher, product) = (platform.token_cipher().expect("a keyring"), "fernway".parse().expect("an id"));
    let token = stage.story.token(&stage.connection).await.text("access_token").to_owned();
    let ends = (Clock::running().now() + SignedDuration::from_hours(1)).as_millisecond().to_string();
    let mut items = Vec::new();
    for id in ids {
        let owner = Owner { product: &product, connection: id };
        let sealed = cipher.seal(owner, Field::AccessToken, &token).await.expect("sealed");
        let pk = format!("CONNECTION#{id}");
        let mut item = stage.story.stack.dynamodb.item(TABLE, &pk, "CONNECTION").expect("brought in");
        item["access_token"] = json!({ "S": sealed });
        item["expires_at"] = json!({ "N": ends });
        items.push(item);
    }
    stage.story.stack.dynamodb.seed(TABLE, items.into_iter());
}

async fn calls(stage: &Stage, platform: &Platform, ids: &[ConnectionId]) -> Vec<(&'static str, Duration)> {
    let product = "fernway".parse().expect("an id");
    let store = &platform.store;
    // Spread over the whole table: nothing is read twice.
    let step = (ids.len() / CALLS).max(1);
    let spread: Vec<&ConnectionId> = ids.iter().step_by(step).take(CALLS).collect();
    seal(stage, platform, &spread).await;
    let token = Token::new(platform.clone()).expect("the settings are complete");
    let mut read = Vec::new();
    // The first reads the product too.
    for id in spread.iter().take(1).chain(&spread) {
        let request = Request::get(format!("/v1/connections/{id}/token"));
        let request = request.header("authorization", stage.bearer()[0].1).body(Body::Empty);
        let began = Instant::now();
        let answer = token.respond(request.expect("a request"), Clock::running().now()).await;
        read.push(began.elapsed());
        assert_eq!(answer.status(), 200, "{:?}", answer.body());
    }
    read.remove(0);
    let (mut list, mut of_customer) = (Vec::new(), Vec::new());
    for (number, id) in spread.iter().enumerate() {
        let began = Instant::now();
        let query = ListQuery { customer: None, after: Some((*id).clone()), limit: 50 };
        store.list_connections(&product, &query).await.expect("a page");
        list.push(began.elapsed());
        let customer = Some(format!("c-{}", number * step / PER_CUSTOMER));
        let began = Instant::now();
        let query = ListQuery { customer, after: None, limit: 50 };
        let (found, _) = store.list_connections(&product, &query).await.expect("a page");
        of_customer.push(began.elapsed());
        assert_eq!(found.len(), PER_CUSTOMER);
    }
    let sweep = Sweep::new(platform.clone()).expect("the settings are complete");
    let mut swept = Vec::new();
    for _ in 0..15 {
        let began = Instant::now();
        sweep.run(Deadline::until(0, Clock::running().now())).await.expect("the sweep runs");
        swept.push(began.elapsed());
    }
    vec![
        ("a fresh token", median(&read)),
        ("a page of the list", median(&list)),
        ("a customer's connections", median(&of_customer)),
        ("a sweep, nothing due", median(&swept)),
    ]
}
