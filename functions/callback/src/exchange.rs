//! The exchange: one call to the token endpoint, and the checks without which nothing of it is kept.

use domain::{
    App, Attempt,
    secret::{AuthorizationCode, BrowserSecret},
};
use jiff::Timestamp;
use salesforce::{Distrust, Grant, LoginHost, Registration, SalesforceError, id_token::Expected};
use service::failures::internal;
use telemetry::step;

use crate::{Callback, error::ExchangeError};

impl Callback {
    /// Exchanges a code at the host that the attempt went to, and checks what comes back.
    pub(crate) async fn exchange(
        &self,
        attempt: &Attempt,
        app: &App,
        code: &AuthorizationCode,
        browser: &BrowserSecret,
        now: Timestamp,
    ) -> Result<Grant, ExchangeError> {
        let host =
            self.platform.salesforce.hosts().readmit(&attempt.login_host).map_err(|_| ExchangeError::Host)?;
        let verifier = browser.pkce_verifier(&attempt.id);
        let grant = match self.ask(&host, app, code, &verifier).await {
            Ok(grant) if grant.instance_url(None).is_none() => Err(grant.doubt(Distrust::InstanceUrl).into()),
            answer => answer,
        };
        let grant = match grant {
            Err(ExchangeError::Salesforce(SalesforceError::Doubtful(doubtful))) => {
                // Nobody will hold what is not believed.
                if let Err(error) = self.platform.salesforce.revoke_doubtful(&doubtful).await {
                    internal(&error);
                }
                return Err(SalesforceError::Doubtful(doubtful).into());
            }
            answer => answer?,
        };
        step!("verify", self.check(&host, attempt, app, browser, &grant, now)).await?;
        Ok(grant)
    }

    /// Asks for the tokens; once more if, and only if, Salesforce refused the consumer secret and there is
    /// another by now.
    async fn ask(
        &self,
        host: &LoginHost,
        app: &App,
        code: &AuthorizationCode,
        verifier: &str,
    ) -> Result<Grant, ExchangeError> {
        let (salesforce, secrets) = (&self.platform.salesforce, &self.platform.secrets);
        let callback = self.platform.settings.public_url.callback();
        let held = secrets.consumer(&app.secret).await?;
        let app_with = Registration { consumer_key: &app.consumer_key, secret: &held.current };
        let refused = match salesforce.exchange(host, app_with, code, verifier, &callback).await {
            Err(error) if error.is_invalid_client() => error,
            answer => return Ok(answer?),
        };
        let Some(other) = secrets.other_consumer(&app.secret, &held.current).await? else {
            return Err(refused.into());
        };
        let app_with = Registration { secret: &other, ..app_with };
        Ok(salesforce.exchange(host, app_with, code, verifier, &callback).await?)
    }

    async fn check(
        &self,
        host: &LoginHost,
        attempt: &Attempt,
        app: &App,
        browser: &BrowserSecret,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<(), ExchangeError> {
        let wants = |names: &[&str]| app.scopes.iter().any(|scope| names.contains(&scope.as_str()));
        if wants(&["refresh_token", "offline_access"]) && grant.refresh.is_none() {
            self.give_back(attempt, grant).await;
            return Err(ExchangeError::NoRefreshToken);
        }
        if !wants(&["openid"]) {
            return Ok(());
        }
        let checked = match &grant.id_token {
            None => Err(ExchangeError::NoIdToken),
            Some(token) => {
                let own = grant
                    .instance_url(None)
                    .and_then(|own| self.platform.salesforce.hosts().readmit(&own).ok());
                let expected = Expected {
                    my_domain: own.as_ref().map(LoginHost::origin),
                    access: &grant.access,
                    audience: &app.consumer_key,
                    nonce: &browser.nonce(&attempt.id),
                    identity: &grant.identity,
                };
                let salesforce = &self.platform.salesforce;
                salesforce.check_id_token(host, token, &expected, now).await.map_err(ExchangeError::from)
            }
        };
        if checked.is_err() {
            self.give_back(attempt, grant).await;
        }
        checked
    }
}
