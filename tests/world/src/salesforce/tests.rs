//! Every surface, over the real HTTP face.

mod authorize;
mod clients;
mod faults;
mod refresh;
mod setup;
mod token;

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use reqwest::{
    Method, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header,
};
use serde_json::Value;
use url::Url;

use super::{AppRegistration, Running, Salesforce, sign};
use crate::Clock;

const CALLBACK: &str = "http://latchkey.localhost:4000/oauth/callback";
const KEY: &str = "3MVG9.consumer.key";
const SECRET: &str = "consumer-secret";
const ECA_KEY: &str = "3MVG9.eca.key";
const PACKAGE: &str = "04tgK0000000001AAA";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-and-more";

/// A served world with a connected app and an external client app, and its time standing still.
struct Stage {
    salesforce: Salesforce,
    running: Running,
    http: reqwest::Client,
}

/// What came back, without following anything.
#[derive(Debug)]
struct Answer {
    url: Url,
    status: StatusCode,
    location: Option<Url>,
    sid: Option<String>,
    text: String,
}

/// `*.localhost` is this machine, whatever its resolver says.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        let here: Addrs = Box::new(std::iter::once(SocketAddr::from(([127, 0, 0, 1], 0))));
        Box::pin(async { Ok(here) })
    }
}

impl Stage {
    async fn start() -> Self {
        let start: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        let salesforce = Salesforce::new(Clock::standing(start));
        salesforce.register_app(AppRegistration::connected_app("Notely", KEY, SECRET, CALLBACK));
        salesforce.register_app(AppRegistration::external_client_app(
            "Notely Next",
            ECA_KEY,
            SECRET,
            CALLBACK,
            PACKAGE,
        ));
        let running = salesforce.serve(0).await.expect("a free port");
        // Refused when another test of this process was first: then it stands already.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(Loopback))
            .build()
            .expect("a client");
        Self { salesforce, running, http }
    }

    /// A browser in which nobody is logged in.
    fn browser(&self) -> Browser<'_> {
        Browser { stage: self, sid: None }
    }

    /// A browser in which this user of this org is logged in.
    async fn logged_in(&self, org: &str, username: &str) -> Browser<'_> {
        let mut browser = self.browser();
        browser.log_in(&format!("{}/", self.salesforce.my_domain(org)), username).await;
        assert!(browser.sid.is_some(), "{username} logs in");
        browser
    }

    /// The code that this user's approval brings, at their My Domain.
    async fn code(&self, org: &str, username: &str, key: &str) -> String {
        let mut browser = self.logged_in(org, username).await;
        let url =
            authorize_url(&self.salesforce.my_domain(org), key, &[("nonce", "n-1"), ("prompt", "consent")]);
        let answer = browser.open(&url).await;
        let back = browser.press(&answer, "allow").await;
        param(&back, "code").unwrap_or_else(|| panic!("a code in {back}"))
    }

    /// The tokens of this user's approval, with the app installed first.
    async fn connect(&self, org: &str, username: &str) -> Value {
        self.salesforce.install(org, KEY).expect("an app that can be installed");
        let code = self.code(org, username, KEY).await;
        let (status, tokens) = self.exchange(org, &code).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    async fn exchange(&self, org: &str, code: &str) -> (StatusCode, Value) {
        self.token(org, &exchange_form(code)).await
    }

    async fn refresh(&self, org: &str, refresh_token: &str) -> (StatusCode, Value) {
        self.token(org, &refresh_form(refresh_token)).await
    }

    async fn token(&self, org: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let answer =
            self.post(&format!("{}/services/oauth2/token", self.salesforce.my_domain(org)), form).await;
        (answer.status, serde_json::from_str(&answer.text).expect("JSON"))
    }

    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, url, Some(form), None).await
    }

    /// GET with a bearer token.
    async fn api(&self, url: &str, access_token: &str) -> (StatusCode, Value) {
        let request = self.http.get(url).bearer_auth(access_token);
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        form: Option<&[(&str, &str)]>,
        sid: Option<&str>,
    ) -> Answer {
        let mut request = self.http.request(method, url);
        if let Some(sid) = sid {
            request = request.header(header::COOKIE, format!("other=1; sid={sid}"));
        }
        if let Some(form) = form {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await.expect("an answer");
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let url = response.url().clone();
        Answer {
            location: header(header::LOCATION).map(|to| url.join(to).expect("a location")),
            sid: header(header::SET_COOKIE)
                .and_then(|cookie| cookie.strip_prefix("sid=")?.split_once(';'))
                .map(|(sid, _)| sid.to_owned()),
            status: response.status(),
            text: response.text().await.expect("a body"),
            url,
        }
    }
}

