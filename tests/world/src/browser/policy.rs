//! What a browser tells and allows across sites: origins, sites, referrers, Fetch Metadata, `form-action`.

use axum::http::{HeaderMap, Method};
use url::{Host, Url};

use super::trip::Trip;

/// The page that started a navigation.
#[derive(Clone)]
pub(super) struct Initiator {
    pub url: Url,
    pub policy: ReferrerPolicy,
    /// A form's submission rather than a link.
    pub submits: bool,
    /// The page's `Content-Security-Policy` headers.
    pub security: Vec<String>,
}

/// W3C Referrer Policy, its eight values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ReferrerPolicy {
    NoReferrer,
    NoReferrerWhenDowngrade,
    SameOrigin,
    Origin,
    StrictOrigin,
    OriginWhenCrossOrigin,
    #[default]
    StrictOriginWhenCrossOrigin,
    UnsafeUrl,
}

impl ReferrerPolicy {
    /// The last value that is known; unknown ones are skipped.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all("referrer-policy").into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).filter_map(Self::parse).next_back()
    }

    pub(super) fn parse(token: &str) -> Option<Self> {
        Some(match token.trim().to_ascii_lowercase().as_str() {
            "no-referrer" => Self::NoReferrer,
            "no-referrer-when-downgrade" => Self::NoReferrerWhenDowngrade,
            "same-origin" => Self::SameOrigin,
            "origin" => Self::Origin,
            "strict-origin" => Self::StrictOrigin,
            "origin-when-cross-origin" => Self::OriginWhenCrossOrigin,
            "strict-origin-when-cross-origin" => Self::StrictOriginWhenCrossOrigin,
            "unsafe-url" => Self::UnsafeUrl,
            _ => return None,
        })
    }
}

/// An address without its query and fragment, for messages: a query may hold a code or a key.
pub(super) fn shown(url: &Url) -> &str {
    &url[..url::Position::AfterPath]
}

/// Whether Chromium trusts it like https: loopback addresses and `localhost` names are.
pub(super) fn trustworthy(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

/// Whether both are of one site: scheme and registrable domain. Every last label counts as a public suffix, which
/// is right for `localhost` (not on the list, so `*` holds) and wrong for the likes of `co.uk`, which no test uses.
pub(super) fn same_site(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme() && site(one) == site(other)
}

fn site(url: &Url) -> &str {
    match url.host() {
        Some(Host::Domain(name)) => {
            let last_two = name.rmatch_indices('.').nth(1).map_or(0, |(dot, _)| dot + 1);
            &name[last_two..]
        }
        _ => url.host_str().unwrap_or_default(),
    }
}

/// `Sec-Fetch-Site`: the worst relation that the initiator has to any address on the way.
pub(super) fn fetch_site(trip: &Trip) -> &'static str {
    let Some(initiator) = &trip.initiator else { return "none" };
    let mut way = trip.chain.iter().chain([&trip.url]);
    if way.clone().all(|url| url.origin() == initiator.url.origin()) {
        "same-origin"
    } else if way.all(|url| same_site(url, &initiator.url)) {
        "same-site"
    } else {
        "cross-site"
    }
}

/// `Referer`: the initiating page as far as the policy in force tells the present address of it.
pub(super) fn referrer(trip: &Trip) -> Option<Url> {
    let mut page = trip.initiator.as_ref()?.url.clone();
    page.set_fragment(None);
    page.set_username("").ok()?;
    page.set_password(None).ok()?;
    let mut origin = page.clone();
    origin.set_path("/");
    origin.set_query(None);

    let same_origin = page.origin() == trip.url.origin();
    let downgrade = trustworthy(&page) && !trustworthy(&trip.url);
    match trip.policy {
        ReferrerPolicy::NoReferrer => None,
        ReferrerPolicy::UnsafeUrl => Some(page),
        ReferrerPolicy::Origin => Some(origin),
        ReferrerPolicy::SameOrigin => same_origin.then_some(page),
        ReferrerPolicy::OriginWhenCrossOrigin => Some(if same_origin { page } else { origin }),
        ReferrerPolicy::NoReferrerWhenDowngrade => (!downgrade).then_some(page),
        ReferrerPolicy::StrictOrigin => (!downgrade).then_some(origin),
        ReferrerPolicy::StrictOriginWhenCrossOrigin => {
            (!downgrade).then_some(if same_origin { page } else { origin })
        }
    }
}

