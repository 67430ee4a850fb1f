//! What ties an attempt to the one browser that went to Salesforce: a cookie with a secret of its own.
//!
//! Opening a link sets no cookie, since mail scanners and previews open links too. The form on the connect page does,
//! once for each attempt. Nothing in a link, an id or a public page is enough to make the cookie's value.

use domain::{
    AttemptId, ConnectSession,
    secret::{BrowserSecret, ConnectKey, Hash},
};

use crate::{
    Request, Response,
    cookies::{cookie, cookies, set_cookie},
};

/// How every cookie of an attempt begins. The operators' session is `__Host-lk-ops`.
const PREFIX: &str = "__Host-lk-";

/// How many characters of the attempt's id its cookie is named after.
const NAMED: usize = 12;

/// Maximum number of attempts whose cookies a browser keeps: five hold half a kilobyte.
const MAX_ATTEMPTS: usize = 5;

/// What a browser keeps of an attempt.
#[derive(Debug)]
pub struct AttemptCookie {
    /// Proves that this browser went to Salesforce.
    pub secret: BrowserSecret,
    /// The way back to the connect page: the table holds only its digest.
    pub key: ConnectKey,
}

impl AttemptCookie {
    /// The cookie that the request has for an attempt. Two of one name are none.
    pub fn of(request: &Request, attempt: &AttemptId) -> Option<Self> {
        let (secret, key) = cookie(request, &name(attempt))?.split_once('.')?;
        Some(Self { secret: BrowserSecret::new(secret), key: ConnectKey::new(key) })
    }

    /// The cookie of the browser that a session is bound to, if the request comes from that browser.
    pub fn of_session(request: &Request, session: &ConnectSession) -> Option<Self> {
        let bound = session.browser.as_ref()?;
        Self::of(request, &bound.attempt).filter(|cookie| {
            cookie.secret.hash().matches(&bound.secret) && cookie.key.session() == session.id
        })
    }

    /// Makes the browser keep this for `seconds`, under the attempt's own name so that two tabs do not clash.
    pub fn keep(&self, response: &mut Response, attempt: &AttemptId, seconds: i64) {
        let value = format!("{}.{}", self.secret.expose(), self.key.expose());
        set_cookie(response, &name(attempt), &value, seconds);
    }
}

/// The digests of the secrets in all cookies of attempts: they prove which attempts this browser has begun.
pub fn held_secrets(request: &Request) -> Vec<Hash> {
    cookies(request)
        .filter(|(name, _)| name.strip_prefix(PREFIX).is_some_and(|id| id.len() == NAMED))
        .filter_map(|(_, value)| value.split_once('.'))
        .map(|(secret, _)| BrowserSecret::new(secret).hash())
        .collect()
}

/// Clears the oldest attempts' cookies, so that with one more a browser keeps [`MAX_ATTEMPTS`]. Browsers send older
/// cookies first (RFC 6265 §5.4). Cookies that earlier versions set beside them are cleared too.
pub fn clear_surplus(request: &Request, response: &mut Response) {
    let (attempts, others): (Vec<&str>, Vec<&str>) = cookies(request)
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(PREFIX) && *name != "__Host-lk-ops")
        .partition(|name| name.len() == PREFIX.len() + NAMED);
    let surplus = attempts.len().saturating_sub(MAX_ATTEMPTS - 1);
    for name in attempts.into_iter().take(surplus).chain(others) {
        set_cookie(response, name, "", 0);
    }
}

/// Clears the cookie of an attempt whose browser needs it no more.
pub fn clear(response: &mut Response, attempt: &AttemptId) {
    set_cookie(response, &name(attempt), "", 0);
}

/// Whether a browser or a scanner loads the page before a person asked for it (Fetch standard, `Sec-Purpose`).
pub fn is_prefetch(request: &Request) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].iter().any(|name| {
        request.headers().get_all(*name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            let value = value.to_ascii_lowercase();
            ["prefetch", "prerender", "preview"].iter().any(|purpose| value.contains(purpose))
        })
    })
}

/// The name of an attempt's cookie.
fn name(attempt: &AttemptId) -> String {
    format!("{PREFIX}{}", &attempt.as_str()[3..3 + NAMED])
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::secret::State;
    use lambda_http::Body;

    fn with(name: &str, value: &str) -> Request {
        http::Request::builder().header(name, value).body(Body::Empty).unwrap()
    }

    #[test]
    fn attempt_cookie_is_read_back() {
        let attempt = State::mint().attempt();
        let kept = AttemptCookie { secret: BrowserSecret::mint(), key: ConnectKey::mint() };
        let mut response = crate::respond::redirect("/");
        kept.keep(&mut response, &attempt, 60);
        let set = response.headers()["set-cookie"].to_str().unwrap();
        let request = with("cookie", set.split(';').next().unwrap());
        let read = AttemptCookie::of(&request, &attempt).unwrap();
        assert_eq!((read.secret.hash(), read.key.session()), (kept.secret.hash(), kept.key.session()));
        assert!(AttemptCookie::of(&request, &State::mint().attempt()).is_none());
    }

    #[test]
    fn secrets_of_all_attempts_are_read() {
        let (one, two) = (State::mint().attempt(), State::mint().attempt());
        let sent = format!("{}=a.ck_1; __Host-lk-ops=b.c; other=d.e; {}=f.ck_2", name(&one), name(&two));
        assert_eq!(held_secrets(&with("cookie", &sent)), [Hash::of("a"), Hash::of("f")]);
    }

    #[test]
    fn oldest_cookies_are_cleared_and_the_operators_session_stays() {
        let names: Vec<String> = (0..7).map(|_| name(&State::mint().attempt())).collect();
        let mut sent: Vec<String> = names.iter().map(|name| format!("{name}=v")).collect();
        sent.push("__Host-lk-ops=v; other=v; __Host-lk-s-0123456789ab=v".into());
        let mut response = crate::respond::redirect("/");
        clear_surplus(&with("cookie", &sent.join("; ")), &mut response);
        let cleared: Vec<&str> = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap().split_once('=').unwrap().0)
            .collect();
        assert_eq!(cleared, [&*names[0], &*names[1], &*names[2], "__Host-lk-s-0123456789ab"]);
    }

    #[test]
    fn prefetches_are_recognized() {
        for (name, value) in
            [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-moz", "Prefetch")]
        {
            assert!(is_prefetch(&with(name, value)), "{name}");
        }
        assert!(!is_prefetch(&with("sec-fetch-mode", "navigate")));
    }
}
