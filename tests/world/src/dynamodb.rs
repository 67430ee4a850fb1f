//! DynamoDB in this process: an embedded emulator behind a proxy of ours that meters every request and can
//! refuse it, delay it, or lose its answer.
//!
//! What a request costs is what DynamoDB itself reports: the proxy asks for `ReturnConsumedCapacity` where the
//! caller did not, and takes the figure out of the answer again before the caller sees it.

mod direct;
mod fault;
mod meter;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynoxide::{Database, server};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use direct::Direct;
pub use fault::{Effect, Fault, Which};
pub use meter::{DynamoRequest, Kind};

/// DynamoDB bodies are at most 16 MB.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// The stream of a table cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("the table's stream cannot be read: {0}")]
pub struct StreamError(String);

/// The running emulator. Dropping it ends both servers.
pub struct DynamoDb {
    database: Database,
    sweep_time: SweepTime,
    proxy: Proxy,
    endpoint: String,
    unmetered: String,
    _servers: JoinSet<()>,
}

/// What the proxy's handler needs; clones share it.
#[derive(Clone)]
struct Proxy {
    emulator: Uri,
    http: Client<HttpConnector, Body>,
    state: Arc<Mutex<Conditions>>,
}

/// The faults that are armed, and what has been metered.
#[derive(Default)]
struct Conditions {
    faults: Vec<Fault>,
    slow: Duration,
    down: bool,
    requests: Vec<DynamoRequest>,
    /// The tables whose point-in-time recovery is on.
    backed_up: BTreeSet<String>,
}

impl std::fmt::Debug for DynamoDb {
    /// Names the address and nothing that it holds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Starts in memory, or on the file `data`, on a free port.
    pub async fn start(data: Option<&Path>) -> Self {
        Self::start_on(0, data).await
    }

