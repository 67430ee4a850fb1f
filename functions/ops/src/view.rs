//! `GET /ops`: the page, from a handful of counters and the latest failures.

use std::sync::Arc;

use domain::{
    App, AppId, Failure, FailureId, Product, ProductId, Provenance,
    diagnosis::{self, Actor},
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use pages::{
    Page,
    ops::{Choice, Found, OpsPage, SignedOut, WORDS, say},
};
use service::{
    Request, Response,
    request::Form,
    respond::{Forms, page},
};
use store::{
    StoreError,
    failures::{FailureFilter, FailureQuery},
    needy::Needy,
};

use crate::{
    Ops,
    failures::SKEW,
    figures::Figures,
    rows::{in_need_of, incidents, lately, latest_row, spread, wave_of},
    sign_in::Viewer,
    timeline::timeline,
    words::clock_time,
};

/// How many failures the page reads of a kind, the latest first, to see whose they are.
pub(crate) const MOST_READ: u8 = 100;

/// How many of them it shows.
const SHOWN: usize = 12;

/// From so many customers on, at once, a cause is not one customer's.
pub(crate) const MANY: usize = 3;

pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How far the page looks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) days: i32,
    pub(crate) words: &'static str,
    label: &'static str,
}

const RANGES: [Range; 4] = [
    Range { days: 1, words: WORDS.in_day, label: WORDS.day },
    Range { days: 7, words: WORDS.in_week, label: WORDS.week },
    Range { days: 30, words: WORDS.in_month, label: WORDS.month },
    Range { days: 90, words: WORDS.in_quarter, label: WORDS.quarter },
];

/// What is asked for, and what is there to be shown of it.
pub(crate) struct Asked {
    pub(crate) range: Range,
    pub(crate) app: Option<String>,
    pub(crate) now: Timestamp,
    /// When each bucket begins, and the end of the last.
    pub(crate) buckets: Vec<Timestamp>,
}

impl Ops {
    pub(crate) async fn page(&self, request: &Request, now: Timestamp) -> Result<Response, StoreError> {
        let Some(viewer) = self.viewer(request, now).await? else {
            return Ok(Self::shut(SignedOut::NoSession, StatusCode::UNAUTHORIZED));
        };
        let form = Form::of_query(request, 512).unwrap_or_default();
        let (product, all) = match &viewer.product {
            Some(product) => (Some(Arc::clone(product)), Vec::new()),
            None => self.choose(&form, now).await?,
        };
        let Some(product) = product else {
            return Ok(Self::shut(SignedOut::NoSession, StatusCode::NOT_FOUND));
        };
        self.show(&form, &viewer, &product, &all, now).await
    }

    /// The product that is asked for, or the first; and all that may be.
    async fn choose(
        &self,
        form: &Form,
        now: Timestamp,
    ) -> Result<(Option<Arc<Product>>, Vec<ProductId>), StoreError> {
        let all = self.platform.store.products().await?;
        let asked = form.only("product").and_then(|id| id.parse::<ProductId>().ok());
        let chosen = asked.filter(|id| all.contains(id)).or_else(|| all.first().cloned());
        let product = match chosen {
            Some(id) => self.platform.products.get(&id, now).await?,
            None => None,
        };
        Ok((product, all))
    }

