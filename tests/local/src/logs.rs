//! The functions' logs, kept so that a journey can look for a cause in them, and for secrets.

use std::{
    io::Write,
    sync::{Arc, Mutex, OnceLock},
};

pub use tracing_subscriber::filter::LevelFilter;

use telemetry::spans::{Spans, TARGET};
use tracing_subscriber::{
    Layer as _,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// So many lines are kept: a stack that runs for days must not fill the memory.
const MOST: usize = 100_000;

/// The lines in which invocations ended: on Lambda they stand between the others.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Keeps an invocation's.
    pub fn keep(&self, lines: Vec<String>) {
        let mut kept = self.0.lock().expect("no panic while holding the lines");
        if kept.len() > MOST {
            kept.drain(..MOST / 2);
        }
        kept.extend(lines);
    }

    /// All of them.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic while holding the lines").clone()
    }
}

/// All that was logged in this process.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    text: Arc<Mutex<Vec<u8>>>,
    kept: bool,
}

static LOGS: OnceLock<Logs> = OnceLock::new();

impl Logs {
    /// Starts keeping logs, all that anybody says, as one JSON document a line. A subscriber that stands already keeps its
    /// place.
    pub fn keep() -> Self {
        Self::keep_from(LevelFilter::TRACE)
    }

    /// The same from a level on, for a story with so many requests that writing down everything takes most of its time.
    pub fn keep_from(level: LevelFilter) -> Self {
        LOGS.get_or_init(|| {
            let logs = Self::default();
            let lines = fmt::layer().json().flatten_event(true).with_writer(logs.clone());
            let lines = lines.with_filter(level);
            let spans = Spans.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO));
            let stands = tracing_subscriber::registry().with(lines).with(spans).try_init();
            Self { kept: stands.is_ok(), ..logs }
        })
        .clone()
    }

    /// Whether what is logged comes here.
    pub fn are_kept(&self) -> bool {
        self.kept
    }

    /// How many bytes there are so far.
    pub fn length(&self) -> usize {
        self.text.lock().expect("no panic while logging").len()
    }

    /// What came after so many bytes: a story of a hundred steps need not copy all of it at each.
    pub fn since(&self, length: usize) -> String {
        let text = self.text.lock().expect("no panic while logging");
        String::from_utf8_lossy(text.get(length..).unwrap_or_default()).into_owned()
    }

    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("no panic while logging")).into_owned()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.lock().expect("no panic while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
