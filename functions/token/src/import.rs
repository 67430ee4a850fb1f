//! `POST /v1/connections`: a refresh token that the product holds becomes a connection.
//!
//! 1. What can be known without sending is looked at first: the call, the app, the host, whether this token was
//!    brought before, whether the customer is connected there already. A dry run ends here.
//! 2. The import is journalled under the token's mark; whoever wrote that may send, and nobody else.
//! 3. One refresh proves the token; org and user are Salesforce's word. With rotation the product's own copy is
//!    dead from here on, so nothing comes before the save.
//! 4. Connection and journal are saved in one transaction ([`keep`]). Where the same Salesforce user is connected for the
//!    same customer, that connection gets the token.
//! 5. An answer that never came leaves the journal begun: once, and no sooner than the first sender can still be
//!    alive, the token is sent again. If that is not answered either, or Salesforce says that the token is dead, it
//!    is lost; a refusal that says nothing of the token leaves the right to try.

mod keep;
mod quarantine;

use diagnosis::evidence;
use diagnosis::{Actor, Candidate};
use domain::{
    App, AppId, Customer, Environment, Failure, FailureId, Product, Stage, Surface,
    secret::{Hash, RefreshToken},
};
use grants::record_failure::{Met, Of, diagnose};
use grants::refresh::{REFRESH, SEND};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use platform::log::internal;
use salesforce::{Distrust, LoginHost, Rotation, SalesforceError};
use serde::{Deserialize, Serialize};
use store::{
    AppAt,
    connections::Listed,
    imports::{Import, ImportState, MaySend, Wanted},
};
use web::{
    Problem, Request, Response,
    api_auth::Caller,
    connect_params, request, respond,
    views::{CauseView, ConnectionView},
};

use quarantine::in_quarantine;

use crate::{
    Token,
    check::OFFLINE,
    error::{Failed, salesforce_is_away},
};

/// For so long a token that only the user can mend is answered for without asking Salesforce again. Not for ever:
/// what an admin has blocked and can unblock is refused in the same words.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// Salesforce's refresh tokens are about 90 characters.
const TOKEN_LENGTHS: std::ops::RangeInclusive<usize> = 16..=4096;

/// So many of a customer's connections are looked into, whether they are to the same host.
const LOOKED_INTO: usize = 20;

/// What the call takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    app: Option<AppId>,
    customer: Customer,
    user: String,
    refresh_token: String,
    environment: Option<Environment>,
    my_domain: Option<String>,
    /// Whether this is one more connection of a customer that is connected at the same host already.
    #[serde(default)]
    another: bool,
    #[serde(default)]
    dry_run: bool,
}

/// A call that may be carried out.
struct Brought<'a> {
    product: &'a Product,
    app: &'a App,
    customer: Customer,
    user: String,
    token: RefreshToken,
    mark: Hash,
    host: LoginHost,
    another: bool,
}

#[derive(Debug, Serialize)]
struct ImportedView<'a> {
    #[serde(flatten)]
    connection: ConnectionView<'a>,
    /// Whether Salesforce has replaced the token that was sent: then the product's own copy is dead.
    rotated: Option<bool>,
    /// Whether this is a connection of the same Salesforce user that stood before, and has the token now.
    renewed: bool,
    /// Other connections of the same customer, app, org and Salesforce user.
    same_as: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DryRunView<'a> {
    dry_run: bool,
    /// `import` or `already-imported`.
    would: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<&'a str>,
}

impl<'a> Brought<'a> {
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

    fn of(&self) -> Of<'_> {
        Of::Import {
            product: &self.product.id,
            customer: &self.customer,
            login_host: self.host.origin(),
            environment: self.host.environment(),
        }
    }
}

