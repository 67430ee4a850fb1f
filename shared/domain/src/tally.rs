//! What is counted: the words of the counters, and how long fixes take as a histogram of few bands.
//!
//! A counter counts one [`Measure`] of one product, app and [`Environment`]; every word in its name is one of ours, so
//! their number is bounded, whatever strangers send.

use jiff::SignedDuration;

use crate::{Environment, Provenance, Stage};

/// How far a session has come: each session is counted once a step that it has reached, in the hour and on the day in
/// which it was created. What was created is connected, failed, lost, or still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Made by the product's backend.
    Created,
    /// The connect page was seen.
    Opened,
    /// A browser was sent to Salesforce.
    Redirected,
    /// Salesforce's answer brought a grant.
    Returned,
    /// The connection works.
    Connected,
    /// The last attempt failed, and none has succeeded since.
    Failed,
    /// The browser went to Salesforce and has not come back.
    Lost,
}

/// What became of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefreshOutcome {
    /// Salesforce gave a new access token.
    Refreshed,
    /// Refused in a way that passes, or by our own set-up: the connection stays as it is.
    Passed,
    /// No answer was stored.
    Unanswered,
    /// Refused for good: the user has to connect again.
    NeedsReauth,
    /// Refused until an admin acts.
    Blocked,
    /// Fresh tokens are rejected too: refreshing was paused.
    Paused,
}

/// What a counter counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Sessions that have reached a step.
    Sessions(Step),
    /// Failures.
    Failures {
        /// Where on the way.
        stage: Stage,
        /// Who saw it.
        provenance: Provenance,
        /// The cause's id.
        cause: String,
    },
    /// Refreshes.
    Refreshes(RefreshOutcome),
    /// Connections that are in this state now.
    Connections(String),
    /// Customers who succeeded after failures of this cause, by how long it took from the first one.
    Fixed {
        /// Who saw it.
        provenance: Provenance,
        /// The cause's id.
        cause: String,
        /// Which of [`BANDS`].
        band: u8,
    },
}

/// A counter of a product's app: what, and in which environment; `None`: not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    /// Which kind of host.
    pub environment: Option<Environment>,
    /// What.
    pub measure: Measure,
}

/// Where the bands of time end, in minutes; the last has no end.
pub const BANDS: [i64; 14] = [1, 2, 5, 10, 20, 40, 90, 180, 360, 720, 1440, 2 * 1440, 4 * 1440, 8 * 1440];

/// The band that a time falls in.
pub fn band(took: SignedDuration) -> u8 {
    let minutes = took.as_secs().max(0) / 60;
    let band = BANDS.iter().position(|end| minutes < *end).unwrap_or(BANDS.len());
    u8::try_from(band).unwrap_or(u8::MAX)
}

/// The time within which so large a part of those counted succeeded, from 0 to 1, in minutes, spread evenly within its
/// band; `None`: none was counted. In the last band: its beginning.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts and minutes are far below 2^52"
)]
pub fn quantile(bands: &[u64], part: f64) -> Option<i64> {
    let all: u64 = bands.iter().sum();
    let wanted = part * all as f64;
    let mut below = 0.0;
    for (band, count) in bands.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if below + count >= wanted {
            let start = band.checked_sub(1).map_or(0, |before| BANDS[before.min(BANDS.len() - 1)]);
            let Some(end) = BANDS.get(band) else { return Some(start) };
            let within = (wanted - below) / count;
            return Some(start + ((end - start) as f64 * within).ceil() as i64);
        }
        below += count;
    }
    None
}

impl Step {
    /// All, in the order of the way; then the two ways to end without a connection.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Opened,
        Self::Redirected,
        Self::Returned,
        Self::Connected,
        Self::Failed,
        Self::Lost,
    ];

    /// The word for it in the API and the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Opened => "opened",
            Self::Redirected => "redirected",
            Self::Returned => "returned",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

impl RefreshOutcome {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Refreshed, Self::Passed, Self::Unanswered, Self::NeedsReauth, Self::Blocked, Self::Paused];

    /// The word for it in the API and the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Passed => "passed",
            Self::Unanswered => "unanswered",
            Self::NeedsReauth => "needs_reauth",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
        }
    }
}