    async fn show(
        &self,
        form: &Form,
        viewer: &Viewer,
        product: &Product,
        all: &[ProductId],
        now: Timestamp,
    ) -> Result<Response, StoreError> {
        let asked = Asked::of(form, product, now);
        let (from, to) = asked.span();
        let hours = asked.range.days == 1;
        // The time before, for the trend, in one reading.
        let before = from - SignedDuration::from_hours(24 * i64::from(asked.range.days));
        let tallies = self.tallies(&product.id, before, to, hours).await?;
        let waves = self.platform.store.waves(&product.id, now).await?;
        let gauges = self.platform.store.gauges(&product.id).await?;
        let (latest, needy) = (self.latest(product, &asked).await?, self.needy(product, &asked).await?);
        let found = match form.only("ref").map(str::trim).filter(|text| !text.is_empty()) {
            Some(reference) => Some(self.look_up(product, reference, now).await?),
            None => None,
        };
        let figures = Figures { product, asked: &asked, tallies: &tallies };
        let newest = tallies.iter().chain(&gauges).max_by_key(|tally| tally.changed_at);
        let counted = newest.map(|tally| {
            let lag = tally.tallied_at.duration_since(tally.changed_at).max(SignedDuration::ZERO);
            (clock_time(tally.changed_at), say(WORDS.lag, &[("seconds", &lag.as_secs())]))
        });
        let (connections, in_need) = figures.connections(&gauges);
        let ours = self.ours(product, &asked).await?;
        let view = |nonce: &str| {
            OpsPage {
                nonce,
                brand: &product.brand,
                products: asked.products(all, product),
                ranges: asked.ranges(product, !all.is_empty()),
                apps: asked.apps(product, !all.is_empty()),
                range: asked.range.words,
                now: clock_time(now),
                counted,
                until: clock_time(viewer.until),
                found,
                incidents: waves
                    .iter()
                    .filter_map(|wave| wave_of(wave, product))
                    .chain(incidents(&ours, product))
                    .collect(),
                tiles: figures.tiles(in_need),
                funnel: figures.funnel(),
                sessions: figures.sessions(),
                causes: figures.causes(),
                lately: lately(&latest, now),
                spread: spread(&latest, product, now),
                connections,
                needy: needy
                    .iter()
                    .map(|(needy, why)| in_need_of(needy, why.as_ref(), product, &asked))
                    .collect(),
                refreshes: figures.refreshes(),
                outcomes: figures.outcomes(),
                fixes: figures.fixes(),
                lost: figures.lost(),
                latest: latest
                    .iter()
                    .take(SHOWN)
                    .map(|failure| latest_row(failure, product, &asked))
                    .collect(),
            }
            .html()
        };
        Ok(page(StatusCode::OK, Forms::Ours, view))
    }

    async fn latest(&self, product: &Product, asked: &Asked) -> Result<Vec<Failure>, StoreError> {
        let query = asked.failures(7, MOST_READ, FailureFilter::default());
        self.platform.store.list_failures(&product.id, &query).await.map(|(found, _)| found)
    }

    /// What is the product's own to mend: observed within a day, and not resolved.
    async fn ours(&self, product: &Product, asked: &Asked) -> Result<Vec<Failure>, StoreError> {
        let filter = unresolved(&[Actor::Vendor]);
        let query = asked.failures(1, MOST_READ, filter);
        self.platform.store.list_failures(&product.id, &query).await.map(|(found, _)| found)
    }

    /// The connections that wait for somebody, those that stopped last first, and what stopped them, while that is kept.
    async fn needy(
        &self,
        product: &Product,
        asked: &Asked,
    ) -> Result<Vec<(Needy, Option<Failure>)>, StoreError> {
        let store = &self.platform.store;
        let needy = store.needy(&product.id, asked.app_id().as_ref(), SHOWN).await?;
        let ids: Vec<FailureId> = needy.iter().map(|needy| needy.failure.clone()).collect();
        let mut whys = store.failures(&ids, asked.now).await?;
        let mut why = |needy: &Needy| {
            let place = whys.iter().position(|failure| failure.id == needy.failure)?;
            Some(whys.swap_remove(place))
        };
        Ok(needy.into_iter().map(|needy| (needy.clone(), why(&needy))).collect())
    }

    /// `?ref=`: a failure of this product by what the user reads out.
    async fn look_up(&self, product: &Product, reference: &str, now: Timestamp) -> Result<Found, StoreError> {
        let reference = reference.to_ascii_uppercase();
        let good = reference.len() == "LK-7H3K-9QZM".len()
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let failure = if good {
            self.platform.store.failure_of_reference(&product.id, &reference, now).await?
        } else {
            None
        };
        Ok(failure.map_or(Found::Nothing, |failure| Found::Failure(Box::new(timeline(&failure, product)))))
    }
}

