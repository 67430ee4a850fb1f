//! The exchange: one call to the token endpoint, and the checks that decide where its answer goes. Those that need no
//! network come before anything else is awaited: the answer goes to the connection, into quarantine, or back.

use grants::verify::{check_grant, look_again};
use std::time::Duration;

use domain::{Identity, secret::AuthorizationCode};
use grants::verify::{GrantRefused, Lacking, LookError, asks};
use jiff::Timestamp;
use platform::log::internal;
use salesforce::{Distrust, DoubtfulAnswer, Grant, LoginHost, Registration, SalesforceError};
use store::{ConnectionRecord, Quarantined};
use telemetry::step;
use tokio::time::timeout;

use crate::{
    Callback,
    error::ExchangeError,
    kept::Reason,
    trip::{SEND, Trip},
};

/// How long the keys of a login host may take before the code is sent.
const KEYS: Duration = Duration::from_secs(5);

/// Whether the answer is kept in quarantine until its grant is stored.
#[derive(Debug)]
pub(crate) struct Obtained {
    pub(crate) grant: Grant,
    pub(crate) kept: Option<Quarantined>,
}

impl Callback {
    /// Exchanges a code at the host that the attempt went to, and checks what comes back.
    pub(crate) async fn exchange(
        &self,
        trip: &Trip<'_>,
        code: &AuthorizationCode,
        before: Option<&ConnectionRecord>,
    ) -> Result<Obtained, ExchangeError> {
        let hosts = self.platform.salesforce.hosts();
        let host = hosts.readmit(&trip.attempt.login_host).map_err(|_| ExchangeError::Host)?;
        // Whatever can fail without spending anything comes first.
        let secret = self.platform.secrets.consumer(&trip.app.secret).await?.current;
        self.vault.ready().await?;
        self.fetch_keys(trip, &host).await;
        if !trip.time.has(SEND) {
            return Err(ExchangeError::NoTime);
        }
        let answer = step!("send", self.ask(trip, &host, code, &secret)).await;
        let received = trip.time.now();
        match answer {
            Ok(grant) => self.place(trip, with_known_instance(grant, before), received).await,
            Err(ExchangeError::Salesforce(SalesforceError::Doubtful(doubtful))) => {
                Err(self.place_doubtful(trip, *doubtful).await)
            }
            Err(error) => Err(error),
        }
    }

    /// Has the keys of the login host at hand before the answer comes. Without them its answer is kept until they come.
    async fn fetch_keys(&self, trip: &Trip<'_>, host: &LoginHost) {
        let patience = KEYS.min(trip.all_but(SEND + Duration::from_millis(500)));
        if asks(trip.app, &["openid"])
            && let Err(error) = self.platform.salesforce.fetch_keys(host, trip.time.now(), patience).await
        {
            internal(&error);
        }
    }

    /// Asks for the tokens; once more if, and only if, Salesforce refused the consumer secret, there is another by now,
    /// and time is left for its answer.
    async fn ask(
        &self,
        trip: &Trip<'_>,
        host: &LoginHost,
        code: &AuthorizationCode,
        secret: &domain::secret::ConsumerSecret,
    ) -> Result<Grant, ExchangeError> {
        let (salesforce, app) = (&self.platform.salesforce, trip.app);
        let verifier = trip.cookie.secret.pkce_verifier(&trip.attempt.id);
        let callback = self.platform.settings.public_url.callback();
        let app_with = Registration { consumer_key: &app.consumer_key, secret };
        let patience = trip.for_exchange();
        let refused = match salesforce.exchange(host, app_with, code, &verifier, &callback, patience).await {
            Err(error) if error.is_invalid_client() => error,
            answer => return Ok(answer?),
        };
        let Some(other) = self.platform.secrets.other_consumer(&app.secret, secret).await? else {
            return Err(refused.into());
        };
        if !trip.time.has(SEND) {
            return Err(refused.into());
        }
        let app_with = Registration { secret: &other, ..app_with };
        let patience = trip.for_exchange();
        Ok(salesforce.exchange(host, app_with, code, &verifier, &callback, patience).await?)
    }

