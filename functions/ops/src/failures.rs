//! `GET /v1/failures`: a product's failures, the latest first. Everything is read from the partitions of the caller's
//! own product, so no filter and no cursor leads out of it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Environment, Failure, ProductId, Provenance, Stage, secret::Hash};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use store::{
    failure_lists::{FailureFilter, FailureQuery, Place},
    failures::FAILURE_KEPT,
};
use web::{Problem, Query, Request, Response, respond, views::FailureView};

use crate::{Ops, error::OpsError};

/// Default page size.
const PAGE_SIZE: u8 = 50;

#[derive(Debug, Serialize)]
struct ListView<'a> {
    failures: Vec<FailureView<'a>>,
    /// Send it as `after`, with the same filters, for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Where a list continues, and which list it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The digest of the product and the filters.
    list: Hash,
    place: Place,
}

impl Ops {
    pub(crate) async fn list(
        &self,
        request: &Request,
        given: &Query,
        now: Timestamp,
    ) -> Result<Response, OpsError> {
        let caller = self.caller(request, now).await?;
        let list = list_digest(&caller.product.id, given);
        let query = query(given, &list, now)?;
        let (failures, place) = self.platform.store.list_failures(&caller.product.id, &query).await?;
        let view = ListView {
            failures: failures.iter().map(|failure| self.view(failure, &caller.product)).collect(),
            next: place.map(|place| Cursor { list, place }.text()),
        };
        Ok(respond::json(StatusCode::OK, &view))
    }

    fn view<'a>(&self, failure: &'a Failure, product: &domain::Product) -> FailureView<'a> {
        FailureView::new(failure, product, self.platform.settings.public_url.origin())
    }
}

impl Cursor {
    pub(crate) fn new(list: Hash, place: Place) -> Self {
        Self { list, place }
    }

    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Where the list goes on; `None`: the text is not a cursor of this list.
    pub(crate) fn place(text: &str, list: &Hash) -> Option<Place> {
        Self::parse(text).filter(|cursor| cursor.list.matches(list)).map(|cursor| cursor.place)
    }

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

/// Identifies a list: a cursor is valid only for the product and the filters that it was made with.
fn list_digest(product: &ProductId, given: &Query) -> Hash {
    let filters = FILTERS.map(|name| format!("{name}={}", given.get(name).unwrap_or_default()));
    Hash::of(&format!("{product}\n{}", filters.join("\n")))
}

const FILTERS: [&str; 9] =
    ["cause", "app", "stage", "environment", "provenance", "resolved", "customer", "from", "to"];

fn query(given: &Query, list: &Hash, now: Timestamp) -> Result<FailureQuery, Problem> {
    let after = given.get("after").map(|text| Cursor::place(text, list));
    let after = match after {
        Some(None) => {
            let detail = "after must be the next of an earlier answer of this product, with the same filters";
            return Err(Problem::bad_request(detail));
        }
        Some(Some(place)) => Some(place),
        None => None,
    };
    let limit = given.get("limit").map_or(Ok(PAGE_SIZE), str::parse);
    let limit = limit.ok().filter(|limit| (1..=100).contains(limit));
    let resolved = match given.get("resolved") {
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(Problem::bad_request("resolved is true or false")),
        None => None,
    };
    let filter = FailureFilter {
        causes: given.get("cause").map(str::to_owned).into_iter().collect(),
        app: given
            .get("app")
            .map(str::parse)
            .transpose()
            .map_err(|_| Problem::bad_request("app is an app's id"))?,
        stage: enum_value::<Stage>(given, "stage", "authorize, lost, callback, exchange, refresh or api")?,
        environment: enum_value::<Environment>(given, "environment", "production, sandbox or my_domain")?,
        provenance: enum_value::<Provenance>(given, "provenance", "observed or reported")?,
        resolved,
    };
    let (from, to) = span(given, now)?;
    Ok(FailureQuery {
        from,
        to,
        customer: given.get("customer").map(str::to_owned),
        filter,
        limit: limit.ok_or_else(|| Problem::bad_request("limit must be 1 to 100"))?,
        after,
    })
}

/// Parses a parameter whose values are those of an enum. `words` lists them for the error.
pub(crate) fn enum_value<T: DeserializeOwned>(
    given: &Query,
    name: &str,
    words: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = given.get(name) else { return Ok(None) };
    enum_from(text).map(Some).ok_or_else(|| Problem::bad_request(format!("{name} is {words}")))
}

/// Parses a value of an enum.
pub(crate) fn enum_from<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

/// Maximum difference of two functions' clocks: a failure of another function may be this far in the future.
pub(crate) const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// The time range. Failures are stored for 90 days.
fn span(given: &Query, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let from = time(given, "from")?.unwrap_or(now - FAILURE_KEPT).max(now - FAILURE_KEPT);
    let to = time(given, "to")?.unwrap_or(now + MAX_CLOCK_SKEW).min(now + MAX_CLOCK_SKEW);
    if from < to {
        Ok((from, to))
    } else {
        Err(Problem::bad_request("from must be before to, and not in the future"))
    }
}

/// Valid times in a query, in seconds of the epoch: the years 1970 to 8999. Nearer to the calendar's ends, adding or
/// subtracting a range would panic.
const VALID_SECONDS: std::ops::Range<i64> = 0..221_845_392_000;

pub(crate) fn time(given: &Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = given.get(name) else { return Ok(None) };
    let read = text.parse().ok().filter(|at: &Timestamp| VALID_SECONDS.contains(&at.as_second()));
    read.map(Some)
        .ok_or_else(|| Problem::bad_request(format!("{name} is a time such as 2026-11-22T09:00:00Z")))
}
