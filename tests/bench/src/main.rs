//! `tests/bench/run`: how fast, how small and how cheap Latchkey is, each figure beside its reference in one run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`stage`] | what is measured against: the table, the secrets, a Salesforce; the functions' binaries |
//! | [`sandbox`] | one process with a Runtime API of its own, timed |
//! | [`cold`], [`peak`], [`warm`], [`at_once`], [`spans`], [`callback`], [`storm`], [`pages`], [`flows`], [`growth`], [`profile`] | a part of the table each |
//! | [`parts`] | ways out that are timed |
//! | [`report`], [`plot`] | the table, the pictures |

#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

mod at_once;
mod callback;
mod cold;
mod flows;
mod growth;
mod pages;
mod parts;
mod peak;
mod plot;
mod profile;
mod report;
mod sandbox;
mod spans;
mod stage;
mod storm;
mod warm;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use stage::Stage;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Latchkey, measured side by side with the references")]
struct Arguments {
    /// Which parts; all of them without
    parts: Vec<Part>,
    /// How many starts of each function
    #[arg(long, default_value_t = 21)]
    starts: usize,
    /// The table's sizes
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
    /// A document whose tables are replaced, each between its marks
    #[arg(long)]
    document: Option<PathBuf>,
    /// A folder for the pictures
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// So many spans that are off, and nothing else: what `spans` has counted
    #[arg(long, hide = true)]
    spans_off: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Cold,
    Peak,
    Size,
    Warm,
    AtOnce,
    Spans,
    Callback,
    Storm,
    Pages,
    Flows,
    Growth,
    /// By name alone: it needs binaries with symbols
    Profile,
}

impl Arguments {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part) || (self.parts.is_empty() && part != Part::Profile)
    }

    /// Prints a part, and puts it into the document.
    fn tell(&self, part: Part, section: &report::Section) {
        println!("{section}");
        let Some(path) = &self.document else { return };
        let shown = path.display();
        let document = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let name = part.to_possible_value().expect("no part is hidden");
        let table = format!("{section}\n{}.\n", machine());
        let whole = with_table(&document, name.get_name(), &table);
        let whole = whole.unwrap_or_else(|| panic!("{shown} has no place for {}", name.get_name()));
        std::fs::write(path, whole).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }

    fn draw(&self, name: &str, svg: &str) {
        if let Some(folder) = &self.pictures {
            std::fs::write(folder.join(name), svg).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    if let Some(spans) = arguments.spans_off {
        return spans::are_off(spans);
    }
    // Nothing is logged in this process: its own functions are measured, not its log.
    let _ = tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new());
    let machine = machine();
    println!("{machine}");
    let stage = Stage::set().await;
    if arguments.has(Part::Cold) {
        let seen = tokio::task::block_in_place(|| cold::measure(&stage, arguments.starts));
        arguments.tell(Part::Cold, &cold::table(&seen));
        arguments.draw("cold-starts.svg", &plot::cold_starts(&cold::medians(&seen), &machine));
    }
    if arguments.has(Part::Peak) {
        arguments.tell(Part::Peak, &peak::measure().await);
    }
    if arguments.has(Part::Size) {
        arguments.tell(Part::Size, &cold::sizes());
    }
    if arguments.has(Part::Warm) {
        arguments.tell(Part::Warm, &warm::measure(&stage).await);
    }
    if arguments.has(Part::AtOnce) {
        let storm = Stage::set().await;
        arguments.tell(Part::AtOnce, &tokio::task::block_in_place(|| at_once::measure(&stage, &storm)));
    }
    if arguments.has(Part::Spans) {
        arguments.tell(Part::Spans, &spans::measure(&stage).await);
    }
    if arguments.has(Part::Callback) {
        arguments.tell(Part::Callback, &callback::measure(&stage).await);
    }
    if arguments.has(Part::Pages) {
        arguments.tell(Part::Pages, &pages::measure(&stage).await);
    }
    if arguments.has(Part::Storm) {
        arguments.tell(Part::Storm, &storm::measure().await);
    }
    if arguments.has(Part::Flows) {
        arguments.tell(Part::Flows, &flows::measure().await);
    }
    if arguments.has(Part::Growth) {
        let (table, sizes) = growth::measure(&arguments.sizes).await;
        arguments.tell(Part::Growth, &table);
        arguments.draw("growth.svg", &plot::growth(&sizes, &machine));
    }
    if arguments.has(Part::Profile) {
        arguments.tell(Part::Profile, &tokio::task::block_in_place(|| profile::measure(&stage)));
    }
}

/// The document with the part's table in place of the one before; `None`: it has no place for it.
fn with_table(document: &str, part: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- bench {part} -->\n"), format!("<!-- /bench {part} -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{table}{end}{after}"))
}

/// The processor, its cores, the day.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit(": ").next().unwrap_or_default().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let day = world::Clock::running().now().to_string();
    format!("{}, {cores} cores, {}", of("model name"), &day[..10])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bench is run by hand: this keeps it standing in between. Times are not asserted.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_stage_stands_and_every_flow_has_its_line() {
        let table = flows::measure().await.to_string();
        assert!(table.contains("| a fresh token | 1 GetItem |"), "{table}");
        assert!(table.contains("| a sweep, nothing due |"), "{table}");
    }

    #[test]
    fn the_document_has_a_place_for_each_part() {
        let document =
            std::fs::read_to_string(stage::root().join("docs/performance.md")).expect("the document");
        for part in Part::value_variants() {
            let name = part.to_possible_value().expect("no part is hidden");
            let whole = with_table(&document, name.get_name(), "a table\n");
            assert!(whole.is_some_and(|whole| whole.contains("a table")), "{}", name.get_name());
        }
    }

    #[test]
    fn a_figure_that_is_not_reached_says_so() {
        let mut section = report::Section::new("Test");
        section.row("start", "3 ms", "1 ms");
        section.at_most(3.0, 2.5);
        section.row("peer", "3 ms", "300 ms");
        section.at_least(100.0, 50.0);
        let table = section.to_string();
        assert!(table.contains("| start | 3 ms | 1 ms | 3.00 | ≤ 2.5 | **no** |"), "{table}");
        assert!(table.contains("| peer | 3 ms | 300 ms | 100 | ≥ 50 | yes |"), "{table}");
    }
}