/// `Origin`, which navigations carry on POST only. It is `null` under `no-referrer` even to the page's own
/// origin, and after redirects that lead over a foreign origin (Fetch, "append a request `Origin` header").
pub(super) fn origin_header(trip: &Trip) -> Option<String> {
    if trip.method == Method::GET || trip.method == Method::HEAD {
        return None;
    }
    let from = &trip.initiator.as_ref()?.url;
    let way: Vec<&Url> = trip.chain.iter().chain([&trip.url]).collect();
    let tainted = way.windows(2).any(|step| {
        let (last, next) = (step[0].origin(), step[1].origin());
        last != next && last != from.origin()
    });
    let same_origin = from.origin() == trip.url.origin();
    let downgrade = trustworthy(from) && !trustworthy(&trip.url);
    let hidden = match trip.policy {
        ReferrerPolicy::NoReferrer => true,
        ReferrerPolicy::SameOrigin => !same_origin,
        ReferrerPolicy::NoReferrerWhenDowngrade
        | ReferrerPolicy::StrictOrigin
        | ReferrerPolicy::StrictOriginWhenCrossOrigin => downgrade,
        ReferrerPolicy::Origin | ReferrerPolicy::OriginWhenCrossOrigin | ReferrerPolicy::UnsafeUrl => false,
    };
    Some(if tainted || hidden { "null".into() } else { from.origin().ascii_serialization() })
}

impl Initiator {
    /// Panics where Chromium blocks: a form of this page may not be sent, or be redirected, to `target`.
    pub(super) fn must_allow_form_to(&self, target: &Url) {
        let policies = self.security.iter().flat_map(|header| header.split(','));
        for policy in policies {
            let mut directives = policy.split(';').map(str::split_ascii_whitespace);
            let Some(sources) = directives.find_map(|mut directive| {
                directive.next().filter(|name| name.eq_ignore_ascii_case("form-action")).map(|_| directive)
            }) else {
                continue;
            };
            let sources: Vec<&str> = sources.collect();
            assert!(
                sources.iter().any(|source| source_matches(source, &self.url, target)),
                "the form on {} may not lead to {}: form-action allows {sources:?}, and Chromium checks redirects, too",
                shown(&self.url),
                shown(target),
            );
        }
    }
}

/// Whether a CSP source expression covers `target`; paths in it are not looked at.
fn source_matches(source: &str, page: &Url, target: &Url) -> bool {
    match source {
        "*" => return matches!(target.scheme(), "http" | "https"),
        "'self'" => return page.origin() == target.origin(),
        quoted if quoted.starts_with('\'') => return false,
        _ => {}
    }
    if let Some(scheme) = source.strip_suffix(':') {
        return scheme == target.scheme();
    }
    let (scheme, rest) = source.split_once("://").unwrap_or((page.scheme(), source));
    let authority = rest.split('/').next().unwrap_or(rest);
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let target_host = target.host_str().unwrap_or_default();
    let host_matches = match host.strip_prefix('*') {
        Some(suffix) => target_host.ends_with(suffix),
        None => host.eq_ignore_ascii_case(target_host),
    };
    let port_matches = match port {
        "*" => true,
        "" => target.port().is_none(),
        number => target.port_or_known_default().is_some_and(|port| port.to_string() == number),
    };
    let scheme_matches = scheme == target.scheme() || (scheme == "http" && target.scheme() == "https");
    scheme_matches && host_matches && port_matches
}
