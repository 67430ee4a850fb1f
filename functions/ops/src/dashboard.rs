//! `GET /ops`: the operators' page, made of a few counters and the latest failures. `?format=csv`: its figures.

use std::sync::Arc;

use diagnosis::Actor;
use domain::{Failure, FailureId, Product, ProductId, Provenance};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use pages::{
    Page,
    ops::{Found, OpsFrame, OpsPage, SignedOut, WORDS, say},
};
use store::{
    StoreError,
    action_required::Needy,
    failure_lists::{FailureFilter, FailureQuery},
    tallies::Tally,
    waves::Wave,
};
use web::{
    Query, Request, Response, error_pages,
    respond::{self, Forms, page},
};

use crate::{
    Ops, csv,
    figures::Figures,
    format::{clock_time, parse_reference},
    lists::{action_required_row, failure_row, incidents, observed_period, wave_incident},
    outages::{MAX_FAILURES_READ, baseline_days, outages},
    query::{DAY, DashboardQuery},
    session::Viewer,
    timeline::timeline,
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
    latest: Vec<Failure>,
    /// Failures that Latchkey observed in the last day.
    observed: Vec<Failure>,
    /// Observed, unresolved failures that the product must fix.
    vendor_failures: Vec<Failure>,
    /// Connections that wait for somebody, with the failure that stopped them.
    action_required: Vec<(Needy, Option<Failure>)>,
    found: Option<Found>,
}

impl Ops {
    pub(crate) async fn page(
        &self,
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response, StoreError> {
        let (viewer, product, all) = match self.look_at(request, query.get("product"), now).await? {
            Ok(found) => found,
            Err(refused) => return Ok(*refused),
        };
        match DashboardQuery::parse(|name| query.get(name), &product, !all.is_empty(), now) {
            Ok(selected) => self.dashboard(query, &viewer, &product, &all, &selected).await,
            Err(detail) => Ok(error_pages::bad_query(detail)),
        }
    }

    /// Who looks, at which product, and all that they may look at, if they are several. An error is the answer.
    pub(crate) async fn look_at(
        &self,
        request: &Request,
        wanted: Option<&str>,
        now: Timestamp,
    ) -> Result<Result<(Viewer, Arc<Product>, Vec<ProductId>), Box<Response>>, StoreError> {
        let signed_out = |status| Ok(Err(Box::new(Self::signed_out_page(SignedOut::NoSession, status))));
        let bad_query = |detail| Ok(Err(Box::new(error_pages::bad_query(detail))));
        let Some(viewer) = self.viewer(request, now).await? else {
            return signed_out(StatusCode::UNAUTHORIZED);
        };
        if let Some(product) = viewer.product.clone() {
            if wanted.is_some_and(|wanted| wanted != product.id.as_str()) {
                return bad_query("product: this session shows one product only.");
            }
            return Ok(Ok((viewer, product, Vec::new())));
        }
        let all = self.platform.store.products().await?;
        let chosen = match wanted {
            Some(wanted) => all.iter().find(|id| id.as_str() == wanted),
            None => all.first(),
        };
        if chosen.is_none() && wanted.is_some() {
            return bad_query("product: no product has this id.");
        }
        let product = match chosen {
            Some(id) => self.platform.products.get(id, now).await?,
            None => None,
        };
        match product {
            Some(product) => Ok(Ok((viewer, product, all))),
            None => signed_out(StatusCode::NOT_FOUND),
        }
    }

    async fn dashboard(
        &self,
        query: &Query,
        viewer: &Viewer,
        product: &Product,
        all: &[ProductId],
        selected: &DashboardQuery,
    ) -> Result<Response, StoreError> {
        let now = selected.now;
        let DashboardData {
            tallies,
            baseline,
            gauges,
            waves,
            latest,
            observed,
            vendor_failures,
            action_required,
            found,
        } = Box::pin(self.read(query, product, selected)).await?; // boxed: eight reads make a large future
        let figures = Figures { product, selected, tallies: &tallies };
        let days = if baseline.is_empty() { &tallies } else { &baseline };
        let spread = outages(&observed, &Figures { tallies: days, ..figures }, product, now);
        let newest = tallies.iter().chain(&gauges).max_by_key(|tally| tally.changed_at);
        let counted = newest.map(|tally| {
            let lag = tally.tallied_at.duration_since(tally.changed_at).max(SignedDuration::ZERO);
            (clock_time(tally.changed_at), say(WORDS.lag, &[("seconds", &lag.as_secs())]))
        });
        let (connections, in_need) = figures.connections(&gauges);
        let format = match Format::of(query) {
            Ok(format) => format,
            Err(detail) => return Ok(error_pages::bad_query(detail)),
        };
        let view = OpsPage {
            frame: frame(product, viewer, selected, format!("{}&format=csv", selected.link().href())),
            products: selected.products(all),
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
                .map(|(needy, failure)| action_required_row(needy, failure.as_ref(), selected))
                .collect(),
            refreshes: figures.refreshes(),
            outcomes: figures.outcomes(),
            fixes: figures.fixes(),
            lost: figures.lost(),
            latest: latest.iter().map(|failure| failure_row(failure, selected)).collect(),
        };
        Ok(match format {
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
        let (tallies, baseline, gauges, waves, latest, (observed, vendor_failures), action_required, found) =
            tokio::try_join!(
                self.tallies(id, before, to, hours),
                baseline,
                store.gauges(id),
                store.waves(id, now),
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
            latest,
            observed,
            vendor_failures,
            action_required,
            found,
        })
    }

    /// The unresolved failures of the last day that the product must fix. They are among the observed ones, unless there
    /// were more than [`MAX_FAILURES_READ`].
    async fn vendor_failures(
        &self,
        product: &Product,
        selected: &DashboardQuery,
        observed: &[Failure],
    ) -> Result<Vec<Failure>, StoreError> {
        let filter = unresolved_vendor_failures();
        if observed.len() == usize::from(MAX_FAILURES_READ) {
            return self.failures(product, selected.failures(1, MAX_FAILURES_READ, filter)).await;
        }
        Ok(observed.iter().filter(|failure| filter.admits(failure)).cloned().collect())
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

/// What every page of a signed-in operator has. The nonce follows with the response.
pub(crate) fn frame<'a>(
    product: &'a Product,
    viewer: &Viewer,
    selected: &DashboardQuery,
    csv: String,
) -> OpsFrame<'a> {
    OpsFrame {
        nonce: "",
        brand: &product.brand,
        shown: selected.link().fields(),
        home: selected.link().href(),
        csv,
        until: clock_time(viewer.until),
    }
}

/// How a page is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Page,
    Csv,
}

impl Format {
    /// `?format=csv`: what the page shows, as CSV.
    pub(crate) fn of(query: &Query) -> Result<Self, &'static str> {
        match query.get("format") {
            None => Ok(Self::Page),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err("format is csv."),
        }
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
