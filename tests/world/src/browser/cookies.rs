//! The cookie jar, by RFC 6265bis as Chromium has it: `localhost` names count as secure, a cookie without
//! `SameSite` is Lax, and Lax lets a POST by for its first two minutes only if it came without `SameSite`.

use std::fmt;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use url::{Host, Url};

use super::policy::trustworthy;

/// A cookie lives at most 400 days (6265bis, section 5.5).
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(400 * 24);
/// Chromium's "Lax + POST" for cookies that did not name `SameSite`.
const LAX_POST: SignedDuration = SignedDuration::from_mins(2);
/// Name and value together; an attribute's value has [`MAX_ATTRIBUTE`].
const MAX_PAIR: usize = 4096;
const MAX_ATTRIBUTE: usize = 1024;

/// A stored cookie.
#[derive(Clone)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    pub domain: String,
    /// Set without `Domain`: sent to that very host alone.
    pub host_only: bool,
    pub path: String,
    pub secure: bool,
    pub http_only: bool,
    /// `None`: the attribute was missing or unknown.
    pub same_site: Option<SameSite>,
    /// `None`: until the browser closes.
    pub expires: Option<Timestamp>,
    created: Timestamp,
}

/// The value may be somebody's key to a session.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cookie = f.debug_struct("Cookie");
        cookie.field("name", &self.name).field("domain", &self.domain).field("path", &self.path);
        cookie.field("same_site", &self.same_site).field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// A `Set-Cookie` that the browser did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCookie {
    pub host: String,
    pub name: String,
    pub reason: &'static str,
}

/// A request about to be sent.
pub(super) struct Sending<'a> {
    pub url: &'a Url,
    /// Its initiator is of the same site, or it has none.
    pub same_site: bool,
    /// GET or HEAD.
    pub safe: bool,
    pub now: Timestamp,
}

#[derive(Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
    refused: Vec<RefusedCookie>,
}

impl Jar {
    pub(super) fn alive(&self, now: Timestamp) -> Vec<Cookie> {
        self.cookies.iter().filter(|cookie| cookie.alive(now)).cloned().collect()
    }

    pub(super) fn refused(&self) -> &[RefusedCookie] {
        &self.refused
    }

    /// Takes a `Set-Cookie` from `url`: stores, replaces, deletes, or refuses and notes why.
    pub(super) fn store(&mut self, url: &Url, set_cookie: &str, now: Timestamp) {
        match Cookie::read(url, set_cookie, now) {
            Ok(mut cookie) => {
                let same = |old: &Cookie| {
                    (&old.name, &old.domain, &old.path, old.host_only)
                        == (&cookie.name, &cookie.domain, &cookie.path, cookie.host_only)
                };
                if let Some(place) = self.cookies.iter().position(same) {
                    cookie.created = self.cookies.remove(place).created;
                }
                if cookie.alive(now) {
                    self.cookies.push(cookie);
                }
            }
            Err(reason) => {
                let name = set_cookie.split(['=', ';']).next().unwrap_or_default().trim().to_owned();
                let host = url.host_str().unwrap_or_default().to_owned();
                self.refused.push(RefusedCookie { host, name, reason });
            }
        }
    }

    /// The `Cookie` header: longer paths first, then older cookies.
    pub(super) fn header(&self, sending: &Sending<'_>) -> Option<String> {
        let mut sent: Vec<&Cookie> = self.cookies.iter().filter(|cookie| cookie.goes_with(sending)).collect();
        sent.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then(a.created.cmp(&b.created)));
        let pairs: Vec<String> = sent.into_iter().map(Cookie::pair).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

impl Cookie {
    /// Reads a `Set-Cookie`, or says why it is refused.
    fn read(url: &Url, set_cookie: &str, now: Timestamp) -> Result<Self, &'static str> {
        if set_cookie.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err("a control character");
        }
        let mut parts = set_cookie.split(';');
        let pair = parts.next().unwrap_or_default();
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() && value.is_empty() {
            return Err("neither name nor value");
        }
        if name.len() + value.len() > MAX_PAIR {
            return Err("longer than 4096 bytes");
        }

