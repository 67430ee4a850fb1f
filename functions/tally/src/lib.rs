//! **tally**: from the table's stream, what is counted, and which failures are resolved.
//!
//! | a change of | what follows |
//! | --- | --- |
//! | a session | how far it has come is counted; once it is connected, the customer's open failures are resolved |
//! | a failure | it is counted, and stands open until the customer's next success; then how long that took is counted |
//! | a connection | how many are in which state; what became of a refresh; a refresh resolves the refreshes that failed; one that stops waits for somebody until it works again or is gone |
//!
//! Nothing of this is in a flow's way: the flows write what they write anyway. Lambda brings a shard's records in order,
//! and some of them again. Resolving does no harm twice; counting would, so what a run of records adds up to is written in
//! one transaction with the number of its last record ([`store::tallies`]), and records up to that number are left out.
//!
//! This function cannot open tokens: those in the stream are sealed, and it has no keyring. What it writes comes
//! back in the stream; the mapping's filter keeps it out, and if it did not, it counts for nothing.

#![warn(missing_docs)]

mod count;
mod resolve;

use std::time::Duration;

use jiff::Timestamp;
use platform::{Platform, SettingError};
use runtime::StreamFunction;
use store::{
    Store, StoreError,
    tallies::{Deltas, Run, Sequence},
};
use telemetry::{Outcome, ended};

pub use runtime::records::{Change, Event, Record};

/// A transaction has at most 100 writes; an expression at most 300 operators.
const MOST_ITEMS: usize = 60;
const MOST_COUNTERS: usize = 120;

/// Shards that meet in one item are told to come again; how often that is tried before Lambda brings the batch anew.
const TRIES: u32 = 5;

/// The function.
#[derive(Debug, Clone)]
pub struct Tally {
    store: Store,
}

/// What a batch came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Records in the batch.
    pub records: usize,
    /// Of these, counted now.
    pub counted: usize,
    /// Of these, counted before: Lambda brought them again.
    pub seen_before: usize,
    /// Failures that were resolved.
    pub resolved: usize,
}

/// Why a batch was not tallied. Lambda brings it again.
#[derive(Debug, thiserror::Error)]
pub enum TallyError {
    /// Without it nobody can tell what was counted before.
    #[error("the event names no shard: the event source mapping needs TumblingWindowInSeconds")]
    NoShard,
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Tallied {
    /// What a batch came to, for its line.
    fn tell(&self) {
        ended(Outcome::Tallied);
        let Self { records, counted, seen_before, resolved } = self;
        for (name, number) in
            [("records", records), ("counted", counted), ("seen_before", seen_before), ("resolved", resolved)]
        {
            telemetry::counted(name, u64::try_from(*number).unwrap_or(u64::MAX));
        }
    }
}

impl StreamFunction for Tally {
    const NAME: &'static str = "tally";
    type Batch = Event;
    type Done = Tallied;
    type Error = TallyError;

    fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self::new(platform.store))
    }

    async fn run(&self, batch: Event, now: Timestamp) -> Result<Tallied, TallyError> {
        self.run(batch, now).await
    }
}

impl Tally {
    /// The function on this table.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Tallies a batch.
    pub async fn run(&self, event: Event, now: Timestamp) -> Result<Tallied, TallyError> {
        let mut done = Tallied { records: event.records.len(), ..Tallied::default() };
        if event.records.is_empty() {
            done.tell();
            return Ok(done);
        }
        let shard = event.shard.as_deref().ok_or(TallyError::NoShard)?;
        let mut tries = 0;
        loop {
            match self.tally(shard, &event.records, now, &mut done).await {
                Ok(true) => {
                    done.tell();
                    return Ok(done);
                }
                // Another invocation tallied this shard meanwhile: what is left is less.
                Ok(false) if tries < TRIES => {}
                Ok(false) => return Err(busy().into()),
                Err(error) if tries >= TRIES => return Err(error),
                Err(error) => tracing::info!(%error, "tried again"),
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(50 << tries)).await;
        }
    }

    /// Everything after what was tallied before; `false`: somebody else did some of it meanwhile.
    async fn tally(
        &self,
        shard: &str,
        records: &[Record],
        now: Timestamp,
        done: &mut Tallied,
    ) -> Result<bool, TallyError> {
        let mut before = self.store.tallied(shard).await?;
        let mut rest: Vec<(Sequence, &Change)> = records
            .iter()
            .filter_map(|record| Some((Sequence::parse(&record.change.sequence)?, &record.change)))
            .filter(|(sequence, _)| before.as_ref().is_none_or(|before| sequence > before))
            .collect();
        rest.sort_by(|a, b| a.0.cmp(&b.0));
        done.seen_before = records.len() - rest.len() - done.counted;
        let mut deltas = Deltas::new();
        let mut in_run = 0;
        for (number, (sequence, change)) in rest.iter().enumerate() {
            let at = change.at().unwrap_or(now);
            done.resolved += resolve::resolve(&self.store, change, at).await?;
            count::add(change, at, &mut deltas);
            in_run += 1;
            let is_last = number + 1 == rest.len();
            let is_full =
                deltas.len() >= MOST_ITEMS || deltas.values().any(|counts| counts.len() >= MOST_COUNTERS);
            if !is_last && !is_full {
                continue;
            }
            for counts in deltas.values_mut() {
                counts.retain(|_, delta| *delta != 0);
            }
            deltas.retain(|_, counts| !counts.is_empty());
            // What counts for nothing need not be remembered: it would count for nothing again.
            if !deltas.is_empty() {
                let run =
                    Run { shard, before: before.as_ref(), last: sequence, deltas: &deltas, changed_at: at };
                if !self.store.tally(&run, now).await? {
                    return Ok(false);
                }
                before = Some(sequence.clone());
                deltas.clear();
            }
            done.counted += in_run;
            in_run = 0;
        }
        Ok(true)
    }
}

fn busy() -> StoreError {
    StoreError::Unavailable {
        operation: "TransactWriteItems",
        code: "Busy".into(),
        message: "another invocation tallies this shard".into(),
    }
}
