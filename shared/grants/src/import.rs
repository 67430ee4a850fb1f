//! Import: a refresh token that the product holds becomes a connection.
//!
//! 1. Everything that can be known without sending comes first: whether this token was imported before, and whether the
//!    customer is connected at this host already. A dry run ends here.
//! 2. The import is journaled under the token's mark. The process that wrote the journal may send the token, and no other.
//! 3. One refresh proves the token. Salesforce says which org and user it belongs to. If tokens rotate, the product's own
//!    copy is dead from then on, so nothing comes before the save.
//! 4. Connection and journal are saved in one transaction (`save`). If the same Salesforce user is connected for the same
//!    customer already, that connection gets the token.
//! 5. An unanswered send leaves the journal begun. The token is sent once more, when the first sender cannot be alive any
//!    more and the host is known to answer again (`recover`); if that is not answered either, again only while Salesforce
//!    says that it knows the token. A token that Salesforce does not know is lost. A refusal that says nothing about the
//!    token leaves the right to try.
//! 6. After a refusal that passes, imports of the app at that host wait (`backoff`), and one tries when the time is over.

mod backoff;
mod quarantine;
mod recover;
mod refused;
mod save;

use diagnosis::{Actor, Candidate, Diagnosis};
use domain::{
    App, Connection, ConnectionId, Customer, FailureId, Product,
    secret::{Hash, RefreshToken},
};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, Platform};
use salesforce::{Distrust, LoginHost, SalesforceError};
use store::{
    AppAt, SecretError, StoreError, TokenCipher,
    connection_lists::ConnectionSummary,
    imports::{Import, ImportState, MaySend, Wanted},
};

use crate::{
    record_failure::FailureSubject,
    refresh::{
        REFRESH, RefreshError, Refresher, SEND, SLOW_START,
        health::{Told, seconds},
        verdict::told_once,
    },
};
use save::KeepTime;

/// How long a refusal that needs the user is cached. Not forever: Salesforce refuses what an admin has blocked, and can
/// unblock, in the same words.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// Maximum number of a customer's connections that are checked for the same host.
const LOOKED_INTO: usize = 20;

/// A refresh token that a product imports.
#[derive(Debug)]
pub struct ImportRequest<'a> {
    /// The product.
    pub product: &'a Product,
    /// Its app that the token belongs to.
    pub app: &'a App,
    /// The customer that is to be connected.
    pub customer: Customer,
    /// The product's user.
    pub user: String,
    /// The token.
    pub token: RefreshToken,
    /// The token's mark: by it, an import of the same token is known again.
    pub mark: Hash,
    /// The host where the token is refreshed.
    pub host: LoginHost,
    /// Whether this is one more connection of a customer that is connected at the same host already.
    pub another: bool,
}

impl<'a> ImportRequest<'a> {
    fn wanted(&'a self) -> Wanted<'a> {
        Wanted {
            product: &self.product.id,
            mark: &self.mark,
            app: &self.app.id,
            customer: &self.customer.id,
            login_host: self.host.origin(),
        }
    }

    fn app_at(&self) -> AppAt<'_> {
        AppAt { product: &self.product.id, app: &self.app.id, consumer_key: &self.app.consumer_key }
    }

    fn of(&self) -> FailureSubject<'_> {
        FailureSubject::Import {
            product: &self.product.id,
            customer: &self.customer,
            login_host: self.host.origin(),
            environment: self.host.environment(),
        }
    }
}

/// What an import came to.
#[derive(Debug)]
pub enum ImportOutcome {
    /// The token is a connection now.
    Imported(Box<ImportedConnection>),
    /// The token was imported before, for the same customer and app.
    ImportedBefore(Box<Import>),
    /// A dry run: the token would be sent.
    WouldImport,
}

/// A connection that an imported token made or renewed.
#[derive(Debug)]
pub struct ImportedConnection {
    /// The connection.
    pub connection: Connection,
    /// Whether Salesforce replaced the token that was sent: then the product's own copy is dead.
    pub rotated: bool,
    /// Whether the connection existed before, and has the token now.
    pub renewed: bool,
    /// Other connections of the same customer, app, org and Salesforce user.
    pub same_as: Vec<ConnectionId>,
}

