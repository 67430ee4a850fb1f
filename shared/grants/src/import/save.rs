//! What an import's answer becomes: a connection, or the new grant of the one that stands for the same Salesforce user.

use std::time::Duration;

use domain::{App, Connection, ConnectionId, ConnectionState, SaturatingTime as _};
use jiff::Timestamp;
use platform::{Deadline, log::internal};
use salesforce::Grant;
use store::{
    Bringing, ConnectionRecord, Imported, StoreError, Tokens, Unique,
    connection_lists::ConnectionSummary,
    imports::{Import, Sender},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    ImportError, ImportOutcome, ImportRequest, ImportedConnection, Importer, imported_before,
    quarantine::SWEEP,
};
use crate::{
    refresh::{FALLBACK, KEEP_WITHIN, ONE_WRITE},
    replace::{IfHeld, ReplaceOutcome, Replacement, TakeoverError, Target, retire, take_over},
};

/// How much of an invocation is left for its answer.
const ANSWER: Duration = Duration::from_millis(500);

/// How long Salesforce may take to tell the user's name, which is for people to read.
const ASK_NAME: Duration = Duration::from_secs(3);

/// How an import's answer was stored.
enum Stored {
    /// As a connection of its own.
    New,
    /// As the new grant of a connection that stood before.
    Renewed(Box<Replacement>),
    /// By an earlier call.
    Before,
}

/// What is to be stored.
struct Keeping<'a> {
    sender: &'a Sender,
    record: ConnectionRecord,
    app: &'a App,
    /// Absent where the caller asked for one more connection.
    unique: Option<Unique>,
    /// Where the answer belongs, as far as it is known.
    place: Place,
    /// Whether the answer is in the fallback already.
    is_set_aside: bool,
}

/// Where an import's answer belongs.
enum Place {
    /// In a connection of its own: the customer has none of this Salesforce user.
    New,
    /// Perhaps in one that stands before: the table has to be read.
    Unknown,
    /// The uniqueness item is this other connection's.
    Held(ConnectionId),
    /// In this connection.
    Standing(Box<ConnectionRecord>),
}

/// The time of an import whose token is sent.
#[derive(Clone, Copy)]
pub(super) struct KeepTime<'a> {
    /// The invocation's.
    pub(super) deadline: &'a Deadline,
    started: Instant,
}

impl<'a> KeepTime<'a> {
    /// It begins before the journal is written.
    pub(super) fn begin(deadline: &'a Deadline) -> Self {
        Self { deadline, started: Instant::now() }
    }

    pub(super) fn now(self) -> Timestamp {
        self.deadline.now()
    }

    pub(super) fn has(self, needed: Duration) -> bool {
        self.deadline.has(needed)
    }

    pub(super) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// How long the answer may be tried to be stored before it has to be in the fallback.
    pub(super) fn until_fallback(self) -> Duration {
        KEEP_WITHIN.saturating_sub(FALLBACK).saturating_sub(self.elapsed())
    }

    /// How long one write may take. An answer that came late still has a try.
    fn one_write(self) -> Duration {
        let left = self.deadline.left().saturating_sub(FALLBACK);
        self.until_fallback().clamp(Duration::from_secs(1), ONE_WRITE).min(left)
    }
}

