//! Latchkey's API as the command calls it: a row is sent until there is an answer about it. Sending again is safe,
//! for Latchkey journals each token before it is sent on, and answers for one that it has.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    secret::{ApiKey, RefreshToken},
    text::REFRESH_TOKEN_LENGTHS,
};
use http::StatusCode;
use salesforce::{Http, http::NoAnswer};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, sleep_until},
};
use url::{Host, Url};

use super::{Stop, Turns, error::ImportError, rows::Row};

/// A `Retry-After` of more than this is not waited for at one go.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The API of one deployment, for one product.
#[derive(Debug)]
pub(super) struct Api {
    http: Http,
    origin: String,
    key: ApiKey,
    dry_run: bool,
    wait: Duration,
    /// Until then nobody sends: Latchkey has asked for it.
    quiet_until: Mutex<Instant>,
}

/// What Latchkey told of a row.
#[derive(Debug)]
pub(super) enum Told {
    /// It is a connection.
    Imported {
        /// Its id.
        connection: String,
        /// What the token did.
        result: ImportResult,
        /// Whether Salesforce has replaced the token, which ends the product's own copy.
        rotated: Option<bool>,
        /// Other connections of the same customer, app and Salesforce user.
        same_as: Vec<String>,
    },
    /// It would be sent, were this no dry run.
    WouldImport,
    /// It is no connection, and somebody has to do something.
    Rejected(Rejected),
    /// Nothing is known of it but that it may be brought again.
    PutOff(PutOff),
    /// The API key is not taken.
    Unauthorized,
}

/// What a token did that Latchkey has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImportResult {
    /// It made a connection.
    New,
    /// It was sent, and its Salesforce user had a connection: that has the new grant, and its old one is revoked.
    Renewed,
    /// It was imported before: nothing was sent.
    Before,
}

/// Why a row was rejected.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rejected {
    /// The problem's type, without `urn:latchkey:problem:`.
    pub(super) problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) confidence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help_url: Option<String>,
    /// The connections that stand in its way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) connections: Vec<String>,
}

/// Why a row was put off.
#[derive(Debug, Serialize)]
pub(super) struct PutOff {
    /// In a word: the problem's type, or `no-answer`.
    pub(super) problem: String,
    pub(super) detail: String,
    #[serde(skip)]
    pub(super) who: Who,
}

/// Who has to come back before a row can be brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody: the row waits for an earlier sending of its own to be over.
    Row,
    /// Salesforce, or something that only this row needs.
    Salesforce,
    /// Latchkey: no other row fares better.
    Latchkey,
}

enum Answer {
    Told(Told),
    Again(PutOff, Option<Duration>),
}

/// Removes the token from a text. A value too short for a token is not a secret, and is part of many words.
fn without(text: &str, token: &RefreshToken) -> String {
    if token.expose().len() < *REFRESH_TOKEN_LENGTHS.start() {
        return text.to_owned();
    }
    text.replace(token.expose(), "[token]")
}

impl Rejected {
    /// Whether bringing the same row again cannot help: the token is spent, or its grant was revoked.
    pub(super) fn is_final(&self) -> bool {
        self.problem == "imported-and-deleted" || self.cause.as_deref() == Some("answer_lost")
    }

    fn read(problem: &str, body: &Value, token: &RefreshToken) -> Self {
        // No answer repeats a token. Should one ever do so, it ends here and not in a file.
        let clean = |text: &str| without(text, token);
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(clean);
        let connections = body.get("connections").and_then(Value::as_array).into_iter().flatten();
        Self {
            problem: clean(problem),
            detail: text("detail"),
            cause: text("cause"),
            cause_title: text("cause_title"),
            actor: text("actor"),
            confidence: text("confidence"),
            reference: text("reference"),
            help_url: text("help_url"),
            connections: connections.filter_map(Value::as_str).map(clean).collect(),
        }
    }
}

impl Api {
    /// The API at this address: https, or this machine.
    pub(super) fn new(url: &Url, key: ApiKey, dry_run: bool, wait: Duration) -> Result<Self, ImportError> {
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let bare = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        let http = match url.scheme() {
            "https" if bare => Http::of_operator(),
            "http" if bare && here => Http::of_operator_here(),
            // The address is repeated without what may be a password in it.
            _ => return Err(ImportError::NotAnAddress(url.origin().ascii_serialization())),
        };
        Ok(Self {
            http,
            origin: url.origin().ascii_serialization(),
            key,
            dry_run,
            wait,
            quiet_until: Mutex::new(Instant::now()),
        })
    }

    /// Where it is.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether Latchkey is there and takes the key, before it is told any token.
    pub(super) async fn knock(&self) -> Result<(), ImportError> {
        let origin = || self.origin.clone();
        let answer = self
            .send("GET", "/v1/connections?limit=1", Vec::new())
            .await
            .map_err(|NoAnswer { what, .. }| ImportError::NoAnswer { origin: origin(), what })?;
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        match answer.status().as_u16() {
            200 if body["connections"].is_array() => Ok(()),
            401 => Err(ImportError::Unauthorized(origin())),
            429 | 500..=599 => Err(ImportError::Away(origin())),
            status => Err(ImportError::NotLatchkey { origin: origin(), status }),
        }
    }