/// Why a token was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The customer is connected at this host already, by these connections. Nothing was sent.
    #[error("the customer is connected already")]
    AlreadyConnected(Vec<ConnectionId>),
    /// This token was imported for another customer or app, as this connection. Nothing was sent.
    #[error("the token was imported for another customer or app")]
    ImportedForAnother(ConnectionId),
    /// The token was sent, and no answer is stored yet. Ask again after this many seconds.
    #[error("the token was sent, and no answer is stored yet")]
    UnderWay(u32),
    /// The answer failed a check and is in quarantine.
    #[error("the answer is in quarantine")]
    InQuarantine(FailureId),
    /// Salesforce refused the token, now or in an earlier call.
    #[error("Salesforce refused the token")]
    Refused(Candidate, FailureId),
    /// Salesforce could not answer. The token is as it was.
    #[error("Salesforce is away")]
    Away(FailureId),
    /// Too little time was left to send the token. Nothing was sent.
    #[error("no time was left to send the token")]
    NoTime,
    /// Salesforce refuses the app, or its answers for the app cannot be trusted now. Nothing was sent. Ask again after this
    /// many seconds.
    #[error("nothing is sent for the app now")]
    AppStopped(u32),
    /// Salesforce could not answer an earlier import. Nothing was sent. Ask again after this many seconds.
    #[error("imports wait until Salesforce answers again")]
    Waits(u32),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The answer could not be put into quarantine.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl ImportError {
    fn under_way(import: &Import, now: Timestamp) -> Self {
        Self::UnderWay(seconds(import.under_way_until(now), now))
    }

    fn refused(mut found: Diagnosis, failure: FailureId) -> Self {
        Self::Refused(found.ranked.swap_remove(0), failure)
    }
}

/// Imports refresh tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Importer {
    platform: Platform,
    cipher: TokenCipher,
    refresher: Refresher,
}

impl Importer {
    /// Imports through this refresher.
    pub fn new(platform: Platform, cipher: TokenCipher, refresher: Refresher) -> Self {
        Self { platform, cipher, refresher }
    }

    /// Imports a token. A dry run sends nothing.
    pub async fn import(
        &self,
        brought: &ImportRequest<'_>,
        dry_run: bool,
        time: &Deadline,
    ) -> Result<ImportOutcome, ImportError> {
        let (store, now) = (&self.platform.store, time.now());
        let before = store.import(&brought.product.id, &brought.mark).await?;
        let before = match before {
            Some(import) if import.state == ImportState::Done => return imported_before(brought, import),
            before => before,
        };
        let others = self.others(brought).await?;
        if !brought.another {
            self.refuse_second(brought, &others).await?;
        }
        let again = match &before {
            Some(import) => self.may_try_again(brought, import, now).await?,
            None => false,
        };
        if dry_run {
            return Ok(ImportOutcome::WouldImport);
        }
        // Everything that can fail without spending anything comes before the journal.
        self.cipher.ready().await?;
        let secret = self.platform.secrets.consumer(&brought.app.secret).await?.current;
        if !time.has(REFRESH) {
            return Err(ImportError::NoTime);
        }
        let now = time.now();
        let health = self.may_import(brought, now).await?;
        let time = KeepTime::begin(time);
        let asked = match &before {
            Some(import) if again => store.begin_import_again(import, brought.wanted(), now).await?,
            _ => store.begin_import(brought.wanted(), now).await?,
        };
        let sender = match asked {
            MaySend::Yes(sender) => sender,
            MaySend::No(import) if import.state == ImportState::Done => {
                return imported_before(brought, import);
            }
            MaySend::No(import) => return Err(ImportError::under_way(&import, now)),
        };
        if !time.has(SEND) || SLOW_START < time.elapsed() {
            // If this fails too, *begun* stands for what it says: the next call waits, and sends.
            store.put_off_import(&sender).await?;
            return Err(ImportError::NoTime);
        }
        let sent = self.refresher.exchange(&brought.host, brought.app, &secret, &brought.token).await;
        let (answer, told) = match sent {
            Ok(grant) if grant.instance_url(None).is_none() => {
                let answer = self.import_without_instance(brought, &sender, grant, &others, time).await;
                let code = Distrust::InstanceUrl.code();
                let told = if answer.is_ok() { Told::Accepted } else { Told::Untrusted(code) };
                (answer, told)
            }
            Ok(grant) => {
                let kept = self.keep_import(brought, &sender, &grant, &others, time);
                (Box::pin(kept).await, Told::Accepted)
            }
            Err(SalesforceError::Doubtful(doubtful)) => {
                let kept = self.quarantine_import(brought, sender.import(), &doubtful, time.deadline).await;
                (Err(kept), Told::Untrusted(doubtful.distrust.code()))
            }
            Err(error) => {
                let refused = self.refused_import(brought, sender.import(), &error, time.now()).await;
                self.hold_imports(brought, &health, &error, time.now()).await;
                self.learn_import(brought, &health, told_once(&error), time.now()).await;
                return Err(refused);
            }
        };
        self.free_imports(brought, &health).await;
        self.learn_import(brought, &health, told, time.now()).await;
        answer
    }