/// The word for an environment that is not known.
const UNKNOWN: &str = "unknown";

impl Counter {
    /// Its name in the table: `production/sessions/created`.
    pub fn name(&self) -> String {
        let environment = self.environment.map_or(UNKNOWN, Environment::word);
        match &self.measure {
            Measure::Sessions(step) => format!("{environment}/sessions/{}", step.word()),
            Measure::Failures { stage, provenance, cause } => {
                format!("{environment}/failures/{}/{}/{cause}", stage.word(), provenance.word())
            }
            Measure::Refreshes(outcome) => format!("{environment}/refreshes/{}", outcome.word()),
            Measure::Connections(state) => format!("{environment}/connections/{state}"),
            Measure::Fixed { provenance, cause, band } => {
                format!("{environment}/fixed/{}/{cause}/{band}", provenance.word())
            }
        }
    }

    /// The counter of that name; `None`: it is none of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        let (environment, rest) = parts.split_first()?;
        let environment = match *environment {
            UNKNOWN => None,
            word => Some(
                [Environment::Production, Environment::Sandbox, Environment::MyDomain]
                    .into_iter()
                    .find(|kind| kind.word() == word)?,
            ),
        };
        let provenance = |word: &str| {
            [Provenance::Observed, Provenance::Reported].into_iter().find(|who| who.word() == word)
        };
        let measure = match rest {
            ["sessions", word] => Measure::Sessions(Step::ALL.into_iter().find(|step| step.word() == *word)?),
            ["failures", stage, who, cause] => Measure::Failures {
                stage: Stage::ALL.into_iter().find(|known| known.word() == *stage)?,
                provenance: provenance(who)?,
                cause: (*cause).to_owned(),
            },
            ["refreshes", word] => {
                Measure::Refreshes(RefreshOutcome::ALL.into_iter().find(|outcome| outcome.word() == *word)?)
            }
            ["connections", state] => Measure::Connections((*state).to_owned()),
            ["fixed", who, cause, band] => Measure::Fixed {
                provenance: provenance(who)?,
                cause: (*cause).to_owned(),
                band: band.parse().ok().filter(|band| usize::from(*band) <= BANDS.len())?,
            },
            _ => return None,
        };
        Some(Self { environment, measure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_as_it_was_named() {
        let measures = Step::ALL
            .into_iter()
            .map(Measure::Sessions)
            .chain(RefreshOutcome::ALL.into_iter().map(Measure::Refreshes))
            .chain([
                Measure::Connections("needs_reauth".into()),
                Measure::Failures {
                    stage: Stage::Lost,
                    provenance: Provenance::Observed,
                    cause: "app_not_installed".into(),
                },
                Measure::Fixed {
                    provenance: Provenance::Reported,
                    cause: "app_not_installed".into(),
                    band: 3,
                },
            ]);
        for measure in measures {
            for environment in [None, Some(Environment::MyDomain)] {
                let counter = Counter { environment, measure: measure.clone() };
                assert_eq!(Counter::parse(&counter.name()), Some(counter));
            }
        }
        for bad in [
            "",
            "tallied_at",
            "mars/sessions/created",
            "production/sessions/x",
            "production/fixed/observed/a/99",
        ] {
            assert_eq!(Counter::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_quantile_lies_in_the_band_in_which_its_part_is_reached() {
        let mut bands = [0; BANDS.len() + 1];
        assert_eq!(quantile(&bands, 0.5), None);
        for minutes in [3, 4, 30, 30, 30, 30, 30, 30, 30, 3000] {
            bands[usize::from(band(SignedDuration::from_mins(minutes)))] += 1;
        }
        let (median, p90) = (quantile(&bands, 0.5).unwrap(), quantile(&bands, 0.9).unwrap());
        assert!((20..=40).contains(&median), "{median}");
        assert!((20..=40).contains(&p90), "{p90}");
        assert!((2880..=5760).contains(&quantile(&bands, 0.95).unwrap()));
        bands[BANDS.len()] = 100;
        assert_eq!(quantile(&bands, 0.5), Some(8 * 1440), "at least so long");
    }
}