    /// Starts on a given `port` of 127.0.0.1; 0 takes a free one.
    pub async fn start_on(port: u16, data: Option<&Path>) -> Self {
        Self::open_on(port, data).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts on a free port, on the file `data`, which may be damaged.
    pub async fn open(data: Option<&Path>) -> Result<Self, DataFileError> {
        Self::open_on(0, data).await
    }

    async fn open_on(port: u16, data: Option<&Path>) -> Result<Self, DataFileError> {
        let sweep_time = SweepTime::default();
        let database = match data {
            Some(file) => on_file(file)?,
            None => in_memory(sweep_time.clone()),
        };

        let emulator = TcpListener::bind("127.0.0.1:0").await.expect("a free port for the emulator");
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port for DynamoDB");
        let address =
            |listener: &TcpListener| listener.local_addr().expect("a bound listener has an address");
        let proxy = Proxy {
            emulator: format!("http://{}/", address(&emulator)).parse().expect("an address is a URI"),
            http: Client::builder(TokioExecutor::new()).build_http(),
            state: Arc::default(),
        };
        let endpoint = format!("http://{}", address(&listener));
        let unmetered = format!("http://{}", address(&emulator));

        let mut servers = JoinSet::new();
        let (served, router) = (database.clone(), Router::new().fallback(forward).with_state(proxy.clone()));
        servers.spawn(async { server::serve_on(emulator, served).await });
        servers.spawn(async {
            axum::serve(listener, router).await.expect("the proxy serves until it is dropped");
        });
        Ok(Self { database, sweep_time, proxy, endpoint, unmetered, _servers: servers })
    }

    /// Where an SDK client is pointed.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The emulator itself, past the meter and the faults: for what is timed.
    pub fn unmetered(&self) -> &str {
        &self.unmetered
    }

    /// Every request since the start or the last [`reset_counts`](Self::reset_counts), in order of arrival of
    /// its answer. An SDK's retries count, as they do on the bill.
    pub fn requests(&self) -> Vec<DynamoRequest> {
        self.conditions().requests.clone()
    }

    /// How many requests read and how many wrote; a transaction or a batch is one.
    pub fn counts(&self) -> Counts {
        let requests = self.requests();
        let of = |kind| requests.iter().filter(|request| request.kind == kind).count();
        Counts { reads: of(Kind::Read), writes: of(Kind::Write) }
    }

    /// Forgets what was metered.
    pub fn reset_counts(&self) {
        self.conditions().requests.clear();
    }

    /// Turns a table's point-in-time recovery on or off, as `DescribeContinuousBackups` tells: the emulator has none.
    pub fn back_up(&self, table: &str, on: bool) {
        let backed_up = &mut self.conditions().backed_up;
        if on {
            backed_up.insert(table.to_owned())
        } else {
            backed_up.remove(table)
        };
    }

    /// Arms a fault. Several stand at once; the first that matches a request takes it.
    pub fn inject(&self, fault: Fault) {
        self.conditions().faults.push(fault);
    }

    /// Refuses the next `times` requests that match, with DynamoDB's own status and words for `code`.
    pub fn refuse_next(&self, times: usize, which: Which, code: &'static str) {
        self.inject(Fault::refuse(code).on(which).times(times));
    }

    /// Carries out the next `times` requests that match and breaks the connection instead of answering.
    pub fn answer_lost_next(&self, times: usize, which: Which) {
        self.inject(Fault::lose_answer().on(which).times(times));
    }

    /// Disarms every fault, and is neither slow nor down any more.
    pub fn mend(&self) {
        let mut conditions = self.conditions();
        conditions.faults.clear();
        conditions.slow = Duration::ZERO;
        conditions.down = false;
    }

    /// From now on every request waits this long before it is carried out.
    pub fn slow(&self, delay: Duration) {
        self.conditions().slow = delay;
    }

    /// While down, every connection breaks without an answer and nothing is carried out.
    pub fn down(&self, down: bool) {
        self.conditions().down = down;
    }

    /// Every item of `table`, as DynamoDB JSON. Not metered.
    pub fn dump(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let request = json!({ "TableName": table, "ConsistentRead": true, "ExclusiveStartKey": start });
            let request = serde_json::from_value(request).expect("a Scan request");
            let page = self.database.scan(request).unwrap_or_else(|error| panic!("dump of {table}: {error}"));
            let mut page = serde_json::to_value(page).expect("a Scan answer is JSON");
            if let Value::Array(found) = page["Items"].take() {
                items.extend(found);
            }
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return items;
            }
        }
    }

    /// The changes of `table` as its stream has them, at most `limit` after the place `after`: each a record as Lambda
    /// brings it, and the place of the last. There is one shard, [`DynamoDb::shard`]. An error leaves the place as it
    /// is: the next call may succeed, for example once the disk has room again.
    pub fn changes(
        &self,
        table: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Value>, Option<String>), StreamError> {
        let iterator = match after {
            Some(place) => place.to_owned(),
            None => self.start_of_stream(table)?,
        };
        let request = ask_for(&json!({ "ShardIterator": iterator, "Limit": limit }));
        let page = self.database.get_records(request).map_err(|error| StreamError(error.to_string()))?;
        let mut page = serde_json::to_value(page).expect("JSON");
        let records = page["Records"].take();
        let place = page["NextShardIterator"].as_str().map(str::to_owned).or(Some(iterator));
        Ok((serde_json::from_value(records).expect("a list"), place))
    }

    fn start_of_stream(&self, table: &str) -> Result<String, StreamError> {
        let unreadable = |error: &dyn std::fmt::Display| StreamError(error.to_string());
        let streams = self.database.list_streams(ask_for(&json!({ "TableName": table })));
        let streams = serde_json::to_value(streams.map_err(|error| unreadable(&error))?).expect("JSON");
        let arn =
            streams["Streams"][0]["StreamArn"].as_str().ok_or_else(|| unreadable(&"the table has none"))?;
        let request = ask_for(&json!({
            "StreamArn": arn, "ShardId": Self::shard(table), "ShardIteratorType": "TRIM_HORIZON",
        }));
        let iterator = self.database.get_shard_iterator(request).map_err(|error| unreadable(&error))?;
        iterator.shard_iterator.ok_or_else(|| unreadable(&"its shard has no beginning"))
    }

    /// The one shard of a table's stream.
    pub fn shard(table: &str) -> String {
        dynoxide::streams::shard_id(table)
    }

    /// Where in `table` the bytes of `needle` stand in the clear: in names, texts, numbers, and inside binary
    /// values. Empty is the proof that a secret is not stored in plain text.
    pub fn find(&self, table: &str, needle: &str) -> Vec<String> {
        let mut places = Vec::new();
        for (number, item) in self.dump(table).iter().enumerate() {
            search(item, needle, &format!("item {number}"), &mut places);
        }
        places
    }

    /// Deletes what has expired at `now`, as DynamoDB does within days, and returns how many items went. The
    /// deletions reach the stream as the TTL service's. On a data file the emulator knows the machine's time only.
    pub fn sweep_ttl(&self, now: Timestamp) -> usize {
        *self.sweep_time.0.lock().expect("no panic while holding the sweep's time") = Some(now);
        let swept = self.database.sweep_ttl().expect("the emulator sweeps");
        *self.sweep_time.0.lock().expect("no panic while holding the sweep's time") = None;
        swept
    }

    /// One item, as DynamoDB JSON. Not metered.
    pub fn item(&self, table: &str, pk: &str, sk: &str) -> Option<Value> {
        let key = json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        let request = json!({ "TableName": table, "ConsistentRead": true, "Key": key });
        let request = serde_json::from_value(request).expect("a GetItem request");
        let answer = self.database.get_item(request).expect("the emulator answers");
        serde_json::to_value(answer).expect("an answer is JSON").get_mut("Item").map(Value::take)
    }

    /// Puts many items in at once, each DynamoDB JSON: nobody is asked, and nothing is counted.
    pub fn seed(&self, table: &str, items: impl Iterator<Item = Value>) {
        let items = items.map(|item| serde_json::from_value(item).expect("an item")).collect();
        self.database.enable_bulk_loading().expect("SQLite takes its settings");
        let imported = self.database.import_items(table, items, dynoxide::ImportOptions::default());
        self.database.disable_bulk_loading().expect("SQLite takes its settings");
        imported.expect("the items are of the table");
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        self.proxy.conditions()
    }
}

