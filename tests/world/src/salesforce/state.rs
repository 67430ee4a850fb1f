//! Everything there is in Salesforce, as plain data.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    app::{AppRegistration, Policy, Standing},
    fault::{Call, Fault, GrantType},
    grant::{AccessToken, Code, Ending, GRANTS_PER_USER_AND_APP, Grant, LoginSession, PendingApproval},
    host::SITE,
    hostile::Orders,
    org::{Org, User},
    params::Params,
    seed,
};

/// How Salesforce behaves where no source says it, other than the world assumes (docs/salesforce.md 7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherBehavior {
    /// A refresh token that rotation replaced is refused, and its grant lives on.
    pub replay_spares_the_grant: bool,
    /// The sixth grant of a user and app ends the oldest when its code is exchanged, not when it is approved.
    pub evicts_at_exchange: bool,
    /// A wrong verifier leaves the code good.
    pub wrong_verifier_spares_the_code: bool,
}

/// Salesforce's whole state. Tests read and change it through [`Salesforce::read`] and [`Salesforce::change`].
///
/// [`Salesforce::read`]: super::Salesforce::read
/// [`Salesforce::change`]: super::Salesforce::change
pub struct State {
    /// `salesforce.localhost:<port>`; without a port until it is served.
    pub site: String,
    pub orgs: Vec<Org>,
    pub apps: Vec<AppRegistration>,
    /// Browser logins, by `sid` cookie.
    pub logins: HashMap<String, LoginSession>,
    /// Requests on their way through login and consent, by the `source` in those pages' addresses.
    pub approvals: HashMap<String, PendingApproval>,
    pub codes: HashMap<String, Code>,
    /// Every grant ever given, oldest first, the ended ones too.
    pub grants: Vec<Grant>,
    pub access_tokens: HashMap<String, AccessToken>,
    /// Every access token and id_token ever given, the ended ones too, each with the word for what it is.
    pub handed_out: Vec<(&'static str, String)>,
    /// What the token endpoint does to the next requests, in order.
    pub token_faults: VecDeque<(Option<GrantType>, Fault)>,
    /// Which endpoints misbehave.
    pub misbehaviors: Orders,
    /// How often each refresh token was sent to the token endpoint.
    pub presented: HashMap<String, u32>,
    /// How long the token endpoint takes over each request.
    pub token_latency: Duration,
    /// How long the REST API takes over each request.
    pub api_latency: Duration,
    /// The REST API answers 503 `SERVER_UNAVAILABLE`.
    pub api_busy: bool,
    /// Every host but the index closes each connection without an answer.
    pub unreachable: bool,
    /// Whether revoking a refresh token ends all that its user has granted to the app, newer grants too. Nobody has
    /// said that Salesforce does not.
    pub revoking_ends_all: bool,
    pub other_behavior: OtherBehavior,
    /// How far the token endpoint's clock is ahead of everybody's: what it says of when it issued a token.
    pub clock_error: SignedDuration,
    pub calls: Vec<Call>,
    /// The grants whose refresh token is being used right now.
    pub(super) in_flight: BTreeSet<u64>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            site: SITE.to_owned(),
            orgs: seed::orgs(),
            apps: Vec::new(),
            logins: HashMap::new(),
            approvals: HashMap::new(),
            codes: HashMap::new(),
            grants: Vec::new(),
            access_tokens: HashMap::new(),
            handed_out: Vec::new(),
            token_faults: VecDeque::new(),
            misbehaviors: Orders::default(),
            presented: HashMap::new(),
            token_latency: Duration::ZERO,
            api_latency: Duration::ZERO,
            api_busy: false,
            unreachable: false,
            revoking_ends_all: false,
            other_behavior: OtherBehavior::default(),
            clock_error: SignedDuration::ZERO,
            calls: Vec::new(),
            in_flight: BTreeSet::new(),
        }
    }

    /// Counts the refresh token that a request carries.
    pub(super) fn note_presented(&mut self, params: &Params) {
        if let Some(token) = params.get("refresh_token") {
            *self.presented.entry(token.to_owned()).or_default() += 1;
        }
    }

    /// The org of this name or id.
    pub fn org(&self, name_or_id: &str) -> Option<&Org> {
        self.orgs.iter().find(|org| org.name == name_or_id || org.id == name_or_id)
    }

    pub fn org_mut(&mut self, name_or_id: &str) -> Option<&mut Org> {
        self.orgs.iter_mut().find(|org| org.name == name_or_id || org.id == name_or_id)
    }

    /// The app of this consumer key.
    pub fn app(&self, consumer_key: &str) -> Option<&AppRegistration> {
        self.apps.iter().find(|app| app.consumer_key == consumer_key)
    }

    /// The grant of this id.
    pub fn grant(&self, id: u64) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.id == id)
    }

    pub(super) fn grant_mut(&mut self, id: u64) -> Option<&mut Grant> {
        self.grants.iter_mut().find(|grant| grant.id == id)
    }

    /// The grant's org and user, as they are now.
    pub(super) fn holder(&self, grant: &Grant) -> (&Org, &User) {
        let org = self.org(&grant.org).expect("orgs are never removed");
        (org, org.user(&grant.user).expect("users are never removed"))
    }

    /// The origin of the org's My Domain: its instance URL.
    pub fn origin(&self, org: &Org) -> String {
        format!("http://{}", org.host(&self.site))
    }

    /// The user's identity URL.
    pub fn identity_url(&self, org: &Org, user: &User) -> String {
        format!("{}/id/{}/{}", org.login_host().origin(self), org.id, user.id)
    }

    /// The live login of this `sid` cookie.
    pub(super) fn login(&self, sid: &str, now: Timestamp) -> Option<(&Org, &User)> {
        let session = self.logins.get(sid)?;
        let org = self.org(&session.org)?;
        let user = org.user(&session.user)?;
        (user.active && now < session.since + org.session_timeout).then_some((org, user))
    }

    /// The grant behind a live access token.
    pub(super) fn live_token(&self, access_token: &str, now: Timestamp) -> Option<(&AccessToken, &Grant)> {
        let token = self.access_tokens.get(access_token).filter(|token| now < token.expires_at)?;
        let grant = self.grant(token.grant).filter(|grant| grant.is_live())?;
        let (org, user) = self.holder(grant);
        let blocked = org.apps.get(&grant.consumer_key).is_some_and(Standing::is_blocked);
        (user.active && !blocked).then_some((token, grant))
    }

    /// Records an approval. The oldest of more than five of one user and app ends here, before any code is exchanged, or
    /// at the exchange ([`OtherBehavior`]).
    pub(super) fn approve(
        &mut self,
        org: &str,
        user: &str,
        consumer_key: &str,
        scopes: &[String],
        now: Timestamp,
    ) -> u64 {
        let id = self.grants.len() as u64 + 1;
        self.grants.push(Grant {
            id,
            org: org.to_owned(),
            user: user.to_owned(),
            consumer_key: consumer_key.to_owned(),
            scopes: scopes.to_vec(),
            approved_at: now,
            used_at: now,
            refresh_token: None,
            spent: Vec::new(),
            ended: None,
        });
        if !self.other_behavior.evicts_at_exchange {
            self.evict(user, consumer_key);
        }
        id
    }

    /// Ends the oldest of more than five grants of one user and app.
    pub(super) fn evict(&mut self, user: &str, consumer_key: &str) {
        let rivals: Vec<u64> = self
            .grants
            .iter()
            .filter(|grant| grant.is_live() && grant.user == user && grant.consumer_key == consumer_key)
            .map(|grant| grant.id)
            .collect();
        for oldest in rivals.iter().take(rivals.len().saturating_sub(GRANTS_PER_USER_AND_APP)) {
            self.end(*oldest, Ending::Evicted);
        }
    }

    /// Ends a grant, its refresh token and its access tokens. One that is over stays as it ended.
    pub(super) fn end(&mut self, grant: u64, why: Ending) {
        if let Some(grant) = self.grant_mut(grant).filter(|grant| grant.is_live()) {
            grant.ended = Some(why);
        }
        self.access_tokens.retain(|_, token| token.grant != grant);
    }

    /// Ends every live grant that matches.
    pub(super) fn end_all(&mut self, why: Ending, matches: impl Fn(&Grant) -> bool) {
        let ended: Vec<u64> = self
            .grants
            .iter()
            .filter(|grant| grant.is_live() && matches(grant))
            .map(|grant| grant.id)
            .collect();
        for grant in ended {
            self.end(grant, why);
        }
    }

    /// Makes an app that this org never saw appear in Connected Apps OAuth Usage.
    pub(super) fn see(&mut self, org: &str, app: &AppRegistration) {
        if let Some(org) = self.org_mut(org)
            && org.standing(app) == Standing::Unseen
        {
            org.apps.insert(app.consumer_key.clone(), Standing::Seen);
        }
    }

    /// Installs the app with its default policy, unless it is installed. A blocked app stays blocked.
    pub(super) fn install(&mut self, org: &str, app: &AppRegistration) -> Result<(), CannotInstall> {
        let made_in_a_sandbox = self.org(&app.created_in).is_some_and(Org::is_sandbox);
        let org = self.org_mut(org).ok_or(CannotInstall)?;
        if made_in_a_sandbox && !org.is_sandbox() {
            return Err(CannotInstall);
        }
        let standing = match org.standing(app) {
            Standing::Unseen | Standing::Seen => Standing::Installed(Policy::default()),
            Standing::Blocked(None) => Standing::Blocked(Some(Policy::default())),
            installed => installed,
        };
        org.apps.insert(app.consumer_key.clone(), standing);
        Ok(())
    }

    /// Uninstalls the app; what was granted to it in this org ends. It stays listed.
    pub(super) fn uninstall(&mut self, org: &str, app: &AppRegistration) {
        if let Some(org) = self.org_mut(org) {
            org.apps.insert(app.consumer_key.clone(), Standing::Seen);
        }
        self.end_all(Ending::Uninstalled, |grant| grant.org == org && grant.consumer_key == app.consumer_key);
    }

    pub(super) fn block(&mut self, org: &str, app: &AppRegistration) {
        if let Some(org) = self.org_mut(org) {
            let policy = org.standing(app).policy().cloned();
            org.apps.insert(app.consumer_key.clone(), Standing::Blocked(policy));
        }
    }

    pub(super) fn unblock(&mut self, org: &str, app: &AppRegistration) {
        if let Some(org) = self.org_mut(org)
            && let Standing::Blocked(policy) = org.standing(app)
        {
            org.apps.insert(app.consumer_key.clone(), policy.map_or(Standing::Seen, Standing::Installed));
        }
    }

    /// Changes an installed app's policy.
    pub(super) fn set_policy(&mut self, org: &str, app: &AppRegistration, change: impl FnOnce(&mut Policy)) {
        let Some(org) = self.org_mut(org) else { return };
        let mut standing = org.standing(app);
        if let Standing::Installed(policy) | Standing::Blocked(Some(policy)) = &mut standing {
            change(policy);
            org.apps.insert(app.consumer_key.clone(), standing);
        }
    }
}

/// An app made in a sandbox cannot be installed in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CannotInstall;
