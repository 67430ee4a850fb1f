//! **sweep**: on a schedule, what nobody came back for, and what must not wait for somebody to ask.
//!
//! * A session whose browser went to Salesforce and did not come back is *lost*: its likely cause is guessed
//!   from the app's kind and its history in that org, and it has a help page.
//! * An attempt whose browser came back, and whose callback was interrupted, is recorded as that: it is our fault.
//! * A pending connection whose receipt was never redeemed is revoked at Salesforce, then deleted.
//! * A parked grant that nobody confirmed goes the same way, and its session has failed.
//! * A connection that is being revoked, and could not be, is tried again.
//! * A token in use is replaced ahead of its end; a refresh token that lies unused is kept alive; a refresh that
//!   was not answered is recovered; a blocked connection is tried again.
//! * An answer that waits in the fallback goes where it belongs.
//! * Events of times are recorded: a grant that expires, an incident that is over, a change whose event was missed.
//! * A webhook attempt that is due is put into the queue.
//!
//! Each run looks at what is due and no more, ends before Lambda ends it, and may run twice at once: every step
//! is a conditional write, a refresh has its lease, and revoking twice is revoking. What fails is logged and put off;
//! the rest goes on, and the next run goes on from there, for the due index is all that a run knows.
//!
//! Standing where Salesforce is called from, it also answers the operator's command from which address that is seen.

#![warn(missing_docs)]

mod connections;
mod deliveries;
mod events;
mod scheduled;
mod sessions;

use std::{collections::HashMap, time::Duration};

use grants::refresh::{RefreshError, Refresher};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, DeliveryQueue, Platform, QueueError, SettingError, log::internal};
use serde::Serialize;
use store::{Due, StoreError, TokenCipher, keys::DUE_SHARDS};
use telemetry::{Metric, add, carried, counted, ended, most, step};
use tokio::task::{self, JoinSet};

use crate::connections::REFRESH_AGAIN;
pub use crate::scheduled::Scheduled;

/// How many items of a shard are looked up at once.
const BATCH: i32 = 50;

/// How many are dealt with at once: most of the time is spent waiting for Salesforce.
const AT_ONCE: usize = 16;

/// What the last of them may take: a refresh, and the reads before it. With less time left nothing is taken up.
const LAST: Duration = grants::refresh::REFRESH.saturating_add(Duration::from_secs(2));

/// How long until an item is looked at again whose handling panicked.
const AFTER_PANIC: SignedDuration = SignedDuration::from_hours(1);

/// How long until an item is looked at again that could not be read.
const UNREADABLE_AGAIN: SignedDuration = SignedDuration::from_hours(6);

/// The function. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sweep {
    platform: Platform,
    cipher: TokenCipher,
    refresher: Refresher,
    queue: DeliveryQueue,
}

/// What a run did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Sessions whose browser went to Salesforce and never came back.
    pub lost: u32,
    /// Attempts whose browser came back and whose callback was interrupted.
    pub interrupted: u32,
    /// Pending connections whose receipt was never redeemed.
    pub unredeemed: u32,
    /// Parked grants of another org or user that nobody confirmed.
    pub unconfirmed: u32,
    /// Connections revoked at Salesforce and deleted.
    pub revoked: u32,
    /// Connections that were refreshed: ahead, to keep them alive, after a lost answer, or unblocked.
    pub refreshed: u32,
    /// Connections that turned out to need somebody.
    pub stopped: u32,
    /// Webhook attempts that were due.
    pub queued: u32,
    /// Answers that the fallback held, now where they belong.
    pub restored: u32,
    /// What could not be dealt with; it is due again in a while.
    pub put_off: u32,
    /// Items that cannot be read; each is looked at again in six hours.
    pub unreadable: u32,
    /// Shards of the due index that could not be read.
    pub unread: u32,
    /// Whether time ran out: the next run goes on.
    pub cut_short: bool,
}

/// What became of one thing that was due.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Nothing,
    Lost,
    /// So many attempts of one session.
    Interrupted(u32),
    Unredeemed,
    Unconfirmed,
    Revoked,
    Refreshed,
    Stopped,
    /// So many attempts of one event.
    Queued(u32),
    PutOff,
    Unreadable,
}

/// What is being dealt with: by its task, so that one that panics is put off like any other.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Outcome>,
    due: HashMap<task::Id, (Timestamp, Due)>,
}

