//! Every secret of a story, and the proof that none of them got out.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use domain::secret::{BrowserSecret, State};
use local::{
    stack::{FALLBACK, KEYRING, TABLE, consumer_secret},
    tape::Answered,
};
use serde_json::Value;
use url::Url;
use world::browser::Browser;

use crate::{
    Story,
    leaks::{Places, Secret, search},
};

/// Shorter texts are no secrets of ours, and would be found anywhere.
const SHORTEST: usize = 12;

/// How every id_token of the world begins: its header, which is always the same.
const ID_TOKEN: &str = "eyJhbGciOiJSUzI1NiI";

/// Secrets, each with the word for what it is. `Debug` tells how many.
#[derive(Default)]
pub struct Secrets(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    secrets: BTreeMap<String, &'static str>,
    /// The attempts' cookies by name.
    cookies: BTreeMap<String, String>,
    browsers: Vec<Browser>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.kept().secrets.len())
    }
}

impl Secrets {
    /// Keeps one.
    pub fn keep(&self, what: &'static str, secret: &str) {
        // As it stands in an address, too: padding is written as %3D there.
        let bare = secret.trim_end_matches('=');
        if bare.len() >= SHORTEST {
            self.kept().secrets.insert(bare.to_owned(), what);
        }
    }

    /// Keeps what is secret in an answer of the API.
    pub(crate) fn keep_answer(&self, body: &Value) {
        if let Some(token) = body["access_token"].as_str() {
            self.keep("access token", token);
        }
        for url in [&body["connect_url"], &body["url"]] {
            if let Some(url) = url.as_str().and_then(|url| url.parse().ok()) {
                self.keep_address(&url);
            }
        }
    }

    /// Keeps what is secret in any answer: cookies, addresses, documents.
    fn keep_answered(&self, answered: &Answered) {
        for (name, value) in &answered.headers {
            match name.as_str() {
                "set-cookie" => {
                    if let Some((name, value)) = value.split(';').next().and_then(|set| set.split_once('=')) {
                        self.keep_cookie(name, value);
                    }
                }
                "location" => {
                    if let Ok(url) = value.parse() {
                        self.keep_address(&url);
                    }
                }
                _ => {}
            }
        }
        if let Ok(body) = serde_json::from_str(&answered.body) {
            self.keep_answer(&body);
        }
    }

    /// Keeps what is secret in a browser, now and at the end.
    pub fn keep_browser(&self, browser: &Browser) {
        browser.cookies().iter().for_each(|cookie| self.keep_cookie(&cookie.name, &cookie.value));
        self.kept().browsers.push(browser.clone());
    }

    fn keep_cookie(&self, name: &str, value: &str) {
        let Some(name_of_ours) = name.strip_prefix("__Host-lk-") else { return };
        let what = match name_of_ours {
            "ops" => "ops session",
            // It holds the connect key itself.
            session if session.starts_with("s-") => "connect key",
            _ => "cookie",
        };
        self.keep(what, value);
        self.kept().cookies.insert(name.to_owned(), value.to_owned());
    }

    fn keep_address(&self, url: &Url) {
        for segment in url.path_segments().into_iter().flatten().filter(|segment| segment.starts_with("ck_"))
        {
            self.keep("connect key", segment);
        }
        if let Some((_, link)) = url.path().split_once("/ops/sign-in/") {
            self.keep("ops link", link);
        }
        for (name, value) in url.query_pairs() {
            match &*name {
                "state" => self.keep("state", &value),
                "code" => self.keep("code", &value),
                "receipt" => self.keep("receipt", &value),
                _ => {}
            }
        }
    }

    /// What the cookie and the state of an attempt make together.
    fn derive(&self) {
        let states: Vec<String> = {
            let kept = self.kept();
            kept.secrets.iter().filter(|(_, what)| **what == "state").map(|(text, _)| text.clone()).collect()
        };
        for attempt in states.iter().map(|state| State::new(state.as_str()).attempt()) {
            let name = format!("__Host-lk-{}", &attempt.as_str()[3..15]);
            let Some(cookie) = self.kept().cookies.get(&name).cloned() else { continue };
            let browser = BrowserSecret::new(cookie.split('.').next().unwrap_or_default());
            self.keep("PKCE verifier", &browser.pkce_verifier(&attempt));
            self.keep("nonce", &browser.nonce(&attempt));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no panic while holding the secrets")
    }
}

impl Story {
    /// Nothing secret stands in the log, in a line of metrics, in an answer or, in plain text, in the tables: so far. Every
    /// story is searched when it ends.
    pub async fn nothing_leaked(&self) {
        self.nothing_leaked_to(self.places()).await;
    }

    /// Nothing secret stands in these places.
    pub async fn nothing_leaked_to(&self, places: Places) {
        let secrets = self.every_secret();
        // Megabytes: other stories of this process go on meanwhile.
        let searched = tokio::task::spawn_blocking(move || search(&secrets, &places));
        assert_eq!(searched.await.expect("the search ends"), None);
    }

    /// All that anybody could read.
    pub fn places(&self) -> Places {
        let functions = &self.stack.functions;
        Places {
            log: self.logs.text(),
            lines: functions.lines.all(),
            answers: functions.tape.all(),
            items: [TABLE, FALLBACK].into_iter().flat_map(|table| self.stack.dynamodb.dump(table)).collect(),
            traces: Vec::new(),
        }
    }

    /// How many secrets of each kind the story has met.
    pub fn kinds_of_secrets(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for (_, what) in self.every_secret() {
            *kinds.entry(what).or_default() += 1;
        }
        kinds
    }

    /// Every secret that the story has met so far, each with the word for what it is.
    pub fn every_secret(&self) -> Vec<Secret> {
        let secrets = &self.secrets;
        self.stack.functions.tape.all().iter().for_each(|answered| secrets.keep_answered(answered));
        let browsers = std::mem::take(&mut secrets.kept().browsers);
        for browser in &browsers {
            browser.history().iter().for_each(|url| secrets.keep_address(url));
            secrets.keep_browser(browser);
        }
        secrets.keep("id_token", ID_TOKEN);
        for (name, value) in self.stack.secrets.values() {
            let what = if name == KEYRING { "keyring" } else { "consumer secret" };
            texts(&serde_json::from_str(&value).unwrap_or_default(), &mut |text| secrets.keep(what, text));
        }
        for key in self.stack.api_keys.values() {
            secrets.keep("API key", key.expose());
        }
        for app in self.stack.products.iter().flat_map(|product| &product.apps) {
            secrets.keep("consumer secret", &consumer_secret(app));
        }
        self.stack.salesforce.read(|state| {
            state.apps.iter().for_each(|app| secrets.keep("consumer secret", &app.consumer_secret));
            state.codes.keys().for_each(|code| secrets.keep("code", code));
            state.handed_out.iter().for_each(|(what, token)| secrets.keep(what, token));
            for grant in &state.grants {
                let tokens = grant.spent.iter().chain(&grant.refresh_token);
                tokens.for_each(|token| secrets.keep("refresh token", token));
            }
        });
        secrets.derive();
        secrets.kept().secrets.clone().into_iter().collect()
    }
}

/// Every text in a document.
fn texts(document: &Value, each: &mut impl FnMut(&str)) {
    match document {
        Value::String(text) => each(text),
        Value::Array(members) => members.iter().for_each(|member| texts(member, each)),
        Value::Object(members) => members.values().for_each(|member| texts(member, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
