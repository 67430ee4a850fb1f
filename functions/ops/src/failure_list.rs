//! `GET /ops/failures`: the failures of one cause, or of all, page by page.

use domain::secret::Hash;
use http::StatusCode;
use jiff::Timestamp;
use pages::{Page, ops::OpsFailuresPage};
use store::{StoreError, failure_lists::FailureFilter};
use web::{
    Query, Request, Response, error_pages,
    respond::{self, Forms, page},
};

use crate::{
    Ops, csv,
    dashboard::{Format, frame},
    failures::Cursor,
    format::{label, next_action},
    lists::failure_row,
    query::DashboardQuery,
};

/// Failures on one page.
const PAGE_SIZE: u8 = 50;

impl Ops {
    pub(crate) async fn failure_list(
        &self,
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response, StoreError> {
        let (viewer, product, all) = match self.look_at(request, query.get("product"), now).await? {
            Ok(found) => found,
            Err(refused) => return Ok(*refused),
        };
        let selected = match DashboardQuery::parse(|name| query.get(name), &product, !all.is_empty(), now) {
            Ok(selected) => selected,
            Err(detail) => return Ok(error_pages::bad_query(detail)),
        };
        let format = match Format::of(query) {
            Ok(format) => format,
            Err(detail) => return Ok(error_pages::bad_query(detail)),
        };
        let cause = query.get("cause");
        if cause.is_some_and(|cause| !is_cause_id(cause)) {
            return Ok(error_pages::bad_query("cause is the id of a cause."));
        }
        let address = selected.failures_href(cause);
        let list = Hash::of(&format!("{}\n{address}", product.id));
        let after = match query.get("after").map(|text| Cursor::place(text, &list)) {
            Some(None) => return Ok(error_pages::bad_query("after is the place in another list.")),
            Some(place) => place,
            None => None,
        };
        let filter = FailureFilter {
            causes: cause.map(str::to_owned).into_iter().collect(),
            ..FailureFilter::default()
        };
        let mut wanted = selected.failures(selected.range.days, PAGE_SIZE, filter);
        wanted.after = after;
        let (failures, place) = self.platform.store.list_failures(&product.id, &wanted).await?;

        let known = cause.and_then(diagnosis::cause);
        let view = OpsFailuresPage {
            frame: frame(&product, &viewer, &selected, format!("{address}&format=csv")),
            cause: cause.map(|cause| label(cause).to_owned()),
            selected: selected.words(&product),
            actor: known.map(|cause| next_action(cause.actor)),
            all: cause.map(|_| selected.failures_href(None)),
            rows: failures.iter().map(|failure| failure_row(failure, &selected)).collect(),
            next: place.map(|place| format!("{address}&after={}", Cursor::new(list, place).text())),
        };
        Ok(match format {
            Format::Page => page(StatusCode::OK, Forms::Ours, |nonce| view.with_nonce(nonce).html()),
            Format::Csv => respond::csv("latchkey-failures.csv", csv::text(&csv::failures(&failures))),
        })
    }
}

/// Whether this may be the id of a cause: also of one that left the catalogue.
fn is_cause_id(text: &str) -> bool {
    (1..=60).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
