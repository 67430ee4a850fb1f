#![expect(clippy::disallowed_methods, reason = "nothing else writes to the table of a test")]

use std::error::Error;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue::{B, N, S};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, Put, ScalarAttributeType,
    StreamSpecification, StreamViewType, TimeToLiveSpecification, TransactWriteItem,
};
use jiff::Timestamp;

use super::*;

async fn table() -> (DynamoDb, Client) {
    let dynamo = DynamoDb::start(None).await;
    let client = client(&dynamo, RetryConfig::disabled());
    create(&client).await;
    dynamo.reset_counts();
    (dynamo, client)
}

fn client(dynamo: &DynamoDb, retries: RetryConfig) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::from_keys("AKID", "secret", None))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(retries)
        .endpoint_url(dynamo.endpoint())
        .build();
    Client::from_conf(config)
}

async fn create(client: &Client) {
    let key =
        AttributeDefinition::builder().attribute_name("PK").attribute_type(ScalarAttributeType::S).build();
    let hash = KeySchemaElement::builder().attribute_name("PK").key_type(KeyType::Hash).build();
    client
        .create_table()
        .table_name("latchkey")
        .attribute_definitions(key.unwrap())
        .key_schema(hash.unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
}

async fn put(client: &Client, key: &str, value: &str) -> Result<(), String> {
    let put =
        client.put_item().table_name("latchkey").item("PK", S(key.into())).item("value", S(value.into()));
    let sent = put.condition_expression("attribute_not_exists(PK)").send().await;
    sent.map(drop).map_err(|error| match error.as_service_error() {
        Some(refusal) => refusal.meta().code().unwrap_or("no code").to_owned(),
        None => format!("no answer: {}", error.source().map(ToString::to_string).unwrap_or_default()),
    })
}

async fn get(client: &Client, key: &str) -> Option<String> {
    let get = client.get_item().table_name("latchkey").consistent_read(true).key("PK", S(key.into()));
    let item = get.send().await.unwrap();
    assert_eq!(item.consumed_capacity(), None, "the caller did not ask for it");
    item.item?.remove("value")?.as_s().ok().cloned()
}

#[tokio::test]
async fn meters_what_dynamodb_would_bill() {
    let (dynamo, client) = table().await;
    put(&client, "a", &"x".repeat(1500)).await.unwrap();
    get(&client, "a").await.unwrap();

    let requests = dynamo.requests();
    assert_eq!(requests[0].operation, "PutItem");
    assert_eq!((requests[0].kind, requests[0].write_units, requests[0].read_units), (Kind::Write, 2.0, 0.0));
    assert_eq!(
        (requests[1].kind, requests[1].read_units, requests[1].table.as_str()),
        (Kind::Read, 1.0, "latchkey")
    );
    assert!((1500..1600).contains(&requests[1].response_bytes), "{}", requests[1].response_bytes);
    assert_eq!(dynamo.counts(), Counts { reads: 1, writes: 1 });
}

#[tokio::test]
async fn a_transaction_is_one_request_at_double_units() {
    let (dynamo, client) = table().await;
    let item = |key: &str| {
        let put = Put::builder().table_name("latchkey").item("PK", S(key.into())).build().unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    client.transact_write_items().transact_items(item("a")).transact_items(item("b")).send().await.unwrap();

    let requests = dynamo.requests();
    assert_eq!((requests.len(), requests[0].items, requests[0].write_units), (1, 2, 4.0));
    assert_eq!(requests[0].table, "latchkey");
}

#[tokio::test]
async fn refuses_in_dynamodbs_words_and_only_what_matches() {
    let (dynamo, client) = table().await;
    let code = "ProvisionedThroughputExceededException";
    dynamo.inject(Fault::refuse(code).on(Which::Writes).after(1));
    dynamo.refuse_next(1, Which::Operation("DeleteItem"), "AccessDeniedException");

    put(&client, "a", "1").await.unwrap();
    assert_eq!(put(&client, "b", "2").await.unwrap_err(), code);
    assert_eq!(get(&client, "b").await, None, "a refused write is not carried out");
    put(&client, "b", "3").await.unwrap();
    assert_eq!(put(&client, "b", "4").await.unwrap_err(), "ConditionalCheckFailedException");
    let errors: Vec<_> = dynamo.requests().into_iter().filter_map(|request| request.error).collect();
    assert_eq!(errors, [code, "ConditionalCheckFailedException"]);
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_and_down_carries_nothing_out() {
    let (dynamo, client) = table().await;
    dynamo.answer_lost_next(1, Which::Any);
    assert!(put(&client, "a", "kept").await.unwrap_err().starts_with("no answer"));
    assert_eq!(get(&client, "a").await.as_deref(), Some("kept"));

    dynamo.down(true);
    assert!(put(&client, "b", "lost").await.unwrap_err().starts_with("no answer"));
    dynamo.mend();
    assert_eq!(get(&client, "b").await, None);
}

#[tokio::test]
async fn an_sdk_retry_is_a_request() {
    let (dynamo, client) = table().await;
    let retrying =
        self::client(&dynamo, RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)));
    dynamo.refuse_next(2, Which::Any, "InternalServerError");
    put(&retrying, "a", "1").await.unwrap();
    assert_eq!(dynamo.counts().writes, 3);
    drop(client);
}

#[tokio::test]
async fn slow_is_slow() {
    let (dynamo, client) = table().await;
    dynamo.slow(Duration::from_millis(60));
    let started = std::time::Instant::now();
    get(&client, "a").await;
    assert!(started.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn finds_plain_text_also_inside_binary_values() {
    let (dynamo, client) = table().await;
    let put = client.put_item().table_name("latchkey").item("PK", S("a".into()));
    put.item("sealed", B(Blob::new("xx00Dtoken!xx"))).item("note", S("fine".into())).send().await.unwrap();
    assert_eq!(dynamo.find("latchkey", "00Dtoken!"), ["item 0.sealed.B"]);
    assert!(dynamo.find("latchkey", "another").is_empty());
    assert_eq!(dynamo.dump("latchkey").len(), 1);
}

#[tokio::test]
async fn sweeps_at_the_time_it_is_told() {
    let (dynamo, client) = table().await;
    let ttl = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build().unwrap();
    client.update_time_to_live().table_name("latchkey").time_to_live_specification(ttl).send().await.unwrap();
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let item = client.put_item().table_name("latchkey").item("PK", S("a".into()));
    item.item("ttl", N(now.as_second().to_string())).send().await.unwrap();

    assert_eq!(dynamo.sweep_ttl(now - jiff::SignedDuration::from_mins(1)), 0);
    assert_eq!(dynamo.sweep_ttl(now + jiff::SignedDuration::from_mins(1)), 1);
    assert!(dynamo.dump("latchkey").is_empty());
}

#[tokio::test]
async fn a_data_file_outlives_the_emulator() {
    let file = std::env::temp_dir().join(format!("latchkey-dynamodb-{}.sqlite", std::process::id()));
    let dynamo = DynamoDb::start(Some(&file)).await;
    let client = client(&dynamo, RetryConfig::disabled());
    create(&client).await;
    put(&client, "a", "kept").await.unwrap();
    drop((client, dynamo));

    let dynamo = DynamoDb::start(Some(&file)).await;
    assert_eq!(dynamo.dump("latchkey").len(), 1);
    drop(dynamo);
    for leftover in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{leftover}", file.display()));
    }
}

#[tokio::test]
async fn the_last_number_of_a_stream_is_found_without_looking_through_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.db");
    // As dynoxide asks for it at each write.
    let ask = "EXPLAIN QUERY PLAN
        SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 FROM _stream_records WHERE table_name = ?1";
    for start in [None, Some(data.as_path())] {
        let dynamo = DynamoDb::start(start).await;
        let copy = folder.path().join("copy.db");
        dynamo.database.vacuum_into(utf8(&copy)).unwrap();
        let copied = rusqlite::Connection::open(&copy).unwrap();
        let plan: String = copied.query_row(ask, ["latchkey"], |row| row.get("detail")).unwrap();
        assert!(plan.contains("INDEX _stream_records_in_order (table_name=?)"), "{plan}");
        std::fs::remove_file(copy).unwrap();
    }
}

#[tokio::test]
async fn a_stream_keeps_its_newest_changes_and_is_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.db");
    let dynamo = DynamoDb::start(Some(&data)).await;
    let client = client(&dynamo, RetryConfig::disabled());
    create(&client).await;
    let stream =
        StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
    let stream = stream.build().unwrap();
    client.update_table().table_name("latchkey").stream_specification(stream).send().await.unwrap();
    put(&client, "first", "change").await.unwrap();
    let (first, place) = dynamo.changes("latchkey", None, 100).unwrap();
    assert_eq!(first.len(), 1);

    // A month of changes, written to the file at once.
    let beside = rusqlite::Connection::open(&data).unwrap();
    let repeat = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO _stream_records
            (table_name, event_name, keys_json, new_image, sequence_number, shard_id, created_at, event_id)
        SELECT table_name, event_name, keys_json, new_image,
            printf('%0*d', length(sequence_number), CAST(sequence_number AS INTEGER) + i),
            shard_id, created_at, event_id || i
        FROM _stream_records, n WHERE id = 1";
    beside.execute(repeat, [50_000]).unwrap();
    let kept = || -> usize {
        beside.query_row("SELECT COUNT(*) FROM _stream_records", [], |row| row.get(0)).unwrap()
    };
    assert!((20_000..20_500).contains(&kept()), "{} are kept", kept());
    put(&client, "last", "change").await.unwrap();
    drop(beside);

    // A reader whose place is trimmed goes on with the oldest change that is kept, and reaches the newest.
    let (mut place, mut seen, mut last) = (place, 0, Value::Null);
    loop {
        let (changes, next) = dynamo.changes("latchkey", place.as_deref(), 1_000).unwrap();
        let Some(newest) = changes.last() else { break };
        (seen, last, place) = (seen + changes.len(), newest.clone(), next);
    }
    assert!((20_000..20_501).contains(&seen), "{seen} were read");
    assert_eq!(last["dynamodb"]["Keys"]["PK"]["S"], "last", "{last}");
}

#[tokio::test]
async fn stream_that_cannot_be_read_is_an_error_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.db");
    let dynamo = DynamoDb::start(Some(&data)).await;
    let client = client(&dynamo, RetryConfig::disabled());
    create(&client).await;
    let stream =
        StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
    let stream = stream.build().unwrap();
    client.update_table().table_name("latchkey").stream_specification(stream).send().await.unwrap();
    put(&client, "first", "change").await.unwrap();
    let beside = rusqlite::Connection::open(&data).unwrap();

    beside.execute("ALTER TABLE _stream_records RENAME TO _away", []).unwrap();
    assert!(dynamo.changes("latchkey", None, 100).is_err());
    beside.execute("ALTER TABLE _away RENAME TO _stream_records", []).unwrap();

    let (changes, _) = dynamo.changes("latchkey", None, 100).unwrap();
    assert_eq!(changes.len(), 1);
}