    /// Where a grant goes. One that lacks something which only the network tells is kept first.
    async fn place(
        &self,
        trip: &Trip<'_>,
        grant: Grant,
        received: Timestamp,
    ) -> Result<Obtained, ExchangeError> {
        let wanted = trip.wanted(received);
        let lacking = match check_grant(&self.platform, &grant, &wanted) {
            Ok(Lacking::Nothing) => return Ok(Obtained { grant, kept: None }),
            Ok(Lacking::Instance) => Distrust::InstanceUrl,
            Ok(Lacking::Key) => Distrust::IdToken("key"),
            Err(refused) => {
                self.give_back(trip, &grant).await;
                return Err(refused.into());
            }
        };
        let doubtful = grant.as_doubtful(lacking);
        let kept =
            step!("quarantine", self.keep_answer(trip, (&doubtful).into(), Reason::doubt(&doubtful))).await;
        if let Err(error) = &kept {
            internal(error);
        }
        let kept = kept.ok();
        let patience = trip.for_second_look();
        let looked =
            step!("look again", timeout(patience, look_again(&self.platform, grant, &wanted, patience)));
        let error = match looked.await {
            Ok(Ok(grant)) => return Ok(Obtained { grant, kept }),
            Ok(Err(LookError::Refused(refused))) => {
                if self.give_back(trip, &doubtful).await {
                    self.forget(kept.as_ref()).await;
                }
                return Err(refused.into());
            }
            Ok(Err(LookError::Unknown(error))) => error,
            Err(_) => SalesforceError::Doubtful(Box::new(doubtful.clone())),
        };
        if kept.is_some() {
            return Err(ExchangeError::Kept(error));
        }
        self.give_back(trip, &doubtful).await;
        Err(error.into())
    }

    /// Where an answer goes that is doubtful: its form alone never loses it.
    async fn place_doubtful(&self, trip: &Trip<'_>, doubtful: DoubtfulAnswer) -> ExchangeError {
        let audience = &trip.app.consumer_key;
        let of_another = self.platform.salesforce.is_for_another(&doubtful.raw, audience, &trip.nonce);
        let distrust = of_another.err().or(doubtful.distrust.is_of_identity().then_some(doubtful.distrust));
        if let Some(distrust) = distrust {
            self.give_back(trip, &doubtful).await;
            return GrantRefused::Distrust(distrust).into();
        }
        match step!("quarantine", self.keep_answer(trip, (&doubtful).into(), Reason::doubt(&doubtful))).await
        {
            Ok(_) => ExchangeError::Kept(SalesforceError::Doubtful(Box::new(doubtful))),
            Err(error) => {
                internal(&error);
                self.give_back(trip, &doubtful).await;
                SalesforceError::Doubtful(Box::new(doubtful)).into()
            }
        }
    }

    /// Keeps a grant that the table did not take, until the sweep has stored it. `true`: it is kept.
    pub(crate) async fn keep_unstored(&self, trip: &Trip<'_>, obtained: &Obtained) -> bool {
        let answer = (&obtained.grant).into();
        match step!("fallback", self.keep_answer(trip, answer, Reason::unstored())).await {
            Ok(_) => true,
            Err(error) => {
                internal(&error);
                false
            }
        }
    }
}

/// A reconnect's grant whose answer does not name the org's API keeps the address that the connection had, if it is the
/// same org and user.
fn with_known_instance(grant: Grant, before: Option<&ConnectionRecord>) -> Grant {
    let known = before.map(|before| &before.connection).filter(|connection| {
        let same = |held: &Identity| held.same_as(&grant.identity);
        same(&connection.identity) && !connection.instance_url.is_empty()
    });
    match (grant.instance_url(None), known) {
        (None, Some(connection)) => {
            let known = connection.instance_url.clone();
            grant.at_instance(known)
        }
        _ => grant,
    }
}