impl Importer {
    /// Makes the answer durable before anything else is done with it: in the table, or in the fallback. Both are tried to
    /// the invocation's end: what Salesforce returned exists nowhere else.
    pub(super) async fn keep_import(
        &self,
        brought: &ImportRequest<'_>,
        sender: &Sender,
        grant: &Grant,
        others: &[ConnectionSummary],
        time: KeepTime<'_>,
    ) -> Result<ImportOutcome, ImportError> {
        let mut record = self.import_record(brought, sender.import(), grant, time.now()).await?;
        let unique = (!brought.another).then(|| Unique::of(&record.connection, brought.app.connections));
        record.unique = unique.as_ref().map(|unique| unique.key().to_owned());
        let is_same = |other: &ConnectionSummary| {
            other.identity.org.same_as(&grant.identity.org)
                && other.identity.user.same_as(&grant.identity.user)
        };
        let place = if unique.is_some() && others.iter().any(is_same) { Place::Unknown } else { Place::New };
        let app = brought.app;
        let keeping = Keeping { sender, record, app, unique, place, is_set_aside: false };
        let (stored, record) = Box::pin(self.save_import(keeping, brought, grant, time)).await?;
        let (mut connection, is_new) = match &stored {
            Stored::Renewed(taken) => (taken.after.clone(), false),
            Stored::New => (record.connection, true),
            // The journal names the connection.
            Stored::Before => {
                let import = self.platform.store.import(&brought.product.id, &brought.mark).await?;
                return imported_before(brought, import.unwrap_or_else(|| sender.import().clone()));
            }
        };
        let id = connection.id.clone();
        let patience = ASK_NAME.min(time.deadline.left().saturating_sub(ANSWER));
        if let Some(username) = self.platform.salesforce.identity(grant, patience).await.username {
            match self.platform.store.name_user(&id, &username).await {
                Ok(()) => connection.identity.username = Some(username),
                Err(error) => drop(internal(&error)),
            }
        }
        if let Stored::Renewed(taken) = &stored {
            Box::pin(retire(&self.platform, &self.cipher, taken, time.now())).await;
        }
        let same = others.iter().filter(|other| other.id != id && is_same(other));
        let same_as = same.map(|other| other.id.clone()).collect();
        let rotated = grant.refresh.is_some();
        let imported = ImportedConnection { connection, rotated, renewed: !is_new, same_as };
        Ok(ImportOutcome::Imported(Box::new(imported)))
    }

