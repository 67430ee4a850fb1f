//! What lies between a process and the services that it calls.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use axum::body::Body;
use domain::secret::{AccessToken, Fingerprint, RefreshToken};
use jiff::Timestamp;
use salesforce::http::{NoAnswer, Sending, Transport};
use serde_json::{Value, json};
use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};
use world::{Clock, dynamodb::Direct, salesforce::Desk};

tokio::task_local! {
    /// The call that a request belongs to.
    pub(crate) static CALL: u64;
}

/// What is asked of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The table is read.
    Read,
    /// The table is written.
    Write,
    /// The fallback is read or written.
    Fallback,
    /// A refresh token is sent to Salesforce.
    Refresh,
    /// Anything else at Salesforce.
    Other,
}

/// What befalls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// It does not arrive, and its sender notices.
    Unreachable,
    /// The service refuses it: DynamoDB throttles, Salesforce is down for maintenance.
    Refused,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is carried out, and the answer fails a check: its signature is of another secret. For refreshes alone.
    Doubtful,
    /// It is neither carried out nor answered: its sender waits until it gives up.
    Silent,
    /// Salesforce answers this, whether or not it carries the request out.
    Scripted(Script),
    /// DynamoDB refuses a write, because another transaction holds the item.
    Conflict,
    /// Whoever sends it panics.
    Panics,
    /// Its sender dies before it arrives.
    DiesBefore,
    /// Its sender dies; it is carried out all the same.
    DiesAfter,
}

/// An answer of Salesforce's that a test wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: &'static str,
    /// Whether the request is carried out before it is answered so.
    pub processed: bool,
}

/// A request's way.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// How long it is under way.
    pub there: Duration,
    /// How long its answer is.
    pub back: Duration,
    /// What befalls it.
    pub effect: Effect,
}

/// Decides each request's fate.
pub trait Fates: Send {
    /// The fate of the `number`th request since the start, counted from 0, of this kind.
    fn fate(&mut self, number: usize, kind: Kind) -> Fate;

    /// The same of a refresh, by the refresh token that is sent.
    fn refresh(&mut self, number: usize, token: &Fingerprint) -> Fate {
        let _ = token;
        self.fate(number, Kind::Refresh)
    }

    /// The same of anything else at Salesforce, by its path.
    fn other(&mut self, number: usize, path: &str) -> Fate {
        let _ = path;
        self.fate(number, Kind::Other)
    }
}

/// One sending of a refresh token, as it was seen from outside.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen or was not")]
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which refresh token.
    pub token: Fingerprint,
    /// By which process.
    pub process: usize,
    /// When it left.
    pub at: Timestamp,
    /// When its sender had an answer, or gave up.
    pub ended: Option<Timestamp>,
    /// What Salesforce did with it.
    pub granted: Option<Granted>,
    /// Whether Salesforce refused it: it spent nothing.
    pub refused: bool,
    /// Whether the answer reached its sender.
    pub delivered: bool,
    /// Whether its sender knows that it was refused, or never arrived.
    pub told: bool,
    /// In which call, where it was one.
    pub call: Option<u64>,
    /// Whether its sender died before it was done: was killed, or ended with another call of its process.
    pub orphaned: bool,
    /// Whether its own function timed out while it was under way.
    pub cut_off: bool,
    /// Whether the access token that it brought stood in the table.
    pub kept: bool,
    /// Whether its sender got tokens in an answer that fails a check.
    pub doubtful: bool,
    done: bool,
    /// Whether Salesforce said that the same token was being used at that very moment.
    pub met_itself: bool,
}

impl Sent {
    /// Whether its answer reached a process that kept it, or lived to keep it.
    pub fn heard(&self) -> bool {
        self.delivered && (self.kept || !self.orphaned)
    }
}

/// What Salesforce gave for a refresh token.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The access token.
    pub access: Fingerprint,
    /// The refresh token that is good from now on, where it was rotated.
    pub refresh: Option<Fingerprint>,
}

/// The table's refresh token after a write: when, and which.
pub type Stored = (Timestamp, String);

/// Everything between the processes and the services. Clones share it.
#[derive(Clone)]
pub struct Ether {
    pub(crate) table: Direct,
    desk: Arc<Desk>,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    fates: Box<dyn Fates>,
    number: usize,
    sent: Vec<Sent>,
    stored: Vec<Stored>,
    trace: Vec<String>,
    secrets: BTreeMap<String, String>,
    watched: Option<(String, &'static str)>,
    deaths: usize,
    secrets_are_down: bool,
}

impl fmt::Debug for Ether {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ether")
    }
}

