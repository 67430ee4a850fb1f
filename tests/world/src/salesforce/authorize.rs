//! The authorize endpoint's rules: which of Salesforce's surfaces a request ends on, and with which words.
//!
//! What was asked is checked first, before anybody logs in; what the org and the user allow, afterwards. The
//! texts are those that people report from Salesforce (docs: salesforce.md 1.0 to 1.2).

use jiff::Timestamp;
use url::Url;

use super::{
    app::{AppRegistration, PermittedUsers, Standing},
    grant::{APPROVAL_LIFETIME, AuthorizeRequest, CODE_LIFETIME, Code, PendingApproval},
    host::Host,
    ids::random_text,
    org::{Org, Permission, User},
    params::Params,
    state::State,
};

/// Where an authorize request goes next.
#[derive(Debug)]
pub(super) enum Step {
    /// A bare body at the authorize URL: no page, no state, no way back.
    RawText { error: &'static str, description: &'static str },
    /// Back to the app, with a code or an error.
    Callback(Url),
    /// `RemoteAccessErrorPage` on the org's My Domain, which tells the app nothing.
    ErrorPage { org: String, error: &'static str, description: &'static str },
    /// The login page, for the pending approval of this source.
    LogIn { source: String },
    /// The consent page, on the org's My Domain.
    Consent { org: String, source: String },
    /// "You didn't complete the approval process before it expired."
    Expired,
}

type Refusal = (&'static str, &'static str);

const APP_BLOCKED: Refusal = ("OAUTH_APP_BLOCKED", "this app is blocked by admin");
const NOT_ADMIN_APPROVED: Refusal =
    ("OAUTH_APP_ACCESS_DENIED", "user is not admin approved to access this app");
const ECA_NOT_INSTALLED: Refusal =
    ("OAUTH_EC_APP_NOT_FOUND", "External client app is not installed in this org");
const ECA_OF_ANOTHER_ORG: Refusal =
    ("OAUTH_AUTHORIZATION_BLOCKED", "Cross-org OAuth flows are not supported for this external client app");
const NOT_INSTALLED: Refusal = ("invalid_client", "app must be installed into org");
const SCOPE_NOT_ALLOWED: Refusal = ("invalid_scope", "the requested scope is not allowed");
const CHALLENGE_MISSING: Refusal = ("invalid_request", "missing required code challenge");
const DENIED: Refusal = ("access_denied", "end-user denied authorization");
const UNSUCCESSFUL: Refusal = ("immediate_unsuccessful", "immediate unsuccessful");

impl State {
    /// `GET /services/oauth2/authorize`, by a browser that may have a login.
    pub(super) fn authorize(
        &mut self,
        host: Host,
        params: &Params,
        login: Option<(String, String)>,
        now: Timestamp,
    ) -> Step {
        let request = match self.check_request(host, params) {
            Ok(request) => request,
            Err(step) => return step,
        };
        let login = login.filter(|(org, _)| self.org(org).is_some_and(|org| request.host.serves(org)));
        let source = random_text(18);
        let prompt_login = request.prompt_login;
        self.approvals.insert(source.clone(), PendingApproval { request, since: now, logged_in: false });
        match login {
            Some((org, user)) if !prompt_login => self.go_on(&source, &org, &user, now),
            _ if self.approvals[&source].request.immediate => {
                self.finish(&source, |request| refuse(request, UNSUCCESSFUL))
            }
            _ => Step::LogIn { source },
        }
    }