/// What was observed, is not resolved, and is for one of these to act on: it is asked for, not picked out of the latest,
/// among which one outage hides all else.
fn unresolved(actors: &[Actor]) -> FailureFilter {
    let causes = diagnosis::catalogue().iter().filter(|cause| actors.contains(&cause.actor));
    FailureFilter {
        causes: causes.map(|cause| cause.id.to_owned()).collect(),
        provenance: Some(Provenance::Observed),
        resolved: Some(false),
        ..FailureFilter::default()
    }
}

impl Asked {
    /// The failures of so many days that the filter lets through, of the app that is looked at.
    fn failures(&self, days: i32, limit: u8, filter: FailureFilter) -> FailureQuery {
        let app = self.app_id();
        FailureQuery {
            from: self.now - DAY * days,
            to: self.now + SKEW,
            customer: None,
            filter: FailureFilter { app, ..filter },
            limit,
            after: None,
        }
    }

    fn app_id(&self) -> Option<AppId> {
        self.app.as_ref()?.parse().ok()
    }

    fn of(form: &Form, product: &Product, now: Timestamp) -> Self {
        let days = form.only("days").and_then(|days| days.parse::<i32>().ok());
        let range = RANGES.into_iter().find(|range| Some(range.days) == days).unwrap_or(RANGES[2]);
        let app = form.only("app").filter(|app| product.apps.iter().any(|known| known.id.as_str() == *app));
        let step = if range.days == 1 { SignedDuration::from_hours(1) } else { DAY };
        let count = if range.days == 1 { 24 } else { range.days };
        // The bucket that has begun is the last.
        let begin = now.as_second().div_euclid(step.as_secs()) * step.as_secs();
        let begin = Timestamp::from_second(begin).unwrap_or(now);
        let buckets = (0..=count).map(|bucket| begin - step * (count - 1 - bucket)).collect();
        Self { range, app: app.map(str::to_owned), now, buckets }
    }

    pub(crate) fn span(&self) -> (Timestamp, Timestamp) {
        (self.buckets[0], self.buckets[self.buckets.len() - 1])
    }

    pub(crate) fn bucket(&self, at: Timestamp) -> Option<usize> {
        let (from, to) = self.span();
        (from <= at && at < to).then(|| self.buckets.partition_point(|begin| *begin <= at) - 1)
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        let form = if self.range.days == 1 { "%H:00" } else { "%-d %b" };
        let begins = &self.buckets[..self.buckets.len() - 1];
        begins.iter().map(|begin| begin.to_zoned(TimeZone::UTC).strftime(form).to_string()).collect()
    }

    fn href(product: Option<&str>, days: i32, app: Option<&str>) -> String {
        let product = product.map(|id| format!("product={id}&")).unwrap_or_default();
        let app = app.map(|app| format!("&app={app}")).unwrap_or_default();
        format!("/ops?{product}days={days}{app}")
    }

    fn products(&self, all: &[ProductId], shown: &Product) -> Vec<Choice> {
        let choice = |id: &ProductId| Choice {
            href: Self::href(Some(id.as_str()), self.range.days, None),
            label: id.to_string(),
            current: *id == shown.id,
        };
        all.iter().map(choice).collect()
    }

    fn ranges(&self, product: &Product, several: bool) -> Vec<Choice> {
        let product = several.then(|| product.id.as_str());
        let choice = |range: &Range| Choice {
            href: Self::href(product, range.days, self.app.as_deref()),
            label: range.label.to_owned(),
            current: *range == self.range,
        };
        RANGES.iter().map(choice).collect()
    }

    fn apps(&self, product: &Product, several: bool) -> Vec<Choice> {
        let id = several.then(|| product.id.as_str());
        let choice = |app: Option<&App>| Choice {
            href: Self::href(id, self.range.days, app.map(|app| app.id.as_str())),
            label: app.map_or(WORDS.all_apps, |app| app.id.as_str()).to_owned(),
            current: self.app.as_deref() == app.map(|app| app.id.as_str()),
        };
        std::iter::once(choice(None)).chain(product.apps.iter().map(|app| choice(Some(app)))).collect()
    }

    pub(crate) fn reference(&self, product: &ProductId, failure: &FailureId) -> String {
        format!("/ops?product={product}&days={}&ref={}", self.range.days, failure.reference())
    }
}