/// Every request arrives, quickly.
#[derive(Debug, Clone, Copy)]
pub struct Calm;

impl Fates for Calm {
    fn fate(&mut self, _: usize, _: Kind) -> Fate {
        Fate { there: Duration::from_millis(2), back: Duration::from_millis(2), effect: Effect::None }
    }
}

/// One request meets something; every other arrives, Salesforce's answers more slowly than the table's.
#[derive(Debug, Clone, Copy)]
pub struct One {
    /// Which request, counted from 0.
    pub step: usize,
    /// What it meets.
    pub effect: Effect,
    /// How long it is under way.
    pub there: Duration,
}

impl Fates for One {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Duration::from_millis(if kind == Kind::Refresh { 100 } else { 4 });
        if number == self.step {
            Fate { effect: self.effect, there: self.there, back: calm }
        } else {
            Fate { effect: Effect::None, there: calm, back: calm }
        }
    }
}

impl One {
    /// Everything that can befall that request: each effect, and to be late: later than the SDK waits, later than we
    /// wait for Salesforce, later than the lease.
    pub fn befalls(step: usize) -> Vec<Self> {
        use Effect::{AnswerLost, DiesAfter, DiesBefore, Doubtful, None, Refused, Unreachable};
        let soon = [Unreachable, Refused, AnswerLost, Doubtful, DiesBefore, DiesAfter].map(|effect| Self {
            step,
            effect,
            there: Duration::from_millis(4),
        });
        let late = [2, 9, 25].map(|seconds| Self { step, effect: None, there: Duration::from_secs(seconds) });
        [&soon[..], &late].concat()
    }
}

impl Ether {
    /// A calm one.
    pub fn new(table: Direct, desk: Arc<Desk>, clock: Clock, secrets: BTreeMap<String, String>) -> Self {
        let state = State {
            fates: Box::new(Calm),
            number: 0,
            sent: Vec::new(),
            stored: Vec::new(),
            trace: Vec::new(),
            secrets,
            watched: None,
            deaths: 0,
            secrets_are_down: false,
        };
        Self { table, desk, clock, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on these decide. Requests are counted afresh.
    pub fn set(&self, fates: impl Fates + 'static) {
        let mut state = self.state();
        state.fates = Box::new(fates);
        state.number = 0;
    }

    /// Whether Secrets Manager refuses every call.
    pub fn set_secrets_down(&self, down: bool) {
        self.state().secrets_are_down = down;
    }

    /// Secrets Manager holds this from now on.
    pub fn put_secret(&self, name: &str, value: String) {
        self.state().secrets.insert(name.to_owned(), value);
    }

    /// How many requests there were since the fates were set.
    pub fn requests(&self) -> usize {
        self.state().number
    }

    /// Every sending of a refresh token so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.state().sent.clone()
    }

    /// An item of the table.
    pub fn item(&self, pk: &str, sk: &str) -> Option<Value> {
        self.table.item(crate::rig::TABLE, pk, sk)
    }

    /// All items of a table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        self.table.items(table)
    }

    /// What refresh token stood in the table, after each write of it.
    pub fn stored(&self) -> Vec<Stored> {
        self.state().stored.clone()
    }

    /// What happened, a line a request: for a schedule that broke a law.
    pub fn trace(&self) -> String {
        self.state().trace.join("\n")
    }

    /// The way to AWS of one process.
    pub(crate) fn aws(&self, process: usize, death: watch::Sender<bool>) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Wire { ether: self.clone(), process, death });
        http_client_fn(move |_, _| connector.clone())
    }

    /// The way to Salesforce of one process.
    pub(crate) fn salesforce(&self, process: usize, death: watch::Sender<bool>) -> salesforce::Http {
        salesforce::Http::through(Wire { ether: self.clone(), process, death })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the ether")
    }

    fn fate(&self, kind: Kind, token: Option<&Fingerprint>, what: &str, process: usize) -> Fate {
        let at = self.clock.now();
        let mut state = self.state();
        let number = state.number;
        state.number += 1;
        let fate = match token {
            Some(token) => state.fates.refresh(number, token),
            None if kind == Kind::Other => state.fates.other(number, what),
            None => state.fates.fate(number, kind),
        };
        state.trace.push(format!(
            "{at} #{number} process {process}: {what}: {:?} there {:?} back {:?}",
            fate.effect, fate.there, fate.back
        ));
        fate
    }
}