    /// Writes the answer until the table takes it or, once the lease of a refresh would near its end, the fallback does;
    /// then either, until the invocation ends. Where the table has to be read first, the fallback has the answer before. An
    /// error says that it is in the fallback, from where the sweep stores it, or that nothing took it.
    async fn save_import(
        &self,
        mut keeping: Keeping<'_>,
        brought: &ImportRequest<'_>,
        grant: &Grant,
        time: KeepTime<'_>,
    ) -> Result<(Stored, ConnectionRecord), ImportError> {
        let mut wait = Duration::from_millis(100);
        loop {
            if !matches!(keeping.place, Place::New) {
                self.set_aside(&mut keeping, brought, grant, time).await;
            }
            // A write that is given up may still be carried out; the journal then says so to the next call.
            match timeout(time.one_write(), self.try_to_save(&mut keeping, time.now())).await {
                Ok(Ok(Some(stored))) => {
                    if keeping.is_set_aside
                        && let Err(error) =
                            self.refresher.forget_import(keeping.sender.import(), &brought.token).await
                    {
                        internal(&error);
                    }
                    return Ok((stored, keeping.record));
                }
                Ok(Ok(None)) if !time.until_fallback().is_zero() => continue,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => drop(internal(&error)),
                Err(late) => drop(internal(&late)),
            }
            if time.until_fallback() < wait + ONE_WRITE.min(FALLBACK) || !time.has(wait + 2 * FALLBACK) {
                self.set_aside(&mut keeping, brought, grant, time).await;
                if keeping.is_set_aside {
                    return Err(ImportError::UnderWay(SWEEP));
                }
                if !time.has(wait + FALLBACK) {
                    return Err(ImportError::under_way(keeping.sender.import(), time.now()));
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    /// Tries to keep the answer in the fallback, if it is not there yet. One without a new refresh token is no loss: the
    /// token that was sent still stands, and is sent again.
    async fn set_aside(
        &self,
        keeping: &mut Keeping<'_>,
        brought: &ImportRequest<'_>,
        grant: &Grant,
        time: KeepTime<'_>,
    ) {
        if keeping.is_set_aside || grant.refresh.is_none() {
            return;
        }
        let kept = self.keep_for_sweep(brought, keeping.sender.import(), grant, time.deadline);
        match timeout(ONE_WRITE.min(time.deadline.left()), kept).await {
            Ok(Ok(())) => keeping.is_set_aside = true,
            Ok(Err(error)) => drop(internal(&error)),
            Err(late) => drop(internal(&late)),
        }
    }

    /// One try. `None`: somebody came between, and the next try knows more.
    async fn try_to_save(
        &self,
        keeping: &mut Keeping<'_>,
        now: Timestamp,
    ) -> Result<Option<Stored>, TakeoverError> {
        let store = &self.platform.store;
        match &keeping.place {
            Place::Unknown => {
                let standing = store.standing(&keeping.record, keeping.app).await?;
                keeping.place = standing.map_or(Place::New, |record| Place::Standing(Box::new(record)));
            }
            Place::Held(other) => {
                let other = other.clone();
                self.look_at_holder(keeping, other).await?;
            }
            Place::New | Place::Standing(_) => {}
        }
        let other = if let Place::Standing(standing) = &keeping.place {
            let Connection { id, identity, .. } = &standing.connection;
            let target = Target { id, whose: identity, held: IfHeld::Stop };
            let bringing = Bringing::Import(keeping.sender.import());
            match take_over(&self.platform, &self.cipher, &keeping.record, target, bringing, now).await? {
                ReplaceOutcome::Yes(taken) => return Ok(Some(Stored::Renewed(taken))),
                ReplaceOutcome::Refused(_) => return Ok(Some(Stored::Before)),
                ReplaceOutcome::Held(other) => other,
                ReplaceOutcome::Overtaken => {
                    keeping.place = Place::New;
                    return Ok(None);
                }
            }
        } else {
            let due = now.later_by(keeping.app.keep_alive());
            let unique = keeping.unique.as_ref();
            match store.finish_import(keeping.sender.import(), &keeping.record, unique, due).await? {
                Imported::Yes => return Ok(Some(Stored::New)),
                Imported::Before => return Ok(Some(Stored::Before)),
                Imported::Held(other) => other,
            }
        };
        keeping.place = Place::Held(other);
        Ok(None)
    }

    /// The uniqueness item is another connection's: the answer belongs to that one, unless it is gone.
    async fn look_at_holder(&self, keeping: &mut Keeping<'_>, other: ConnectionId) -> Result<(), StoreError> {
        let holder = self.platform.store.connection(&other).await?;
        let sharing = keeping.app.connections;
        let standing = holder.filter(|holder| holder.is_standing_for(&keeping.record.connection, sharing));
        keeping.place = if let Some(standing) = standing {
            Place::Standing(Box::new(standing))
        } else {
            keeping.unique = keeping.unique.take().map(|unique| unique.replacing(other));
            Place::New
        };
        Ok(())
    }

    /// The connection to be stored, its tokens sealed: the rotated refresh token or, where it was not rotated, the
    /// one that was sent.
    async fn import_record(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<ConnectionRecord, ImportError> {
        let connection = Connection {
            id: import.connection.clone(),
            product: brought.product.id.clone(),
            app: brought.app.id.clone(),
            customer: brought.customer.clone(),
            user: brought.user.clone(),
            session: None,
            identity: grant.identity.clone(),
            login_host: grant.host.origin().to_owned(),
            environment: brought.host.environment(),
            instance_url: grant.instance_url(None).unwrap_or_default(),
            scopes: grant.granted(&brought.app.scopes),
            state: ConnectionState::Active,
            created_at: now,
        };
        let tokens = Tokens {
            access: &grant.access,
            refresh: Some(grant.refresh.as_ref().unwrap_or(&brought.token)),
            issued_at: grant.issued_at(now),
        };
        Ok(ConnectionRecord::seal(&self.cipher, connection, tokens, brought.app).await?)
    }
}