/// How many requests read and wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub reads: usize,
    pub writes: usize,
}

impl Proxy {
    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        self.state.lock().expect("no panic while holding the conditions")
    }
}

/// The emulator looks for the last number of a table's stream at each write, and has no index for it: without one, the
/// time of a write grows with the writes before it. It never trims the stream either, so a trigger keeps the newest
/// 20,000 records; DynamoDB keeps those of a day.
const STREAM: &str = "CREATE INDEX IF NOT EXISTS _stream_records_in_order
         ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
     CREATE TRIGGER IF NOT EXISTS _stream_records_trimmed AFTER INSERT ON _stream_records WHEN NEW.id % 500 = 0
         BEGIN DELETE FROM _stream_records WHERE id <= NEW.id - 20000; END";

/// A data file cannot be used. It says which, and what to do.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file} cannot be used as the table ({why}): restore it from a copy, or move it away to start with an empty table"
)]
pub struct DataFileError {
    file: String,
    why: String,
}

fn on_file(file: &Path) -> Result<Database, DataFileError> {
    let wrong = |why: String| DataFileError { file: file.display().to_string(), why: why.replace('\n', " ") };
    let path = file.to_str().ok_or_else(|| wrong("its name is not UTF-8".into()))?;
    is_sound(file).map_err(|error| wrong(error.to_string()))?;
    let database = Database::new(path).map_err(|error| wrong(error.to_string()))?;
    prepare_stream(file).map_err(|error| wrong(error.to_string()))?;
    Ok(database)
}

/// Whether a file that is there is a database without damage. An empty file is one to SQLite: a full disk or a kill leaves
/// it of a table that was written.
fn is_sound(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    if !std::fs::exists(file)? {
        return Ok(());
    }
    let connection = rusqlite::Connection::open(file)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(found.into());
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables == 0 { Err("it is empty".into()) } else { Ok(()) }
}

/// A database in memory is out of another's reach: what has the index is a file, and the memory is restored from that.
fn in_memory(clock: SweepTime) -> Database {
    let database = Database::memory_with_clock(Arc::new(clock)).expect("the emulator opens its memory");
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.db");
    database.vacuum_into(utf8(&empty)).expect("the emulator copies itself");
    prepare_stream(&empty).expect("its stream can be indexed");
    database.restore_from(utf8(&empty)).expect("the emulator takes its copy");
    database
}