/// A browser with one cookie.
struct Browser<'a> {
    stage: &'a Stage,
    sid: Option<String>,
}

impl Browser<'_> {
    /// Opens a page and follows redirects to where they end, inside Salesforce or at the app's callback.
    async fn open(&mut self, url: &str) -> Answer {
        let answer = self.stage.send(Method::GET, url, None, self.sid.as_deref()).await;
        self.follow(answer).await
    }

    async fn submit(&mut self, url: &str, form: &[(&str, &str)]) -> Answer {
        let answer = self.stage.send(Method::POST, url, Some(form), self.sid.as_deref()).await;
        self.follow(answer).await
    }

    async fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..8 {
            if let Some(sid) = answer.sid.take() {
                self.sid = Some(sid);
            }
            match answer.location.clone() {
                Some(to) if to.as_str().starts_with(CALLBACK) => {
                    answer.url = to;
                    return answer;
                }
                Some(to) => {
                    answer = self.stage.send(Method::GET, to.as_str(), None, self.sid.as_deref()).await;
                }
                None => return answer,
            }
        }
        panic!("redirected in a circle at {}", answer.url);
    }

    /// Logs in on the login page that `url` is, or leads to.
    async fn log_in(&mut self, url: &str, username: &str) -> Answer {
        let page = self.open(url).await;
        assert!(page.text.contains("<h1>Log In</h1>"), "a login page at {}", page.url);
        let start_url = param(&page.url, "startURL").unwrap_or_default();
        let login = page.url.join("/login").expect("a URL");
        self.submit(login.as_str(), &[("startURL", &start_url), ("username", username)]).await
    }

    /// Presses Allow or Deny on the consent page and gives the URL of the callback.
    async fn press(&mut self, consent: &Answer, decision: &str) -> Url {
        assert!(
            consent.text.contains("Allow Access?"),
            "a consent page at {}: {}",
            consent.url,
            consent.text
        );
        let source = param(&consent.url, "source").expect("the page of a request");
        let page = consent.url.join(consent.url.path()).expect("a URL");
        self.submit(page.as_str(), &[("source", &source), ("decision", decision)]).await.url
    }
}

/// An authorize URL with S256, at this origin.
fn authorize_url(origin: &str, key: &str, more: &[(&str, &str)]) -> String {
    let challenge = sign::code_challenge(VERIFIER);
    let mut url = Url::parse(&format!("{origin}/services/oauth2/authorize")).expect("a URL");
    url.query_pairs_mut()
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", key),
            ("redirect_uri", CALLBACK),
            ("state", "st&te"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .extend_pairs(more);
    url.into()
}

fn exchange_form(code: &str) -> [(&str, &str); 6] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", KEY),
        ("client_secret", SECRET),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("code", code),
    ]
}

fn refresh_form(refresh_token: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "refresh_token"),
        ("client_id", KEY),
        ("client_secret", SECRET),
        ("refresh_token", refresh_token),
    ]
}

fn param(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The error pair of a token answer.
fn error(answer: &(StatusCode, Value)) -> (u16, &str, &str) {
    let (status, body) = answer;
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    (status.as_u16(), text("error"), text("error_description"))
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} is a text of {answer}"))
}
