//! `POST /ops/search`: finds a failure by its reference, and customers by id, name, org or My Domain. What was typed is in
//! the body alone: no address, and so no log, holds it.

use std::collections::BTreeMap;

use domain::{ConnectionId, Customer, Failure, FailureId, OrgId, Product, SessionId, secret::Hash};
use http::StatusCode;
use jiff::Timestamp;
use pages::{
    Page,
    ops::{CustomerMatch, OpsSearchPage, SignedOut, WORDS, say},
};
use platform::log::refused;
use store::{StoreError, failure_lists::FailureFilter};
use web::{
    Request, Response, error_pages,
    request::{Form, is_same_origin},
    respond::{Forms, page, redirect},
};

use crate::{
    Ops,
    format::parse_reference,
    outages::MAX_FAILURES_READ,
    query::DashboardQuery,
    visit::{Refused, Visit},
};

/// The fields of the form.
const FIELDS: [&str; 5] = ["q", "product", "days", "app", "environment"];

/// Maximum characters of what is searched for.
const MAX_SOUGHT: usize = 200;

/// Maximum customers that a search shows.
const MAX_MATCHES: usize = 50;

/// How far back failures are searched.
const DAYS_SEARCHED: i32 = 30;

/// What leads to a customer: one id, or a text that several may match.
struct Sought {
    text: String,
    folded: String,
    org: Option<OrgId>,
}

/// A customer that was found, and its orgs.
struct Match {
    customer: Customer,
    orgs: Vec<String>,
}

impl Ops {
    pub(crate) async fn search(&self, request: &Request, now: Timestamp) -> Result<Response, Refused> {
        if !is_same_origin(request, self.platform.settings.public_url.origin()) {
            refused("a search that is not from our page");
            return Ok(Self::signed_out_page(SignedOut::NoSession, StatusCode::BAD_REQUEST));
        }
        let form = match Form::of_body(request) {
            Ok(form) => form,
            Err(error) => return Ok(error_pages::bad_request(error)),
        };
        let field = |name: &str| form.only(name).map(str::trim).filter(|value| !value.is_empty());
        let visit = self.visit_with(request, field, now).await?;
        let Visit { product, selected, .. } = &visit;
        if form.pairs().any(|(name, _)| !FIELDS.contains(&name) || form.doubled(name)) {
            return Ok(error_pages::bad_request("a search with an unknown or repeated field"));
        }
        let Some(text) = field("q").filter(|text| text.chars().count() <= MAX_SOUGHT) else {
            return Ok(redirect(&selected.link().href()));
        };
        if let Some(address) = self.exact(product, text, selected).await? {
            return Ok(redirect(&address));
        }
        let (matches, searched) = self.matches(product, text, selected).await?;
        if let [only] = matches.as_slice() {
            return Ok(redirect(&selected.history(&Hash::of(&only.customer.id))));
        }
        let view = OpsSearchPage {
            frame: visit.frame(&selected.link().href()),
            sought: text.to_owned(),
            matches: matches
                .iter()
                .map(|found| CustomerMatch {
                    customer: selected.customer(&found.customer),
                    id: found.customer.id.clone(),
                    orgs: found.orgs.join(", "),
                })
                .collect(),
            searched,
        };
        Ok(page(StatusCode::OK, Forms::Ours, |nonce| view.with_nonce(nonce).html()))
    }