        let host = url.host_str().unwrap_or_default();
        let mut cookie = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: host.to_owned(),
            host_only: true,
            path: default_path(url),
            secure: false,
            http_only: false,
            same_site: None,
            expires: None,
            created: now,
        };
        let (mut domain, mut given_path, mut expires, mut max_age) = (None, None, None, None);
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            if value.len() > MAX_ATTRIBUTE {
                continue;
            }
            match attribute.trim().to_ascii_lowercase().as_str() {
                "secure" => cookie.secure = true,
                "httponly" => cookie.http_only = true,
                "samesite" => cookie.same_site = SameSite::read(value),
                "domain" => domain = Some(value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase()),
                "path" => given_path = Some(value),
                "max-age" => max_age = seconds(value).or(max_age),
                "expires" => expires = rfc2822::parse(value).ok().map(|at| at.timestamp()).or(expires),
                _ => {}
            }
        }
        let by_age = |age| now.saturating_add(SignedDuration::from_secs(age)).unwrap_or(Timestamp::MAX);
        cookie.expires = max_age.map(by_age).or(expires).map(|at| at.min(now + LONGEST_LIFE));
        if let Some(path) = given_path.filter(|path| path.starts_with('/')) {
            path.clone_into(&mut cookie.path);
        }
        let domain = domain.filter(|domain| !domain.is_empty());
        let has_domain = domain.is_some();
        if let Some(domain) = domain {
            cookie.host_only = domain == host && !domain.contains('.');
            if !domain_matches(url, &domain) {
                return Err("a Domain that is not the host's");
            }
            if !domain.contains('.') && domain != host {
                return Err("a Domain that is a public suffix");
            }
            cookie.domain = domain;
        }
        cookie.must_keep_its_word(url, has_domain, given_path)?;
        Ok(cookie)
    }

    /// What `Secure`, `SameSite=None` and the name's prefix promise.
    fn must_keep_its_word(
        &self,
        url: &Url,
        has_domain: bool,
        path: Option<&str>,
    ) -> Result<(), &'static str> {
        let starts = |text: &str, prefix: &str| {
            text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if self.name.is_empty() && (starts(&self.value, "__Host-") || starts(&self.value, "__Secure-")) {
            return Err("a prefix without a name");
        }
        let host = starts(&self.name, "__Host-");
        if (host || starts(&self.name, "__Secure-")) && !self.secure {
            return Err("a prefix that asks for Secure");
        }
        if host && has_domain {
            return Err("__Host- with Domain");
        }
        if host && path != Some("/") {
            return Err("__Host- without Path=/");
        }
        if self.secure && !trustworthy(url) {
            return Err("Secure from a host that is not");
        }
        if self.same_site == Some(SameSite::None) && !self.secure {
            return Err("SameSite=None without Secure");
        }
        Ok(())
    }

    fn alive(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| at > now)
    }

    fn goes_with(&self, sending: &Sending<'_>) -> bool {
        let host = sending.url.host_str().unwrap_or_default();
        let to_host =
            if self.host_only { host == self.domain } else { domain_matches(sending.url, &self.domain) };
        let across_sites = sending.same_site
            || match self.same_site {
                Some(SameSite::Strict) => false,
                Some(SameSite::Lax) => sending.safe,
                Some(SameSite::None) => true,
                None => sending.safe || sending.now.duration_since(self.created) < LAX_POST,
            };
        to_host
            && across_sites
            && self.alive(sending.now)
            && path_matches(sending.url.path(), &self.path)
            && (!self.secure || trustworthy(sending.url))
    }

    fn pair(&self) -> String {
        if self.name.is_empty() { self.value.clone() } else { format!("{}={}", self.name, self.value) }
    }
}

impl SameSite {
    fn read(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "strict" => Some(Self::Strict),
            "lax" => Some(Self::Lax),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// `Max-Age`: digits, perhaps after a minus; too many digits are for ever.
fn seconds(value: &str) -> Option<i64> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| value.parse().unwrap_or(if digits == value { i64::MAX } else { i64::MIN }))
}

/// RFC 6265bis, section 5.1.3; an address matches only itself.
fn domain_matches(url: &Url, domain: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let above = host.strip_suffix(domain).is_some_and(|left| left.ends_with('.'));
    host == domain || (above && matches!(url.host(), Some(Host::Domain(_))))
}

/// RFC 6265bis, section 5.1.4.
fn path_matches(path: &str, of_cookie: &str) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || of_cookie.ends_with('/') || rest.starts_with('/'))
}

fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(last) => url.path()[..last].to_owned(),
    }
}