/// One process's way out.
#[derive(Debug, Clone)]
struct Wire {
    ether: Ether,
    process: usize,
    death: watch::Sender<bool>,
}

/// An answer's way back: none if it is lost or its sender is dead.
enum Back<A> {
    Answer(A),
    Lost,
    Unreachable,
    Refused,
    Conflict,
}

impl Wire {
    /// Carries a request over. What is carried out is carried out even if its sender no longer waits.
    async fn carry<A: Send + 'static>(
        self,
        fate: Fate,
        carry_out: impl Future<Output = A> + Send + 'static,
    ) -> Back<A> {
        match fate.effect {
            Effect::DiesBefore => self.die().await,
            Effect::Unreachable => {
                sleep(fate.there).await;
                return Back::Unreachable;
            }
            Effect::Refused => {
                sleep(fate.there + fate.back).await;
                return Back::Refused;
            }
            Effect::Conflict => {
                sleep(fate.there + fate.back).await;
                return Back::Conflict;
            }
            Effect::Silent => return std::future::pending().await,
            Effect::Panics => panic!("a bug in the handling of one item"),
            Effect::None
            | Effect::AnswerLost
            | Effect::Doubtful
            | Effect::DiesAfter
            | Effect::Scripted(_) => {}
        }
        let (answered, answer) = oneshot::channel();
        tokio::spawn(async move {
            sleep(fate.there).await;
            let answer = carry_out.await;
            sleep(fate.back).await;
            // Nobody may be waiting any more.
            let _ = answered.send(answer);
        });
        match fate.effect {
            Effect::DiesAfter => self.die().await,
            Effect::AnswerLost => {
                let _ = answer.await;
                Back::Lost
            }
            _ => answer.await.map_or(Back::Lost, Back::Answer),
        }
    }

    async fn die<A>(&self) -> A {
        self.death.send_replace(true);
        std::future::pending().await
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let (service, operation) = target.split_once('.').unwrap_or_default();
        if service == "secretsmanager" {
            if self.ether.state().secrets_are_down {
                let refusal = json!({ "__type": "InternalServiceError", "message": "down" });
                return HttpConnectorFuture::ready(Ok(answer_of(400, refusal.to_string())));
            }
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let name = asked["SecretId"].as_str().unwrap_or_default().to_owned();
            let value = self.ether.state().secrets.get(&name).cloned();
            let value = value.unwrap_or_else(|| panic!("there is no secret {name}"));
            let answer = json!({ "Name": name, "SecretString": value, "VersionId": "1" });
            return HttpConnectorFuture::ready(Ok(answer_of(200, answer.to_string())));
        }
        let operation = operation.to_owned();
        let table = table_of(&body);
        if operation == "GetItem" && table == crate::rig::FALLBACK {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            assert_eq!(asked["ConsistentRead"], true, "an answer that is overlooked is sent for again");
        }
        let kind = match operation.as_str() {
            _ if table == crate::rig::FALLBACK => Kind::Fallback,
            "GetItem" | "BatchGetItem" | "Query" | "Scan" => Kind::Read,
            _ => Kind::Write,
        };
        let fate = self.ether.fate(kind, None, &format!("{operation} {table}"), self.process);
        let ether = self.ether.clone();
        let transacts = (operation == "TransactWriteItems").then(|| items_of(&body));
        let carried = self.clone().carry(fate, async move {
            let answer = ether.table.answer(&operation, &body);
            ether.note_stored(kind);
            answer
        });
        HttpConnectorFuture::new(async move {
            match carried.await {
                Back::Answer((status, body)) => Ok(answer_of(status, body)),
                Back::Refused => {
                    let body = json!({
                        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                        "message": "too fast",
                    });
                    Ok(answer_of(400, body.to_string()))
                }
                Back::Conflict => Ok(answer_of(400, conflict(transacts))),
                Back::Lost | Back::Unreachable => Err(ConnectorError::io("the connection broke".into())),
            }
        })
    }
}

