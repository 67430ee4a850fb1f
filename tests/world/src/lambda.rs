//! AWS Lambda on this machine: the Runtime API of a function's own binary, so that what is deployed can be
//! asked recorded API Gateway events.
//!
//! One process, one event at a time, as one execution environment has it; several at once where the binary polls
//! for several (`AWS_LAMBDA_MAX_CONCURRENCY`). The binary runs with Lambda's environment and nothing of ours
//! but `PATH`.

mod event;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::Clock;

pub use event::http_event;

/// The function's time-out unless [`Lambda::invoke_within`] says otherwise: the longest that API Gateway waits.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A function's running binary. Dropping it kills the process.
pub struct Lambda {
    runtime: Arc<Runtime>,
    _tasks: JoinSet<()>,
}

/// Why an invocation has no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum InvokeError {
    /// The function posted an error: `errorType`, `errorMessage`, `stackTrace`.
    Function(Value),
    /// The runtime posted an error before it took its first event.
    Init(Value),
    /// The process ended; its last lines are in [`Lambda::logs`].
    Exited(String),
    /// No answer within the time-out.
    TimedOut,
}

/// What the Runtime API's handlers share.
#[derive(Default)]
struct Runtime {
    state: Mutex<Invocations>,
    arrived: Notify,
    killed: Notify,
    logs: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Invocations {
    made: u64,
    queued: VecDeque<Invocation>,
    waiting: HashMap<String, oneshot::Sender<Outcome>>,
    over: Option<InvokeError>,
}

type Outcome = Result<Value, InvokeError>;

struct Invocation {
    id: String,
    event: Value,
    deadline_ms: i64,
}

impl Lambda {
    /// Starts the binary `bootstrap` with Lambda's usual environment and `env`, which wins.
    pub async fn start(bootstrap: &Path, env: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port for the Runtime API");
        let address = listener.local_addr().expect("a bound listener has an address").to_string();
        let runtime = Arc::<Runtime>::default();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(axum::extract::DefaultBodyLimit::max(8 * 1024 * 1024))
            .with_state(Arc::clone(&runtime));

        let mut child = Command::new(bootstrap)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(usual_environment(&address))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", bootstrap.display()));

        let mut tasks = JoinSet::new();
        tasks.spawn(async { axum::serve(listener, router).await.expect("serves until it is dropped") });
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let watching = Arc::clone(&runtime);
        tasks.spawn(async move {
            let lines = async {
                tokio::join!(
                    watching.keep_lines(stdout.expect("stdout is piped")),
                    watching.keep_lines(stderr.expect("stderr is piped"))
                )
            };
            tokio::select! {
                _ = lines => {}
                () = watching.killed.notified() => child.start_kill().expect("our own process"),
            }
            let status =
                child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
            watching.end(InvokeError::Exited(status));
        });
        Self { runtime, _tasks: tasks }
    }

    /// Sends an event and waits for the answer, at most 30 s.
    pub async fn invoke(&self, event: Value) -> Result<Value, InvokeError> {
        self.invoke_within(TIMEOUT, event).await
    }

    /// Sends an event to a function whose time-out is `timeout`; the function is told the deadline.
    pub async fn invoke_within(&self, timeout: Duration, event: Value) -> Result<Value, InvokeError> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut state = self.runtime.state();
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            state.made += 1;
            let id = format!("00000000-0000-4000-8000-{:012}", state.made);
            let deadline = Clock::running().now() + timeout;
            state.waiting.insert(id.clone(), sender);
            state.queued.push_back(Invocation {
                id: id.clone(),
                event,
                deadline_ms: deadline.as_millisecond(),
            });
            id
        };
        self.runtime.arrived.notify_one();
        if let Ok(outcome) = tokio::time::timeout(timeout, answer).await {
            return outcome.expect("every waiting invocation is answered or ended");
        }
        let mut state = self.runtime.state();
        state.waiting.remove(&id);
        state.queued.retain(|queued| queued.id != id);
        Err(InvokeError::TimedOut)
    }

    /// Kills the process where it is (SIGKILL).
    pub fn kill(&self) {
        self.runtime.killed.notify_one();
    }

    /// The lines that the process wrote so far, to stdout and stderr.
    pub fn logs(&self) -> Vec<String> {
        self.runtime.lines().clone()
    }
}

/// What Lambda sets for every function (Developer Guide, "Defined runtime environment variables").
fn usual_environment(runtime_api: &str) -> [(&'static str, &str); 11] {
    [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        ("AWS_LAMBDA_FUNCTION_NAME", "latchkey"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/latchkey"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("_HANDLER", "bootstrap"),
    ]
}

impl Runtime {
    fn state(&self) -> MutexGuard<'_, Invocations> {
        self.state.lock().expect("no panic while holding the invocations")
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.logs.lock().expect("no panic while holding the log")
    }

    /// Keeps every line of `output`, UTF-8 or not, until it closes.
    async fn keep_lines(&self, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            self.lines().push(String::from_utf8_lossy(&line).into_owned());
        }
    }

    /// The next event. Of several that came before anybody polled one notice is kept: it is passed on.
    fn take(&self) -> Option<Invocation> {
        let mut state = self.state();
        let next = state.queued.pop_front();
        if !state.queued.is_empty() {
            self.arrived.notify_one();
        }
        next
    }

    fn answer(&self, id: &str, outcome: Outcome) -> StatusCode {
        match self.state().waiting.remove(id) {
            // A caller that gave up has dropped its receiver; Lambda accepts the answer all the same.
            Some(waiting) => {
                let _ = waiting.send(outcome);
                StatusCode::ACCEPTED
            }
            None => StatusCode::BAD_REQUEST,
        }
    }

    /// Ends every invocation, waiting or to come, with `error`; the first reason stands.
    fn end(&self, error: InvokeError) {
        let mut state = self.state();
        let over = state.over.get_or_insert(error).clone();
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.send(Err(over.clone()));
        }
    }
}

/// Long polling: answers when there is an event, as Lambda freezes an idle environment.
async fn next(State(runtime): State<Arc<Runtime>>) -> Response {
    let invocation = loop {
        let arrived = runtime.arrived.notified();
        if let Some(invocation) = runtime.take() {
            break invocation;
        }
        arrived.await;
    };
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", invocation.id),
        ("lambda-runtime-deadline-ms", invocation.deadline_ms.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:latchkey".into(),
        ),
        ("lambda-runtime-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0".into()),
    ];
    (headers, invocation.event.to_string()).into_response()
}

async fn response(
    State(runtime): State<Arc<Runtime>>,
    UrlPath(id): UrlPath<String>,
    body: String,
) -> StatusCode {
    runtime.answer(&id, Ok(read(&body)))
}

async fn error(
    State(runtime): State<Arc<Runtime>>,
    UrlPath(id): UrlPath<String>,
    body: String,
) -> StatusCode {
    runtime.answer(&id, Err(InvokeError::Function(read(&body))))
}

async fn init_error(State(runtime): State<Arc<Runtime>>, body: String) -> StatusCode {
    runtime.end(InvokeError::Init(read(&body)));
    StatusCode::ACCEPTED
}

/// A posted body: JSON, or what it says as a string.
fn read(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))
}

#[cfg(test)]
mod tests;