    /// Where a reference, an id of ours or the exact id of a customer leads: at most five requests.
    async fn exact(
        &self,
        product: &Product,
        text: &str,
        selected: &DashboardQuery,
    ) -> Result<Option<String>, StoreError> {
        let (store, now) = (&self.platform.store, selected.now);
        if let Some([first, second]) = parse_reference(text) {
            let reference = format!("LK-{first}-{second}");
            let is_named = text.trim_start().to_ascii_uppercase().starts_with("LK");
            // Eight letters may be a reference that was read aloud without its LK, or a customer's name.
            if is_named || store.failure_of_reference(&product.id, &reference, now).await?.is_some() {
                return Ok(Some(selected.look_up(&reference)));
            }
        }
        let customer = if let Ok(id) = text.parse::<ConnectionId>() {
            store.connection_of_customer(&product.id, &id).await?.map(|connection| connection.customer)
        } else if let Ok(id) = text.parse::<SessionId>() {
            let found = store.session_summaries(&[id]).await?.pop();
            found.filter(|session| session.product == product.id).map(|session| session.customer)
        } else if let Ok(id) = text.parse::<FailureId>() {
            let found = store.failure(&id, now).await?.filter(|failure| failure.product == product.id);
            return Ok(found.map(|failure| selected.reference(&failure.id)));
        } else {
            let history = Box::pin(store.customer_history(&product.id, &Hash::of(text), now)).await?; // boxed: large
            history.customer().cloned()
        };
        Ok(customer.map(|customer| selected.history(&Hash::of(&customer.id))))
    }

    /// Customers whose name, id, org or My Domain matches, and what was searched: at most 31 requests for failures and four
    /// for connections.
    async fn matches(
        &self,
        product: &Product,
        text: &str,
        selected: &DashboardQuery,
    ) -> Result<(Vec<Match>, String), StoreError> {
        let sought = Sought { text: text.to_owned(), folded: text.to_lowercase(), org: text.parse().ok() };
        let wanted = selected.failures(DAYS_SEARCHED, MAX_FAILURES_READ, FailureFilter::default());
        let wanted = store::failure_lists::FailureQuery {
            filter: FailureFilter::default(), // a customer is found whatever is selected
            ..wanted
        };
        let store = &self.platform.store;
        let ((failures, _), (connections, is_cut)) = tokio::try_join!(
            store.list_failures(&product.id, &wanted),
            store.search_connections(&product.id, |found| {
                sought.is_customer(&found.customer) || sought.is_org(&found.org)
            }),
        )?;
        let mut found: BTreeMap<String, Match> = BTreeMap::new();
        let mut add = |customer: &Customer, org: Option<&OrgId>| {
            let entry = found.entry(customer.id.clone());
            let entry = entry.or_insert_with(|| Match { customer: customer.clone(), orgs: Vec::new() });
            let org = org.map(ToString::to_string);
            entry.orgs.extend(org.filter(|org| !entry.orgs.contains(org)));
        };
        for failure in failures.iter().filter(|failure| sought.is_failure(failure)) {
            add(&failure.customer, failure.org.as_ref());
        }
        for connection in &connections {
            add(&connection.customer, Some(&connection.org));
        }
        let connections = if is_cut { WORDS.searched_some } else { WORDS.searched_all };
        let searched = say(WORDS.searched, &[("failures", &failures.len()), ("connections", &connections)]);
        Ok((found.into_values().take(MAX_MATCHES).collect(), searched))
    }
}

impl Sought {
    fn is_customer(&self, customer: &Customer) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.folded);
        has(&customer.id) || customer.name.as_deref().is_some_and(has)
    }

    fn is_org(&self, org: &OrgId) -> bool {
        self.org.as_ref().is_some_and(|wanted| wanted.same_as(org)) || org.as_str() == self.text
    }

    /// A My Domain: `acme.my.salesforce.com`, with or without its scheme, or its beginning and a dot.
    fn is_host(&self, origin: &str) -> bool {
        let host = |text: &str| text.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let (origin, wanted) = (host(origin), host(&self.folded));
        origin == wanted
            || (wanted.contains("--") || wanted.contains('.')) && origin.starts_with(&format!("{wanted}."))
    }

    fn is_failure(&self, failure: &Failure) -> bool {
        self.is_customer(&failure.customer)
            || failure.org.as_ref().is_some_and(|org| self.is_org(org))
            || failure.login_host.as_deref().is_some_and(|host| self.is_host(host))
    }
}