impl Transport for Wire {
    fn send(&self, request: http::Request<Vec<u8>>, within: Duration) -> Sending {
        let (wire, ether) = (self.clone(), self.ether.clone());
        Box::pin(async move {
            let token = refresh_token(request.body());
            let kind = if token.is_some() { Kind::Refresh } else { Kind::Other };
            let fate = ether.fate(kind, token.as_ref(), request.uri().path(), wire.process);
            let sent = token.map(|token| ether.note_sent(token, wire.process));
            let answering = ether.clone();
            let script = match fate.effect {
                Effect::Scripted(script) => Some(script),
                _ => None,
            };
            let carried = async move {
                match script {
                    Some(Script { processed: false, .. }) => {
                        sleep(fate.there + fate.back).await;
                        Back::Lost
                    }
                    _ => wire.carry(fate, async move { answering.ask(request, sent).await }).await,
                }
            };
            let back = timeout(within, carried).await;
            let no_answer = |what: &str, sent| NoAnswer { what: what.into(), sent, oversized: false };
            let answer = match back {
                Ok(_) if script.is_some() => Ok(script.expect("one").answer()),
                Ok(Back::Answer(Some(answer))) if fate.effect == Effect::Doubtful => Ok(spoiled(answer)),
                Ok(Back::Answer(Some(answer))) => Ok(answer),
                Ok(Back::Answer(None) | Back::Lost | Back::Conflict) => {
                    Err(no_answer("the connection broke", true))
                }
                Ok(Back::Unreachable) => Err(no_answer("no connection", false)),
                Ok(Back::Refused) => {
                    // With `Retry-After` a 503 spends nothing (docs/architecture.md); without, it may have.
                    let html = http::Response::builder()
                        .status(503)
                        .header(http::header::RETRY_AFTER, "1")
                        .body(b"<html>down</html>".to_vec());
                    Ok(html.expect("a response"))
                }
                Err(_) => Err(no_answer("no whole answer in time", true)),
            };
            if let Some(sent) = sent {
                let unprocessed = match fate.effect {
                    Effect::Refused | Effect::Unreachable | Effect::Silent | Effect::Panics => true,
                    Effect::Scripted(script) => !script.processed,
                    _ => false,
                };
                let told = answer.is_ok() || fate.effect == Effect::Unreachable;
                let is_doubtful =
                    fate.effect == Effect::Doubtful && answer.is_ok() && ether.note_doubtful(sent);
                let delivered = answer.is_ok() && !unprocessed && script.is_none() && !is_doubtful;
                ether.note_end(sent, delivered, unprocessed, told);
            }
            answer
        })
    }
}

impl Ether {
    async fn ask(
        &self,
        request: http::Request<Vec<u8>>,
        sent: Option<usize>,
    ) -> Option<http::Response<Vec<u8>>> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let (mut head, body) = request.into_parts();
        head.headers.insert(http::header::HOST, host.parse().expect("a host"));
        let request = http::Request::from_parts(head, Body::from(body));
        let (head, body) = self.desk.clone().answer(request).await.ok()?.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.ok()?.to_vec();
        if let Some(sent) = sent {
            self.note_answer(sent, &body);
        }
        Some(http::Response::from_parts(head, body))
    }

    fn note_sent(&self, token: Fingerprint, process: usize) -> usize {
        let at = self.clock.now();
        let mut state = self.state();
        state.sent.push(Sent {
            token,
            process,
            at,
            ended: None,
            granted: None,
            refused: false,
            delivered: false,
            told: false,
            call: CALL.try_with(|call| *call).ok(),
            orphaned: false,
            cut_off: false,
            kept: false,
            doubtful: false,
            done: false,
            met_itself: false,
        });
        state.sent.len() - 1
    }

    fn note_answer(&self, sent: usize, body: &[u8]) {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let granted = answer["access_token"].as_str().map(|access| Granted {
            access: AccessToken::new(access).fingerprint(),
            refresh: answer["refresh_token"].as_str().map(|token| RefreshToken::new(token).fingerprint()),
        });
        let at = self.clock.now();
        let mut state = self.state();
        state.trace.push(format!("{at} Salesforce answers sending {sent}: {}", answer["error_description"]));
        let seen = &mut state.sent[sent];
        seen.refused = granted.is_none();
        seen.met_itself = answer["error_description"] == "token request is already being processed";
        seen.granted = granted;
    }

    /// A refusal has nothing to doubt: then it is `false`.
    fn note_doubtful(&self, sent: usize) -> bool {
        let mut state = self.state();
        let seen = &mut state.sent[sent];
        seen.doubtful = seen.granted.is_some();
        seen.doubtful
    }

    fn note_end(&self, sent: usize, delivered: bool, unprocessed: bool, told: bool) {
        let at = self.clock.now();
        let mut state = self.state();
        let seen = &mut state.sent[sent];
        (seen.ended, seen.delivered, seen.told) = (Some(at), delivered, told);
        seen.refused |= unprocessed;
    }

    /// Ends every sending of a process that is dead.
    pub(crate) fn note_death(&self, process: usize) {
        let at = self.clock.now();
        let mut state = self.state();
        state.trace.push(format!("{at} process {process} dies"));
        state.deaths += 1;
        for sent in state.sent.iter_mut().filter(|sent| sent.process == process && !sent.done) {
            sent.orphaned = true;
            sent.ended.get_or_insert(at);
        }
    }

    /// Lambda ends a process because a call, or a run of the sweep, took too long. That excuses nothing: whatever this
    /// call sent had to be answered and kept by then.
    pub(crate) fn note_timeout(&self, process: usize, call: Option<u64>) {
        let at = self.clock.now();
        let mut state = self.state();
        state.trace.push(format!("{at} process {process}: Lambda's timeout"));
        let of_call = |sent: &&mut Sent| sent.process == process && sent.call == call && !sent.done;
        for sent in state.sent.iter_mut().filter(of_call) {
            sent.cut_off = sent.ended.is_none();
            sent.ended.get_or_insert(at);
            sent.done = true;
        }
    }

    /// What a call, or a run of the sweep, sent is done with: what it learnt must be kept.
    pub(crate) fn note_done(&self, process: usize, call: Option<u64>) {
        let mut state = self.state();
        for sent in state.sent.iter_mut().filter(|sent| sent.process == process && sent.call == call) {
            sent.done |= !sent.orphaned;
        }
    }

    fn note_stored(&self, kind: Kind) {
        if kind != Kind::Write {
            return;
        }
        let at = self.clock.now();
        let mut state = self.state();
        let Some((pk, sk)) = state.watched.clone() else { return };
        let item = self.table.item(crate::rig::TABLE, &pk, sk);
        let token = item.as_ref().and_then(|item| item["refresh_fingerprint"]["S"].as_str());
        if let Some(token) = token.filter(|token| state.stored.last().is_none_or(|(_, last)| last != token)) {
            state.stored.push((at, token.to_owned()));
        }
        let access = item.as_ref().and_then(|item| item["access_fingerprint"]["S"].as_str());
        for sent in &mut state.sent {
            let granted = sent.granted.as_ref().map(|granted| granted.access.as_str());
            sent.kept |= granted.is_some() && granted == access;
        }
    }

    /// Whose refresh token is watched: the partition key of a connection.
    pub(crate) fn watch(&self, pk: String) {
        self.state().watched = Some((pk, "CONNECTION"));
        self.note_stored(Kind::Write);
    }

    /// A line of a schedule's own.
    pub fn note(&self, line: &str) {
        let at = self.clock.now();
        self.state().trace.push(format!("{at} {line}"));
    }
}