/// Something that is due could not be dealt with.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Sweep {
    /// The function on this platform.
    pub fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self {
            cipher: platform.token_cipher()?,
            refresher: Refresher::new(platform.clone())?,
            queue: platform.deliveries()?.clone(),
            platform,
        })
    }

    /// One run over everything that is due. An error means that nothing could be looked at.
    pub async fn run(&self, time: Deadline) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        match self.refresher.empty_fallback(&time).await {
            Ok(emptied) => {
                (swept.restored, swept.put_off) = (emptied.stored, emptied.put_off);
                swept.unreadable = emptied.unreadable;
            }
            Err(error) => {
                internal(&error);
                swept.put_off += 1;
            }
        }
        // From another shard each time: a run that is cut short must not always leave the same ones.
        let first = domain::secret::random::<1>()[0] % DUE_SHARDS;
        let mut running = Running::default();
        for shard in (first..DUE_SHARDS).chain(0..first) {
            if let Err(error) = self.run_shard(shard, &mut running, &mut swept, time).await {
                swept.unread += 1;
                if swept.unread == u32::from(DUE_SHARDS) {
                    return Err(error);
                }
                internal(&error);
            }
            if swept.cut_short {
                break;
            }
        }
        while !running.tasks.is_empty() {
            self.finish_one(&mut running, &mut swept, time).await;
        }
        swept.tell();
        Ok(swept)
    }

    /// Takes up whatever is due in a shard, once: page after page, so that nothing hides behind what cannot be dealt
    /// with.
    async fn run_shard(
        &self,
        shard: u8,
        running: &mut Running,
        swept: &mut Swept,
        time: Deadline,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.platform.store.due(shard, time.now(), BATCH, after).await?;
            if let Some((since, _)) = page.items.first() {
                most(Metric::SweepOverdue, time.now().duration_since(*since).as_secs_f64());
            }
            for (seen, due) in page.items {
                if running.tasks.len() == AT_ONCE {
                    self.finish_one(running, swept, time).await;
                }
                if !time.has(LAST) {
                    swept.cut_short = true;
                    return Ok(());
                }
                let work = carried(step!("due", self.clone().deal_with(due.clone(), seen, time)));
                let id = running.tasks.spawn(work).id();
                running.due.insert(id, (seen, due));
            }
            if page.next.is_none() {
                return Ok(());
            }
            after = page.next;
        }
    }

    /// Waits for one of those under way. A panic is a bug in the handling of one item: it is logged where it happens,
    /// and the item is put off, so that the next run does not begin with it.
    async fn finish_one(&self, running: &mut Running, swept: &mut Swept, time: Deadline) {
        let Some(done) = running.tasks.join_next_with_id().await else { return };
        let outcome = match done {
            Ok((id, outcome)) => {
                running.due.remove(&id);
                outcome
            }
            Err(panicked) => {
                internal(&panicked);
                if let Some((seen, due)) = running.due.remove(&panicked.id()) {
                    self.put_off(&due, seen, time.now() + AFTER_PANIC).await;
                }
                Outcome::PutOff
            }
        };
        swept.count(outcome);
    }

    async fn deal_with(self, due: Due, seen: Timestamp, time: Deadline) -> Outcome {
        let done = match &due {
            Due::Connection(id) => self.take_up(id, seen, &time).await,
            Due::Session(id) => self.settle(id, time.now()).await.map_err(SweepError::from),
            Due::Wave(product, sk) => {
                self.end_incident((product, sk), seen, &time).await.map_err(SweepError::from)
            }
            Due::Event(id) => self.queue_deliveries(id, time.now()).await,
        };
        let error = match done {
            Ok(outcome) => return outcome,
            Err(error) => error,
        };
        internal(&error);
        // Else each run would begin with it, and spend its time on it.
        let (again, outcome) = match &error {
            SweepError::Store(StoreError::Corrupt { .. })
            | SweepError::Refresh(RefreshError::Store(StoreError::Corrupt { .. })) => {
                (UNREADABLE_AGAIN, Outcome::Unreadable)
            }
            _ => (REFRESH_AGAIN, Outcome::PutOff),
        };
        self.put_off(&due, seen, time.now() + again).await;
        outcome
    }

    async fn put_off(&self, due: &Due, seen: Timestamp, until: Timestamp) {
        if let Err(error) = self.platform.store.put_off(due, seen, until).await {
            internal(&error);
        }
    }
}

impl Swept {
    /// What of a run an alarm looks at, and the rest for its line.
    fn tell(&self) {
        ended(telemetry::Outcome::Swept);
        most(Metric::SweepOverdue, 0.0);
        add(Metric::SweepPutOff, self.put_off.into());
        add(Metric::UnreadableItems, self.unreadable.into());
        add(Metric::SweepCutShort, u8::from(self.cut_short).into());
        for (name, number) in [
            ("lost", self.lost),
            ("interrupted", self.interrupted),
            ("unredeemed", self.unredeemed),
            ("unconfirmed", self.unconfirmed),
            ("revoked", self.revoked),
            ("refreshed", self.refreshed),
            ("stopped", self.stopped),
            ("queued", self.queued),
            ("restored", self.restored),
            ("put_off", self.put_off),
            ("unreadable", self.unreadable),
            ("unread", self.unread),
        ] {
            counted(name, number.into());
        }
    }

    fn count(&mut self, done: Outcome) {
        match done {
            Outcome::Unreadable => self.unreadable += 1,
            Outcome::Nothing => {}
            Outcome::Lost => self.lost += 1,
            Outcome::Interrupted(attempts) => self.interrupted += attempts,
            Outcome::Unredeemed => {
                self.unredeemed += 1;
                self.revoked += 1;
            }
            Outcome::Unconfirmed => {
                self.unconfirmed += 1;
                self.revoked += 1;
            }
            Outcome::Revoked => self.revoked += 1,
            Outcome::Refreshed => self.refreshed += 1,
            Outcome::Stopped => self.stopped += 1,
            Outcome::Queued(attempts) => self.queued += attempts,
            Outcome::PutOff => self.put_off += 1,
        }
    }
}
