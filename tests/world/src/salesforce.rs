//! Salesforce as plain state with an HTTP face.
//!
//! [`Salesforce`] is a handle on one [`State`]: orgs with their people, apps and how each org sees them, grants and
//! tokens. A test reads and changes it directly; browsers, the functions and real API clients meet it over HTTP
//! ([`Salesforce::serve`]), where it behaves as the real one is known to: the same surfaces, codes and texts.
//!
//! The rules stand in `authorize` and `token`, free of HTTP; the pages and routes in `http`.

mod app;
mod authorize;
mod fault;
pub mod forge;
mod grant;
mod host;
mod hostile;
mod http;
mod ids;
mod org;
mod params;
mod seed;
mod sign;
mod soql;
mod state;
#[cfg(test)]
mod tests;
mod token;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

pub use self::{
    app::{AppKind, AppRegistration, Distribution, PermittedUsers, Policy, Standing},
    fault::{Call, Fault, GrantType, Outcome},
    grant::{
        APPROVAL_LIFETIME, AccessToken, AuthorizeRequest, CODE_LIFETIME, Code, Ending,
        GRANTS_PER_USER_AND_APP, Grant, LoginSession, PendingApproval,
    },
    host::Host,
    hostile::{Endpoint, Misbehavior, catalog},
    http::{Closed, Desk, Running},
    org::{Org, OrgKind, Permission, PermissionSet, User},
    state::{CannotInstall, OtherBehavior, State},
};
use crate::Clock;

/// The path of the token endpoint on every login host and My Domain.
pub const TOKEN_PATH: &str = "/services/oauth2/token";

/// A handle on one Salesforce. Clones share it.
#[derive(Clone)]
pub struct Salesforce {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

impl std::fmt::Debug for Salesforce {
    /// Names the site and nothing that it holds: tokens and consumer secrets are none of a log's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salesforce").field("site", &self.site()).finish_non_exhaustive()
    }
}