impl Token {
    pub(crate) async fn import(&self, request: &Request, now: Timestamp) -> Result<Response, Failed> {
        let time = request::deadline(request, now);
        let caller = self.caller(request, now).await?;
        let call: Call = request::json(request)?;
        let (another, dry_run) = (call.another, call.dry_run);
        let brought = self.read_import(&caller, call)?;
        let store = &self.platform.store;

        let before = store.import(&brought.product.id, &brought.mark).await?;
        if let Some(import) = before.as_ref().filter(|import| import.state == ImportState::Done) {
            return self.imported_before(&brought, import, dry_run).await;
        }
        let others = self.others(&brought).await?;
        if !another {
            self.refuse_second(&brought, &others).await?;
        }
        let again = match &before {
            Some(import) => self.may_try_again(&brought, import, now).await?,
            None => false,
        };
        if dry_run {
            let view = DryRunView { dry_run, would: "import", connection_id: None };
            return Ok(respond::json(StatusCode::OK, &view));
        }
        // Everything that can fail without spending anything comes before the journal.
        self.vault.ready().await?;
        let secret = self.platform.secrets.consumer(&brought.app.secret).await?.current;
        if !time.has(REFRESH) {
            return Err(no_time().into());
        }
        let now = time.now();
        let health = self.refresher.may_import(brought.app_at(), &brought.host, now).await;
        let health = health.map_err(untrusted)?;
        let asked = match &before {
            Some(import) if again => store.begin_import_again(import, brought.wanted(), now).await?,
            _ => store.begin_import(brought.wanted(), now).await?,
        };
        let sender = match asked {
            MaySend::Yes(sender) => sender,
            MaySend::No(import) if import.state == ImportState::Done => {
                return self.imported_before(&brought, &import, dry_run).await;
            }
            MaySend::No(import) => return Err(under_way(&import, now).into()),
        };
        if !time.has(SEND) {
            // If this fails too, *begun* stands for what it says: the next call waits, and sends.
            store.put_off_import(&sender).await?;
            return Err(no_time().into());
        }
        let sent = self.refresher.exchange(&brought.host, brought.app, &secret, &brought.token).await;
        let (answer, fails) = match sent {
            Ok(grant) if grant.instance_url(None).is_none() => {
                let answer = self.import_without_instance(&brought, &sender, grant, &others, &time).await;
                let fails = answer.is_err().then(|| Distrust::InstanceUrl.code());
                (answer, fails)
            }
            Ok(grant) => {
                let kept = self.keep_import(&brought, &sender, &grant, &others, &time);
                (Box::pin(kept).await, None)
            }
            Err(SalesforceError::Doubtful(doubtful)) => {
                let kept = self.quarantine_import(&brought, sender.import(), &doubtful, time.now()).await;
                (kept, Some(doubtful.distrust.code()))
            }
            Err(error) => return self.refused_import(&brought, sender.import(), &error, time.now()).await,
        };
        self.refresher.learn_import(brought.app_at(), &health, fails, time.now()).await;
        answer
    }

