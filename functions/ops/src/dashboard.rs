//! `GET /ops`: the operators' page, made of a few counters and the latest failures. `?format=csv`: its figures.

use diagnosis::Actor;
use domain::{App, Failure, FailureId, Product, Provenance, product::AppOwner};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use pages::{
    Page,
    ops::{Found, Incident, OpsPage, WORDS, say},
};
use store::{
    StoreError,
    action_required::Needy,
    failure_lists::{FailureFilter, FailureQuery},
    tallies::Tally,
    waves::Wave,
};
use web::{
    Query, Request, Response,
    respond::{self, Forms, page},
};

use crate::{
    Ops, csv,
    figures::Figures,
    format::{clock_time, parse_reference},
    lists::{action_required_row, failure_row, incidents, observed_period, wave_incident},
    outages::{MAX_FAILURES_READ, baseline_days, outages},
    query::{DAY, DashboardQuery},
    timeline::timeline,
    visit::{Format, Refused, Visit},
};

/// Maximum rows of a list on the page.
const MAX_ROWS: u8 = 12;

/// What the page needs from the table.
struct DashboardData {
    /// Counters of the range, and of the same length of time before it.
    tallies: Vec<Tally>,
    /// Counters of the baseline days, unless `tallies` covers them.
    baseline: Vec<Tally>,
    gauges: Vec<Tally>,
    waves: Vec<Wave>,
    /// Webhook endpoints that fail or are disabled.
    endpoints: Vec<Incident>,
    latest: Vec<Failure>,
    /// Failures that Latchkey observed in the last day.
    observed: Vec<Failure>,
    /// Observed, unresolved failures that the product must fix.
    vendor_failures: Vec<Failure>,
    /// Connections that wait for somebody, with the failure that stopped them.
    action_required: Vec<(Needy, Option<Failure>)>,
    found: Option<Found>,
}

impl DashboardData {
    /// The page of a visit, without its nonce.
    fn page(self, visit: &Visit) -> OpsPage<'_> {
        let Self {
            tallies,
            baseline,
            gauges,
            waves,
            endpoints,
            latest,
            observed,
            vendor_failures,
            action_required,
            found,
        } = self;
        let Visit { product, selected, .. } = visit;
        let now = selected.now;
        let figures = Figures::new(product, selected, &tallies);
        let days = if baseline.is_empty() { &tallies } else { &baseline };
        let spread = outages(&observed, days, product, selected);
        let newest = tallies.iter().chain(&gauges).max_by_key(|tally| tally.changed_at);
        let counted = newest.map(|tally| {
            let lag = tally.tallied_at.duration_since(tally.changed_at).max(SignedDuration::ZERO);
            (clock_time(tally.changed_at), say(WORDS.lag, &[("seconds", &lag.as_secs())]))
        });
        let (connections, in_need) = figures.connections(&gauges);
        OpsPage {
            frame: visit.frame(&selected.link().href()),
            products: selected.products(&visit.products),
            ranges: selected.ranges(),
            apps: selected.apps(product),
            environments: selected.environments(),
            range: selected.range.words,
            now: clock_time(now),
            counted,
            found,
            incidents: waves
                .iter()
                .filter_map(|wave| wave_incident(wave, product, selected))
                .chain(incidents(&vendor_failures, product, selected))
                .chain(endpoints)
                .collect(),
            tiles: figures.tiles(in_need),
            funnel: figures.funnel(),
            sessions: figures.sessions(),
            causes: figures.causes(),
            places: figures.places(),
            lately: observed_period(&observed, now),
            spread,
            connections,
            needy: action_required
                .iter()
                .map(|(needy, failure)| action_required_row(needy, failure.as_ref(), product, selected))
                .collect(),
            refreshes: figures.refreshes(),
            outcomes: figures.outcomes(),
            fixes: figures.fixes(),
            lost: figures.lost(),
            latest: latest.iter().map(|failure| failure_row(failure, selected)).collect(),
        }
    }
}

