//! Somebody who holds everything that a link, a public page, another product and their own login give, and wants what
//! belongs to another browser.

use super::{Browser, RawRequest};

/// A connect link of somebody else's, and the id of its session: ids are no secrets.
#[derive(Debug, Clone)]
pub struct HeldLink {
    /// What became of the session, for whoever reads a failed test.
    pub name: &'static str,
    /// The link's secret part.
    pub key: String,
    /// The session's id.
    pub session: String,
}

/// What the attacker holds.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    /// Connect links of others, with their sessions' ids.
    pub links: Vec<HeldLink>,
    /// The name of every cookie that other browsers hold.
    pub cookie_names: Vec<String>,
    /// Addresses of return with `state` and `code` of others, as a browser's history or a proxy's log has them.
    pub answers: Vec<String>,
    /// A receipt on its way to its product.
    pub receipt: String,
    /// Connections of others, by id.
    pub connections: Vec<String>,
    /// Help links of others, by id.
    pub help: Vec<String>,
    /// What the first help link shows: the product's own name of the user who asked.
    pub user_name: String,
    /// What the first help link, and the connect link of an open reconnect, show: the org's own host.
    pub org_host: String,
    /// Events of others, by id.
    pub events: Vec<String>,
    /// Operators' links: one is used, one is not.
    pub ops_links: Vec<String>,
    /// The API key of a product of the attacker's own.
    pub api_key: String,
}

/// The attacker: a browser with a login of its own, and what they hold.
#[derive(Clone)]
pub struct Attacker {
    /// Signed in to Salesforce as a user of another org, with an attempt of its own.
    pub browser: Browser,
    /// Signed in to the operators' page, for a product of the attacker's own.
    pub operator: Browser,
    /// What they hold of others.
    pub holds: Holdings,
}

impl Attacker {
    /// `Cookie` headers in which every known name has the same value: one header for each value that can be made from
    /// what is held, for the session behind this link.
    pub fn forged_cookies(&self, link: &HeldLink) -> Vec<String> {
        let own = self.browser.cookies();
        let own_secret = own.iter().find_map(|cookie| cookie.value.split_once('.')).map(|(secret, _)| secret);
        let own_secret = own_secret.unwrap_or("nothing");
        let HeldLink { key, session, .. } = link;
        let mut names = self.holds.cookie_names.clone();
        // Names that earlier versions used, and that the session's id would give.
        names.push(format!("__Host-lk-s-{}", session.get(3..15).unwrap_or_default()));
        names.push(format!("__Host-lk-{}", session.get(3..15).unwrap_or_default()));
        let values = [
            key.clone(),
            format!("{key}.{key}"),
            format!("{session}.{key}"),
            format!(".{key}"),
            // A secret that is good for the attacker's own attempt, under somebody else's name.
            format!("{own_secret}.{key}"),
            own_secret.to_owned(),
        ];
        values
            .iter()
            .map(|value| names.iter().map(|name| format!("{name}={value}")).collect::<Vec<_>>().join("; "))
            .collect()
    }

    /// What might pass for an API key of `product`.
    pub fn forged_keys(&self, product: &str) -> Vec<String> {
        let mut keys = vec![String::new(), "null".into(), format!("lk_{product}")];
        // The attacker's own key, said to be of another product's.
        let parts: Vec<&str> = self.holds.api_key.split('_').collect();
        for place in 0..parts.len() {
            let mut parts = parts.clone();
            parts[place] = product;
            keys.push(parts.join("_"));
        }
        keys.extend(self.holds.links.iter().flat_map(|link| [link.key.clone(), link.session.clone()]));
        keys.push(self.holds.receipt.clone());
        keys
    }

    /// What the attacker's own browser sends to this address.
    pub fn own_cookies(&self, url: &str) -> String {
        self.browser.cookie_header(url).unwrap_or_default()
    }
}

/// What proves, to a browser's standards, that a form is from a page of the service itself.
#[must_use]
pub fn from_own_page(request: RawRequest, origin: &str) -> RawRequest {
    request.header("sec-fetch-site", "same-origin").header("origin", origin)
}

/// The headers of a form that another site's page, or nobody's, makes a browser send.
pub const OTHER_SITES: [&[(&str, &str)]; 6] = [
    &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    &[("sec-fetch-site", "same-site"), ("origin", "https://blog.localhost")],
    &[("sec-fetch-site", "none")],
    &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
    &[("origin", "null")],
    &[],
];

/// The headers of a page that a browser, a scanner or a mail client loads before anybody asked for it.
pub const PREFETCHES: [(&str, &str); 5] = [
    ("sec-purpose", "prefetch"),
    ("sec-purpose", "prefetch;prerender"),
    ("purpose", "prefetch"),
    ("x-purpose", "preview"),
    ("x-moz", "prefetch"),
];

/// The methods that HTTP knows.
pub const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
