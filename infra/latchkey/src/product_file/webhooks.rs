//! The webhook endpoints of a product file.

use domain::{EndpointId, EventType, WebhookEndpoint};
use serde::Deserialize;
use toml::Spanned;
use url::Url;
use webhooks::AddressGuard;

use super::{Check, sense};

/// Maximum endpoints of a product: each of its events is one attempt for each of them.
const MAX_ENDPOINTS: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookTable {
    id: EndpointId,
    url: Spanned<String>,
    #[serde(default = "every_event")]
    events: Spanned<Vec<Spanned<String>>>,
    secret: Spanned<String>,
}

fn every_event() -> Spanned<Vec<Spanned<String>>> {
    Spanned::new(0..0, vec![Spanned::new(0..0, "*".to_owned())])
}

impl Check<'_> {
    pub(super) fn webhooks(&mut self, tables: Vec<Spanned<WebhookTable>>) -> Vec<WebhookEndpoint> {
        let mut endpoints: Vec<WebhookEndpoint> = Vec::new();
        for (index, table) in tables.into_iter().enumerate() {
            let field = |name: &str| format!("webhooks[{index}].{name}");
            if index == MAX_ENDPOINTS {
                let what = format!("a product has at most {MAX_ENDPOINTS} endpoints");
                self.wrong(format!("webhooks[{index}]"), &table, what);
            }
            if endpoints.iter().any(|other| other.id == table.get_ref().id) {
                self.wrong(field("id"), &table, "another endpoint of this product has this id");
            }
            let WebhookTable { id, url, events, secret } = table.into_inner();
            self.text_of(&field("secret"), &secret, 500, |name| {
                sense::token(name).or_else(|| signing_secret(name))
            });
            let events = self.event_filters(&field("events"), &events);
            if let Some(url) = self.endpoint_url(&field("url"), &url) {
                endpoints.push(WebhookEndpoint { id, url, events, secret: secret.into_inner() });
            }
        }
        endpoints
    }

    fn endpoint_url(&mut self, field: &str, address: &Spanned<String>) -> Option<Url> {
        if let Some(what) = sense::address(address.get_ref()) {
            self.wrong(field, address, what);
            return None;
        }
        let Ok(url) = Url::parse(address.get_ref()) else {
            self.wrong(field, address, "not an address");
            return None;
        };
        // What a name points at is checked whenever it is called.
        if let Err(refused) = AddressGuard::public(None).check_url(&url) {
            self.wrong(field, address, refused.to_string());
            return None;
        }
        if url.fragment().is_some() {
            self.wrong(field, address, "an address without a fragment is needed");
            return None;
        }
        Some(url)
    }

    fn event_filters(&mut self, field: &str, filters: &Spanned<Vec<Spanned<String>>>) -> Vec<String> {
        if filters.get_ref().is_empty() {
            let what =
                "an empty list receives nothing: name event types, or leave the field out to receive all";
            self.wrong(field, filters, what);
        }
        let mut known: Vec<String> = Vec::new();
        for filter in filters.get_ref() {
            if known.contains(filter.get_ref()) {
                self.wrong(field, filter, format!("{:?} is listed twice", filter.get_ref()));
            } else if !is_event_filter(filter.get_ref()) {
                let types: Vec<&str> = EventType::ALL.iter().map(|event_type| event_type.as_str()).collect();
                let types = types.join(", ");
                let what = format!(
                    "{:?} is no event type. Write *, all types of a subject (connection.*), or one of {types}",
                    filter.get_ref()
                );
                self.wrong(field, filter, what);
            } else {
                known.push(filter.get_ref().clone());
            }
        }
        known
    }
}

/// Whether a filter matches at least one event type.
fn is_event_filter(filter: &str) -> bool {
    let mut types = EventType::ALL.iter().map(|event_type| event_type.as_str());
    match filter.strip_suffix(".*") {
        Some(subject) => types.any(|name| name.split_once('.').is_some_and(|(of, _)| of == subject)),
        None => filter == "*" || types.any(|name| name == filter),
    }
}

/// The name of a signing secret, where its value may stand instead. The text is not repeated: it may be that value.
fn signing_secret(name: &str) -> Option<String> {
    if name.starts_with("whsec_") {
        let what = "this is the signing secret itself, not its name in Secrets Manager. Make a new one, since this file \
                    has it: `latchkey webhook create-secret` stores it";
        return Some(what.to_owned());
    }
    sense::secret_name(name)
}
