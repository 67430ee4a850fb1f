//! The fallback is emptied: each answer that the table did not take goes where it belongs, or is revoked.

use std::time::Duration;

use domain::SaturatingTime as _;
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, log::internal};
use secrecy::ExposeSecret;
use store::{
    ConnectionRecord, Field, Kept, Owner, Quarantined, SaveOutcome, StoreError, Waiting,
    fallback::UNREADABLE_AGAIN,
};
use telemetry::{Metric, add, carried};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, timeout},
};

use crate::{
    introspection::{TokenWord, ask_about},
    refresh::{RefreshError, Refresher},
};

/// How many waiting answers are looked up at once.
const BATCH: i32 = 25;

/// How many of them are dealt with at once.
const AT_ONCE: usize = 8;

/// How long one of them may take: what it replaces may have to be revoked at a host that does not answer.
const ONE_ANSWER: Duration = Duration::from_secs(12);

/// How long a run of the sweep spends on the fallback.
const EMPTY_FALLBACK: Duration = Duration::from_mins(1);

/// How long an answer that could not be dealt with is left alone.
pub(super) const PUT_OFF: SignedDuration = SignedDuration::from_mins(15);

/// For so long a lost table can be brought back (DynamoDB's point-in-time recovery). An answer whose connection is gone
/// is kept until then: it may be the only copy of a live grant.
const RESTORABLE: SignedDuration = SignedDuration::from_hours(24 * 35);

impl Refresher {
    /// Stores an answer out of the fallback, then forgets it there. `None`: a newer grant had come, or the connection
    /// was deleted so long ago that no backup has it, and what waited was revoked.
    pub(super) async fn restore(
        &self,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Result<Option<Box<ConnectionRecord>>, RefreshError> {
        let saved = if waiting.superseded {
            SaveOutcome::Superseded
        } else {
            self.platform.store.restore(waiting).await?
        };
        let stored = match saved {
            SaveOutcome::Yes(record) => Some(record),
            SaveOutcome::Gone if now < waiting.renewed.issued_at.later_by(RESTORABLE) => {
                return Err(RefreshError::Gone(waiting.connection.clone()));
            }
            SaveOutcome::Superseded | SaveOutcome::Gone => {
                self.revoke_superseded(waiting, now).await?;
                None
            }
        };
        self.fallback.forget(waiting).await?;
        Ok(stored)
    }

    /// Revokes an answer that a newer grant has replaced. A token that Salesforce says it does not know is left alone: it
    /// may be the forebear of the connection's own, which a late write stored and a later refresh has spent. Where
    /// Salesforce does not say, it is revoked: it may live, and nobody holds it.
    async fn revoke_superseded(&self, waiting: &Waiting, now: Timestamp) -> Result<(), RefreshError> {
        let Some((sealed, _)) = &waiting.renewed.refresh_token else { return Ok(()) };
        let owner = Owner { product: &waiting.product, connection: &waiting.connection };
        let token = self.cipher.open(owner, Field::RefreshToken, sealed).await?;
        let hosts = self.platform.salesforce.hosts();
        let host = hosts
            .readmit(&waiting.login_host)
            .map_err(|_| RefreshError::Unconfigured(waiting.connection.to_string()))?;
        if let Some(record) = self.platform.store.connection(&waiting.connection).await?
            && let Some((_, app)) =
                self.platform.products.with_app(&waiting.product, &record.connection.app, now).await?
        {
            let secret = self.platform.secrets.consumer(&app.secret).await?.current;
            let app = (&waiting.product, &app);
            let word = ask_about(&self.platform, app, &host, &secret, token.expose_secret()).await?;
            if word == TokenWord::Ended {
                return Ok(());
            }
        }
        Ok(self.platform.salesforce.revoke(&host, token.expose_secret()).await?)
    }

    /// Empties the fallback, as far as there is time: each answer goes where it belongs, several at once, none for
    /// longer than [`ONE_ANSWER`]. What cannot be dealt with is left alone for a while, and hides nothing behind it.
    pub async fn empty_fallback(&self, time: &Deadline) -> Result<Emptied, RefreshError> {
        let (mut emptied, mut after) = (Emptied::default(), None);
        let until = Instant::now() + EMPTY_FALLBACK.min(time.left() / 2);
        loop {
            let page = self.fallback.all(BATCH, after).await?;
            let now = time.now();
            let due = page.items.into_iter().filter(|item| match item {
                Ok(kept) => kept.is_due(now),
                Err(unreadable) => unreadable.is_due(now),
            });
            let mut running = JoinSet::new();
            for kept in due {
                // Within a page too: one that hangs takes its twelve seconds twice.
                if until <= Instant::now() {
                    break;
                }
                match kept {
                    Ok(Kept::Quarantined(quarantined)) => {
                        let (this, time) = (self.clone(), *time);
                        running.spawn(carried(async move {
                            this.review_within(&quarantined, &time).await;
                            Some(false)
                        }));
                    }
                    Ok(Kept::Waiting(waiting)) => {
                        add(Metric::FallbackAnswers, 1.0);
                        let (this, time) = (self.clone(), *time);
                        running.spawn(carried(async move { this.empty_one(&waiting, &time).await }));
                    }
                    Err(unreadable) => {
                        internal(&unreadable.error);
                        emptied.unreadable += 1;
                        let until = now + UNREADABLE_AGAIN;
                        let put_off = self.fallback.put_off_unreadable(&unreadable, until);
                        match timeout(ONE_ANSWER, put_off).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => drop(internal(&error)),
                            Err(late) => drop(internal(&late)),
                        }
                    }
                }
                if running.len() == AT_ONCE {
                    emptied.count(running.join_next().await.as_ref());
                }
            }
            while let Some(done) = running.join_next().await {
                emptied.count(Some(&done));
            }
            after = page.next;
            if after.is_none() || until <= Instant::now() {
                return Ok(emptied);
            }
        }
    }

