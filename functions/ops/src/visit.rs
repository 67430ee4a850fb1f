//! An operator's visit: who looks, at which product, at which part of it, and as a page or as CSV. Every page begins with
//! it.

use std::sync::Arc;

use domain::{Product, ProductId};
use http::StatusCode;
use jiff::Timestamp;
use pages::ops::{OpsFrame, SignedOut};
use store::StoreError;
use web::{Query, Request, Response, error_pages};

use crate::{Ops, format::clock_time, query::DashboardQuery, session::Viewer};

/// What a signed-in operator asked to see.
pub(crate) struct Visit {
    viewer: Viewer,
    pub(crate) product: Arc<Product>,
    /// The products that the viewer may look at, if they are several.
    pub(crate) products: Vec<ProductId>,
    pub(crate) selected: DashboardQuery,
    pub(crate) format: Format,
}

/// How a page is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Page,
    Csv,
}

/// Why a page is not shown.
#[derive(Debug)]
pub(crate) enum Refused {
    /// This page says why.
    Because(Box<Response>),
    /// The table did not answer.
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Response> for Refused {
    fn from(answer: Response) -> Self {
        Self::Because(Box::new(answer))
    }
}

impl Refused {
    /// The query or the form is invalid, in this respect.
    pub(crate) fn query(detail: &str) -> Self {
        error_pages::bad_query(detail).into()
    }

    fn signed_out(status: StatusCode) -> Self {
        Ops::signed_out_page(SignedOut::NoSession, status).into()
    }
}

impl Format {
    /// `?format=csv`: what the page shows, as CSV.
    fn of(given: Option<&str>) -> Result<Self, &'static str> {
        match given {
            None => Ok(Self::Page),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err("format is csv."),
        }
    }
}

impl Ops {
    /// The visit of a request with this query.
    pub(crate) async fn visit(
        &self,
        request: &Request,
        query: &Query,
        now: Timestamp,
    ) -> Result<Visit, Refused> {
        self.visit_with(request, |name| query.get(name), now).await
    }

    /// The visit of a request with these fields, of a query or of a form.
    pub(crate) async fn visit_with<'q>(
        &self,
        request: &Request,
        field: impl Fn(&str) -> Option<&'q str>,
        now: Timestamp,
    ) -> Result<Visit, Refused> {
        let Some(viewer) = self.viewer(request, now).await? else {
            return Err(Refused::signed_out(StatusCode::UNAUTHORIZED));
        };
        let (product, products) = self.product_of(&viewer, field("product"), now).await?;
        let selected = DashboardQuery::parse(&field, &product, !products.is_empty(), now);
        let selected = selected.map_err(Refused::query)?;
        let format = Format::of(field("format")).map_err(Refused::query)?;
        Ok(Visit { viewer, product, products, selected, format })
    }

    /// The product that is looked at, and all that the viewer may look at, if they are several.
    async fn product_of(
        &self,
        viewer: &Viewer,
        wanted: Option<&str>,
        now: Timestamp,
    ) -> Result<(Arc<Product>, Vec<ProductId>), Refused> {
        if let Some(product) = viewer.product.clone() {
            if wanted.is_some_and(|wanted| wanted != product.id.as_str()) {
                return Err(Refused::query("product: this session shows one product only."));
            }
            return Ok((product, Vec::new()));
        }
        let all = self.platform.store.products().await?;
        let chosen = match wanted {
            Some(wanted) => all.iter().find(|id| id.as_str() == wanted),
            None => all.first(),
        };
        if chosen.is_none() && wanted.is_some() {
            return Err(Refused::query("product: no product has this id."));
        }
        let product = match chosen {
            Some(id) => self.platform.products.get(id, now).await?,
            None => None,
        };
        match product {
            Some(product) => Ok((product, all)),
            None => Err(Refused::signed_out(StatusCode::NOT_FOUND)),
        }
    }
}

impl Visit {
    /// A visit of somebody who sees this product alone.
    #[cfg(test)]
    pub(crate) fn of(product: Arc<Product>, selected: DashboardQuery) -> Self {
        let viewer = Viewer { product: Some(Arc::clone(&product)), until: selected.now };
        Self { viewer, product, products: Vec::new(), selected, format: Format::Page }
    }

    /// What every page has. `address` is the page's own; the nonce follows with the response.
    pub(crate) fn frame(&self, address: &str) -> OpsFrame<'_> {
        let mark = if address.contains('?') { '&' } else { '?' };
        OpsFrame {
            nonce: "",
            brand: &self.product.brand,
            shown: self.selected.link().fields(),
            home: self.selected.link().href(),
            csv: format!("{address}{mark}format=csv"),
            until: clock_time(self.viewer.until),
        }
    }
}