    /// What can be said of a request without knowing the user.
    fn check_request(&self, host: Host, params: &Params) -> Result<AuthorizeRequest, Step> {
        let consumer_key = params.get("client_id").unwrap_or_default();
        let app = self
            .app(consumer_key)
            .filter(|app| self.knows(&host, app))
            .ok_or(Step::RawText { error: "invalid_client_id", description: "client identifier invalid" })?;
        let redirect_uri = params.get("redirect_uri").ok_or(Step::RawText {
            error: "redirect_uri_missing",
            description: "redirect_uri not provided",
        })?;
        if !app.callback_urls.iter().any(|registered| registered == redirect_uri) {
            let description = "redirect_uri must match configuration";
            return Err(Step::RawText { error: "redirect_uri_mismatch", description });
        }
        let prompts: Vec<&str> = params.get("prompt").unwrap_or_default().split(' ').collect();
        let scopes: Vec<String> =
            params.get("scope").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let request = AuthorizeRequest {
            host,
            consumer_key: consumer_key.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            scopes: if scopes.is_empty() { app.scopes.clone() } else { scopes },
            state: params.get("state").map(str::to_owned),
            code_challenge: params.get("code_challenge").filter(|given| !given.is_empty()).map(str::to_owned),
            nonce: params.get("nonce").map(str::to_owned),
            prompt_login: prompts.contains(&"login"),
            prompt_consent: prompts.contains(&"consent"),
            immediate: params.get("immediate") == Some("true"),
            login_hint: params.get("login_hint").map(str::to_owned),
        };
        if params.get("response_type") != Some("code") {
            return Err(refuse(&request, ("unsupported_response_type", "response type not supported")));
        }
        if app.require_pkce && request.code_challenge.is_none() {
            // A connected app's rule comes back to the callback; an external client app's stays at the authorize URL.
            let (error, description) = CHALLENGE_MISSING;
            return Err(if app.is_external_client_app() {
                Step::RawText { error, description }
            } else {
                refuse(&request, CHALLENGE_MISSING)
            });
        }
        Ok(request)
    }

    /// Apps are known everywhere, but for those made in a sandbox: production has never heard of them.
    fn knows(&self, host: &Host, app: &AppRegistration) -> bool {
        let made_in_a_sandbox = self.org(&app.created_in).is_some_and(Org::is_sandbox);
        !made_in_a_sandbox
            || match host {
                Host::Test => true,
                Host::MyDomain(name) => self.org(name).is_some_and(Org::is_sandbox),
                Host::Index | Host::Login => false,
            }
    }

    /// A login for the pending approval of this source has succeeded.
    pub(super) fn note_login(&mut self, source: &str) {
        if let Some(pending) = self.approvals.get_mut(source) {
            pending.logged_in = true;
        }
    }

    /// The pending approval of this source, while its time lasts.
    pub(super) fn pending(&self, source: &str, now: Timestamp) -> Option<&PendingApproval> {
        self.approvals.get(source).filter(|pending| now < pending.since + APPROVAL_LIFETIME)
    }

    /// The user is known: refuse, ask for consent, or approve at once.
    pub(super) fn go_on(&mut self, source: &str, org: &str, user: &str, now: Timestamp) -> Step {
        let Some(pending) = self.pending(source, now) else { return Step::Expired };
        let served = self.org(org).is_some_and(|org| pending.request.host.serves(org));
        if !served || (pending.request.prompt_login && !pending.logged_in) {
            return Step::LogIn { source: source.to_owned() };
        }
        let request = pending.request.clone();
        match self.refusal(&request, org, user) {
            Some(step) => {
                self.approvals.remove(source);
                step
            }
            None if !request.prompt_consent && self.needs_no_consent(&request, org, user) => {
                self.approve_request(source, org, user, now)
            }
            None if request.immediate => self.finish(source, |request| refuse(request, UNSUCCESSFUL)),
            None => Step::Consent { org: org.to_owned(), source: source.to_owned() },
        }
    }

    /// The user pressed Allow or Deny on the consent page.
    pub(super) fn decide(
        &mut self,
        source: &str,
        org: &str,
        user: &str,
        allow: bool,
        now: Timestamp,
    ) -> Step {
        if !allow && self.pending(source, now).is_some() {
            return self.finish(source, |request| refuse(request, DENIED));
        }
        match self.go_on(source, org, user, now) {
            Step::Consent { .. } => self.approve_request(source, org, user, now),
            other => other,
        }
    }