    /// One answer in quarantine.
    async fn review_within(&self, quarantined: &Quarantined, time: &Deadline) {
        if timeout(ONE_ANSWER, self.review(quarantined, time)).await.is_ok() {
            return;
        }
        internal(&StoreError::timed_out("an answer in quarantine"));
        let until = time.now() + PUT_OFF;
        if let Ok(Err(error)) =
            timeout(ONE_ANSWER, self.fallback.put_off_quarantined(quarantined, until)).await
        {
            internal(&error);
        }
    }

    /// One answer; `None`: it could not be dealt with now.
    async fn empty_one(&self, waiting: &Waiting, time: &Deadline) -> Option<bool> {
        match timeout(ONE_ANSWER, self.restore(waiting, time.now())).await {
            Ok(Ok(record)) => return Some(record.is_some()),
            Ok(Err(error)) => drop(internal(&error)),
            Err(_) => drop(internal(&StoreError::timed_out("the fallback's answer"))),
        }
        let until = time.now() + PUT_OFF;
        if let Ok(Err(error)) = timeout(ONE_ANSWER, self.fallback.put_off(waiting, until)).await {
            internal(&error);
        }
        None
    }
}

/// What became of the answers that the fallback held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Emptied {
    /// They are where they belong.
    pub stored: u32,
    /// They could not be dealt with; they are tried again later.
    pub put_off: u32,
    /// They cannot be read.
    pub unreadable: u32,
}

impl Emptied {
    fn count(&mut self, done: Option<&Result<Option<bool>, JoinError>>) {
        match done {
            Some(Ok(Some(stored))) => self.stored += u32::from(*stored),
            Some(Ok(None)) => self.put_off += 1,
            // A panic is a bug in the handling of one answer. The others are dealt with, and the next run tries it again.
            Some(Err(panicked)) => {
                internal(panicked);
                self.put_off += 1;
            }
            None => {}
        }
    }
}