#[expect(clippy::missing_panics_doc, reason = "told once, for the whole of it")]
/// Orgs are named by My Domain label (`acme`, `acme--uat`) or id, users by username or id, apps by consumer key. A
/// name that does not exist is a mistake in the test, and panics.
impl Salesforce {
    /// The orgs of every world, no app yet.
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::new(Mutex::new(State::new())), clock }
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the state")
    }

    /// Looks at the state.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.lock())
    }

    /// Registers an app, or replaces the one of the same consumer key.
    pub fn register_app(&self, app: AppRegistration) {
        self.change(|state| {
            state.apps.retain(|known| known.consumer_key != app.consumer_key);
            state.apps.push(app);
        });
    }

    fn app(&self, consumer_key: &str) -> AppRegistration {
        let app = self.read(|state| state.app(consumer_key).cloned());
        app.unwrap_or_else(|| panic!("no app has the consumer key {consumer_key}"))
    }

    fn org_name(&self, org: &str) -> String {
        let name = self.read(|state| state.org(org).map(|org| org.name.clone()));
        name.unwrap_or_else(|| panic!("there is no org {org}"))
    }

    /// The org as it is now.
    pub fn org(&self, org: &str) -> Org {
        let found = self.read(|state| state.org(org).cloned());
        found.unwrap_or_else(|| panic!("there is no org {org}"))
    }

    /// One more customer has an org, with an admin and a user.
    pub fn add_customer(&self, name: &str) -> Org {
        self.change(|state| {
            let org = seed::customer(state.orgs.len() as u64 + 1, name);
            state.orgs.push(org.clone());
            org
        })
    }

    /// Changes an org.
    pub fn change_org(&self, org: &str, change: impl FnOnce(&mut Org)) {
        let name = self.org_name(org);
        self.change(|state| change(state.org_mut(&name).expect("named above")));
    }

    /// How the org sees the app.
    pub fn standing(&self, org: &str, consumer_key: &str) -> Standing {
        self.org(org).standing(&self.app(consumer_key))
    }

    /// An admin installs the app.
    pub fn install(&self, org: &str, consumer_key: &str) -> Result<(), CannotInstall> {
        let (org, app) = (self.org_name(org), self.app(consumer_key));
        self.change(|state| state.install(&org, &app))
    }

    /// An admin uninstalls the app. What was granted to it in this org ends.
    pub fn uninstall(&self, org: &str, consumer_key: &str) {
        let (org, app) = (self.org_name(org), self.app(consumer_key));
        self.change(|state| state.uninstall(&org, &app));
    }

    /// An admin blocks the app. Its tokens do not work while it is blocked.
    pub fn block(&self, org: &str, consumer_key: &str) {
        let (org, app) = (self.org_name(org), self.app(consumer_key));
        self.change(|state| state.block(&org, &app));
    }

    /// An admin unblocks the app, which is again what it was before.
    pub fn unblock(&self, org: &str, consumer_key: &str) {
        let (org, app) = (self.org_name(org), self.app(consumer_key));
        self.change(|state| state.unblock(&org, &app));
    }

    /// An admin sets the installed app's Permitted Users.
    pub fn set_permitted_users(&self, org: &str, consumer_key: &str, permitted_users: PermittedUsers) {
        self.set_policy(org, consumer_key, |policy| policy.permitted_users = permitted_users);
    }

    /// An admin edits the installed app's policies.
    pub fn set_policy(&self, org: &str, consumer_key: &str, change: impl FnOnce(&mut Policy)) {
        let (org, app) = (self.org_name(org), self.app(consumer_key));
        self.change(|state| state.set_policy(&org, &app, change));
    }

    /// A user's grant as it is once its code was exchanged: what the token endpoint answered.
    pub fn granted(&self, org: &str, user: &str, consumer_key: &str) -> serde_json::Value {
        let (org, app, now) = (self.org(org), self.app(consumer_key), self.now());
        let user = org.user(user).unwrap_or_else(|| panic!("{} has no user {user}", org.name)).id.clone();
        let answer = self.change(|state| {
            let grant = state.approve(&org.name, &user, consumer_key, &app.scopes, now);
            state.issue_first(grant, None, &Host::Login, now)
        });
        serde_json::to_value(answer).expect("an answer is JSON")
    }

    /// A user approves what an app asked for: the code that the browser comes back with.
    pub fn approved(&self, org: &str, user: &str, request: AuthorizeRequest) -> String {
        let (org, now) = (self.org(org), self.now());
        let user = org.user(user).unwrap_or_else(|| panic!("{} has no user {user}", org.name)).id.clone();
        self.change(|state| {
            let grant = state.approve(&org.name, &user, &request.consumer_key, &request.scopes, now);
            let code = format!("aPrx{}", ids::random_text(42));
            state.codes.insert(code.clone(), Code { request, grant, issued_at: now, used: false });
            code
        })
    }

    /// Ends every access token of every org; refresh tokens go on working.
    pub fn expire_access_tokens(&self) {
        self.change(|state| state.access_tokens.clear());
    }

    /// The user, or an admin for them, revokes all that they granted.
    pub fn revoke_grants(&self, org: &str, user: &str) {
        let org = self.org(org);
        let user = org.user(user).unwrap_or_else(|| panic!("{} has no user {user}", org.name)).id.clone();
        self.change(|state| state.end_all(Ending::Revoked, |grant| grant.user == user));
    }

    /// Whether revoking a refresh token ends all that its user has granted to the app, newer grants too.
    pub fn set_revoking_ends_all(&self, ends_all: bool) {
        self.change(|state| state.revoking_ends_all = ends_all);
    }

    /// The token endpoint's clock is so far ahead; negative: behind.
    pub fn set_clock_error(&self, error: SignedDuration) {
        self.change(|state| state.clock_error = error);
    }

    /// An admin refreshes a sandbox from production: it keeps its name, its users and their usernames, and has a new
    /// org id; every grant and login in the old copy is gone.
    pub fn refresh_sandbox(&self, org: &str) {
        let org = self.org(org);
        assert!(org.is_sandbox(), "{} is no sandbox", org.name);
        self.change(|state| {
            state.end_all(Ending::Replaced, |grant| grant.org == org.name);
            state.logins.retain(|_, login| login.org != org.name);
            let copies = state.orgs.len() as u64;
            let id = ids::record_id("00D", 1000 + copies + state.grants.len() as u64);
            state.org_mut(&org.name).expect("found above").id = id;
        });
    }

    /// Every grant ever given, oldest first, the ended ones too.
    pub fn grants(&self) -> Vec<Grant> {
        self.read(|state| state.grants.clone())
    }

    /// The grants that still stand, oldest first.
    pub fn live_grants(&self) -> Vec<Grant> {
        self.grants().into_iter().filter(Grant::is_live).collect()
    }

    /// Makes the token endpoint misbehave once; several faults happen in the order that they were queued.
    pub fn queue_token_fault(&self, fault: Fault) {
        self.queue_token_fault_of(None, fault);
    }

    /// The same for the next request of this grant type.
    pub fn queue_token_fault_of(&self, grant_type: Option<GrantType>, fault: Fault) {
        self.change(|state| state.token_faults.push_back((grant_type, fault)));
    }

    /// Makes an endpoint misbehave from now on, or for so many requests.
    ///
    /// # Panics
    /// If there is no fault of this name.
    pub fn misbehave(&self, endpoint: Endpoint, fault: &str, times: Option<u32>) {
        let misbehavior = Misbehavior::named(fault).unwrap_or_else(|| panic!("there is no fault {fault}"));
        self.change(|state| state.misbehaviors.set(endpoint, misbehavior, times));
    }

    /// Makes every endpoint behave again.
    pub fn behave(&self) {
        self.change(|state| state.misbehaviors.clear());
    }

    /// How often each refresh token was sent to the token endpoint, the most often first.
    pub fn refresh_token_uses(&self) -> Vec<(String, u32)> {
        let mut uses: Vec<_> =
            self.read(|state| state.presented.iter().map(|(token, count)| (token.clone(), *count)).collect());
        uses.sort_by(|(_, one), (_, other)| other.cmp(one));
        uses
    }

    /// How long the token endpoint takes over each request from now on.
    pub fn set_token_latency(&self, latency: Duration) {
        self.change(|state| state.token_latency = latency);
    }

    /// How long the REST API takes over each request from now on.
    pub fn set_api_latency(&self, latency: Duration) {
        self.change(|state| state.api_latency = latency);
    }

    /// Whether the REST API has no room for requests; every other address answers.
    pub fn set_api_busy(&self, busy: bool) {
        self.change(|state| state.api_busy = busy);
    }

    /// Whether every connection, but to the index, is closed without an answer.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.change(|state| state.unreachable = unreachable);
    }

    /// Lets `time` pass for the whole world.
    pub fn pass(&self, time: SignedDuration) {
        self.clock.pass(time);
    }

    /// Every request received so far, but those to the index.
    pub fn calls(&self) -> Vec<Call> {
        self.read(|state| state.calls.clone())
    }

    /// The requests that the token endpoint received.
    pub fn token_calls(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.path == TOKEN_PATH).collect()
    }

    /// Starts the record of calls afresh.
    pub fn forget_calls(&self) {
        self.change(|state| state.calls.clear());
    }

    /// `salesforce.localhost:<port>`; without a port until it is served.
    pub fn site(&self) -> String {
        self.read(|state| state.site.clone())
    }

    /// The origin of the org's My Domain.
    pub fn my_domain(&self, org: &str) -> String {
        let org = self.org(org);
        self.read(|state| state.origin(&org))
    }

    /// The origin of `login.*`.
    pub fn login_origin(&self) -> String {
        self.read(|state| Host::Login.origin(state))
    }

    /// The origin of `test.*`.
    pub fn test_origin(&self) -> String {
        self.read(|state| Host::Test.origin(state))
    }
}
