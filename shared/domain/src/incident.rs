//! Incidents: connections that stop for one cause, within an hour, in many orgs of one app, or many in one org.
//! One by one they look like so many customers' troubles; together they are one event with one reason.
//!
//! What is usual for an app of many customers is no incident: a wave is at least [`LEAST`] stops, and three
//! times as many as in the last calm hour.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{AppId, ConnectionId, IncidentId, OrgId};

/// For so long stops are counted together. A wave goes on for as long as each hour is one.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// With so many stops a wave may begin.
pub const LEAST: usize = 5;

/// So many are counted and no more: it is a wave long before, and the item has a size.
pub const MOST: usize = 100;

/// A wave is so many times what is usual.
const TIMES_USUAL: usize = 3;

/// Over what the stops are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over<'a> {
    /// One of the product's apps: its orgs are counted.
    App(&'a AppId),
    /// One org: the product's connections in it are counted.
    Org(&'a OrgId),
}

/// [`Over`], without what it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Many orgs of one app.
    App,
    /// Many connections of one org.
    Org,
}

/// A wave of stops, as each failure that is part of it names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Over what.
    pub scope: Scope,
    /// Since when there is a wave.
    pub since: Timestamp,
}

/// The stops of one cause within [`WINDOW`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stops {
    /// When the first of them was.
    pub since: Timestamp,
    /// What has stopped, each once, at most [`MOST`].
    pub members: BTreeSet<String>,
    /// How many the last calm hour had.
    pub usual: usize,
    /// The incident that they are.
    pub incident: Option<Incident>,
}

impl Over<'_> {
    /// The word for it in the table.
    pub fn word(&self) -> &'static str {
        match self {
            Self::App(_) => "APP",
            Self::Org(_) => "ORG",
        }
    }

    /// What it is over. The 15- and the 18-character form of an org's id are one.
    pub fn what(&self) -> &str {
        match self {
            Self::App(app) => app.as_str(),
            Self::Org(org) => &org.as_str()[..15],
        }
    }

    /// What is counted of a connection that stops.
    pub fn member(&self, connection: &ConnectionId, org: &OrgId) -> String {
        match self {
            Self::App(_) => org.as_str()[..15].to_owned(),
            Self::Org(_) => connection.to_string(),
        }
    }

    /// Its kind.
    pub fn scope(&self) -> Scope {
        match self {
            Self::App(_) => Scope::App,
            Self::Org(_) => Scope::Org,
        }
    }
}

impl Scope {
    /// The word for it in the API and in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Org => "org",
        }
    }
}

impl Stops {
    /// The first stop after `before`, the ones that were counted last.
    pub fn first(member: String, before: Option<&Self>, now: Timestamp) -> Self {
        // A pause of a whole window ends a wave, and what is usual is then unknown.
        let before = before.filter(|before| now < before.since + WINDOW + WINDOW);
        let wave = before.filter(|before| before.incident.is_some() && before.is_wave());
        Self {
            since: now,
            members: BTreeSet::from([member]),
            // What a wave has is not what is usual.
            usual: before.map_or(0, |before| {
                if before.incident.is_some() { before.usual } else { before.members.len() }
            }),
            incident: wave.and_then(|wave| wave.incident.clone()),
        }
    }

    /// Whether more is counted to these.
    pub fn take(&self, now: Timestamp) -> bool {
        now < self.since + WINDOW
    }

    /// Whether they are too many to be chance.
    pub fn is_wave(&self) -> bool {
        self.members.len() >= LEAST.max(self.usual * TIMES_USUAL).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    /// So many stops from that minute on.
    fn stops(number: usize, minute: i64, before: Option<&Stops>) -> Stops {
        let mut stops = Stops::first("0".into(), before, at(minute));
        stops.members.extend((1..number).map(|member| member.to_string()));
        if stops.is_wave() && stops.incident.is_none() {
            stops.incident =
                Some(Incident { id: IncidentId::mint(at(minute)), scope: Scope::App, since: at(minute) });
        }
        stops
    }

    #[test]
    fn five_are_a_wave_and_four_are_not() {
        assert!(!stops(4, 0, None).is_wave());
        assert!(stops(5, 0, None).is_wave());
    }

    #[test]
    fn what_happens_every_hour_is_no_wave() {
        let mut hour = stops(4, 0, None);
        for number in 1..24 {
            hour = stops(10, number * 60, Some(&hour));
            assert!(!hour.is_wave(), "hour {number}");
        }
        assert!(stops(30, 24 * 60, Some(&hour)).is_wave(), "three times as many are");
        assert!(stops(10, 27 * 60, Some(&hour)).is_wave(), "after a pause nothing is usual");
    }

    #[test]
    fn a_wave_is_one_incident_until_an_hour_is_calm() {
        let calm = stops(2, 0, None);
        let first = stops(20, 60, Some(&calm));
        let second = stops(20, 130, Some(&first));
        assert_eq!(second.incident, first.incident, "the second hour is no news");
        let third = stops(3, 200, Some(&second));
        assert_eq!(third.incident, first.incident, "its last ones belong to it");
        let later = stops(4, 270, Some(&third));
        assert_eq!(later.incident, None, "an hour of three was calm");
        assert_eq!(later.usual, 2);
        assert_ne!(stops(20, 500, Some(&second)).incident, first.incident, "another day, another wave");
    }

    #[test]
    fn however_much_is_usual_the_most_that_is_counted_is_a_wave() {
        let busy = stops(MOST, 0, Some(&stops(90, -60, Some(&stops(40, -120, None)))));
        assert!(busy.is_wave());
    }

    #[test]
    fn an_app_counts_orgs_and_an_org_counts_connections() {
        let org: OrgId = "00D000000000001AAA".parse().expect("an org");
        let short: OrgId = "00D000000000001".parse().expect("an org");
        let connection = ConnectionId::mint(at(0));
        let app = "sync".parse().expect("an app");
        assert_eq!(Over::App(&app).member(&connection, &org), Over::App(&app).member(&connection, &short));
        assert_eq!(Over::Org(&org).what(), Over::Org(&short).what());
        assert_eq!(Over::Org(&org).member(&connection, &org), connection.as_str());
    }
}
