//! A connection is authorized again. The new grant is stored beside the connection until the product redeems it; then it
//! replaces the old grant, under the connection's id, and the old one is revoked. A grant of another org or user is parked
//! first, until the user has seen both and said which is meant.

use domain::{
    Connection, ConnectionState,
    session::{Change, Whose},
};
use store::{ConnectionRecord, Reconnect};
use telemetry::{Outcome, ended};

use super::{ExchangeError, Exchanged, Exchanger, Obtained, PARKED, context::Trip, save::Unsaved};

impl Exchanger {
    /// Stores a grant that was given for an existing connection. `before` is that connection, read before the exchange.
    pub(crate) async fn reconnect(
        &self,
        trip: &Trip<'_>,
        obtained: &Obtained,
        before: &ConnectionRecord,
        mut new: ConnectionRecord,
    ) -> Result<Exchanged, ExchangeError> {
        let whose = before.connection.identity.clone();
        let same = whose.same_as(&new.connection.identity);
        new.reconnect = Some(Reconnect::New { of: before.connection.id.clone(), whose });
        if !same {
            return self.park(trip, obtained, before, new).await;
        }
        let receipt = trip.receipt();
        let saved = self.save(trip, &new, &receipt).await;
        self.or_give_back(trip, obtained, before, saved).await?;
        self.tell_people(trip, &new, &obtained.grant).await;
        Ok(Exchanged::Pending(receipt))
    }

    /// Parks a grant of another org or user.
    async fn park(
        &self,
        trip: &Trip<'_>,
        obtained: &Obtained,
        before: &ConnectionRecord,
        mut new: ConnectionRecord,
    ) -> Result<Exchanged, ExchangeError> {
        let until = trip.time.now() + PARKED;
        new.connection.state = ConnectionState::Parked { until };
        let change = Change { before: whose(&before.connection), after: whose(&new.connection) };
        let (store, browser) = (&self.platform.store, trip.attempt.bound_browser());
        let write = || store.park(&new, &change, &browser, until);
        let parked = self.keep_newest(trip, &new, write).await;
        self.or_give_back(trip, obtained, before, parked).await?;
        self.tell_people(trip, &new, &obtained.grant).await;
        ended(Outcome::Parked);
        Ok(Exchanged::Parked)
    }

    /// Revokes a grant that its session does not accept.
    async fn or_give_back(
        &self,
        trip: &Trip<'_>,
        obtained: &Obtained,
        before: &ConnectionRecord,
        saved: Result<bool, Unsaved>,
    ) -> Result<(), ExchangeError> {
        match saved {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.give_back_new(trip, &obtained.grant, before).await;
                Err(ExchangeError::AlreadyConnected)
            }
            Err(unsaved) => Err(self.unsaved(trip, obtained, unsaved).await),
        }
    }
}

/// What tells people one Salesforce user from another.
fn whose(connection: &Connection) -> Whose {
    Whose {
        identity: connection.identity.clone(),
        environment: connection.environment,
        instance_url: connection.instance_url.clone(),
    }
}
