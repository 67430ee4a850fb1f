//! `latchkey import`: the refresh tokens that a product holds, brought row by row through `POST /v1/connections`.
//!
//! 1. The key and the address are tried with a call that changes nothing, before any token is sent there.
//! 2. Rows are read once, and named by a digest of all that they say and of where they go: [`rows`].
//! 3. Each row is sent until Latchkey says what became of it: [`api`]. Rows of one customer go one after another, so
//!    that the second of two is seen to be one. Whoever is told to wait holds nobody else up, unless Salesforce or
//!    Latchkey is away: then all wait.
//! 4. What became of a row is on disk before it is told: [`journal`]. Killed at any point, the next run goes on;
//!    a row whose answer was not written is brought again, and Latchkey knows it.
//! 5. What was not imported is named, with its diagnosis, in a file beside the input: [`report`].

mod api;
mod error;
#[cfg(test)]
#[path = "../../../tests/fuzz/held/line.rs"]
mod held;
mod journal;
mod report;
mod rows;
mod strict_json;

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use domain::secret::ApiKey;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};
use url::Url;

use self::{
    api::{Api, PutOff, Told, Who},
    error::ImportError,
    journal::Journal,
    report::Report,
    rows::{Row, Unreadable},
};

/// Where the key is read from if no file is named.
const KEY: &str = "LATCHKEY_API_KEY";

/// Maximum seconds that a row is tried again: a week.
const MAX_WAIT: u64 = 7 * 24 * 3600;

/// Who is ended by Ctrl-C ends with 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// What `latchkey import` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The API key is read from LATCHKEY_API_KEY, or from --key-file: never from an argument.\n\
    Exit status: 0 all rows are imported, 1 some are not, 2 nothing could be begun, 130 interrupted."
)]
pub(crate) struct Import {
    /// The rows: JSON Lines, each the body of POST /v1/connections
    file: PathBuf,
    /// Latchkey's origin, as https://connect.example.com
    #[arg(long, env = "LATCHKEY_URL")]
    url: Url,
    /// A file that holds the product's API key and nothing else
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Look at everything that can be known without sending a token to Salesforce; write no file
    #[arg(long)]
    dry_run: bool,
    /// How many rows are under way at once, 1 to 32
    #[arg(long, default_value = "4", value_parser = concurrency)]
    concurrency: NonZeroUsize,
    /// For how many seconds a row is tried again that Latchkey or Salesforce puts off
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(..=MAX_WAIT))]
    wait: u64,
    /// One JSON object a row on standard output, and a last one with the sums
    #[arg(long)]
    json: bool,
}

fn concurrency(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= 32);
    number.ok_or_else(|| "a number from 1 to 32".to_owned())
}

/// What became of a row.
#[derive(Debug)]
struct Done {
    line: usize,
    digest: String,
    customer: Option<String>,
    told: Told,
}

/// What the run is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Go on.
    No,
    /// Ctrl-C: finish what was sent.
    Interrupted,
    /// The API key is not taken any more.
    Unauthorized,
    /// Latchkey or Salesforce is away: no row fares better than the last ones.
    Away,
}

/// Runs the command.
pub(crate) async fn run(import: Import) -> ExitCode {
    let json = import.json;
    match import.carry_out().await {
        Ok(code) => code,
        Err(error) => {
            report::error(&error, json);
            ExitCode::from(error.exit_status())
        }
    }
}

impl Import {
    async fn carry_out(self) -> Result<ExitCode, ImportError> {
        let key = self.key()?;
        let (product, _) = key.claims().ok_or(ImportError::NotAKey)?;
        let api = Arc::new(Api::new(&self.url, key, self.dry_run, Duration::from_secs(self.wait))?);
        let (rows, unreadable) =
            rows::read(&self.file, &format!("{} {product}", api.origin()), self.dry_run)?;
        warn_of_readers(&self.file);
        // Locked before anything is sent: two runs would tell each other's rows as their own.
        let journal = if self.dry_run { None } else { Some(Journal::open(&beside(&self.file, "journal"))?) };
        api.knock().await?;
        self.bring(api, rows, unreadable, journal).await
    }

    fn key(&self) -> Result<ApiKey, ImportError> {
        let text = match &self.key_file {
            Some(file) => std::fs::read_to_string(file).map_err(|error| ImportError::file(file, error))?,
            None => std::env::var(KEY).map_err(|_| ImportError::NoKey)?,
        };
        Ok(ApiKey::new(text.trim()))
    }

