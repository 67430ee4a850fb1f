//! A browser without a screen, so that a journey reads like its user's story.
//!
//! It keeps cookies, sends `Origin`, `Referer` and `Sec-Fetch-*`, and refuses what Chromium refuses: a `__Host-`
//! cookie that breaks its rules, a form that the page's `form-action` does not let go where it leads. It runs no
//! scripts. What a person could not do is a panic that says why.
//!
//! ```no_run
//! # async fn story(clock: &world::Clock, connect_url: &str) {
//! let browser = world::browser::Browser::new(clock);
//! let page = browser.get(connect_url).await;
//! let page = page.choose("Sandbox").click("Continue to Salesforce").await;
//! let page = page.fill("Username", "ada@acme.example").fill("Password", "secret").click("Log In").await;
//! assert!(page.has("Allow Access?"));
//! # }
//! ```

pub mod attacker;
mod cookies;
mod form;
mod page;
mod policy;
mod raw;
mod trip;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::Method;
use jiff::Timestamp;
use url::Url;

use crate::Clock;
use cookies::Jar;
use trip::Trip;

pub use cookies::{Cookie, RefusedCookie, SameSite};
pub use page::Page;
pub use raw::{RawAnswer, RawRequest};

/// One person's browser: its own cookies, any number of tabs. Clones are the same browser.
#[derive(Clone)]
pub struct Browser(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jar: Jar,
    history: Vec<Url>,
    stop_before: Option<String>,
    found: Vec<(url::Origin, SocketAddr)>,
}

impl Browser {
    /// A fresh browser; `clock` says when its cookies expire.
    pub fn new(clock: &Clock) -> Self {
        Self(Arc::new(Inner { clock: clock.clone(), state: Mutex::default() }))
    }

    /// Opens `url` in a new tab, as if typed or clicked in a mail: no page is its initiator.
    pub async fn get(&self, url: &str) -> Page {
        self.travel(Trip::typed(parse(url)), Vec::new()).await
    }

    /// Submits a form of the target's own site in a new tab. From another site: [`at`](Self::at), then
    /// [`Page::post_form`].
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Page {
        self.at(url).post_form(url, fields).await
    }

    /// A blank page that stands at `url` without asking for it: somebody's site, to start from.
    pub fn at(&self, url: &str) -> Page {
        Page::blank(self.clone(), parse(url))
    }

    /// Stops before the next redirect to an address that contains `part`. The redirecting answer is the page;
    /// [`Page::follow`] goes on.
    pub fn stop_before(&self, part: &str) {
        self.state().stop_before = Some(part.to_owned());
    }

    /// Lets an https origin be found at an address of this machine, behind whatever ends its TLS there.
    pub fn finds(&self, origin: &Url, at: SocketAddr) {
        assert!(at.ip().is_loopback(), "{at} is not on this machine");
        self.state().found.push((origin.origin(), at));
    }

    /// Every address asked for, redirects and all tabs included, in order.
    pub fn history(&self) -> Vec<Url> {
        self.state().history.clone()
    }

    /// The cookies that are alive.
    pub fn cookies(&self) -> Vec<Cookie> {
        self.state().jar.alive(self.now())
    }

    /// The living cookie of that name, whatever its site.
    pub fn cookie(&self, name: &str) -> Option<Cookie> {
        self.cookies().into_iter().find(|cookie| cookie.name == name)
    }

    /// What servers wanted to set and the browser refused.
    pub fn refused_cookies(&self) -> Vec<RefusedCookie> {
        self.state().jar.refused().to_vec()
    }

    /// Stores a cookie as if an answer from `url` had set it.
    pub fn set_cookie(&self, url: &str, set_cookie: &str) {
        self.state().jar.store(&parse(url), set_cookie, self.now());
    }

    /// Forgets every cookie, as "Clear browsing data" does.
    pub fn forget_cookies(&self) {
        self.state().jar = Jar::default();
    }

    /// What the browser sends in `Cookie` when `url` is typed.
    pub fn cookie_header(&self, url: &str) -> Option<String> {
        let url = parse(url);
        self.state().jar.header(&cookies::Sending { url: &url, same_site: true, safe: true, now: self.now() })
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while holding the browser's state")
    }
}

fn parse(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("{url:?} is no address to open: {error}"))
}

/// A form's fields as its body.
fn encoded<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Whether a redirect of this status sends a request of `method` on as GET (Fetch, HTTP-redirect fetch).
fn becomes_get(status: u16, method: &Method) -> bool {
    matches!((status, method), (301 | 302, &Method::POST)) || (status == 303 && *method != Method::HEAD)
}

#[cfg(test)]
mod tests;
