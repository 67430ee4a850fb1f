//! What the operator sees while rows are brought, and what stays of it: lines on standard output, progress on
//! standard error, and the file of rejected rows.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{
    Done, Stop,
    api::{ImportResult, PutOff, Rejected, Told},
    error::ImportError,
    journal::Before,
    rows::{Row, Unreadable},
};

/// How often a log, which is no terminal, is told how far it is.
const LOG: Duration = Duration::from_secs(10);

/// The run as it is told.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    dry_run: bool,
    bar: ProgressBar,
    told: Instant,
    sums: Sums,
    rejected: Vec<Entry>,
}

#[derive(Debug, Default, Serialize)]
struct Sums {
    rows: usize,
    imported: usize,
    /// Connections that were there, and have a new grant.
    renewed: usize,
    imported_before: usize,
    would_import: usize,
    /// Lines that say the same as another.
    repeated: usize,
    rejected: usize,
    put_off: usize,
    not_tried: usize,
}

/// A row in the output, and in the file of rejected rows.
#[derive(Debug, Serialize)]
struct Entry {
    line: usize,
    customer: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    same_as: Vec<String>,
    #[serde(flatten)]
    why: Option<Why>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Why {
    Rejected(Rejected),
    PutOff(PutOff),
    Here { problem: &'static str, detail: String },
}

/// A message for the operator, beside whatever is printed.
pub(super) fn say(what: &str) {
    eprintln!("{what}");
}

pub(super) fn error(error: &ImportError, json: bool) {
    if json {
        println!("{}", serde_json::json!({ "error": error.to_string() }));
    } else {
        eprintln!("{error}");
    }
}

impl Entry {
    fn new(line: usize, customer: Option<String>, outcome: &'static str) -> Self {
        Self { line, customer, outcome, connection_id: None, rotated: None, same_as: Vec::new(), why: None }
    }

    /// For a person: one line, that ends in what to do.
    fn told(&self) -> String {
        let customer = self.customer.as_deref().map_or_else(|| "-".to_owned(), plain);
        let why = match &self.why {
            None => self.outcome.to_owned(),
            Some(Why::Here { problem, detail }) => format!("{problem}: {detail}"),
            Some(Why::PutOff(PutOff { problem, detail, .. })) => {
                format!("put off ({problem}): {}", plain(detail))
            }
            Some(Why::Rejected(rejected)) => rejected.told(),
        };
        format!("line {}  {customer}  {why}", self.line)
    }
}

impl Rejected {
    fn told(&self) -> String {
        let Self { problem, detail, cause, actor, help_url, connections, .. } = self;
        if let (Some(cause), Some(actor), Some(help)) = (cause, actor, help_url) {
            return format!("{}: {} ({})  {}", plain(problem), plain(cause), plain(actor), plain(help));
        }
        let detail = plain(detail.as_deref().unwrap_or_default());
        let told = format!("{}: {detail} {}", plain(problem), plain(&connections.join(" ")));
        told.trim_end().to_owned()
    }
}

/// Without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Report {
    pub(super) fn new(rows: usize, json: bool, dry_run: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(rows as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} rows  {msg}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let sums = Sums { rows, ..Sums::default() };
        Self { json, dry_run, bar, told: Instant::now(), sums, rejected: Vec::new() }
    }

    /// A line that is no row, or the same as another.
    pub(super) fn unreadable(&mut self, found: &Unreadable) {
        let Unreadable { line, problem, .. } = *found;
        let outcome = if found.is_repeated { "repeated" } else { "rejected" };
        let mut told = Entry::new(line, found.customer.clone(), outcome);
        told.why = Some(Why::Here { problem, detail: found.detail.clone() });
        if found.is_repeated {
            self.sums.repeated += 1;
        }
        self.tell(told);
    }

    /// A row that an earlier run has settled.
    pub(super) fn before(&mut self, row: &Row, before: &Before) {
        let customer = Some(row.customer.clone());
        let told = match before {
            Before::Imported(connection) => {
                self.sums.imported_before += 1;
                let told = Entry::new(row.line, customer, "imported_before");
                Entry { connection_id: Some(connection.clone()), ..told }
            }
            Before::Rejected(rejected) => {
                let told = Entry::new(row.line, customer, "rejected");
                Entry { why: Some(Why::Rejected(rejected.clone())), ..told }
            }
        };
        self.tell(told);
    }

    /// What became of a row.
    pub(super) fn row(&mut self, done: Done) {
        let told = |outcome| Entry::new(done.line, done.customer.clone(), outcome);
        let line = match done.told {
            Told::Imported { connection, result, rotated, same_as } => {
                let (sum, outcome) = match result {
                    ImportResult::New => (&mut self.sums.imported, "imported"),
                    ImportResult::Renewed => (&mut self.sums.renewed, "renewed"),
                    ImportResult::Before => (&mut self.sums.imported_before, "imported_before"),
                };
                *sum += 1;
                Entry { connection_id: Some(connection), rotated, same_as, ..told(outcome) }
            }
            Told::WouldImport => {
                self.sums.would_import += 1;
                told("would_import")
            }
            Told::Rejected(rejected) => Entry { why: Some(Why::Rejected(rejected)), ..told("rejected") },
            Told::PutOff(put_off) => {
                self.sums.put_off += 1;
                Entry { why: Some(Why::PutOff(put_off)), ..told("put_off") }
            }
            // It was not looked at.
            Told::Unauthorized => return,
        };
        self.tell(line);
    }

    fn tell(&mut self, line: Entry) {
        const GOOD: [&str; 5] = ["imported", "renewed", "imported_before", "would_import", "repeated"];
        self.bar.inc(1);
        self.bar.set_message(format!("{} rejected", self.rejected.len()));
        let is_good = GOOD.contains(&line.outcome);
        if self.json {
            let text = serde_json::to_string(&line).unwrap_or_default();
            self.bar.suspend(|| println!("{text}"));
        } else if !is_good {
            self.bar.suspend(|| println!("{}", line.told()));
        }
        if line.outcome == "rejected" {
            self.rejected.push(line);
        }
        if self.bar.is_hidden() && self.told.elapsed() >= LOG {
            self.told = Instant::now();
            let Some(all) = self.bar.length() else { return };
            eprintln!("{} of {all} rows, {} rejected", self.bar.position(), self.rejected.len());
        }
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.rejected.is_empty() && self.sums.put_off == 0 && self.sums.not_tried == 0
    }

    /// The sums, and the file of rejected rows: it is there if, and only if, there are any.
    pub(super) fn end(&mut self, stop: Stop, file: Option<&Path>) -> Result<(), ImportError> {
        self.bar.finish_and_clear();
        self.rejected.sort_by_key(|line| line.line);
        let Sums { rows, imported, renewed, imported_before, would_import, repeated, put_off, .. } =
            self.sums;
        self.sums.rejected = self.rejected.len();
        let told = imported + renewed + imported_before + would_import + repeated;
        self.sums.not_tried = rows - (told + put_off + self.rejected.len());
        if let Some(file) = file {
            write(file, &self.rejected).map_err(|error| ImportError::unwritten(file, error))?;
        }
        if self.json {
            #[derive(Serialize)]
            struct Last<'a> {
                sums: &'a Sums,
            }
            println!("{}", serde_json::to_string(&Last { sums: &self.sums }).unwrap_or_default());
        } else {
            self.print_sums(file);
        }
        match stop {
            Stop::Unauthorized => say("Stopped: the API key is not taken any more."),
            Stop::Away => say("Stopped: Latchkey or Salesforce is away. Run the same command again later."),
            Stop::Interrupted => say("Stopped. Run the same command again: it goes on from here."),
            Stop::No if self.sums.put_off > 0 => {
                say("Run the same command again for the rows that were put off.");
            }
            Stop::No => {}
        }
        Ok(())
    }

    fn print_sums(&self, file: Option<&Path>) {
        let sums = &self.sums;
        let rejected = file.map(|file| file.display().to_string()).unwrap_or_default();
        let lines = [
            (self.sums.would_import, "would be imported", ""),
            (sums.imported, "imported", ""),
            (sums.renewed, "renewed", ""),
            (sums.imported_before, "imported before", ""),
            (sums.repeated, "repeated in the file", ""),
            (sums.rejected, "rejected", rejected.as_str()),
            (sums.put_off, "put off", ""),
            (sums.not_tried, "not tried", ""),
        ];
        for (number, what, more) in lines.into_iter().filter(|(number, ..)| *number > 0) {
            println!("{}", format!("{number:>8}  {what:<20}  {more}").trim_end());
        }
        if self.dry_run {
            println!("A dry run: no token was sent to Salesforce, and no file was written.");
        }
    }
}

/// Writes the rejected rows, whole or not at all.
fn write(file: &Path, rejected: &[Entry]) -> io::Result<()> {
    if rejected.is_empty() {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let mut aside = file.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut new = options.open(&aside)?;
    for line in rejected {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        new.write_all(&text)?;
    }
    new.sync_all()?;
    std::fs::rename(&aside, file)
}
