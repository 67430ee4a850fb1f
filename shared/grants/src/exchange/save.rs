//! A new grant is stored: sealed, written until the outcome is known, or kept in the fallback.

use std::time::Duration;

use diagnosis::evidence;
use domain::{
    ConnectionId, Stage, Surface,
    secret::{Receipt, RefreshToken},
};
use platform::log::internal;
use salesforce::Grant;
use store::{ConnectionRecord, NewConnection, StoreError, Tokens};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{ExchangeError, Exchanger, Obtained, REDEEM, context::Trip};
use crate::{
    record_failure::{FailureSubject, Observation, diagnose},
    verify::pending,
};

/// How often the write of a new connection is tried: the tokens exist nowhere else yet.
const SAVES: u32 = 3;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// How long Salesforce may take to tell the user's name, which is for people to read.
const ASK_NAME: Duration = Duration::from_secs(3);

/// Minimum time left for what is only for people to read.
const TIME_FOR_PEOPLE: Duration = Duration::from_secs(2);

/// The table did not take a new grant.
#[derive(Debug)]
pub(crate) struct Unsaved {
    pub(crate) error: StoreError,
    /// Whether one of the tries may have been carried out.
    may_be_stored: bool,
}

impl Unsaved {
    /// No try can have stored it.
    pub(crate) fn certainly(error: StoreError) -> Self {
        Self { error, may_be_stored: false }
    }
}

impl Exchanger {
    /// The connection to be stored, its tokens sealed.
    pub(crate) async fn record(
        &self,
        trip: &Trip<'_>,
        grant: &Grant,
    ) -> Result<ConnectionRecord, ExchangeError> {
        let now = trip.time.now();
        let connection = pending(trip.attempt, trip.app, grant, trip.id.clone(), now + REDEEM, now);
        let issued_at = grant.issued_at(now);
        let tokens = Tokens { access: &grant.access, refresh: grant.refresh.as_ref(), issued_at };
        let record = ConnectionRecord::seal(&self.cipher, connection, tokens, trip.app).await?;
        Ok(ConnectionRecord { another: trip.attempt.another, ..record })
    }

    pub(crate) async fn save(
        &self,
        trip: &Trip<'_>,
        record: &ConnectionRecord,
        receipt: &Receipt,
    ) -> Result<bool, Unsaved> {
        let redeem_by = record.connection.created_at + REDEEM;
        let new = NewConnection {
            record,
            session: &trip.attempt.session,
            browser: &trip.attempt.bound_browser(),
            receipt: (receipt.hash(), redeem_by),
            due: redeem_by,
        };
        self.keep_newest(trip, record, || self.platform.store.save_connection(&new)).await
    }

    /// Tries a write of a new grant until it is known whether it was carried out, or the fallback's turn comes.
    pub(crate) async fn insist<W>(&self, trip: &Trip<'_>, write: impl Fn() -> W) -> Result<bool, Unsaved>
    where
        W: Future<Output = Result<bool, StoreError>>,
    {
        let until = trip.table_until();
        let (mut tries, mut may_be_stored) = (1, false);
        loop {
            let error = match timeout_at(until, write()).await {
                // A try whose answer was lost may have stored it: then it is this very connection that stands.
                Ok(Ok(false)) if tries > 1 => return self.is_stored(&trip.id, may_be_stored).await,
                Ok(Ok(saved)) => return Ok(saved),
                Ok(Err(error)) => error,
                Err(_) => StoreError::timed_out("TransactWriteItems"),
            };
            may_be_stored |= error.may_be_carried_out();
            if tries == SAVES || until <= Instant::now() + PAUSE {
                return Err(Unsaved { error, may_be_stored });
            }
            internal(&error);
            tries += 1;
            sleep(PAUSE).await;
        }
    }

    async fn is_stored(&self, id: &ConnectionId, may_be_stored: bool) -> Result<bool, Unsaved> {
        let found = self.platform.store.connection(id).await;
        found.map(|found| found.is_some()).map_err(|error| Unsaved { error, may_be_stored })
    }

    /// The table did not take a grant: it waits in the fallback, and the sweep stores it. Only if that is not possible
    /// either, and no try can have stored it, is it revoked.
    pub(crate) async fn unsaved(
        &self,
        trip: &Trip<'_>,
        obtained: &Obtained,
        unsaved: Unsaved,
    ) -> ExchangeError {
        if !self.keep_unstored(trip, obtained).await && !unsaved.may_be_stored {
            self.give_back(trip, &obtained.grant).await;
        }
        unsaved.error.into()
    }

    /// What is only for people to read, once the grant is stored: the user's name, and for the operators an address of the
    /// org's API that is not known. Whatever goes wrong costs nothing else.
    pub(crate) async fn tell_people(&self, trip: &Trip<'_>, record: &ConnectionRecord, grant: &Grant) {
        let told = async {
            self.report_instance(trip, record, grant).await;
            let patience = ASK_NAME.min(trip.all_but(TIME_FOR_PEOPLE));
            let Some(username) = self.platform.salesforce.identity(grant, patience).await.username else {
                return;
            };
            let named = match &record.connection.state {
                domain::ConnectionState::Parked { .. } => {
                    let session = &trip.attempt.session;
                    self.platform.store.name_parked_user(session, &trip.id, &username).await
                }
                _ => self.platform.store.name_user(&trip.id, &username).await,
            };
            if let Err(error) = named {
                internal(&error);
            }
        };
        if let Err(late) = timeout(trip.all_but(TIME_FOR_PEOPLE / 2), told).await {
            internal(&late);
        }
    }

    /// Tells the operators about an address of the org's API that is no host of Salesforce's that we know.
    async fn report_instance(&self, trip: &Trip<'_>, record: &ConnectionRecord, grant: &Grant) {
        let Some(unknown) = &grant.unknown_instance else { return };
        let detail = format!("the answer's instance_url names {unknown}");
        let evidence = evidence::our_own(Surface::TokenEndpoint, "instance_unknown", Some(&detail));
        let met = Observation::new(
            FailureSubject::Connection(&record.connection),
            trip.app,
            Stage::Exchange,
            evidence,
        );
        let (failure, _) = diagnose(met, trip.time.now());
        if let Err(error) = self.platform.store.record_failure(&failure).await {
            internal(&error);
        }
    }

    /// Revokes a grant that nobody will hold, unless the connection that it was to renew holds its refresh token.
    pub(crate) async fn give_back_new(&self, trip: &Trip<'_>, grant: &Grant, before: &ConnectionRecord) {
        let refresh = grant.refresh.as_ref().map(RefreshToken::fingerprint);
        if refresh.is_none() || refresh != before.refresh_fingerprint {
            self.give_back(trip, grant).await;
        }
    }
}