impl Script {
    fn answer(self) -> http::Response<Vec<u8>> {
        let mut answer = http::Response::builder().status(self.status);
        for (name, value) in self.headers {
            answer = answer.header(*name, *value);
        }
        answer.body(self.body.as_bytes().to_vec()).expect("a response")
    }
}

/// The answer, signed with another secret, if it is signed at all.
fn spoiled(answer: http::Response<Vec<u8>>) -> http::Response<Vec<u8>> {
    let (head, body) = answer.into_parts();
    let mut members: Value = serde_json::from_slice(&body).unwrap_or_default();
    if members["signature"].is_string() {
        members["signature"] = json!("c29tZWJvZHkgZWxzZSdzIHNpZ25hdHVyZSBvZiBpdA==");
        return http::Response::from_parts(head, members.to_string().into_bytes());
    }
    http::Response::from_parts(head, body)
}

/// What DynamoDB answers a write that meets another transaction; a transaction is canceled, with a reason for each of
/// its writes.
fn conflict(writes: Option<usize>) -> String {
    let answer = match writes {
        None => json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
            "message": "Transaction is ongoing for the item",
        }),
        Some(writes) => json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons [TransactionConflict]",
            "CancellationReasons": vec![json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing" }); writes],
        }),
    };
    answer.to_string()
}

/// How many writes a transaction has.
fn items_of(body: &[u8]) -> usize {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["TransactItems"].as_array().map_or(0, Vec::len)
}

fn refresh_token(body: &[u8]) -> Option<Fingerprint> {
    let params: BTreeMap<_, _> = form_urlencoded::parse(body).collect();
    (params.get("grant_type")? == "refresh_token").then_some(())?;
    Some(RefreshToken::new(params.get("refresh_token")?.clone()).fingerprint())
}

fn table_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let table = body["TableName"].as_str();
    table.unwrap_or(crate::rig::TABLE).to_owned()
}

fn answer_of(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status");
    let mut answer = HttpResponse::new(status, SdkBody::from(body));
    answer.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    answer
}
