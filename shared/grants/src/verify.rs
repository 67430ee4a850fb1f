//! A new grant: what is checked before it becomes a connection. The callback checks one that has just come; the sweep
//! repeats the checks of one that an operator releases from quarantine.

use std::time::Duration;

use domain::{App, Attempt, Connection, ConnectionId, ConnectionState, Environment, secret::Hash};
use jiff::Timestamp;
use salesforce::{Distrust, Grant, SalesforceError, id_token::Expected};

use platform::Platform;

/// What a grant has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The app that asked.
    pub app: &'a App,
    /// The origin of the login host that was asked.
    pub login_host: &'a str,
    /// Who the browser's answer says to have issued the code (RFC 9207), if it tells.
    pub issuer: Option<&'a str>,
    /// The digest of the attempt's nonce.
    pub nonce: &'a Hash,
    /// When the answer was received: its id_token had to be valid then.
    pub received: Timestamp,
}

impl<'a> Wanted<'a> {
    /// Who may issue the code and the id_token.
    fn issuers<'b>(&self, my_domain: Option<&'b str>) -> [&'b str; 2]
    where
        'a: 'b,
    {
        [self.login_host, my_domain.unwrap_or(self.login_host)]
    }

    fn expected<'b>(&'b self, grant: &'b Grant, issuers: &'b [&'b str]) -> Expected<'b> {
        Expected {
            audience: &self.app.consumer_key,
            nonce: self.nonce,
            identity: &grant.identity,
            issuers,
            access: &grant.access,
        }
    }
}

/// Why a grant is refused.
#[derive(Debug, thiserror::Error)]
pub enum GrantRefused {
    /// The refresh token that the app asks for was not granted.
    #[error("the answer has no refresh token, though the app asks for one")]
    NoRefreshToken,
    /// The id_token that the app asks for is missing.
    #[error("the answer has no id_token, though the app asks for one")]
    NoIdToken,
    /// The browser's answer named another issuer than the org that gave the grant.
    #[error("the browser's answer names another issuer than the org of the grant")]
    Issuer,
    /// It may be somebody else's.
    #[error(transparent)]
    Distrust(#[from] Distrust),
}

/// What a grant lacks that Salesforce may still tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    /// Nothing.
    Nothing,
    /// The address of the org's API.
    Instance,
    /// The key that its id_token is signed with.
    Key,
}

/// Why a second look did not complete a grant.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The grant is refused.
    #[error(transparent)]
    Refused(#[from] GrantRefused),
    /// Salesforce did not tell what is lacking.
    #[error(transparent)]
    Unknown(#[from] SalesforceError),
}

/// Checks a grant as far as that needs no network.
pub fn check_grant(platform: &Platform, grant: &Grant, wanted: &Wanted<'_>) -> Result<Lacking, GrantRefused> {
    if asks(wanted.app, &["refresh_token", "offline_access"]) && grant.refresh.is_none() {
        return Err(GrantRefused::NoRefreshToken);
    }
    // A generic login host hands over to the org's own My Domain, which is known only now.
    let own = grant.instance_url(None).map(|own| my_domain(platform, &own));
    if let (Some(issuer), Some(own)) = (wanted.issuer, &own)
        && !wanted.issuers(own.as_deref()).contains(&issuer)
    {
        return Err(GrantRefused::Issuer);
    }
    let has_key = if asks(wanted.app, &["openid"]) {
        let token = grant.id_token.as_ref().ok_or(GrantRefused::NoIdToken)?;
        // Whose My Domain may issue it is not known yet where the answer does not name the instance.
        let issuer = match own {
            Some(own) => own,
            None => salesforce::id_token::issuer(token).and_then(|issuer| my_domain(platform, &issuer)),
        };
        let issuers = wanted.issuers(issuer.as_deref());
        let expected = wanted.expected(grant, &issuers);
        let salesforce = &platform.salesforce;
        salesforce.check_id_token_with_held_keys(&grant.host, token, &expected, wanted.received)?
    } else {
        true
    };
    Ok(match grant.instance_url(None) {
        None => Lacking::Instance,
        Some(_) if !has_key => Lacking::Key,
        Some(_) => Lacking::Nothing,
    })
}

/// Asks Salesforce for what a grant lacks, and checks it whole.
pub async fn look_again(
    platform: &Platform,
    grant: Grant,
    wanted: &Wanted<'_>,
    timeout: Duration,
) -> Result<Grant, LookError> {
    let grant = match grant.instance_url(None) {
        Some(_) => grant,
        None => match platform.salesforce.identity(&grant, timeout).await.instance_url {
            Some(origin) => grant.at_instance(origin),
            None => return Err(grant.doubt(Distrust::InstanceUrl).into()),
        },
    };
    if check_grant(platform, &grant, wanted)? == Lacking::Key {
        let token = grant.id_token.as_ref().ok_or(GrantRefused::NoIdToken)?;
        let own = grant.instance_url(None).and_then(|own| my_domain(platform, &own));
        let issuers = wanted.issuers(own.as_deref());
        let expected = wanted.expected(&grant, &issuers);
        let checked =
            platform.salesforce.check_id_token(&grant.host, token, &expected, wanted.received).await;
        checked.map_err(|error| match error {
            SalesforceError::Untrusted(distrust) => LookError::from(GrantRefused::from(distrust)),
            unknown => unknown.into(),
        })?;
    }
    Ok(grant)
}

fn my_domain(platform: &Platform, origin: &str) -> Option<String> {
    let host = platform.salesforce.hosts().readmit(origin).ok()?;
    (host.environment() == Environment::MyDomain).then(|| host.origin().to_owned())
}

/// The pending connection that a grant of this attempt makes.
pub fn pending(
    attempt: &Attempt,
    app: &App,
    grant: &Grant,
    id: ConnectionId,
    redeem_by: Timestamp,
    now: Timestamp,
) -> Connection {
    Connection {
        id,
        product: attempt.product.clone(),
        app: attempt.app.clone(),
        customer: attempt.customer.clone(),
        user: attempt.user.clone(),
        session: Some(attempt.session.clone()),
        identity: grant.identity.clone(),
        login_host: grant.host.origin().to_owned(),
        environment: attempt.environment,
        instance_url: grant.instance_url(None).unwrap_or_default(),
        scopes: grant.granted(&app.scopes),
        state: ConnectionState::Pending { redeem_by },
        created_at: now,
    }
}

/// Whether the app asks for one of these scopes.
pub fn asks(app: &App, scopes: &[&str]) -> bool {
    app.scopes.iter().any(|scope| scopes.contains(&scope.as_str()))
}