    async fn bring(
        self,
        api: Arc<Api>,
        rows: Vec<Row>,
        unreadable: Vec<Unreadable>,
        mut journal: Option<Journal>,
    ) -> Result<ExitCode, ImportError> {
        let rejections = (!self.dry_run).then(|| beside(&self.file, "rejected.jsonl"));
        let mut report = Report::new(rows.len() + unreadable.len(), self.json, self.dry_run);
        for found in unreadable {
            report.unreadable(&found);
        }
        let mut open = Vec::new();
        for row in rows {
            match journal.as_ref().and_then(|journal| journal.settled(&row.digest)) {
                Some(before) => report.before(&row, before),
                None => open.push(row),
            }
        }
        let (stop, stopped) = watch::channel(Stop::No);
        let interrupts = tokio::spawn(interrupts(stop.clone()));
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut customers = JoinSet::new();
        let turns = Arc::new(Turns::new(self.concurrency));
        for rows in by_customer(open) {
            let (api, turns, tell, stopped) = (api.clone(), turns.clone(), tell.clone(), stopped.clone());
            customers.spawn(async move { one_customer(&api, rows, &turns, &tell, stopped).await });
        }
        drop(tell);
        let mut put_off = 0;
        while let Some(done) = told.recv().await {
            let why = match &done.told {
                Told::Unauthorized => Some(Stop::Unauthorized),
                Told::PutOff(PutOff { who: Who::Latchkey, .. }) => Some(Stop::Away),
                Told::PutOff(_) => {
                    put_off += 1;
                    (put_off >= turns.begun).then_some(Stop::Away)
                }
                Told::Imported { .. } | Told::WouldImport | Told::Rejected(_) => {
                    put_off = 0;
                    None
                }
            };
            if let Some(why) = why.filter(|_| *stopped.borrow() == Stop::No) {
                stop.send_replace(why);
            }
            if let Some(journal) = &mut journal {
                journal.write(&done)?;
            }
            report.row(done);
        }
        interrupts.abort();
        let stop = *stopped.borrow();
        report.end(stop, rejections.as_deref())?;
        Ok(match stop {
            Stop::Interrupted => ExitCode::from(INTERRUPTED),
            Stop::No if report.is_whole() => ExitCode::SUCCESS,
            Stop::No | Stop::Unauthorized | Stop::Away => ExitCode::FAILURE,
        })
    }
}

/// Who may do what at once.
#[derive(Debug)]
struct Turns {
    /// To send.
    send: Semaphore,
    /// To have been sent, and not be settled. It bounds what is at stake while Salesforce answers nothing: each such
    /// token may be spent.
    begin: Semaphore,
    /// How many those are.
    begun: usize,
}

impl Turns {
    fn new(concurrency: NonZeroUsize) -> Self {
        let begun = 2 * concurrency.get();
        Self { send: Semaphore::new(concurrency.get()), begin: Semaphore::new(begun), begun }
    }
}

/// The input holds live tokens.
fn warn_of_readers(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata().is_ok_and(|about| about.permissions().mode() & 0o077 != 0) {
            report::say(&format!("{0} can be read by others: chmod 600 {0}", file.display()));
        }
    }
}

/// `<file>.<what>`, in the same folder.
fn beside(file: &Path, what: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{what}"));
    name.into()
}

/// The rows of each customer in their order; the customers in the order of their first rows.
fn by_customer(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut places = HashMap::new();
    let mut all: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let place = *places.entry(row.customer.clone()).or_insert_with(|| {
            all.push(Vec::new());
            all.len() - 1
        });
        all[place].push(row);
    }
    all
}

/// Brings one customer's rows, one after another. A row that was not begun when the run is stopped is not told.
async fn one_customer(
    api: &Api,
    rows: Vec<Row>,
    turns: &Turns,
    tell: &mpsc::UnboundedSender<Done>,
    mut stopped: watch::Receiver<Stop>,
) {
    for row in rows {
        let Some(told) = api.bring(&row, turns, &mut stopped).await else { return };
        let Row { line, digest, customer, .. } = row;
        // Nobody listens any more only if the journal could not be written: the run ends with that error.
        if tell.send(Done { line, digest, customer: Some(customer), told }).is_err() {
            return;
        }
    }
}

/// The first Ctrl-C, or SIGTERM, lets the rows under way finish; the second ends the command.
async fn interrupts(stop: watch::Sender<Stop>) {
    for first in [true, false] {
        interrupted().await;
        if first {
            stop.send_replace(Stop::Interrupted);
            report::say("Stopping: rows that were sent are finished. Press Ctrl-C again to stop at once.");
        }
    }
    std::process::exit(i32::from(INTERRUPTED));
}

#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    drop(tokio::signal::ctrl_c().await);
}