fn prepare_stream(file: &Path) -> rusqlite::Result<()> {
    rusqlite::Connection::open(file)?.execute_batch(STREAM)
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// One request's way through the proxy.
async fn forward(State(proxy): State<Proxy>, headers: HeaderMap, body: Body) -> Response {
    let body = axum::body::to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let mut asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let call = headers.get("amz-sdk-invocation-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut metered = DynamoRequest::new(operation, &asked, body.len());
    call.clone_into(&mut metered.call);

    let (effect, slow) = {
        let mut conditions = proxy.conditions();
        let effect = if conditions.down {
            Some(Effect::Unreachable)
        } else {
            conditions.faults.iter_mut().find_map(|fault| fault.strike(operation, call))
        };
        (effect, conditions.slow)
    };
    tokio::time::sleep(slow).await;
    let answer = match effect {
        Some(Effect::Unreachable) => {
            metered.error = Some("unreachable".into());
            broken_off()
        }
        Some(Effect::Refuse(code)) => {
            metered.error = Some(code.into());
            fault::refusal(code, operation)
        }
        Some(Effect::Conflict) => {
            metered.error = Some("conflict".into());
            fault::conflict(operation, &asked)
        }
        Some(Effect::LeaveUnprocessed) => fault::unprocessed(&asked),
        Some(Effect::LoseAnswer) => {
            proxy.carry_out(&headers, &mut asked, body, &mut metered).await;
            metered.error = Some("answer lost".into());
            broken_off()
        }
        None if operation == "DescribeContinuousBackups" => proxy.backups(&asked),
        None => proxy.carry_out(&headers, &mut asked, body, &mut metered).await,
    };
    proxy.conditions().requests.push(metered);
    answer
}

impl Proxy {
    fn backups(&self, asked: &Value) -> Response {
        let on = self.conditions().backed_up.contains(asked["TableName"].as_str().unwrap_or_default());
        let status = if on { "ENABLED" } else { "DISABLED" };
        // Continuous backups are always on; their point-in-time recovery is a setting (API reference).
        let told = json!({ "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
        }});
        ([(header::CONTENT_TYPE, "application/x-amz-json-1.0")], told.to_string()).into_response()
    }

    async fn carry_out(
        &self,
        headers: &HeaderMap,
        asked: &mut Value,
        body: Bytes,
        metered: &mut DynamoRequest,
    ) -> Response {
        let added = meter::ask_for_capacity(metered.kind, asked);
        let body = if added { Bytes::from(asked.to_string()) } else { body };
        let mut onward = Request::post(&self.emulator).body(Body::from(body)).expect("a valid request");
        *onward.headers_mut() = headers.clone();
        for hop in [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
            onward.headers_mut().remove(hop);
        }
        let answer = self.http.request(onward).await.expect("the emulator answers");
        let status = answer.status();
        let mut kept = HeaderMap::new();
        for name in ["content-type", "x-amzn-requestid"] {
            if let Some(value) = answer.headers().get(name) {
                kept.insert(name, value.clone());
            }
        }
        let body =
            axum::body::to_bytes(Body::new(answer.into_body()), MAX_BODY).await.expect("the answer's body");
        let body = metered.read_answer(status, body, added);
        (status, kept, body).into_response()
    }
}

/// An answer whose body fails at once, so that the server drops the connection.
fn broken_off() -> Response {
    let broken = Body::new(BrokenBody);
    (StatusCode::OK, [(header::CONTENT_LENGTH, "1")], broken).into_response()
}

/// A body that is an error from its first byte.
struct BrokenBody;

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

/// A request of the emulator's, of its JSON.
fn ask_for<Q: serde::de::DeserializeOwned>(request: &Value) -> Q {
    serde_json::from_value(request.clone()).expect("a request")
}

/// Adds every place under `value` where `needle` stands; `at` is the path so far.
fn search(value: &Value, needle: &str, at: &str, places: &mut Vec<String>) {
    let holds = |text: &str| {
        let decoded = STANDARD.decode(text).unwrap_or_default();
        text.contains(needle)
            || decoded.windows(needle.len().max(1)).any(|window| window == needle.as_bytes())
    };
    match value {
        Value::String(text) if holds(text) => places.push(at.to_owned()),
        Value::Array(values) => values.iter().for_each(|value| search(value, needle, at, places)),
        Value::Object(members) => {
            for (name, member) in members {
                let at = format!("{at}.{name}");
                if name.contains(needle) {
                    places.push(at.clone());
                }
                search(member, needle, &at, places);
            }
        }
        _ => {}
    }
}

/// The emulator's clock: the machine's, but for the moment of a sweep.
#[derive(Clone, Default)]
struct SweepTime(Arc<Mutex<Option<Timestamp>>>);

impl dynoxide::storage_backend::Clock for SweepTime {
    fn now_unix_secs(&self) -> u64 {
        match *self.0.lock().expect("no panic while holding the sweep's time") {
            Some(now) => u64::try_from(now.as_second()).unwrap_or_default(),
            None => dynoxide::storage_backend::SystemClock.now_unix_secs(),
        }
    }

    fn now_unix_secs_f64(&self) -> f64 {
        match *self.0.lock().expect("no panic while holding the sweep's time") {
            Some(now) => now.as_duration().as_secs_f64(),
            None => dynoxide::storage_backend::SystemClock.now_unix_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests;
