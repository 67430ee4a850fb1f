//! Figures from the counters: over the selected range, compared with the time before it.

use std::collections::BTreeMap;

use domain::{
    Environment, Product, Provenance, Stage,
    tally::{BANDS, Counter, Measure, RefreshOutcome, Step, quantile},
};
use jiff::Timestamp;
use pages::ops::{Bars, CauseRow, Fix, LostRow, Place, Reached, Series, Tile, WORDS, say};
use store::tallies::Tally;

use crate::{
    format::{actor_name, app_name, environment_name, label, minutes, percent, step_name, trend},
    query::DashboardQuery,
};

/// The counters, and which of them are selected.
#[derive(Clone, Copy)]
pub(crate) struct Figures<'a> {
    pub(crate) product: &'a Product,
    pub(crate) selected: &'a DashboardQuery,
    pub(crate) tallies: &'a [Tally],
}

impl Figures<'_> {
    /// The counters of the range: bucket, app, measure, count.
    fn counts(&self) -> impl Iterator<Item = (usize, &str, &Measure, i64)> {
        self.counters()
            .map(|(bucket, tally, counter, count)| (bucket, tally.app.as_str(), &counter.measure, count))
    }

    fn counters(&self) -> impl Iterator<Item = (usize, &Tally, &Counter, i64)> {
        self.selected_counters(self.tallies).filter_map(|(tally, counter, count)| {
            Some((self.selected.bucket(tally.at)?, tally, counter, count))
        })
    }

    /// The counters of the selected app and environment.
    fn selected_counters<'t>(
        &self,
        tallies: &'t [Tally],
    ) -> impl Iterator<Item = (&'t Tally, &'t Counter, i64)> {
        let DashboardQuery { app, environment, .. } = self.selected;
        tallies
            .iter()
            .filter(move |tally| app.as_deref().is_none_or(|app| tally.app.as_str() == app))
            .flat_map(|tally| tally.counts.iter().map(move |(counter, count)| (tally, counter, *count)))
            .filter(move |(_, counter, _)| environment.is_none() || *environment == counter.environment)
    }

    /// The count of the wanted measures in each bucket.
    fn over_time(&self, wanted: impl Fn(&Measure) -> bool) -> Vec<i64> {
        let mut counts = vec![0; self.selected.buckets.len() - 1];
        for (bucket, _, measure, count) in self.counts() {
            if wanted(measure) {
                counts[bucket] += count;
            }
        }
        counts
    }

    fn sum(&self, wanted: impl Fn(&Measure) -> bool) -> i64 {
        self.counts().filter(|(_, _, measure, _)| wanted(measure)).map(|(.., count)| count).sum()
    }

    /// The sum over the time before the range.
    fn sum_before(&self, wanted: impl Fn(&Measure) -> bool) -> i64 {
        let (from, _) = self.selected.span();
        self.sum_within((Timestamp::MIN, from), |_, measure| wanted(measure))
    }

    /// The sum over the buckets that begin within a time. `wanted` gets the app and the measure.
    pub(crate) fn sum_within(
        &self,
        (from, to): (Timestamp, Timestamp),
        wanted: impl Fn(&str, &Measure) -> bool,
    ) -> i64 {
        self.selected_counters(self.tallies)
            .filter(|(tally, counter, _)| {
                (from..to).contains(&tally.at) && wanted(tally.app.as_str(), &counter.measure)
            })
            .map(|(.., count)| count)
            .sum()
    }

    fn step(&self, step: Step) -> i64 {
        self.sum(|measure| *measure == Measure::Sessions(step))
    }

    pub(crate) fn tiles(&self, in_need: i64) -> Vec<Tile> {
        let (created, connected) = (self.step(Step::Created), self.step(Step::Connected));
        let before = |step| self.sum_before(|measure| *measure == Measure::Sessions(step));
        let rate = percent(connected, created);
        let rate_before = percent(before(Step::Connected), before(Step::Created));
        let hint = if before(Step::Created) == 0 {
            WORDS.nothing_before.into()
        } else {
            say(WORDS.share_before, &[("share", &rate_before)])
        };
        let count_before = |step| say(WORDS.before, &[("count", &before(step))]);
        let unresolved = (self.step(Step::Failed), self.step(Step::Lost));
        vec![
            Tile {
                name: WORDS.sessions,
                value: created.to_string(),
                hint: count_before(Step::Created),
                is_bad: false,
            },
            Tile {
                name: WORDS.connected_share,
                value: if created == 0 { "–".into() } else { format!("{rate} %") },
                hint,
                is_bad: created >= 20 && rate + 10 < rate_before,
            },
            Tile {
                name: WORDS.failed_sessions,
                value: unresolved.0.to_string(),
                hint: count_before(Step::Failed),
                is_bad: false,
            },
            Tile {
                name: WORDS.lost,
                value: unresolved.1.to_string(),
                hint: count_before(Step::Lost),
                is_bad: false,
            },
            Tile {
                name: WORDS.in_need,
                value: in_need.to_string(),
                hint: WORDS.now.into(),
                is_bad: in_need > 0,
            },
        ]
    }

    pub(crate) fn funnel(&self) -> Vec<Reached> {
        let created = self.step(Step::Created);
        let mut before = created;
        Step::ALL[..5]
            .iter()
            .map(|step| {
                let count = self.step(*step);
                let reached = Reached {
                    name: step_name(*step),
                    count,
                    share: percent(count, created),
                    left: (before - count).max(0),
                    counts: self.over_time(|measure| *measure == Measure::Sessions(*step)),
                };
                before = count;
                reached
            })
            .collect()
    }

    pub(crate) fn sessions(&self) -> Bars {
        let of = |step: Step| self.over_time(|measure| *measure == Measure::Sessions(step));
        let (created, connected, failed, lost) =
            (of(Step::Created), of(Step::Connected), of(Step::Failed), of(Step::Lost));
        let away =
            (0..created.len()).map(|b| (created[b] - connected[b] - failed[b] - lost[b]).max(0)).collect();
        Bars {
            alt: say(
                WORDS.ended_alt,
                &[
                    ("range", &self.selected.range.words),
                    ("created", &all(&created)),
                    ("connected", &all(&connected)),
                    ("failed", &all(&failed)),
                    ("lost", &all(&lost)),
                ],
            ),
            labels: self.selected.labels(),
            beside: Step::ALL[..4].iter().map(|step| (step_name(*step), of(*step))).collect(),
            series: vec![
                Series { name: WORDS.connected, look: "part-good", counts: connected },
                Series { name: WORDS.failed, look: "part-bad", counts: failed },
                Series { name: WORDS.lost, look: "part-lost", counts: lost },
                Series { name: WORDS.under_way, look: "part-idle", counts: away },
            ],
        }
    }

    pub(crate) fn causes(&self) -> Vec<CauseRow> {
        let mut causes: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for (_, _, measure, count) in self.counts() {
            if let Measure::Failures { provenance, cause, .. } = measure {
                let row = causes.entry(cause).or_default();
                row.0 += count;
                row.1 += if *provenance == Provenance::Reported { count } else { 0 };
            }
        }
        let has_before = self.sum_before(|measure| {
            matches!(measure, Measure::Failures { .. } | Measure::Sessions(Step::Created))
        }) > 0;
        let all: i64 = causes.values().map(|row| row.0).sum();
        let mut rows: Vec<CauseRow> = causes
            .into_iter()
            .map(|(cause, (count, reported))| {
                let is = |measure: &Measure| matches!(measure, Measure::Failures { cause: its, .. } if its == cause);
                let is_observed = |measure: &Measure| {
                    is(measure)
                        && matches!(measure, Measure::Failures { provenance: Provenance::Observed, .. })
                };
                let (observed, before) = (count - reported, self.sum_before(is_observed));
                CauseRow {
                    title: label(cause).to_owned(),
                    href: self.selected.failures_href(Some(cause)),
                    cause: cause.to_owned(),
                    actor: diagnosis::cause(cause).map_or(WORDS.whose_unknown, |cause| actor_name(cause.actor)),
                    count,
                    reported,
                    share: percent(count, all),
                    before,
                    trend: trend(observed, before, has_before),
                    is_more: has_before && observed > before + before / 4 && observed >= 5,
                    counts: self.over_time(is),
                }
            })
            .collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.cause.cmp(&b.cause)));
        rows.truncate(20);
        rows
    }

    /// Sessions by app and environment, largest first.
    pub(crate) fn places(&self) -> Vec<Place> {
        type Steps = BTreeMap<Step, i64>;
        let mut places: BTreeMap<(&str, Option<Environment>), Steps> = BTreeMap::new();
        for (_, tally, counter, count) in self.counters() {
            if let Measure::Sessions(step) = counter.measure {
                let steps = places.entry((tally.app.as_str(), counter.environment)).or_default();
                *steps.entry(step).or_default() += count;
            }
        }
        let mut rows: Vec<Place> = places
            .into_iter()
            .map(|((app, environment), steps)| {
                let of = |step| steps.get(&step).copied().unwrap_or_default();
                Place {
                    app: app_name(app, self.product).to_owned(),
                    environment: environment_name(environment),
                    sessions: of(Step::Created),
                    connected: percent(of(Step::Connected), of(Step::Created)),
                    failed: of(Step::Failed),
                    lost: of(Step::Lost),
                }
            })
            .collect();
        rows.sort_by_key(|row| -row.sessions);
        rows
    }

    pub(crate) fn lost(&self) -> Vec<LostRow> {
        let mut causes: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, _, measure, count) in self.counts() {
            if let Measure::Failures { stage: Stage::Lost, cause, .. } = measure {
                *causes.entry(cause).or_default() += count;
            }
        }
        let mut rows: Vec<LostRow> = causes
            .into_iter()
            .map(|(cause, count)| LostRow {
                title: label(cause).to_owned(),
                href: self.selected.failures_href(Some(cause)),
                count,
            })
            .collect();
        rows.sort_by_key(|row| -row.count);
        rows
    }

    /// Connections by state, and the number of those that need somebody.
    pub(crate) fn connections(&self, gauges: &[Tally]) -> (Vec<(String, i64)>, i64) {
        let mut states: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, counter, count) in self.selected_counters(gauges) {
            if let Measure::Connections(state) = &counter.measure {
                *states.entry(state).or_default() += count;
            }
        }
        let of = |state: &str| states.get(state).copied().unwrap_or_default();
        let in_need = of("needs_reauth") + of("blocked");
        (states.iter().map(|(state, count)| (state.replace('_', " "), *count)).collect(), in_need)
    }

    pub(crate) fn refreshes(&self) -> Bars {
        let of = |wanted: &[RefreshOutcome]| {
            self.over_time(
                |measure| matches!(measure, Measure::Refreshes(outcome) if wanted.contains(outcome)),
            )
        };
        let (good, passing) = (
            of(&[RefreshOutcome::Refreshed]),
            of(&[RefreshOutcome::Passed, RefreshOutcome::Unanswered, RefreshOutcome::Paused]),
        );
        let ended = of(&[RefreshOutcome::NeedsReauth, RefreshOutcome::Blocked]);
        Bars {
            alt: say(
                WORDS.refreshes_alt,
                &[
                    ("range", &self.selected.range.words),
                    ("good", &all(&good)),
                    ("passing", &all(&passing)),
                    ("ended", &all(&ended)),
                ],
            ),
            labels: self.selected.labels(),
            beside: Vec::new(),
            series: vec![
                Series { name: WORDS.refreshes_good, look: "part-good", counts: good },
                Series { name: WORDS.refreshes_passing, look: "part-lost", counts: passing },
                Series { name: WORDS.refreshes_ended, look: "part-bad", counts: ended },
            ],
        }
    }

    pub(crate) fn outcomes(&self) -> Vec<(&'static str, &'static str, i64)> {
        RefreshOutcome::ALL
            .into_iter()
            .map(|outcome| {
                let (name, meaning) = match outcome {
                    RefreshOutcome::Refreshed => (WORDS.refreshed, WORDS.refreshed_means),
                    RefreshOutcome::Passed => (WORDS.passed, WORDS.passed_means),
                    RefreshOutcome::Unanswered => (WORDS.unanswered, WORDS.unanswered_means),
                    RefreshOutcome::NeedsReauth => (WORDS.needs_reauth, WORDS.needs_reauth_means),
                    RefreshOutcome::Blocked => (WORDS.blocked, WORDS.blocked_means),
                    RefreshOutcome::Paused => (WORDS.paused, WORDS.paused_means),
                };
                (name, meaning, self.sum(|measure| *measure == Measure::Refreshes(outcome)))
            })
            .collect()
    }

    /// Time to fix by cause. Reported causes are separate from observed ones: their beginning is somebody's word.
    pub(crate) fn fixes(&self) -> Vec<Fix> {
        let mut causes: BTreeMap<(&str, Provenance), [u64; BANDS.len() + 1]> = BTreeMap::new();
        for (_, _, measure, count) in self.counts() {
            if let Measure::Fixed { cause, band, provenance } = measure {
                let bands = causes.entry((cause, *provenance)).or_default();
                bands[usize::from(*band)] += u64::try_from(count).unwrap_or_default();
            }
        }
        let time = |bands: &[u64], part| quantile(bands, part).map_or_else(String::new, minutes);
        let mut rows: Vec<Fix> = causes
            .into_iter()
            .map(|((cause, provenance), bands)| Fix {
                title: label(cause).to_owned(),
                href: self.selected.failures_href(Some(cause)),
                is_reported: provenance == Provenance::Reported,
                count: bands.iter().sum(),
                median: time(&bands, 0.5),
                p90: time(&bands, 0.9),
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        rows.truncate(12);
        rows
    }
}

fn all(counts: &[i64]) -> i64 {
    counts.iter().sum()
}