    /// Sends a row until there is an answer about it, or it has been put off for too long. `None`: the run was
    /// stopped before it was sent.
    ///
    /// A row that waits for itself leaves its turn to others. One that Salesforce puts off keeps it: a Salesforce
    /// that is away must get fewer rows, not all of them at once.
    pub(super) async fn bring(
        &self,
        row: &Row,
        turns: &Turns,
        stopped: &mut watch::Receiver<Stop>,
    ) -> Option<Told> {
        let _begun = turn(&turns.begin, stopped).await?;
        let mut turn = Some(self.turn(turns, stopped).await?);
        let patience = Instant::now() + self.wait;
        let mut pause = Duration::from_secs(1);
        loop {
            let (put_off, asked) = match self.ask(row).await {
                Answer::Told(told) => return Some(told),
                Answer::Again(put_off, asked) => (put_off, asked),
            };
            let until = Instant::now() + asked.unwrap_or(pause).min(LONGEST_PAUSE);
            match put_off.who {
                Who::Latchkey => {
                    let mut quiet_until = self.quiet();
                    *quiet_until = until.max(*quiet_until);
                }
                Who::Row => drop(turn.take()),
                Who::Salesforce => {}
            }
            if until > patience || !wait(until, stopped).await {
                return Some(Told::PutOff(put_off));
            }
            if turn.is_none() {
                turn = self.turn(turns, stopped).await;
            }
            if turn.is_none() {
                return Some(Told::PutOff(put_off));
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    /// Waits for a turn to send, and until Latchkey wants to hear anything. `None`: the run was stopped.
    async fn turn<'a>(
        &self,
        turns: &'a Turns,
        stopped: &mut watch::Receiver<Stop>,
    ) -> Option<SemaphorePermit<'a>> {
        let turn = turn(&turns.send, stopped).await?;
        loop {
            let until = *self.quiet();
            if !wait(until, stopped).await {
                return None;
            }
            if *self.quiet() <= until {
                return Some(turn);
            }
        }
    }

    fn quiet(&self) -> MutexGuard<'_, Instant> {
        self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, row: &Row) -> Answer {
        match self.send("POST", "/v1/connections", row.body.expose_secret().into()).await {
            Ok(answer) => self.read(&answer, &row.token),
            Err(NoAnswer { what, .. }) => {
                let detail = format!("{} does not answer: {what}", self.origin);
                Answer::Again(PutOff { problem: "no-answer".into(), detail, who: Who::Latchkey }, None)
            }
        }
    }

    fn read(&self, answer: &http::Response<Vec<u8>>, token: &RefreshToken) -> Answer {
        let status = answer.status();
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let kind =
            text("type").and_then(|kind| kind.strip_prefix("urn:latchkey:problem:").map(str::to_owned));
        let asked = answer.headers().get(http::header::RETRY_AFTER);
        let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let same_as = || body.get("same_as").and_then(Value::as_array).into_iter().flatten();
        let imported = |connection, result| Told::Imported {
            connection,
            result,
            rotated: body.get("rotated").and_then(Value::as_bool),
            same_as: same_as().filter_map(Value::as_str).map(str::to_owned).collect(),
        };
        let is_renewed = body.get("renewed").and_then(Value::as_bool) == Some(true);
        let known = if is_renewed { ImportResult::Renewed } else { ImportResult::Before };
        let told = match (status.as_u16(), text("would").as_deref()) {
            (201, _) if !self.dry_run => text("id").map(|id| imported(id, ImportResult::New)),
            (200, None) if !self.dry_run => text("id").map(|id| imported(id, known)),
            (200, Some("import")) if self.dry_run => Some(Told::WouldImport),
            (200, Some("already-imported")) if self.dry_run => {
                text("connection_id").map(|id| imported(id, ImportResult::Before))
            }
            (401, _) => Some(Told::Unauthorized),
            _ => None,
        };
        if let Some(told) = told {
            return Answer::Told(told);
        }
        let put_off = |who| {
            let problem = kind.clone().unwrap_or_else(|| format!("http-{}", status.as_u16()));
            let detail = without(&text("detail").unwrap_or_default(), token);
            Answer::Again(PutOff { problem, detail, who }, asked)
        };
        match kind.as_deref() {
            Some("import-under-way" | "not-sent") => put_off(Who::Row),
            Some("salesforce-unavailable" | "unavailable") => put_off(Who::Salesforce),
            _ if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                put_off(Who::Latchkey)
            }
            Some(problem) if status.is_client_error() => {
                Answer::Told(Told::Rejected(Rejected::read(problem, &body, token)))
            }
            _ => {
                let problem = format!("http-{}", status.as_u16());
                let mut rejected = Rejected::read(&problem, &Value::Null, token);
                rejected.detail = Some(format!("{} answered {status}, not as Latchkey does", self.origin));
                Answer::Told(Told::Rejected(rejected))
            }
        }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<http::Response<Vec<u8>>, NoAnswer> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .header(http::header::AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| NoAnswer::unsent("the API key cannot stand in a header"))?;
        self.http.send(request).await
    }
}

/// Waits for a turn. `None`: the run was stopped.
async fn turn<'a>(turns: &'a Semaphore, stopped: &mut watch::Receiver<Stop>) -> Option<SemaphorePermit<'a>> {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop != Stop::No) => None,
        turn = turns.acquire() => turn.ok(),
    }
}

/// Waits until then; `false`: the run was stopped first.
async fn wait(until: Instant, stopped: &mut watch::Receiver<Stop>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop != Stop::No) => false,
        () = sleep_until(until) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_removed_from_an_answer() {
        let said = |token: &str, text: &str| without(text, &RefreshToken::new(token));
        for short in ["", "a", "re", "request", "bad-request"] {
            assert_eq!(said(short, "bad-request: a request"), "bad-request: a request", "{short}");
        }
        assert_eq!(said("5Aep861.very-secret", "no 5Aep861.very-secret here"), "no [token] here");
    }
}
