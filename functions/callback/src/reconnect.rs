//! A connection is authorized anew. The new grant stands beside the connection until the product redeems it; then
//! it takes the old one's place, under the connection's id, and the old one is revoked. What came back as another
//! org or user is parked before that, until the user has seen both and said which is meant.

use domain::{
    Connection, ConnectionState,
    secret::Receipt,
    session::{Change, Whose},
};
use jiff::SignedDuration;
use store::{ConnectionRecord, Reconnect};
use telemetry::{Outcome, ended};
use web::{Response, respond::redirect};

use crate::{
    Callback,
    arrive::{REDEEM, Unsaved},
    error::Ended,
    exchange::Obtained,
    trip::Trip,
};

/// How long the user has to confirm another org or user.
pub(crate) const PARKED: SignedDuration = SignedDuration::from_mins(30);

/// A browser's return that has brought a grant.
#[derive(Debug)]
pub(crate) struct Return<'a> {
    pub(crate) trip: &'a Trip<'a>,
    /// What Salesforce granted.
    pub(crate) obtained: &'a Obtained,
    /// The connection that is authorized anew, as it was before the exchange.
    pub(crate) before: &'a ConnectionRecord,
}

impl Callback {
    /// What follows on a grant that was given for a connection that there is.
    pub(crate) async fn reconnect(
        &self,
        back: Return<'_>,
        mut new: ConnectionRecord,
    ) -> Result<Response, Ended> {
        let before = &back.before.connection;
        let whose = before.identity.clone();
        let same = whose.same_as(&new.connection.identity);
        new.reconnect = Some(Reconnect::New { of: before.id.clone(), whose });
        if !same {
            return self.park(back, new).await;
        }
        let trip = back.trip;
        let receipt = Receipt::of(&trip.id, &trip.cookie.secret, &trip.attempt.id);
        let saved = self.save(trip, &new, &receipt).await;
        self.or_give_back(&back, saved).await?;
        self.tell_people(trip, &new, &back.obtained.grant).await;
        Ok(trip.back().to_product(&trip.id, &receipt, trip.cookie, REDEEM))
    }

    /// Parks a grant of another org or user, and asks in this browser.
    async fn park(&self, back: Return<'_>, mut new: ConnectionRecord) -> Result<Response, Ended> {
        let trip = back.trip;
        let until = trip.time.now() + PARKED;
        new.connection.state = ConnectionState::Parked { until };
        let change = Change { before: whose(&back.before.connection), after: whose(&new.connection) };
        let (store, browser) = (&self.platform.store, trip.attempt.bound_browser());
        let write = || store.park(&new, &change, &browser, until);
        let parked = self.keep_newest(trip, &new, write).await;
        self.or_give_back(&back, parked).await?;
        self.tell_people(trip, &new, &back.obtained.grant).await;
        ended(Outcome::Parked);
        let mut response = redirect(&format!("/connect/{}/confirm", trip.cookie.key.expose()));
        trip.cookie.keep(&mut response, &browser.attempt, (PARKED + REDEEM).as_secs());
        Ok(response)
    }

    /// Gives a grant back that its session does not take.
    async fn or_give_back(&self, back: &Return<'_>, saved: Result<bool, Unsaved>) -> Result<(), Ended> {
        match saved {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.give_back_new(back.trip, &back.obtained.grant, back.before).await;
                Err(Ended::Connected(Box::new(back.trip.attempt.clone())))
            }
            Err(unsaved) => Err(self.unsaved(back.trip, back.obtained, unsaved).await),
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
