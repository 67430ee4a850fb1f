//! Figures from the counters: over the selected range, compared with the time before it.

use std::collections::{BTreeMap, HashMap};

use domain::{
    Environment, Product, Provenance, Stage,
    product::AppOwner,
    tally::{BANDS, Measure, RefreshOutcome, Step, quantile},
};
use pages::ops::{Bars, CauseRow, Fix, LostRow, Place, Reached, Series, Tile, WORDS, say};
use store::tallies::Tally;

use crate::{
    acts::Acts,
    counts::{Counts, add_up, selected_counters},
    format::{app_name, environment_name, label, minutes, percent, step_name, trend},
    query::DashboardQuery,
};

/// The selected counters, added up in one pass: figures ask for some of a hundred measures, and a quarter has ten thousand
/// counters.
pub(crate) struct Figures<'a> {
    product: &'a Product,
    selected: &'a DashboardQuery,
    tallies: &'a [Tally],
    sums: HashMap<&'a Measure, Counts>,
}

impl<'a> Figures<'a> {
    /// Figures of the range, from its tallies and those of the same length of time before it.
    pub(crate) fn new(product: &'a Product, selected: &'a DashboardQuery, tallies: &'a [Tally]) -> Self {
        Self { product, selected, tallies, sums: add_up(product, selected, tallies) }
    }

    fn wanted(&self, wanted: impl Fn(&Measure) -> bool) -> impl Iterator<Item = (&Measure, &Counts)> {
        self.sums
            .iter()
            .filter(move |(measure, _)| wanted(measure))
            .map(|(measure, counts)| (*measure, counts))
    }

    /// The count of the wanted measures in each bucket.
    fn over_time(&self, wanted: impl Fn(&Measure) -> bool) -> Vec<i64> {
        let mut sums = vec![0; self.selected.buckets.len() - 1];
        for (_, counts) in self.wanted(wanted) {
            for (sum, count) in sums.iter_mut().zip(&counts.buckets) {
                *sum += count;
            }
        }
        sums
    }

    fn sum(&self, wanted: impl Fn(&Measure) -> bool) -> i64 {
        self.wanted(wanted).map(|(_, counts)| counts.in_range()).sum()
    }

    /// The sum over the time before the range.
    fn sum_before(&self, wanted: impl Fn(&Measure) -> bool) -> i64 {
        self.wanted(wanted).map(|(_, counts)| counts.before).sum()
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
        /// Of one cause.
        #[derive(Default)]
        struct Row {
            count: i64,
            reported: i64,
            observed_before: i64,
            buckets: Vec<i64>,
            owners: Vec<AppOwner>,
        }
        let mut causes: BTreeMap<&str, Row> = BTreeMap::new();
        for (measure, counts) in &self.sums {
            let Measure::Failures { provenance, cause, .. } = measure else { continue };
            let row = causes.entry(cause).or_default();
            let count = counts.in_range();
            row.count += count;
            match provenance {
                Provenance::Reported => row.reported += count,
                Provenance::Observed => row.observed_before += counts.before,
            }
            row.buckets.resize(counts.buckets.len(), 0);
            for (sum, count) in row.buckets.iter_mut().zip(&counts.buckets) {
                *sum += count;
            }
            row.owners.extend(&counts.owners);
        }
        causes.retain(|_, row| row.count != 0);
        let has_before = self.sum_before(|measure| {
            matches!(measure, Measure::Failures { .. } | Measure::Sessions(Step::Created))
        }) > 0;
        let all: i64 = causes.values().map(|row| row.count).sum();
        let mut rows: Vec<CauseRow> = causes
            .into_iter()
            .map(|(cause, row)| {
                let Row { count, reported, observed_before: before, buckets, owners } = row;
                let observed = count - reported;
                let acts = diagnosis::cause(cause).map(|cause| Acts::on(cause, owners));
                CauseRow {
                    title: label(cause).to_owned(),
                    href: self.selected.failures_href(Some(cause)),
                    cause: cause.to_owned(),
                    actor: acts.map_or(WORDS.whose_unknown, Acts::name),
                    count,
                    reported,
                    share: percent(count, all),
                    before,
                    trend: trend(observed, before, has_before),
                    // What is new has nothing to be compared with.
                    is_more: before > 0 && observed > before + before / 4 && observed >= 5,
                    counts: buckets,
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
        let in_range = self.tallies.iter().filter(|tally| self.selected.bucket(tally.at).is_some());
        for (tally, counter, count) in selected_counters(self.selected, in_range) {
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
        for (measure, counts) in &self.sums {
            if let Measure::Failures { stage: Stage::Lost, cause, .. } = measure {
                *causes.entry(cause).or_default() += counts.in_range();
            }
        }
        causes.retain(|_, count| *count != 0);
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
        for (_, counter, count) in selected_counters(self.selected, gauges) {
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
        for (measure, counts) in &self.sums {
            if let Measure::Fixed { cause, band, provenance } = measure {
                let bands = causes.entry((cause, *provenance)).or_default();
                bands[usize::from(*band)] += u64::try_from(counts.in_range()).unwrap_or_default();
            }
        }
        causes.retain(|_, bands| bands.iter().any(|count| *count > 0));
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
