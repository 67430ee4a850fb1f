//! Refreshes under way in this process: of several requests at once for one connection one goes to the lease, and the
//! others wait for what it brings. That saves reads and refused writes, and is no part of the protocol: whoever does
//! not get what it needs here goes the ordinary way, over the lease.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::ConnectionId;
use store::ConnectionRecord;
use tokio::{sync::watch, time::timeout};

use crate::refresh::{RetryLater, need::USUAL_WAIT};

type Landing = watch::Receiver<Option<Ended>>;

/// Maximum callers of one connection, in one process, that wait longer than usual.
const MAX_WAITERS: usize = 20;

/// One flight.
#[derive(Debug)]
struct UnderWay {
    landing: Landing,
    /// Whether one of its callers reported the stored token as rejected.
    is_reported: bool,
}

/// What is under way. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights {
    landings: Arc<Mutex<HashMap<ConnectionId, UnderWay>>>,
    waiters: Arc<Mutex<HashMap<ConnectionId, usize>>>,
}

/// One of the places of callers that wait longer than usual.
pub(crate) struct Place {
    flights: Flights,
    connection: ConnectionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiters = self.flights.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = waiters.get_mut(&self.connection) {
            *number -= 1;
            if *number == 0 {
                waiters.remove(&self.connection);
            }
        }
    }
}

/// A caller's place.
pub(crate) enum Turn {
    /// It goes; the others wait.
    First(Flight),
    /// Another goes.
    After(Waiting),
}

/// The one that goes. Dropped, landed or not, it lets the others on: a request that is cut off holds nobody up.
pub(crate) struct Flight {
    flights: Flights,
    connection: ConnectionId,
    landing: watch::Sender<Option<Ended>>,
}

/// One that waits.
pub(crate) struct Waiting {
    landing: Landing,
    /// Whether it is the first of the flight's callers that reports the stored token as rejected.
    pub(crate) is_first_report: bool,
}

/// How another's flight ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// With a record, which is in the table.
    Landed(Box<ConnectionRecord>),
    /// With nothing yet, for nobody; or it has not ended, and the caller's patience has.
    NotYet(RetryLater),
    /// With nothing that could be shared.
    Cut,
}

impl Flights {
    /// `reports`: the caller reports the stored token as rejected.
    pub(crate) fn join(&self, connection: &ConnectionId, reports: bool) -> Turn {
        let mut flights = self.lock();
        if let Some(flight) = flights.get_mut(connection) {
            let is_first_report = reports && !flight.is_reported;
            flight.is_reported |= reports;
            return Turn::After(Waiting { landing: flight.landing.clone(), is_first_report });
        }
        let (sender, landing) = watch::channel(None);
        flights.insert(connection.clone(), UnderWay { landing, is_reported: reports });
        Turn::First(Flight { flights: self.clone(), connection: connection.clone(), landing: sender })
    }

    /// How long a caller may wait, of the `wait` that it asks for: the usual time where too many wait longer already.
    pub(crate) fn patience(&self, connection: &ConnectionId, wait: Duration) -> (Duration, Option<Place>) {
        if wait <= USUAL_WAIT {
            return (wait, None);
        }
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiters.entry(connection.clone()).or_default();
        if *number >= MAX_WAITERS {
            return (USUAL_WAIT, None);
        }
        *number += 1;
        (wait, Some(Place { flights: self.clone(), connection: connection.clone() }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, UnderWay>> {
        // The map is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.landings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Tells whoever waits.
    pub(crate) fn land(self, ended: Ended) {
        self.landing.send_replace(Some(ended));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.connection);
    }
}

impl Waiting {
    pub(crate) async fn wait(mut self, patience: Duration) -> Ended {
        match timeout(patience, self.landing.wait_for(Option::is_some)).await {
            Ok(Ok(ended)) => ended.clone().unwrap_or(Ended::Cut),
            Ok(Err(_)) => Ended::Cut,
            Err(_) => Ended::NotYet(2.into()),
        }
    }
}
