//! `tests/bench/run`: how fast, how small and how cheap Latchkey is, each figure beside its reference in one run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`stage`] | what is measured against: the table, the secrets, a Salesforce; the functions' binaries |
//! | [`sandbox`] | one process with a Runtime API of its own, timed |
//! | [`cold`], [`warm`], [`callback`], [`storm`], [`pages`], [`flows`], [`growth`] | a part of the table each |
//! | [`parts`] | ways out that are timed |
//! | [`report`], [`plot`] | the table, the pictures |

#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

mod callback;
mod cold;
mod flows;
mod growth;
mod pages;
mod parts;
mod plot;
mod report;
mod sandbox;
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
    /// A folder for the pictures
    #[arg(long)]
    pictures: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Cold,
    Size,
    Warm,
    Callback,
    Storm,
    Pages,
    Flows,
    Growth,
}

impl Arguments {
    fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
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
    // Nothing is logged in this process: its own functions are measured, not its log.
    let _ = tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new());
    let machine = machine();
    println!("{machine}");
    let stage = Stage::set().await;
    if arguments.has(Part::Cold) {
        let seen = tokio::task::block_in_place(|| cold::measure(&stage, arguments.starts));
        println!("{}", cold::table(&seen));
        arguments.draw("cold-starts.svg", &plot::cold_starts(&cold::medians(&seen), &machine));
    }
    if arguments.has(Part::Size) {
        println!("{}", cold::sizes());
    }
    if arguments.has(Part::Warm) {
        println!("{}", warm::measure(&stage).await);
    }
    if arguments.has(Part::Callback) {
        println!("{}", callback::measure(&stage).await);
    }
    if arguments.has(Part::Pages) {
        println!("{}", pages::measure(&stage).await);
    }
    if arguments.has(Part::Storm) {
        println!("{}", storm::measure().await);
    }
    if arguments.has(Part::Flows) {
        println!("{}", flows::measure().await);
    }
    if arguments.has(Part::Growth) {
        let (table, sizes) = growth::measure(&arguments.sizes).await;
        println!("{table}");
        arguments.draw("growth.svg", &plot::growth(&sizes, &machine));
    }
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
        assert!(table.contains("| a fresh token | 1 reads, 0 writes |"), "{table}");
        assert!(table.contains("| a sweep, nothing due |"), "{table}");
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
