//! What an import's answer becomes: a connection, or the new grant of the one that stands for the same Salesforce user.

use std::time::Duration;

use domain::{App, Connection, ConnectionState, SaturatingTime as _};
use jiff::Timestamp;
use platform::{Deadline, log::internal};
use salesforce::Grant;
use store::{
    Bringing, ConnectionRecord, Imported, StoreError, Tokens, Unique,
    connection_lists::ConnectionSummary,
    imports::{Import, Sender},
};
use tokio::time::{sleep, timeout};

use super::{ImportError, ImportOutcome, ImportRequest, ImportedConnection, Importer, imported_before};
use crate::replace::{IfHeld, ReplaceOutcome, Replacement, TakeoverError, Target, retire, take_over};

/// How much of an invocation is left for its answer when the table does not take a new connection.
const ANSWER: Duration = Duration::from_millis(500);

/// How much of it is left for the fallback, with the answer.
const FALLBACK: Duration = Duration::from_secs(4);

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
    /// The connection that the answer may belong to.
    standing: Option<ConnectionRecord>,
}

impl Importer {
    /// Makes the answer durable before anything else is done with it. The table is tried to the invocation's end:
    /// what Salesforce returned exists nowhere else.
    pub(super) async fn keep_import(
        &self,
        brought: &ImportRequest<'_>,
        sender: &Sender,
        grant: &Grant,
        others: &[ConnectionSummary],
        time: &Deadline,
    ) -> Result<ImportOutcome, ImportError> {
        let mut record = self.import_record(brought, sender.import(), grant, time.now()).await?;
        let unique = (!brought.another).then(|| Unique::of(&record.connection, brought.app.connections));
        record.unique = unique.as_ref().map(|unique| unique.key().to_owned());
        let keeping = Keeping { sender, record, app: brought.app, unique, standing: None };
        let Some((stored, record)) = Box::pin(self.save_import(keeping, time)).await else {
            return Err(self.set_aside(brought, sender.import(), grant, time).await);
        };
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
        let patience = ASK_NAME.min(time.left().saturating_sub(ANSWER));
        if let Some(username) = self.platform.salesforce.identity(grant, patience).await.username {
            match self.platform.store.name_user(&id, &username).await {
                Ok(()) => connection.identity.username = Some(username),
                Err(error) => drop(internal(&error)),
            }
        }
        if let Stored::Renewed(taken) = &stored {
            Box::pin(retire(&self.platform, &self.cipher, taken, time.now())).await;
        }
        let same = |other: &&ConnectionSummary| {
            other.id != id
                && other.identity.org.same_as(&grant.identity.org)
                && other.identity.user.same_as(&grant.identity.user)
        };
        let same_as = others.iter().filter(same).map(|other| other.id.clone()).collect();
        let rotated = grant.refresh.is_some();
        let imported = ImportedConnection { connection, rotated, renewed: !is_new, same_as };
        Ok(ImportOutcome::Imported(Box::new(imported)))
    }

    /// Writes the answer until the table takes it. `None`: the invocation nears its end.
    async fn save_import(
        &self,
        mut keeping: Keeping<'_>,
        time: &Deadline,
    ) -> Option<(Stored, ConnectionRecord)> {
        let mut wait = Duration::from_millis(100);
        let mut is_first = true;
        loop {
            // A write that is given up may still be carried out; the journal then says so to the next call.
            let left = time.left().saturating_sub(FALLBACK);
            match timeout(left, self.try_to_save(&mut keeping, &mut is_first, time.now())).await {
                Ok(Ok(Some(stored))) => return Some((stored, keeping.record)),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => drop(internal(&error)),
                Err(_) => return None,
            }
            if !time.has(wait + FALLBACK) {
                return None;
            }
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    /// One try. `None`: somebody came between, and the next try knows more.
    async fn try_to_save(
        &self,
        keeping: &mut Keeping<'_>,
        is_first: &mut bool,
        now: Timestamp,
    ) -> Result<Option<Stored>, TakeoverError> {
        let store = &self.platform.store;
        // The answer is stored even if it cannot be known whether the user is connected: the uniqueness item decides.
        if std::mem::take(is_first) && keeping.unique.is_some() {
            keeping.standing = store.standing(&keeping.record, keeping.app).await?;
        }
        let other = if let Some(standing) = &keeping.standing {
            let Connection { id, identity, .. } = &standing.connection;
            let target = Target { id, whose: identity, held: IfHeld::Stop };
            let bringing = Bringing::Import(keeping.sender.import());
            match take_over(&self.platform, &self.cipher, &keeping.record, target, bringing, now).await? {
                ReplaceOutcome::Yes(taken) => return Ok(Some(Stored::Renewed(taken))),
                ReplaceOutcome::Refused(_) => return Ok(Some(Stored::Before)),
                ReplaceOutcome::Held(other) => other,
                ReplaceOutcome::Overtaken => {
                    keeping.standing = None;
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
        self.look_at_holder(keeping, other).await?;
        Ok(None)
    }

    /// The uniqueness item is another connection's: the answer belongs to that one, unless it is gone.
    async fn look_at_holder(
        &self,
        keeping: &mut Keeping<'_>,
        other: domain::ConnectionId,
    ) -> Result<(), StoreError> {
        let holder = self.platform.store.connection(&other).await?;
        let sharing = keeping.app.connections;
        keeping.standing =
            holder.filter(|holder| holder.is_standing_for(&keeping.record.connection, sharing));
        if keeping.standing.is_none() {
            keeping.unique = keeping.unique.take().map(|unique| unique.replacing(other));
        }
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
