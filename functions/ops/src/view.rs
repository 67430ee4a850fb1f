//! `GET /ops`: the page, from a handful of counters and the latest failures.

use std::sync::Arc;

use domain::{
    App, AppId, Environment, Failure, FailureId, Product, ProductId, Provenance,
    diagnosis::{self, Actor},
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use pages::{
    Page,
    ops::{Choice, Found, OpsPage, SignedOut, WORDS, say},
};
use service::{
    Query, Request, Response, notices,
    respond::{Forms, page},
};
use store::{
    StoreError,
    failures::{FailureFilter, FailureQuery},
    needy::Needy,
    tallies::Tally,
    waves::Wave,
};

use crate::{
    Ops,
    failures::{SKEW, word},
    figures::Figures,
    rows::{in_need_of, incidents, lately, latest_row, wave_of},
    sign_in::Viewer,
    spread::{spread, usual_days},
    timeline::timeline,
    words::{clock_time, environment_name, read_out},
};

/// How many failures the page reads of a kind, the latest first, to see whose they are.
pub(crate) const MOST_READ: u8 = 100;

/// How many of them it shows.
const SHOWN: u8 = 12;

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
    /// Where several may be looked at: which.
    product: Option<ProductId>,
    pub(crate) app: Option<String>,
    pub(crate) environment: Option<Environment>,
    pub(crate) now: Timestamp,
    /// When each bucket begins, and the end of the last.
    pub(crate) buckets: Vec<Timestamp>,
}

/// What the page shows, of all that it can: its links lead to one such, and its form stays with this one.
#[derive(Debug, Clone, Copy)]
struct Shown<'a> {
    product: Option<&'a ProductId>,
    days: i32,
    app: Option<&'a str>,
    environment: Option<Environment>,
}

