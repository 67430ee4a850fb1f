//! The exchange of an authorization code: from the code to a stored grant, in this order.
//!
//! 1. [`Exchanger::exchange`] sends the code once. Checks that need no network come before anything else is awaited: they
//!    decide whether the answer is stored, kept in quarantine, or revoked (`keep_answer`).
//! 2. The grant is stored as a pending connection (`save`), beside the connection that it renews if there is one
//!    (`reconnect`). Only then Salesforce is asked for names that people read.
//! 3. Older grants that nobody redeemed are revoked (`unredeemed`): Salesforce keeps five of a user and app.
//!
//! [`Trip`] says how much time each part has.

mod context;
mod health;
mod keep_answer;
mod reconnect;
mod save;
mod unredeemed;

use std::time::Duration;

use diagnosis::evidence;
use domain::{
    Evidence, Identity, Surface,
    secret::{AuthorizationCode, Receipt},
};
use jiff::{SignedDuration, Timestamp};
use platform::{Platform, SettingError, log::internal};
use salesforce::{Distrust, DoubtfulAnswer, Grant, LoginHost, Registration, SalesforceError};
use store::{ConnectionRecord, Fallback, Quarantined, SecretError, StoreError, TokenCipher};
use telemetry::step;
use tokio::time::timeout;

use crate::{
    refresh::health::Told,
    replace::reconnectable,
    verify::{GrantRefused, Lacking, LookError, asks, check_grant, look_again},
};
use context::SEND;
use health::told_of;
use keep_answer::Reason;

pub use context::Trip;

/// How long the product has to redeem a receipt. The browser is on its way there.
pub const REDEEM: SignedDuration = SignedDuration::from_mins(10);

/// How long the user has to confirm another org or user.
pub const PARKED: SignedDuration = SignedDuration::from_mins(30);

/// How long the keys of a login host may take before the code is sent.
const KEYS: Duration = Duration::from_secs(5);

/// Exchanges codes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exchanger {
    platform: Platform,
    cipher: TokenCipher,
    fallback: Fallback,
}

/// Where a code led.
#[derive(Debug)]
pub enum Exchanged {
    /// A pending connection is stored. The product redeems it with this receipt.
    Pending(Receipt),
    /// The grant is another org's or user's than the connection that it was to renew. It is parked until the user has seen
    /// both and said which is meant.
    Parked,
}