    fn read_import<'a>(&self, caller: &'a Caller, call: Call) -> Result<Brought<'a>, Failed> {
        let bad = |why: &str| Failed::from(Problem::bad_request(why));
        let product = &*caller.product;
        let app = connect_params::app(product, call.app.as_ref())?;
        if !app.scopes.iter().any(|scope| OFFLINE.contains(&scope.as_str())) {
            return Err(bad("the app does not ask for refresh tokens"));
        }
        connect_params::names(&call.customer, &call.user)?;
        let of_a_copy = ['"', '\'', '`', '%'];
        if call.refresh_token.contains(of_a_copy) {
            return Err(bad(
                "refresh_token has quotation marks in it or is percent-encoded: send it as Salesforce gave it",
            ));
        }
        let plain = call.refresh_token.bytes().all(|b| b.is_ascii_graphic());
        if !plain || !TOKEN_LENGTHS.contains(&call.refresh_token.len()) {
            return Err(bad("refresh_token is not of the form of one"));
        }
        let hosts = self.platform.salesforce.hosts();
        let choice = connect_params::host(hosts, app, call.environment, call.my_domain.as_deref())?;
        let host = hosts.fixed(&choice).ok().flatten();
        let host = host.ok_or_else(|| bad("environment (production or sandbox) or my_domain is needed"))?;
        let token = RefreshToken::new(call.refresh_token.as_str());
        let mark = token.import_mark(&product.id);
        let Call { customer, user, another, .. } = call;
        Ok(Brought { product, app, customer, user, token, mark, host, another })
    }

    /// The customer's connections with the same app, at any host.
    async fn others(&self, brought: &Brought<'_>) -> Result<Vec<Listed>, Failed> {
        let Brought { product, app, customer, .. } = brought;
        Ok(self.platform.store.connections_of(&product.id, &app.id, &customer.id).await?)
    }

    /// A customer that is connected at the same host has most likely connected since the product kept this token.
    /// Nothing is sent then: the product's own copy stays as it is.
    async fn refuse_second(&self, brought: &Brought<'_>, others: &[Listed]) -> Result<(), Failed> {
        let mut standing = Vec::new();
        let living = |state: &str| !matches!(state, "needs_reauth" | "revoking");
        for other in others.iter().filter(|other| living(&other.state)).take(LOOKED_INTO) {
            let record = self.platform.store.connection(&other.id).await?;
            if record.is_some_and(|record| record.connection.login_host == brought.host.origin()) {
                standing.push(other.id.to_string());
            }
        }
        if standing.is_empty() {
            return Ok(());
        }
        Err(already_connected(
            "The customer is connected at this host. Nothing was sent. If this token is of another org or user, bring \
             it again with \"another\": true.",
            standing,
        )
        .into())
    }

    /// The answer for a token that has been imported.
    async fn imported_before(
        &self,
        brought: &Brought<'_>,
        import: &Import,
        dry_run: bool,
    ) -> Result<Response, Failed> {
        let id = &import.connection;
        if import.customer != brought.customer.id || import.app != brought.app.id {
            let why = "This token was imported for another customer or app. Nothing was sent.";
            return Err(already_connected(why, vec![id.to_string()]).into());
        }
        if dry_run {
            let view = DryRunView { dry_run, would: "already-imported", connection_id: Some(id.as_str()) };
            return Ok(respond::json(StatusCode::OK, &view));
        }
        match self.platform.store.connection(id).await? {
            Some(record) => {
                let connection = ConnectionView::from(&record.connection);
                let view = ImportedView { connection, rotated: None, renewed: false, same_as: Vec::new() };
                Ok(respond::json(StatusCode::OK, &view))
            }
            None => Err(Problem::new(
                StatusCode::CONFLICT,
                "imported-and-deleted",
                "What this token was imported as has been deleted",
                "Deleting it revoked the grant at Salesforce, so the token is dead: let the user connect.",
            )
            .with("connection_id", id.as_str())
            .into()),
        }
    }

    /// Whether a token that was brought before, and is not imported, may be sent again.
    async fn may_try_again(
        &self,
        brought: &Brought<'_>,
        import: &Import,
        now: Timestamp,
    ) -> Result<bool, Failed> {
        match &import.state {
            ImportState::Done => Ok(false),
            ImportState::Begun if now < import.under_way_until() => Err(under_way(import, now).into()),
            ImportState::Begun => {
                self.refuse_quarantined(brought, import, now).await?;
                if import.was_tried_again() {
                    return Err(self.lose(brought, import, None, now).await?.into());
                }
                Ok(true)
            }
            ImportState::Unsent => Ok(true),
            ImportState::Lost(failure) => Err(self.told_before(brought, failure, now).await?.into()),
            ImportState::Quarantined(failure) => Err(in_quarantine(failure).into()),
            ImportState::Refused(failure) => {
                let same = import.app == brought.app.id && import.login_host == brought.host.origin();
                let cause = self.platform.store.failure(failure, now).await?.map(|failure| failure.cause);
                let actor = cause.and_then(|cause| diagnosis::cause(&cause)).map(|cause| cause.actor);
                // What only the user mends seldom mends itself; everything else may have been put right since.
                if same && actor == Some(Actor::EndUser) && now < import.began_at + REMEMBERED {
                    return Err(self.told_before(brought, failure, now).await?.into());
                }
                Ok(true)
            }
        }
    }

    /// What an error means: the token may be spent, or it was refused and is as it was. After an answer that was
    /// lost a refusal that speaks of the token is the end of it; any other says nothing of it, and the right to send
    /// once more stays.
    async fn refused_import(
        &self,
        brought: &Brought<'_>,
        import: &Import,
        error: &SalesforceError,
        now: Timestamp,
    ) -> Result<Response, Failed> {
        let again = import.was_tried_again();
        if error.may_have_spent(Rotation::Possible) {
            if again {
                return Err(self.lose(brought, import, Some(error), now).await?.into());
            }
            internal(error);
            return Err(under_way(import, now).into());
        }
        let met = Met::new(brought.of(), brought.app, Stage::Refresh, error.evidence()).because(error);
        let (failure, found) = diagnose(met, now);
        if again && found.cause().actor == Actor::EndUser {
            return Err(self.lose(brought, import, Some(error), now).await?.into());
        }
        let to = ImportState::Refused(failure.id.clone());
        if !self.platform.store.end_import(import, &to, &failure).await? {
            return Err(under_way(import, now).into());
        }
        if found.cause().actor == Actor::Wait {
            return Err(salesforce_is_away(
                "Nothing was imported, and the token is as it was: bring it again.",
            )
            .with("reference", failure.id.reference())
            .into());
        }
        Err(self.refusal(brought, &found.ranked[0], &failure.id).into())
    }

    /// Ends an import whose token may be spent on an answer that nobody has.
    async fn lose(
        &self,
        brought: &Brought<'_>,
        import: &Import,
        error: Option<&SalesforceError>,
        now: Timestamp,
    ) -> Result<Problem, Failed> {
        let evidence = evidence::our_own(Surface::TokenEndpoint, "answer_lost", None);
        let mut met = Met::new(brought.of(), brought.app, Stage::Refresh, evidence);
        if let Some(error) = error {
            met = met.because(error);
        }
        let (failure, found) = diagnose(met, now);
        let to = ImportState::Lost(failure.id.clone());
        if !self.platform.store.end_import(import, &to, &failure).await? {
            return Ok(under_way(import, now));
        }
        Ok(self.refusal(brought, &found.ranked[0], &failure.id))
    }

    /// What an earlier call has found: the same answer, with the page that it made.
    async fn told_before(
        &self,
        brought: &Brought<'_>,
        failure: &FailureId,
        now: Timestamp,
    ) -> Result<Problem, Failed> {
        let evidence = match self.platform.store.failure(failure, now).await? {
            Some(Failure { evidence, .. }) => evidence,
            // Failures are kept for a set time; the journal still says that the token is of no use.
            None => evidence::token_endpoint(Some("invalid_grant"), None, None),
        };
        let found = Met::new(brought.of(), brought.app, Stage::Refresh, evidence).diagnosis();
        Ok(self.refusal(brought, &found.ranked[0], failure))
    }

    fn refusal(&self, brought: &Brought<'_>, candidate: &Candidate, failure: &FailureId) -> Problem {
        let CauseView { cause, title, actor, confidence } =
            CauseView::new(candidate, brought.product, brought.app, &brought.customer);
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "import-refused",
            "Salesforce does not take this token",
            "Nothing was imported; help_url says why, and who can do something about it.",
        )
        .with("cause", cause)
        .with("cause_title", title)
        .with("actor", actor)
        .with("confidence", confidence)
        .with("reference", failure.reference())
        .with("help_url", self.platform.settings.public_url.at(&format!("/help/{failure}")))
    }
}

/// A token is not sent by an invocation that may end before the answer is stored.
/// Nothing is sent for an app whose answers cannot be trusted.
fn untrusted(seconds: u32) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-sent",
        "Salesforce's answers for this app cannot be used just now",
        "Nothing was sent, and the token is as it was: bring it again. Latchkey's operators have been told.",
    )
    .retry_after(seconds)
}

fn no_time() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-sent",
        "There was no time left to send this token",
        "Nothing was sent, and the token is as it was: bring it again.",
    )
    .retry_after(2)
}

/// Somebody sends the token just now, or did and was not answered.
fn under_way(import: &Import, now: Timestamp) -> Problem {
    let seconds = (import.under_way_until() - now).get_seconds();
    Problem::new(
        StatusCode::CONFLICT,
        "import-under-way",
        "This token was sent to Salesforce, and no answer is stored yet",
        "Do not use it elsewhere. Bring it again after Retry-After: then the answer is there, or it is sent once more.",
    )
    .retry_after(u32::try_from(seconds).unwrap_or(1).max(1))
}

fn already_connected(why: &str, connections: Vec<String>) -> Problem {
    Problem::new(StatusCode::CONFLICT, "already-connected", "There is a connection already", why)
        .with("connections", connections)
}