impl Shown<'_> {
    fn fields(self) -> Vec<(&'static str, String)> {
        let fields = [
            ("product", self.product.map(ToString::to_string)),
            ("days", Some(self.days.to_string())),
            ("app", self.app.map(str::to_owned)),
            ("environment", self.environment.map(|kind| kind.word().to_owned())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn href(self) -> String {
        let fields: Vec<String> =
            self.fields().iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("/ops?{}", fields.join("&"))
    }
}

/// What the table has for the page.
struct Read {
    /// The range, and as long a time before it.
    tallies: Vec<Tally>,
    /// The days that tell what is usual, where they are not among these.
    usual: Vec<Tally>,
    gauges: Vec<Tally>,
    waves: Vec<Wave>,
    latest: Vec<Failure>,
    /// Of the last day, what we saw ourselves.
    observed: Vec<Failure>,
    ours: Vec<Failure>,
    needy: Vec<(Needy, Option<Failure>)>,
    found: Option<Found>,
}

impl Ops {
    pub(crate) async fn page(
        &self,
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response, StoreError> {
        let Some(viewer) = self.viewer(request, now).await? else {
            return Ok(Self::shut(SignedOut::NoSession, StatusCode::UNAUTHORIZED));
        };
        let wanted = query.get("product");
        let (product, all) = match &viewer.product {
            Some(product) if wanted.is_some_and(|wanted| wanted != product.id.as_str()) => {
                return Ok(notices::bad_query("product: this session shows one product only."));
            }
            Some(product) => (Some(Arc::clone(product)), Vec::new()),
            None => {
                let all = self.platform.store.products().await?;
                let chosen = match wanted {
                    Some(wanted) => all.iter().find(|id| id.as_str() == wanted),
                    None => all.first(),
                };
                if chosen.is_none() && wanted.is_some() {
                    return Ok(notices::bad_query("product: no product has this id."));
                }
                let product = match chosen {
                    Some(id) => self.platform.products.get(id, now).await?,
                    None => None,
                };
                (product, all)
            }
        };
        let Some(product) = product else {
            return Ok(Self::shut(SignedOut::NoSession, StatusCode::NOT_FOUND));
        };
        match Asked::of(query, &product, !all.is_empty(), now) {
            Ok(asked) => self.show(query, &viewer, &product, &all, &asked).await,
            Err(detail) => Ok(notices::bad_query(detail)),
        }
    }

    async fn show(
        &self,
        query: &Query,
        viewer: &Viewer,
        product: &Product,
        all: &[ProductId],
        asked: &Asked,
    ) -> Result<Response, StoreError> {
        let now = asked.now;
        let Read { tallies, usual, gauges, waves, latest, observed, ours, needy, found } =
            Box::pin(self.read(query, product, asked)).await?;
        let figures = Figures { product, asked, tallies: &tallies };
        let days = if usual.is_empty() { &tallies } else { &usual };
        let spread = spread(&observed, &Figures { tallies: days, ..figures }, product, now);
        let newest = tallies.iter().chain(&gauges).max_by_key(|tally| tally.changed_at);
        let counted = newest.map(|tally| {
            let lag = tally.tallied_at.duration_since(tally.changed_at).max(SignedDuration::ZERO);
            (clock_time(tally.changed_at), say(WORDS.lag, &[("seconds", &lag.as_secs())]))
        });
        let (connections, in_need) = figures.connections(&gauges);
        let view = |nonce: &str| {
            OpsPage {
                nonce,
                brand: &product.brand,
                products: asked.products(all),
                ranges: asked.ranges(),
                apps: asked.apps(product),
                environments: asked.environments(),
                shown: asked.shown().fields(),
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
                places: figures.places(),
                lately: lately(&observed, now),
                spread,
                connections,
                needy: needy
                    .iter()
                    .map(|(needy, why)| in_need_of(needy, why.as_ref(), product, asked))
                    .collect(),
                refreshes: figures.refreshes(),
                outcomes: figures.outcomes(),
                fixes: figures.fixes(),
                lost: figures.lost(),
                latest: latest.iter().map(|failure| latest_row(failure, product, asked)).collect(),
            }
            .html()
        };
        Ok(page(StatusCode::OK, Forms::Ours, view))
    }

    /// Everything at once: the page waits as long as for the slowest.
    async fn read(&self, query: &Query, product: &Product, asked: &Asked) -> Result<Read, StoreError> {
        let (store, id, now) = (&self.platform.store, &product.id, asked.now);
        let (from, to) = asked.span();
        let hours = asked.range.days == 1;
        let before = from - DAY * asked.range.days;
        let usual = async {
            let (first, end) = usual_days(now);
            if hours { self.tallies(id, first, end, false).await } else { Ok(Vec::new()) }
        };
        let found = async {
            match query.get("ref").map(str::trim).filter(|text| !text.is_empty()) {
                Some(text) => self.look_up(product, text, now).await.map(Some),
                None => Ok(None),
            }
        };
        let observed = FailureFilter { provenance: Some(Provenance::Observed), ..FailureFilter::default() };
        let seen = async {
            let observed = self.failures(product, asked.failures(1, MOST_READ, observed)).await?;
            let ours = self.ours(product, asked, &observed).await?;
            Ok((observed, ours))
        };
        let (tallies, usual, gauges, waves, latest, (observed, ours), needy, found) = tokio::try_join!(
            self.tallies(id, before, to, hours),
            usual,
            store.gauges(id),
            store.waves(id, now),
            self.failures(product, asked.failures(7, SHOWN, FailureFilter::default())),
            seen,
            self.needy(product, asked),
            found,
        )?;
        Ok(Read { tallies, usual, gauges, waves, latest, observed, ours, needy, found })
    }

    /// What is the product's own to mend: observed within a day, and not resolved. It is among what was observed, unless that
    /// is more than is read.
    async fn ours(
        &self,
        product: &Product,
        asked: &Asked,
        observed: &[Failure],
    ) -> Result<Vec<Failure>, StoreError> {
        let filter = unresolved_of_ours();
        if observed.len() == usize::from(MOST_READ) {
            return self.failures(product, asked.failures(1, MOST_READ, filter)).await;
        }
        Ok(observed.iter().filter(|failure| filter.admits(failure)).cloned().collect())
    }

    async fn failures(&self, product: &Product, query: FailureQuery) -> Result<Vec<Failure>, StoreError> {
        self.platform.store.list_failures(&product.id, &query).await.map(|(found, _)| found)
    }

    /// The connections that wait for somebody, those that stopped last first, and what stopped them, while that is kept.
    async fn needy(
        &self,
        product: &Product,
        asked: &Asked,
    ) -> Result<Vec<(Needy, Option<Failure>)>, StoreError> {
        let store = &self.platform.store;
        let needy = store.needy(&product.id, asked.app_id().as_ref(), asked.environment, SHOWN).await?;
        let ids: Vec<FailureId> = needy.iter().map(|needy| needy.failure.clone()).collect();
        let mut whys = store.failures(&ids, asked.now).await?;
        let mut why = |needy: &Needy| {
            let place = whys.iter().position(|failure| failure.id == needy.failure)?;
            Some(whys.swap_remove(place))
        };
        Ok(needy.into_iter().map(|needy| (needy.clone(), why(&needy))).collect())
    }

    /// `?ref=`: a failure of this product by what the user reads out.
    async fn look_up(&self, product: &Product, text: &str, now: Timestamp) -> Result<Found, StoreError> {
        let Some([first, second]) = read_out(text) else { return Ok(Found::Nothing { logged: None }) };
        let reference = format!("LK-{first}-{second}");
        let failure = self.platform.store.failure_of_reference(&product.id, &reference, now).await?;
        Ok(match failure {
            Some(failure) => Found::Failure(Box::new(timeline(&failure, product))),
            // As `service::failures::internal` writes those of our own faults, which have no record.
            None => Found::Nothing { logged: Some(format!("LK-{first}{second}")) },
        })
    }
}

/// What was observed, is not resolved, and is for the product to mend: it is asked for, not picked out of the latest, among
/// which one outage hides all else.
fn unresolved_of_ours() -> FailureFilter {
    let causes = diagnosis::catalogue().iter().filter(|cause| cause.actor == Actor::Vendor);
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
            filter: FailureFilter { app, environment: self.environment, ..filter },
            limit,
            after: None,
        }
    }

    fn app_id(&self) -> Option<AppId> {
        self.app.as_ref()?.parse().ok()
    }

    /// Reads what to show on the page. An error names the parameter whose value is invalid: a filter that is ignored shows
    /// figures under the wrong name.
    fn of(
        query: &Query,
        product: &Product,
        is_one_of_several: bool,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let range = match query.get("days") {
            Some(days) => RANGES.into_iter().find(|range| range.days.to_string() == days),
            None => Some(RANGES[2]),
        };
        let range = range.ok_or("days is 1, 7, 30 or 90.")?;
        let app = query.get("app");
        if app.is_some_and(|app| product.apps.iter().all(|known| known.id.as_str() != app)) {
            return Err("app: this product has no app of that id.");
        }
        let environment =
            word(query, "environment", "").map_err(|_| "environment is production, sandbox or my_domain.")?;
        let step = if range.days == 1 { SignedDuration::from_hours(1) } else { DAY };
        let count = if range.days == 1 { 24 } else { range.days };
        // The bucket that has begun is the last.
        let begin = begin_of(now, step);
        Ok(Self {
            range,
            product: is_one_of_several.then(|| product.id.clone()),
            app: app.map(str::to_owned),
            environment,
            now,
            buckets: (0..=count).map(|bucket| begin - step * (count - 1 - bucket)).collect(),
        })
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

    fn shown(&self) -> Shown<'_> {
        let Self { range, product, app, environment, .. } = self;
        Shown { product: product.as_ref(), days: range.days, app: app.as_deref(), environment: *environment }
    }

    fn products(&self, all: &[ProductId]) -> Vec<Choice> {
        let choice = |id: &ProductId| Choice {
            href: Shown { product: Some(id), app: None, ..self.shown() }.href(),
            label: id.to_string(),
            current: self.product.as_ref() == Some(id),
        };
        all.iter().map(choice).collect()
    }

    fn ranges(&self) -> Vec<Choice> {
        let choice = |range: &Range| Choice {
            href: Shown { days: range.days, ..self.shown() }.href(),
            label: range.label.to_owned(),
            current: *range == self.range,
        };
        RANGES.iter().map(choice).collect()
    }

    fn apps(&self, product: &Product) -> Vec<Choice> {
        let choice = |app: Option<&App>| {
            let id = app.map(|app| app.id.as_str());
            Choice {
                href: Shown { app: id, ..self.shown() }.href(),
                label: id.unwrap_or(WORDS.all_apps).to_owned(),
                current: self.app.as_deref() == id,
            }
        };
        std::iter::once(choice(None)).chain(product.apps.iter().map(|app| choice(Some(app)))).collect()
    }

    fn environments(&self) -> Vec<Choice> {
        let kinds = [Environment::Production, Environment::Sandbox, Environment::MyDomain];
        let choice = |environment: Option<Environment>| Choice {
            href: Shown { environment, ..self.shown() }.href(),
            label: environment.map_or(WORDS.all_environments, |kind| environment_name(Some(kind))).to_owned(),
            current: self.environment == environment,
        };
        std::iter::once(None).chain(kinds.map(Some)).map(choice).collect()
    }

    pub(crate) fn reference(&self, failure: &FailureId) -> String {
        format!("{}&ref={}", self.shown().href(), failure.reference())
    }
}

/// When the hour or the day (UTC) that holds a time began.
pub(crate) fn begin_of(at: Timestamp, step: SignedDuration) -> Timestamp {
    let begin = at.as_second().div_euclid(step.as_secs()) * step.as_secs();
    Timestamp::from_second(begin).unwrap_or(at)
}
