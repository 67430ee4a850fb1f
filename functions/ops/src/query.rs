//! What the operators' page shows of all that it can: the range, the product, the app, the environment.

use domain::{App, AppId, Customer, EndpointId, Environment, FailureId, Product, ProductId, secret::Hash};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use pages::ops::{Choice, Link, WORDS, say};
use store::failure_lists::{FailureFilter, FailureQuery};

use crate::{
    failures::{MAX_CLOCK_SKEW, enum_from},
    format::{app_name, environment_name},
};

/// Length of a day (UTC).
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

/// What the page was asked to show.
pub(crate) struct DashboardQuery {
    pub(crate) range: Range,
    /// The product, if the viewer may look at several.
    product: Option<ProductId>,
    pub(crate) app: Option<String>,
    pub(crate) environment: Option<Environment>,
    pub(crate) now: Timestamp,
    /// When each bucket begins, and the end of the last.
    pub(crate) buckets: Vec<Timestamp>,
}

/// A selection as links and hidden form fields carry it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DashboardLink<'a> {
    product: Option<&'a ProductId>,
    days: i32,
    app: Option<&'a str>,
    environment: Option<Environment>,
}

impl DashboardLink<'_> {
    pub(crate) fn fields(self) -> Vec<(&'static str, String)> {
        let fields = [
            ("product", self.product.map(ToString::to_string)),
            ("days", Some(self.days.to_string())),
            ("app", self.app.map(str::to_owned)),
            ("environment", self.environment.map(|kind| kind.word().to_owned())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    pub(crate) fn href(self) -> String {
        self.of("/ops")
    }

    fn of(self, path: &str) -> String {
        let fields: Vec<String> =
            self.fields().iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{path}?{}", fields.join("&"))
    }
}

impl DashboardQuery {
    /// A query for the failures of the last `days` that pass the filter and belong to the selected app.
    pub(crate) fn failures(&self, days: i32, limit: u8, filter: FailureFilter) -> FailureQuery {
        let app = self.app_id();
        FailureQuery {
            from: self.now - DAY * days,
            to: self.now + MAX_CLOCK_SKEW,
            customer: None,
            filter: FailureFilter { app, environment: self.environment, ..filter },
            limit,
            after: None,
        }
    }

    pub(crate) fn app_id(&self) -> Option<AppId> {
        self.app.as_ref()?.parse().ok()
    }

    /// Reads the fields of a query or a form. An error names the invalid field: an ignored filter would show figures under
    /// the wrong name.
    pub(crate) fn parse<'q>(
        field: impl Fn(&str) -> Option<&'q str>,
        product: &Product,
        is_one_of_several: bool,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let range = match field("days") {
            Some(days) => RANGES.into_iter().find(|range| range.days.to_string() == days),
            None => Some(RANGES[2]),
        };
        let range = range.ok_or("days is 1, 7, 30 or 90.")?;
        let app = field("app");
        if app.is_some_and(|app| product.apps.iter().all(|known| known.id.as_str() != app)) {
            return Err("app: this product has no app of that id.");
        }
        let environment = match field("environment") {
            Some(text) => Some(enum_from(text).ok_or("environment is production, sandbox or my_domain.")?),
            None => None,
        };
        let step = if range.days == 1 { SignedDuration::from_hours(1) } else { DAY };
        let count = if range.days == 1 { 24 } else { range.days };
        // The last bucket is the one that `now` is in.
        let begin = start_of(now, step);
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

    pub(crate) fn link(&self) -> DashboardLink<'_> {
        let Self { range, product, app, environment, .. } = self;
        DashboardLink {
            product: product.as_ref(),
            days: range.days,
            app: app.as_deref(),
            environment: *environment,
        }
    }

    pub(crate) fn products(&self, all: &[ProductId]) -> Vec<Choice> {
        let choice = |id: &ProductId| Choice {
            href: DashboardLink { product: Some(id), app: None, ..self.link() }.href(),
            label: id.to_string(),
            current: self.product.as_ref() == Some(id),
        };
        all.iter().map(choice).collect()
    }

    pub(crate) fn ranges(&self) -> Vec<Choice> {
        let choice = |range: &Range| Choice {
            href: DashboardLink { days: range.days, ..self.link() }.href(),
            label: range.label.to_owned(),
            current: *range == self.range,
        };
        RANGES.iter().map(choice).collect()
    }

    pub(crate) fn apps(&self, product: &Product) -> Vec<Choice> {
        let choice = |app: Option<&App>| {
            let id = app.map(|app| app.id.as_str());
            Choice {
                href: DashboardLink { app: id, ..self.link() }.href(),
                label: id.unwrap_or(WORDS.all_apps).to_owned(),
                current: self.app.as_deref() == id,
            }
        };
        std::iter::once(choice(None)).chain(product.apps.iter().map(|app| choice(Some(app)))).collect()
    }

    pub(crate) fn environments(&self) -> Vec<Choice> {
        let kinds = [Environment::Production, Environment::Sandbox, Environment::MyDomain];
        let choice = |environment: Option<Environment>| Choice {
            href: DashboardLink { environment, ..self.link() }.href(),
            label: environment.map_or(WORDS.all_environments, |kind| environment_name(Some(kind))).to_owned(),
            current: self.environment == environment,
        };
        std::iter::once(None).chain(kinds.map(Some)).map(choice).collect()
    }

    /// The page's address with one failure looked up.
    pub(crate) fn reference(&self, failure: &FailureId) -> String {
        self.look_up(&failure.reference())
    }

    /// The same, by a reference in its canonical form.
    pub(crate) fn look_up(&self, reference: &str) -> String {
        format!("{}&ref={reference}", self.link().href())
    }

    /// The list of failures with this selection, of one cause or of all.
    pub(crate) fn failures_href(&self, cause: Option<&str>) -> String {
        let list = self.link().of("/ops/failures");
        match cause {
            Some(cause) => format!("{list}&cause={cause}"),
            None => list,
        }
    }

    /// A customer's history. The address has the digest of the customer's id, so it can be in a log.
    pub(crate) fn history(&self, customer: &Hash) -> String {
        let path = format!("/ops/customers/{}", customer.as_str());
        match &self.product {
            Some(product) => format!("{path}?product={product}"),
            None => path,
        }
    }

    /// What a webhook endpoint missed.
    pub(crate) fn endpoint(&self, endpoint: &EndpointId) -> String {
        let path = format!("/ops/endpoints/{endpoint}");
        match &self.product {
            Some(product) => format!("{path}?product={product}"),
            None => path,
        }
    }

    /// A link with the customer's name, or its id.
    pub(crate) fn customer(&self, customer: &Customer) -> Link {
        let text = customer.name.clone().unwrap_or_else(|| customer.id.clone());
        Link { href: self.history(&Hash::of(&customer.id)), text }
    }

    /// What is selected, in words.
    pub(crate) fn words(&self, product: &Product) -> String {
        let app = self.app.as_deref().map_or(WORDS.all_apps, |app| app_name(app, product));
        let environment =
            self.environment.map_or(WORDS.all_environments, |kind| environment_name(Some(kind)));
        say(WORDS.selected, &[("range", &self.range.words), ("app", &app), ("environment", &environment)])
    }
}

/// The start of the hour or day (UTC) that contains `at`.
pub(crate) fn start_of(at: Timestamp, step: SignedDuration) -> Timestamp {
    let begin = at.as_second().div_euclid(step.as_secs()) * step.as_secs();
    Timestamp::from_second(begin).unwrap_or(at)
}