    /// The customer's connections with the same app, at any host.
    async fn others(&self, brought: &ImportRequest<'_>) -> Result<Vec<ConnectionSummary>, ImportError> {
        let ImportRequest { product, app, customer, .. } = brought;
        Ok(self.platform.store.connections_of(&product.id, &app.id, &customer.id).await?)
    }

    /// A customer that is connected at the same host has most likely connected since the product kept this token.
    /// Nothing is sent then: the product's own copy stays as it is.
    async fn refuse_second(
        &self,
        brought: &ImportRequest<'_>,
        others: &[ConnectionSummary],
    ) -> Result<(), ImportError> {
        let mut standing = Vec::new();
        let living = |state: &str| !matches!(state, "needs_reauth" | "revoking");
        for other in others.iter().filter(|other| living(&other.state)).take(LOOKED_INTO) {
            let record = self.platform.store.connection(&other.id).await?;
            if record.is_some_and(|record| record.connection.login_host == brought.host.origin()) {
                standing.push(other.id.clone());
            }
        }
        if standing.is_empty() {
            return Ok(());
        }
        Err(ImportError::AlreadyConnected(standing))
    }

    /// Whether a token that was brought before, and is not imported, may be sent again.
    async fn may_try_again(
        &self,
        brought: &ImportRequest<'_>,
        import: &Import,
        now: Timestamp,
    ) -> Result<bool, ImportError> {
        match &import.state {
            ImportState::Done => Ok(false),
            ImportState::Begun if now < import.under_way_until(now) => {
                Err(ImportError::under_way(import, now))
            }
            ImportState::Begun => {
                self.refuse_quarantined(brought, import, now).await?;
                self.may_send_again(brought, import, now).await
            }
            ImportState::Unsent => Ok(true),
            ImportState::Lost(failure) => Err(self.told_before(brought, failure, now).await),
            ImportState::Quarantined(failure) => Err(ImportError::InQuarantine(failure.clone())),
            ImportState::Refused(failure) => {
                let same = import.app == brought.app.id && import.login_host == brought.host.origin();
                let cause = self.platform.store.failure(failure, now).await?.map(|failure| failure.cause);
                let actor = cause.and_then(|cause| diagnosis::cause(&cause)).map(|cause| cause.actor);
                // What only the user mends seldom mends itself; everything else may have been put right since.
                if same && actor == Some(Actor::EndUser) && now < import.began_at + REMEMBERED {
                    return Err(self.told_before(brought, failure, now).await);
                }
                Ok(true)
            }
        }
    }
}

/// The outcome for a token that was imported before.
fn imported_before(brought: &ImportRequest<'_>, import: Import) -> Result<ImportOutcome, ImportError> {
    if import.customer != brought.customer.id || import.app != brought.app.id {
        return Err(ImportError::ImportedForAnother(import.connection));
    }
    Ok(ImportOutcome::ImportedBefore(Box::new(import)))
}