/// Why a code did not become a connection.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Salesforce.
    #[error(transparent)]
    Salesforce(#[from] SalesforceError),
    /// The consumer secret or the keyring.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The attempt's login host is not one of Salesforce's.
    #[error("the attempt's login host is not one of Salesforce's")]
    Host,
    /// The answer is refused, and its grant given back.
    #[error(transparent)]
    Refused(#[from] GrantRefused),
    /// The answer is kept in quarantine.
    #[error("the answer is in quarantine: {0}")]
    Kept(SalesforceError),
    /// The code was not sent: its answer might not have been stored in time.
    #[error("no time was left to send the code")]
    NoTime,
    /// The code was not sent: Salesforce refuses the app, its answers cannot be trusted, or the login host is down.
    #[error("nothing is sent for the app or to the login host now")]
    Held(Box<Evidence>),
    /// The connection that was to be renewed is gone. The new grant is revoked.
    #[error("the connection that was to be renewed is gone")]
    Overtaken,
    /// The session has its connection already, from another tab. The new grant is revoked.
    #[error("the session is connected already")]
    AlreadyConnected,
    /// The table. The grant, if there is one, is kept in the fallback.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExchangeError {
    /// What it tells a diagnosis. Our own faults are ours: the person is not told a secret's name.
    pub fn evidence(&self) -> Evidence {
        match self {
            // The status of an answer that carries tokens says nothing of what passes by itself.
            Self::Kept(error @ SalesforceError::Doubtful(_)) => {
                Evidence { http_status: None, ..error.evidence() }
            }
            Self::Salesforce(error) | Self::Kept(error) => error.evidence(),
            Self::Held(evidence) => (**evidence).clone(),
            Self::Secret(_) | Self::Host | Self::AlreadyConnected | Self::Store(_) => {
                evidence::our_own(Surface::TokenEndpoint, "internal", None)
            }
            Self::NoTime => {
                evidence::our_own(Surface::Callback, "callback_interrupted", Some(&self.to_string()))
            }
            Self::Overtaken => evidence::our_own(Surface::Callback, "reconnect_overtaken", None),
            Self::Refused(GrantRefused::NoRefreshToken) => {
                evidence::our_own(Surface::TokenEndpoint, "refresh_token_missing", None)
            }
            Self::Refused(GrantRefused::NoIdToken) => {
                evidence::our_own(Surface::TokenEndpoint, "id_token_invalid", None)
            }
            Self::Refused(refused @ GrantRefused::Issuer) => {
                evidence::our_own(Surface::Callback, "identity_mismatch", Some(&refused.to_string()))
            }
            Self::Refused(GrantRefused::Distrust(distrust)) => {
                SalesforceError::Untrusted(*distrust).evidence()
            }
        }
    }
}

/// A grant that passed every check.
#[derive(Debug)]
pub(crate) struct Obtained {
    pub(crate) grant: Grant,
    /// The same answer in quarantine, where it stays until the grant is stored.
    pub(crate) kept: Option<Quarantined>,
}

impl Exchanger {
    /// The exchanges of this platform.
    pub fn new(platform: Platform) -> Result<Self, SettingError> {
        Ok(Self { cipher: platform.token_cipher()?, fallback: platform.fallback()?, platform })
    }

    /// Sends the code and stores what comes back. Whatever the answer is, no grant is lost: it is stored, in quarantine,
    /// or revoked.
    pub async fn connect(
        &self,
        trip: &Trip<'_>,
        code: &AuthorizationCode,
    ) -> Result<Exchanged, ExchangeError> {
        let health = step!("health", self.may_exchange(trip)).await?;
        let mut told = Told::Nothing;
        let exchanged = Box::pin(self.exchange_and_keep(trip, code, &mut told)).await;
        step!("learn", self.learn_exchange(trip, &health, told)).await;
        exchanged
    }

    async fn exchange_and_keep(
        &self,
        trip: &Trip<'_>,
        code: &AuthorizationCode,
        told: &mut Told<'static>,
    ) -> Result<Exchanged, ExchangeError> {
        let before = match &trip.attempt.reconnects {
            None => None,
            Some(of) => reconnectable(&self.platform, &trip.attempt.product, of).await?,
        };
        let obtained = step!("exchange", self.exchange(trip, code, before.as_ref(), told)).await?;
        if trip.attempt.reconnects.is_some() && before.is_none() {
            // The connection was deleted. Only an exchanged code yields a grant that can be revoked.
            if self.give_back(trip, &obtained.grant).await {
                self.forget(obtained.kept.as_ref()).await;
            }
            return Err(ExchangeError::Overtaken);
        }
        let record = match step!("seal", self.record(trip, &obtained.grant)).await {
            Ok(record) => record,
            Err(error) => {
                self.give_back(trip, &obtained.grant).await;
                return Err(error);
            }
        };
        let exchanged = match &before {
            Some(before) => Box::pin(self.reconnect(trip, &obtained, before, record)).await?,
            None => self.store_new(trip, &obtained, &record).await?,
        };
        self.forget(obtained.kept.as_ref()).await;
        Ok(exchanged)
    }

    /// Stores a new connection; only then is asked for what people read.
    async fn store_new(
        &self,
        trip: &Trip<'_>,
        obtained: &Obtained,
        record: &ConnectionRecord,
    ) -> Result<Exchanged, ExchangeError> {
        let receipt = trip.receipt();
        match step!("store", self.save(trip, record, &receipt)).await {
            Ok(true) => {}
            Ok(false) => {
                self.give_back(trip, &obtained.grant).await;
                return Err(ExchangeError::AlreadyConnected);
            }
            Err(unsaved) => return Err(self.unsaved(trip, obtained, unsaved).await),
        }
        self.tell_people(trip, record, &obtained.grant).await;
        Ok(Exchanged::Pending(receipt))
    }

    /// Exchanges a code at the host that the attempt went to, and checks what comes back.
    async fn exchange(
        &self,
        trip: &Trip<'_>,
        code: &AuthorizationCode,
        before: Option<&ConnectionRecord>,
        told: &mut Told<'static>,
    ) -> Result<Obtained, ExchangeError> {
        let hosts = self.platform.salesforce.hosts();
        let host = hosts.readmit(&trip.attempt.login_host).map_err(|_| ExchangeError::Host)?;
        // Whatever can fail without spending anything comes first.
        let secret = self.platform.secrets.consumer(&trip.app.secret).await?.current;
        self.cipher.ready().await?;
        self.fetch_keys(trip, &host).await;
        if !trip.time.has(SEND) {
            return Err(ExchangeError::NoTime);
        }
        let answer = step!("send", self.ask(trip, &host, code, &secret)).await;
        let received = trip.time.now();
        match answer {
            Ok(grant) => {
                let placed = self.place(trip, with_known_instance(grant, before), received).await;
                if placed.is_ok() {
                    *told = Told::Accepted;
                }
                placed
            }
            Err(ExchangeError::Salesforce(SalesforceError::Doubtful(doubtful))) => {
                let doubt = told_of(&SalesforceError::Doubtful(doubtful.clone()));
                let placed = self.place_doubtful(trip, *doubtful).await;
                if !matches!(placed, ExchangeError::Refused(_)) {
                    *told = doubt;
                }
                Err(placed)
            }
            Err(error) => {
                if let ExchangeError::Salesforce(error) = &error {
                    *told = told_of(error);
                }
                Err(error)
            }
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
        let verifier = trip.browser.pkce_verifier(&trip.attempt.id);
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