impl Ops {
    pub(crate) async fn dashboard(
        &self,
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response, Refused> {
        let visit = self.visit(request, query, now).await?;
        let Visit { product, selected, .. } = &visit;
        let data = Box::pin(self.read(query, product, selected)).await?; // boxed: eight reads make a large future
        let view = data.page(&visit);
        Ok(match visit.format {
            Format::Page => page(StatusCode::OK, Forms::Ours, |nonce| view.with_nonce(nonce).html()),
            Format::Csv => respond::csv("latchkey-figures.csv", csv::text(&csv::figures(&view))),
        })
    }

    /// Reads everything at once, so the page waits only for the slowest read.
    async fn read(
        &self,
        query: &Query,
        product: &Product,
        selected: &DashboardQuery,
    ) -> Result<DashboardData, StoreError> {
        let (store, id, now) = (&self.platform.store, &product.id, selected.now);
        let (from, to) = selected.span();
        let hours = selected.range.days == 1;
        let before = from - DAY * selected.range.days;
        let baseline = async {
            let (first, end) = baseline_days(now);
            if hours { self.tallies(id, first, end, false).await } else { Ok(Vec::new()) }
        };
        let found = async {
            match query.get("ref").map(str::trim).filter(|text| !text.is_empty()) {
                Some(text) => self.look_up(product, text, selected).await.map(Some),
                None => Ok(None),
            }
        };
        let observed = FailureFilter { provenance: Some(Provenance::Observed), ..FailureFilter::default() };
        let seen = async {
            let observed = self.failures(product, selected.failures(1, MAX_FAILURES_READ, observed)).await?;
            let vendor_failures = self.vendor_failures(product, selected, &observed).await?;
            Ok((observed, vendor_failures))
        };
        let (
            tallies,
            baseline,
            gauges,
            waves,
            endpoints,
            latest,
            (observed, vendor_failures),
            action_required,
            found,
        ) = tokio::try_join!(
            self.tallies(id, before, to, hours),
            baseline,
            store.gauges(id),
            store.waves(id, now),
            self.endpoint_incidents(product, selected),
            self.failures(product, selected.failures(7, MAX_ROWS, FailureFilter::default())),
            seen,
            self.action_required(product, selected),
            found,
        )?;
        Ok(DashboardData {
            tallies,
            baseline,
            gauges,
            waves,
            endpoints,
            latest,
            observed,
            vendor_failures,
            action_required,
            found,
        })
    }

    /// The unresolved failures of the last day that the product must fix in its own apps. They are among the observed ones, unless there
    /// were more than [`MAX_FAILURES_READ`].
    async fn vendor_failures(
        &self,
        product: &Product,
        selected: &DashboardQuery,
        observed: &[Failure],
    ) -> Result<Vec<Failure>, StoreError> {
        let filter = unresolved_vendor_failures();
        let is_vendors = |app: &App| app.about.owner == AppOwner::Vendor;
        if observed.len() < usize::from(MAX_FAILURES_READ) {
            let is_incident = |failure: &&Failure| {
                filter.admits(failure) && product.app(&failure.app).is_none_or(is_vendors)
            };
            return Ok(observed.iter().filter(is_incident).cloned().collect());
        }
        if product.apps.iter().all(is_vendors) {
            return self.failures(product, selected.failures(1, MAX_FAILURES_READ, filter)).await;
        }
        // What fails in an app that a customer owns hides nothing.
        let mut found = Vec::new();
        let chosen = |app: &&App| is_vendors(app) && selected.app_id().is_none_or(|id| id == app.id);
        for app in product.apps.iter().filter(chosen) {
            let wanted = selected.failures(1, MAX_FAILURES_READ, filter.clone());
            let of_app = FailureFilter { app: Some(app.id.clone()), ..wanted.filter.clone() };
            found.extend(self.failures(product, FailureQuery { filter: of_app, ..wanted }).await?);
        }
        Ok(found)
    }

    async fn failures(&self, product: &Product, query: FailureQuery) -> Result<Vec<Failure>, StoreError> {
        self.platform.store.list_failures(&product.id, &query).await.map(|(found, _)| found)
    }

    /// The connections that wait for somebody, the latest first, with the failure that stopped them while it is stored.
    async fn action_required(
        &self,
        product: &Product,
        selected: &DashboardQuery,
    ) -> Result<Vec<(Needy, Option<Failure>)>, StoreError> {
        let store = &self.platform.store;
        let needy =
            store.needy(&product.id, selected.app_id().as_ref(), selected.environment, MAX_ROWS).await?;
        let ids: Vec<FailureId> = needy.iter().map(|needy| needy.failure.clone()).collect();
        let mut failures = store.failures(&ids, selected.now).await?;
        let mut take = |id: &FailureId| {
            let place = failures.iter().position(|failure| failure.id == *id)?;
            Some(failures.swap_remove(place))
        };
        Ok(needy.into_iter().map(|needy| (needy.clone(), take(&needy.failure))).collect())
    }

    /// `?ref=`: a failure of this product, by the reference that the user reads aloud.
    async fn look_up(
        &self,
        product: &Product,
        text: &str,
        selected: &DashboardQuery,
    ) -> Result<Found, StoreError> {
        let Some([first, second]) = parse_reference(text) else { return Ok(Found::Nothing { logged: None }) };
        let reference = format!("LK-{first}-{second}");
        let failure = self.platform.store.failure_of_reference(&product.id, &reference, selected.now).await?;
        Ok(match failure {
            Some(failure) => Found::Failure(Box::new(timeline(&failure, product, selected))),
            // `platform::log::internal` logs our own faults in this form; they have no failure record.
            None => Found::Nothing { logged: Some(format!("LK-{first}{second}")) },
        })
    }
}

/// Selects observed, unresolved failures that the product must fix. A query of its own: among the latest failures, one
/// outage hides everything else.
fn unresolved_vendor_failures() -> FailureFilter {
    let causes = diagnosis::catalogue().iter().filter(|cause| cause.actor == Actor::Vendor);
    FailureFilter {
        causes: causes.map(|cause| cause.id.to_owned()).collect(),
        provenance: Some(Provenance::Observed),
        resolved: Some(false),
        ..FailureFilter::default()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Instant};

    use domain::{
        Environment, Stage,
        tally::{Counter, Measure, RefreshOutcome, Step},
    };
    use jiff::ToSpan as _;

    use super::*;

    fn product() -> Product {
        let app = |id: &str, owner: &str| {
            serde_json::json!({
                "id": id, "kind": "connected_app", "consumer_key": "3MVG9", "secret": "s", "scopes": ["api"], "names": ["Sync"],
                "packages": {}, "login_hosts": ["production"], "access_token_minutes": 15, "about": { "owner": owner },
            })
        };
        let product = serde_json::json!({
            "id": "fernway", "return_addresses": [], "api_keys": [], "redeem": true,
            "brand": { "name": "Fernway", "customer_word": "workspace", "support": {} },
            "apps": [app("sync", "vendor"), app("own", "customer")],
        });
        serde_json::from_value(product).expect("a product")
    }

    /// What a busy day counts in one app: every step, twenty causes seen and reported, every outcome, in three environments.
    fn busy_day(day: i64) -> BTreeMap<Counter, i64> {
        let kinds = [Environment::Production, Environment::Sandbox, Environment::MyDomain];
        let mut measures = Vec::new();
        for (nth, cause) in diagnosis::catalogue().iter().take(20).enumerate() {
            for provenance in [Provenance::Observed, Provenance::Reported] {
                let failures =
                    Measure::Failures { stage: Stage::Callback, provenance, cause: cause.id.to_owned() };
                let band = u8::try_from(nth % 10).expect("a band");
                measures.extend([failures, Measure::Fixed { provenance, cause: cause.id.to_owned(), band }]);
            }
        }
        measures.extend(Step::ALL.map(Measure::Sessions));
        measures.extend(RefreshOutcome::ALL.map(Measure::Refreshes));
        let count = |nth: usize| 1 + (day * 7 + i64::try_from(nth).expect("few") * 13) % 97;
        let counters = measures.into_iter().enumerate().flat_map(|(nth, measure)| {
            kinds.map(|kind| (Counter { environment: Some(kind), measure: measure.clone() }, count(nth)))
        });
        counters.collect()
    }

    /// Under 60 kB with its lists: 12 failures and a dozen causes of the last day are up to 8 kB.
    #[test]
    fn quarter_with_twenty_causes_a_day_leaves_room_for_lists() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().expect("a time");
        let product = Arc::new(product());
        let tallies: Vec<Tally> = (0..180)
            .flat_map(|day| product.apps.iter().map(move |app| (day, app.id.clone())))
            .map(|(day, app)| Tally {
                app,
                at: now - (day * 24).hours(),
                counts: busy_day(day),
                changed_at: now,
                tallied_at: now,
            })
            .collect();
        let counters: usize = tallies.iter().map(|tally| tally.counts.len()).sum();
        let query = |name: &str| (name == "days").then_some("90");
        let selected = DashboardQuery::parse(query, &product, false, now).expect("a query");
        let visit = Visit::of(product, selected);
        let data = DashboardData {
            tallies,
            baseline: Vec::new(),
            gauges: Vec::new(),
            waves: Vec::new(),
            endpoints: Vec::new(),
            latest: Vec::new(),
            observed: Vec::new(),
            vendor_failures: Vec::new(),
            action_required: Vec::new(),
            found: None,
        };
        let began = Instant::now();
        let html = data.page(&visit).html();
        println!("{} bytes of {counters} counters in {:?}", html.len(), began.elapsed());
        assert!(html.len() < 52_000, "{} bytes", html.len());
        assert!(html.contains("owner of the app"), "what is wrong with an app is its owner's to fix");
    }
}