    /// What the org has against this user using this app. An app that was tried becomes known to the org.
    fn refusal(&mut self, request: &AuthorizeRequest, org: &str, user: &str) -> Option<Step> {
        let app = self.app(&request.consumer_key)?.clone();
        self.see(org, &app);
        let org = self.org(org)?;
        let user = org.user(user)?;
        let on_page =
            |(error, description): Refusal| Step::ErrorPage { org: org.name.clone(), error, description };
        if let Err(refusal) = admission(org, user, &app) {
            return Some(match refusal {
                NOT_INSTALLED => on_page(NOT_INSTALLED),
                told => refuse(request, told),
            });
        }
        if request.scopes.iter().any(|scope| !app.allows_scope(scope)) {
            return Some(on_page(SCOPE_NOT_ALLOWED));
        }
        (org.require_pkce && request.code_challenge.is_none()).then(|| on_page(CHALLENGE_MISSING))
    }

    /// Pre-authorized users, and those who approved all of it before, are not asked.
    fn needs_no_consent(&self, request: &AuthorizeRequest, org: &str, user: &str) -> bool {
        let pre_authorized = self.org(org).zip(self.app(&request.consumer_key)).is_some_and(|(org, app)| {
            matches!(org.standing(app), Standing::Installed(policy)
                if policy.permitted_users == PermittedUsers::AdminApprovedPreAuthorized)
        });
        pre_authorized
            || self.grants.iter().any(|grant| {
                grant.is_live()
                    && grant.user == user
                    && grant.consumer_key == request.consumer_key
                    && request.scopes.iter().all(|scope| grant.has_scope(scope))
            })
    }

    fn approve_request(&mut self, source: &str, org: &str, user: &str, now: Timestamp) -> Step {
        let Some(pending) = self.approvals.remove(source) else { return Step::Expired };
        let request = pending.request;
        let grant = self.approve(org, user, &request.consumer_key, &request.scopes, now);
        let code = format!("aPrx{}", random_text(42));
        let mut callback = callback(&request);
        callback.query_pairs_mut().append_pair("code", &code);
        add_state(&mut callback, &request);
        self.codes.insert(code, Code { request, grant, issued_at: now, used: false });
        Step::Callback(callback)
    }

    fn finish(&mut self, source: &str, end: impl FnOnce(&AuthorizeRequest) -> Step) -> Step {
        self.approvals.remove(source).map_or(Step::Expired, |pending| end(&pending.request))
    }
}

impl Code {
    /// Whether it can still be exchanged.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        !self.used && now < self.issued_at + CODE_LIFETIME
    }
}

/// Whether this org lets this user near this app at all.
fn admission(org: &Org, user: &User, app: &AppRegistration) -> Result<(), Refusal> {
    let standing = org.standing(app);
    let any_client = org.may(user, Permission::UseAnyApiClient);
    if standing.is_blocked() && !any_client {
        return Err(APP_BLOCKED);
    }
    if app.is_external_client_app() && !standing.is_installed() {
        use super::app::Distribution::{Local, Packaged};
        return Err(match app.distribution {
            Local => ECA_OF_ANOTHER_ORG,
            Packaged => ECA_NOT_INSTALLED,
        });
    }
    match standing.policy() {
        Some(policy) => {
            let assigned = org.assigns(policy, user);
            if org.api_access_control && !assigned && !any_client {
                return Err(APP_BLOCKED);
            }
            if policy.permitted_users == PermittedUsers::AdminApprovedPreAuthorized && !assigned {
                return Err(NOT_ADMIN_APPROVED);
            }
            Ok(())
        }
        None if any_client => Ok(()),
        // API Access Control takes the place of Approve Uninstalled Connected Apps.
        None if org.api_access_control => Err(APP_BLOCKED),
        None if org.may(user, Permission::ApproveUninstalledConnectedApps) => Ok(()),
        None => Err(NOT_INSTALLED),
    }
}

fn callback(request: &AuthorizeRequest) -> Url {
    Url::parse(&request.redirect_uri).expect("a registered callback URL is a URL")
}

fn add_state(callback: &mut Url, request: &AuthorizeRequest) {
    if let Some(state) = &request.state {
        callback.query_pairs_mut().append_pair("state", state);
    }
}

fn refuse(request: &AuthorizeRequest, (error, description): Refusal) -> Step {
    let mut callback = callback(request);
    callback.query_pairs_mut().append_pair("error", error).append_pair("error_description", description);
    add_state(&mut callback, request);
    Step::Callback(callback)
}
