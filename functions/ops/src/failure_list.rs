//! `GET /ops/failures`: the failures of one cause, or of all, page by page.

use domain::secret::Hash;
use http::StatusCode;
use jiff::Timestamp;
use pages::{Page, ops::OpsFailuresPage};
use store::failure_lists::FailureFilter;
use web::{
    Query, Request, Response,
    respond::{self, Forms, page},
};

use crate::{
    Ops,
    acts::Acts,
    csv,
    failures::Cursor,
    format::label,
    lists::failure_row,
    visit::{Format, Refused, Visit},
};

/// Failures on one page.
const PAGE_SIZE: u8 = 50;

impl Ops {
    pub(crate) async fn failure_list(
        &self,
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response, Refused> {
        let visit = self.visit(request, query, now).await?;
        let Visit { product, selected, .. } = &visit;
        let cause = query.get("cause");
        if cause.is_some_and(|cause| !is_cause_id(cause)) {
            return Err(Refused::query("cause is the id of a cause."));
        }
        let address = selected.failures_href(cause);
        let list = Hash::of(&format!("{}\n{address}", product.id));
        let place = |text| Cursor::place(text, &list).ok_or("after is the place in another list.");
        let after = query.get("after").map(place).transpose().map_err(Refused::query)?;
        let filter = FailureFilter {
            causes: cause.map(str::to_owned).into_iter().collect(),
            ..FailureFilter::default()
        };
        let mut wanted = selected.failures(selected.range.days, PAGE_SIZE, filter);
        wanted.after = after;
        let (failures, place) = self.platform.store.list_failures(&product.id, &wanted).await?;

        let shown = product.apps.iter().filter(|app| selected.app_id().is_none_or(|id| id == app.id));
        let owners = shown.map(|app| app.about.owner);
        let known = cause.and_then(diagnosis::cause);
        let view = OpsFailuresPage {
            frame: visit.frame(&address),
            cause: cause.map(|cause| label(cause).to_owned()),
            selected: selected.words(product),
            actor: known.map(|cause| Acts::on(cause, owners).sentence()),
            all: cause.map(|_| selected.failures_href(None)),
            rows: failures.iter().map(|failure| failure_row(failure, selected)).collect(),
            next: place.map(|place| format!("{address}&after={}", Cursor::new(list, place).text())),
        };
        Ok(match visit.format {
            Format::Page => page(StatusCode::OK, Forms::Ours, |nonce| view.with_nonce(nonce).html()),
            Format::Csv => respond::csv("latchkey-failures.csv", csv::text(&csv::failures(&failures))),
        })
    }
}

/// Whether this may be the id of a cause: also of one that left the catalogue.
fn is_cause_id(text: &str) -> bool {
    (1..=60).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
