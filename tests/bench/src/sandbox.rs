//! One process with a Runtime API of its own, timed. It is served by a thread that does nothing else, so that what is
//! measured is the function: `world::lambda` is for what it answers, this is for when.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use world::Clock;

/// A function's command and environment.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// What it is called in the table.
    pub(crate) name: String,
    /// The command.
    pub(crate) command: Vec<String>,
    /// The environment, beside Lambda's own.
    pub(crate) environment: Vec<(String, String)>,
    /// The event that it is sent.
    pub(crate) event: Value,
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    child: Child,
    began: Instant,
    events: Sender<String>,
    answers: Receiver<(Instant, Result<Value, String>)>,
}

/// kB, as the kernel counts them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
}

/// Numbers the invocations of all sandboxes.
static MADE: AtomicU64 = AtomicU64::new(1);

/// Longer than any start.
const PATIENCE: Duration = Duration::from_secs(20);

impl Sandbox {
    /// Starts a process; its time runs from here.
    pub(crate) fn start(function: &Function) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address").to_string();
        let (events, to_send) = channel();
        let (answered, answers) = channel();
        thread::spawn(move || {
            // The runtimes keep a connection; one that answers several requests at once has one for each.
            let to_send = Arc::new(Mutex::new(to_send));
            while let Ok((stream, _)) = listener.accept() {
                let (to_send, answered) = (Arc::clone(&to_send), answered.clone());
                thread::spawn(move || serve(stream, &to_send, &answered));
            }
        });
        let mut command = Command::new(&function.command[0]);
        command
            .args(&function.command[1..])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .envs(function.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        events.send(function.event.to_string()).expect("the thread runs");
        let began = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", function.command));
        Self { child, began, events, answers }
    }

    /// The answer to the event that it was started with, and the time from the process's start to it.
    ///
    /// # Panics
    /// If none comes, or the function has failed.
    pub(crate) fn first(&self) -> (Duration, Value) {
        let (at, answer) = self.answer();
        (at - self.began, answer)
    }

    fn answer(&self) -> (Instant, Value) {
        let (at, answer) = self.answers.recv_timeout(PATIENCE).expect("an answer");
        (at, answer.unwrap_or_else(|error| panic!("the function failed: {error}")))
    }

    /// One more event, and how long it took.
    ///
    /// # Panics
    /// If no answer comes.
    pub(crate) fn again(&self, event: &Value) -> (Duration, Value) {
        let event = event.to_string();
        let began = Instant::now();
        self.events.send(event).expect("the thread runs");
        let (at, answer) = self.answer();
        (at - began, answer)
    }

    /// So many events at once, and how long until all of them are answered.
    ///
    /// # Panics
    /// If an answer is missing.
    pub(crate) fn together(&self, event: &Value, times: usize) -> (Duration, Vec<Value>) {
        let event = event.to_string();
        let began = Instant::now();
        for _ in 0..times {
            self.events.send(event.clone()).expect("the thread runs");
        }
        let answers: Vec<(Instant, Value)> = (0..times).map(|_| self.answer()).collect();
        let last = answers.iter().map(|(at, _)| *at).max().unwrap_or(began);
        (last - began, answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Asks it to end, and waits: a tool that it runs under writes its file then.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub(crate) fn end(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.expect("kill runs").success(), "it had ended");
        self.child.wait().expect("it ends");
    }

    /// How long it has run so far, on whatever core: what else the machine does is not in it.
    ///
    /// # Panics
    /// If it has ended.
    pub(crate) fn computed(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let of = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.flatten().filter_map(of).sum())
    }

    /// What it occupies.
    ///
    /// # Panics
    /// If it has ended.
    pub(crate) fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Memory { resident: of("VmRSS:"), peak: of("VmHWM:") }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers `next` with the next event, and what is posted with 202, until either side goes. Only what is posted to
/// `response` is an answer. Each goes out in one write: what the process waits for is not the stub.
fn serve(
    stream: TcpStream,
    events: &Mutex<Receiver<String>>,
    answered: &Sender<(Instant, Result<Value, String>)>,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (line, body) = request(&mut reader)?;
        let at = Instant::now();
        let said = if line.starts_with("GET") {
            let event = events.lock().ok()?.recv().ok()?;
            let made = MADE.fetch_add(1, Ordering::Relaxed);
            let deadline = Clock::running().now().as_millisecond() + 20_000;
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                 lambda-runtime-aws-request-id: 00000000-0000-4000-8000-{made:012}\r\n\
                 lambda-runtime-deadline-ms: {deadline}\r\n\
                 lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:000000000000:function:bench\r\n\
                 content-length: {}\r\n\r\n{event}",
                event.len()
            )
        } else {
            let is_answer = line.contains("/RESPONSE ");
            let answer = serde_json::from_slice(&body).ok().filter(|_| is_answer);
            let failed = || format!("{line}: {}", String::from_utf8_lossy(&body));
            answered.send((at, answer.ok_or_else(failed))).ok()?;
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        writer.write_all(said.as_bytes()).ok()?;
    }
}

/// A request's first line and its body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_ascii_lowercase());
    }
    let length = |line: &String| line.strip_prefix("content-length: ").and_then(|length| length.parse().ok());
    let mut body = vec![0; head.iter().find_map(length).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    if head.iter().any(|line| line == "transfer-encoding: chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).ok()?;
            if length == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }
    Some((head[0].to_ascii_uppercase(), body))
}
