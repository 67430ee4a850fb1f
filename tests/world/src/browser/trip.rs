//! One navigation, from its first request over the redirects to a page.

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use super::cookies::Sending;
use super::page::{Page, Visit};
use super::policy::{self, Initiator, ReferrerPolicy};
use super::{Browser, becomes_get};

/// More redirects than this are a loop.
const MAX_REDIRECTS: usize = 15;

/// What Chromium says it is; a page may depend on it.
const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// A navigation on its way.
#[derive(Clone)]
pub(super) struct Trip {
    pub method: Method,
    pub url: Url,
    /// A submitted form's fields, encoded.
    pub form: Option<String>,
    /// The page that it started from; a typed address has none.
    pub initiator: Option<Initiator>,
    /// The addresses that redirected here, oldest first.
    pub chain: Vec<Url>,
    /// A redirect's `Referrer-Policy` replaces the page's.
    pub policy: ReferrerPolicy,
}

impl Trip {
    /// As typed into the address bar.
    pub(super) fn typed(url: Url) -> Self {
        let policy = ReferrerPolicy::default();
        Self { method: Method::GET, url, form: None, initiator: None, chain: Vec::new(), policy }
    }

    /// As a link or a script of `initiator` starts it.
    pub(super) fn from_page(initiator: Initiator, url: Url) -> Self {
        let policy = initiator.policy;
        Self { policy, initiator: Some(initiator), ..Self::typed(url) }
    }

    /// As a form of `initiator` submits it by POST.
    pub(super) fn form(initiator: Initiator, url: Url, fields: String) -> Self {
        Self { method: Method::POST, form: Some(fields), ..Self::from_page(initiator, url) }
    }

    /// The trip to where this one is redirected.
    fn redirected(&self, status: u16, headers: &HeaderMap) -> Option<Self> {
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = String::from_utf8_lossy(headers.get(header::LOCATION)?.as_bytes()).into_owned();
        let mut url = self.url.join(&location).unwrap_or_else(|error| {
            panic!("{} redirects to {location:?}, which is no address: {error}", policy::shown(&self.url))
        });
        if url.fragment().is_none() {
            url.set_fragment(self.url.fragment());
        }
        let mut next = self.clone();
        next.chain.push(std::mem::replace(&mut next.url, url));
        next.policy = ReferrerPolicy::of(headers).unwrap_or(self.policy);
        if becomes_get(status, &self.method) {
            next.method = Method::GET;
            next.form = None;
        }
        Some(next)
    }

    /// The headers of the next request, the cookies apart.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).expect("visible ASCII"));
        };
        let host = self.url.host_str().unwrap_or_default();
        set(header::HOST, &self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
        set(header::USER_AGENT, USER_AGENT);
        set(header::ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        set(header::ACCEPT_LANGUAGE, "en-US,en;q=0.9");
        set(header::UPGRADE_INSECURE_REQUESTS, "1");
        set(HeaderName::from_static("sec-fetch-site"), policy::fetch_site(self));
        set(HeaderName::from_static("sec-fetch-mode"), "navigate");
        set(HeaderName::from_static("sec-fetch-dest"), "document");
        set(HeaderName::from_static("sec-fetch-user"), "?1");
        if self.form.is_some() {
            set(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(referrer) = policy::referrer(self) {
            set(header::REFERER, referrer.as_str());
        }
        if let Some(origin) = policy::origin_header(self) {
            set(header::ORIGIN, &origin);
        }
        headers
    }
}

impl Browser {
    /// Goes to the end of the trip, or to where [`Browser::stop_before`] stops it. `tab` is what Back goes through.
    pub(super) async fn travel(&self, mut trip: Trip, mut tab: Vec<Visit>) -> Page {
        loop {
            if let Some(initiator) = trip.initiator.as_ref().filter(|initiator| initiator.submits) {
                initiator.must_allow_form_to(&trip.url);
            }
            let (status, headers, body) = self.send(&trip).await;
            let Some(next) = trip.redirected(status, &headers) else {
                tab.push(Visit::of(&trip));
                return Page::new(self.clone(), status, trip.url, headers, body, tab);
            };
            assert!(next.chain.len() <= MAX_REDIRECTS, "redirected {MAX_REDIRECTS} times: {:?}", next.chain);
            if self.stops_before(&next.url) {
                return Page::new(self.clone(), status, trip.url, headers, body, tab).stopped_before(next);
            }
            trip = next;
        }
    }

    fn stops_before(&self, url: &Url) -> bool {
        self.state().stop_before.take_if(|part| url.as_str().contains(part.as_str())).is_some()
    }

    /// One request and its answer, cookies both ways.
    async fn send(&self, trip: &Trip) -> (u16, HeaderMap, Vec<u8>) {
        let shown = policy::shown(&trip.url);
        let origin = trip.url.origin();
        let found = self.state().found.iter().find(|(known, _)| *known == origin).map(|(_, at)| *at);
        let local = trip.url.scheme() == "http" && policy::trustworthy(&trip.url);
        assert!(
            local || found.is_some(),
            "sent to {shown}: only http on this machine can be reached; to look at it, `stop_before` it"
        );
        let port = trip.url.port_or_known_default().expect("http has a port");
        let address = found.unwrap_or_else(|| ([127, 0, 0, 1], port).into());
        let stream =
            TcpStream::connect(address).await.unwrap_or_else(|error| panic!("nothing at {shown}: {error}"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/1.1 on a new connection");
        tokio::spawn(connection);

        let target = &trip.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::new(Body::from(trip.form.clone().unwrap_or_default()));
        *request.method_mut() = trip.method.clone();
        *request.uri_mut() =
            target.parse().unwrap_or_else(|error| panic!("{target:?} cannot be asked for: {error}"));
        *request.headers_mut() = trip.headers();
        let cookies = {
            let mut state = self.state();
            state.history.push(trip.url.clone());
            let same_site =
                trip.initiator.as_ref().is_none_or(|from| policy::same_site(&from.url, &trip.url));
            let safe = trip.method == Method::GET || trip.method == Method::HEAD;
            state.jar.header(&Sending { url: &trip.url, same_site, safe, now: self.now() })
        };
        if let Some(cookies) = cookies {
            let value = HeaderValue::from_bytes(cookies.as_bytes())
                .expect("a stored cookie has no control characters");
            request.headers_mut().insert(header::COOKIE, value);
        }

        let answer = sender.send_request(request).await;
        let answer = answer.unwrap_or_else(|error| panic!("{shown} broke off without an answer: {error}"));
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await;
        let body = body.unwrap_or_else(|error| panic!("{shown} broke off in the middle of a page: {error}"));
        let mut state = self.state();
        for cookie in head.headers.get_all(header::SET_COOKIE) {
            state.jar.store(&trip.url, &String::from_utf8_lossy(cookie.as_bytes()), self.now());
        }
        (head.status.as_u16(), head.headers, body.to_vec())
    }
}
