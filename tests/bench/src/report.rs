//! The figures, as a table: each beside its reference, and what it had to reach.

use std::{fmt, time::Duration};

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    what: String,
    figure: String,
    reference: String,
    /// What was reached, and what was to be: at most, unless it is `at_least`.
    mark: Option<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    reached: f64,
    target: f64,
    at_least: bool,
}

/// A part of the table.
#[derive(Debug, Default)]
pub(crate) struct Section {
    title: &'static str,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Section {
    /// An empty part.
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, ..Self::default() }
    }

    /// A figure beside its reference.
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        figure: impl Into<String>,
        reference: impl Into<String>,
    ) {
        let (what, figure, reference) = (what.into(), figure.into(), reference.into());
        self.rows.push(Row { what, figure, reference, mark: None });
    }

    /// The last row was to reach at most this.
    pub(crate) fn at_most(&mut self, reached: f64, target: f64) {
        self.mark(Mark { reached, target, at_least: false });
    }

    /// The last row's ratio, where nothing was asked of it.
    pub(crate) fn ratio(&mut self, ratio: f64) {
        self.at_most(ratio, f64::INFINITY);
    }

    /// The last row was to reach at least this.
    pub(crate) fn at_least(&mut self, reached: f64, target: f64) {
        self.mark(Mark { reached, target, at_least: true });
    }

    /// What has to be said beside the table.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(row) = self.rows.last_mut() {
            row.mark = Some(mark);
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### {}\n", self.title)?;
        writeln!(
            f,
            "| what | figure | beside it | ratio | to reach | |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        for Row { what, figure, reference, mark } in &self.rows {
            let end = match mark {
                None => "| |".to_owned(),
                Some(Mark { reached, target, .. }) if target.is_infinite() => {
                    format!("{} | |", number(*reached))
                }
                Some(Mark { reached, target, at_least }) => {
                    let good = if *at_least { reached >= target } else { reached <= target };
                    let (sign, good) =
                        (if *at_least { "≥" } else { "≤" }, if good { "yes" } else { "**no**" });
                    format!("{} | {sign} {target} | {good}", number(*reached))
                }
            };
            writeln!(f, "| {what} | {figure} | {reference} | {end} |")?;
        }
        for note in &self.notes {
            writeln!(f, "\n{note}")?;
        }
        Ok(())
    }
}

/// The middle one.
///
/// # Panics
/// If there is none.
pub(crate) fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut values = values.to_vec();
    values.sort_by(|a, b| a.partial_cmp(b).expect("no measurement is NaN"));
    values[values.len() / 2]
}

/// A time in the unit that fits.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s if s >= 1e-6 => format!("{:.1} µs", s * 1e6),
        s => format!("{:.0} ns", s * 1e9),
    }
}

/// Of instructions.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn millions(count: u64) -> String {
    format!("{:.2} million", count as f64 / 1e6)
}

/// The same of what is smaller.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn thousands(count: u64) -> String {
    format!("{:.0} thousand", count as f64 / 1e3)
}

/// Three figures, two of what is very small.
pub(crate) fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else if value > 0.0 && value < 0.01 {
        format!("{value:.1e}")
    } else {
        format!("{value:.2}")
    }
}

/// kB as MiB.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn mib(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

/// A power of ten of seconds, as an axis has it.
pub(crate) fn round(time: Duration) -> String {
    match time.as_micros() {
        micros if micros >= 1_000_000 => format!("{} s", micros / 1_000_000),
        micros if micros >= 1_000 => format!("{} ms", micros / 1_000),
        micros => format!("{micros} µs"),
    }
}
