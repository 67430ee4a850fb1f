//! `POST /connect/{key}`: mints an attempt, ties it to this browser, sends the browser to Salesforce.

use domain::{
    App, Attempt, ConnectSession, Environment,
    secret::{BrowserSecret, ConnectKey, State},
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use pages::{HostForm, HostRefusal};
use platform::log::refused;
use salesforce::{
    HostRefused, LoginHost,
    authorize::{AuthorizeRequest, authorize_url},
};
use store::Begun;
use telemetry::{Outcome, ended};
use web::{
    Request, Response,
    browser_binding::{AttemptCookie, clear_surplus},
    error_pages::used_link,
    request::{Form, is_same_origin},
    respond::redirect,
};

use crate::{
    Authorize,
    connect_page::{over, sign_in},
    error::AuthorizeError,
};

/// How long a trip to Salesforce may take: sign-in, a second factor, reading the consent.
const TRIP: SignedDuration = SignedDuration::from_mins(30);

/// Maximum time that a browser stays bound to an attempt: who comes back too late is recognized and told so.
const MAX_BOUND: SignedDuration = SignedDuration::from_hours(24);

/// Minimum time that a browser stays bound, also where the link ends sooner: for the trip and the confirmation.
const MIN_BOUND: SignedDuration = SignedDuration::from_hours(1);

/// What the user chose on the page.
struct Chosen<'a> {
    environment: Option<Environment>,
    my_domain: &'a str,
    fresh_login: bool,
}

impl Authorize {
    pub(crate) async fn start_attempt(
        &self,
        request: &Request,
        key: &str,
        now: Timestamp,
    ) -> Result<Response, AuthorizeError> {
        let public_url = &self.platform.settings.public_url;
        if !is_same_origin(request, public_url.origin()) {
            return Err(AuthorizeError::ForeignForm);
        }
        let form = Form::of_body(request).map_err(|_| AuthorizeError::BadForm)?;
        let chosen = Chosen::read(&form);
        let key = ConnectKey::new(key);
        let session =
            self.platform.store.session(&key.session()).await?.ok_or(AuthorizeError::UnknownLink)?;
        let (product, app) = self.parties(&session, now).await?;
        if let Some(over) = over(request, &key, &session, &product, now) {
            return Ok(over);
        }
        let fixed = self.fixed_host(&session)?;
        let host = match fixed {
            Some(host) => host,
            None => match self.chosen_host(&app, &chosen) {
                Ok(host) => host,
                Err(refusal) => {
                    refused(why(refusal));
                    let again = HostForm {
                        allowed: &app.login_hosts,
                        chosen: chosen.environment,
                        my_domain: chosen.my_domain,
                        refused: Some(refusal),
                    };
                    let context = self.connect_context(&session, &product, &app).await;
                    return Ok(Self::connect_page(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        &key,
                        &session,
                        (&product, &app),
                        sign_in(None, again),
                        &context,
                    ));
                }
            },
        };

        let (state, browser) = (State::mint(), BrowserSecret::mint());
        let attempt = attempt(&session, &host, &state, &browser, now);
        if self.platform.store.begin_attempt(&attempt).await? == Begun::No {
            // Between the read above and this write the session ended: its page says how.
            let session =
                self.platform.store.session(&key.session()).await?.ok_or(AuthorizeError::UnknownLink)?;
            return Ok(over(request, &key, &session, &product, now).unwrap_or_else(|| {
                used_link("the connect session has had too many attempts", &product.brand, &session.return_to)
            }));
        }
        let to = authorize_url(
            &host,
            &app.clone().asking(session.scopes.as_deref()),
            &AuthorizeRequest {
                redirect_uri: &public_url.callback(),
                state: state.expose(),
                code_challenge: &browser.pkce_challenge(&attempt.id),
                nonce: &browser.nonce(&attempt.id),
                fresh_login: chosen.fresh_login,
            },
        );
        ended(Outcome::Redirected);
        let mut response = redirect(to.as_str());
        clear_surplus(request, &mut response);
        let left = (session.expires_at - now).get_seconds().clamp(MIN_BOUND.as_secs(), MAX_BOUND.as_secs());
        AttemptCookie { secret: browser, key }.keep(&mut response, &attempt.id, left);
        Ok(response)
    }

    fn chosen_host(&self, app: &App, chosen: &Chosen<'_>) -> Result<LoginHost, HostRefusal> {
        let environment = chosen
            .environment
            .or_else(|| if let [only] = app.login_hosts[..] { Some(only) } else { None })
            .filter(|environment| app.login_hosts.contains(environment))
            .ok_or(HostRefusal::NoChoice)?;
        let hosts = self.platform.salesforce.hosts();
        let host = match environment {
            Environment::Production => hosts.production(),
            Environment::Sandbox => hosts.sandbox(),
            Environment::MyDomain => hosts.my_domain(chosen.my_domain).map_err(|refused| match refused {
                HostRefused::Empty => HostRefusal::MyDomainMissing,
                HostRefused::NotAHost | HostRefused::NotSalesforce => HostRefusal::NotMyDomain,
                HostRefused::OrgId => HostRefusal::OrgId,
                HostRefused::Username => HostRefusal::Username,
                HostRefused::Several => HostRefusal::Several,
            })?,
        };
        // A shared login host can be typed as a My Domain.
        if app.login_hosts.contains(&host.environment()) { Ok(host) } else { Err(HostRefusal::NotMyDomain) }
    }
}

impl<'a> Chosen<'a> {
    fn read(form: &'a Form) -> Self {
        Self {
            environment: match form.only("host") {
                Some("production") => Some(Environment::Production),
                Some("sandbox") => Some(Environment::Sandbox),
                Some("my_domain") => Some(Environment::MyDomain),
                _ => None,
            },
            my_domain: form.only("my_domain").unwrap_or_default(),
            fresh_login: form.only("fresh_login") == Some("yes"),
        }
    }
}

fn attempt(
    session: &ConnectSession,
    host: &LoginHost,
    state: &State,
    browser: &BrowserSecret,
    now: Timestamp,
) -> Attempt {
    Attempt {
        id: state.attempt(),
        session: session.id.clone(),
        product: session.product.clone(),
        app: session.app.clone(),
        customer: session.customer.clone(),
        user: session.user.clone(),
        reconnects: session.reconnects.clone(),
        another: session.another,
        scopes: session.scopes.clone(),
        login_host: host.origin().to_owned(),
        environment: host.environment(),
        return_to: session.return_to.clone(),
        browser: browser.hash(),
        began_at: now,
        expires_at: now + TRIP,
        claimed_at: None,
    }
}

/// For the log: what was typed is not repeated.
fn why(refusal: HostRefusal) -> &'static str {
    match refusal {
        HostRefusal::NoChoice => "no sign-in host was chosen",
        HostRefusal::MyDomainMissing => "no My Domain was entered",
        HostRefusal::NotMyDomain => "the My Domain is not one of Salesforce's",
        HostRefusal::OrgId => "an org ID was entered as My Domain",
        HostRefusal::Username => "a username was entered as My Domain",
        HostRefusal::Several => "several addresses were entered as My Domain",
    }
}
