//! What holds whatever Salesforce's endpoints answer: status, `Location`, `Retry-After`, `Date` and body, up to the next
//! request and the times that are computed from them.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use domain::{
    Identity,
    secret::{AuthorizationCode, ConsumerSecret, Hash, RawIdToken, RefreshToken},
};
use http::StatusCode;
use jiff::Timestamp;
use salesforce::{
    Hosts, Http, LoginHost, Registration, Salesforce, SalesforceError,
    http::{NoAnswer, Sending, Transport},
    id_token::Expected,
};

/// Maximum requests of one call: the host that is asked, the one that it names, and the generic one.
const MAX_REQUESTS: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(8);
const REFRESH_TOKEN: &str = "5Aep861sent.refresh.token";

/// Answers every request in the same way, and keeps where each went.
#[derive(Clone, Default)]
struct Answers {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    asked: Arc<Mutex<Vec<http::Uri>>>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

impl Transport for Answers {
    fn send(&self, request: http::Request<Vec<u8>>, _timeout: Duration) -> Sending {
        self.asked.lock().expect("no panic").push(request.uri().clone());
        let mut answer = http::Response::builder().status(self.status);
        for (name, value) in &self.headers {
            answer = answer.header(*name, value);
        }
        // What cannot be an answer did not come whole.
        let broken = |_| NoAnswer { what: "no answer".into(), sent: true, oversized: false };
        let answer = answer.body(self.body.clone()).map_err(broken);
        Box::pin(async { answer })
    }
}

/// Reads the bytes as an answer: status, `Location`, `Retry-After` and `Date`, a line each, and a body. `true`: it brings
/// tokens that are believed or kept.
pub(crate) fn holds(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let status = line().trim().parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
    let headers = ["location", "retry-after", "date"].map(|name| (name, line()));
    let answers = Answers {
        status: status.map_or(200, |status| status.as_u16()),
        headers: headers.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        body: parts.next().unwrap_or_default().to_vec(),
        asked: Arc::default(),
    };
    let hosts = Hosts::salesforce();
    let my_domain = hosts.my_domain("acme").expect("a host");
    [hosts.production(), my_domain].into_iter().map(|host| is_read(&answers, &host)).fold(false, |a, b| a | b)
}

fn is_read(answers: &Answers, host: &LoginHost) -> bool {
    let salesforce = Salesforce::new(Http::through(answers.clone()), Hosts::salesforce());
    let secret = ConsumerSecret::new("secret");
    let app = Registration { consumer_key: "3MVG9", secret: &secret };
    let token = RefreshToken::new(REFRESH_TOKEN);
    let code = AuthorizationCode::new("aPrx.code");

    let refreshed = done(answers, salesforce.refresh(host, app, &token, TIMEOUT));
    let redirect_uri = "https://latchkey.example/oauth/callback";
    let exchanged = done(answers, salesforce.exchange(host, app, &code, "v", redirect_uri, TIMEOUT));
    let brings_tokens = [&refreshed, &exchanged]
        .into_iter()
        .any(|result| matches!(result, Ok(_) | Err(SalesforceError::Doubtful(_))));
    for error in [refreshed.as_ref().err(), exchanged.as_ref().err()].into_iter().flatten() {
        is_explained(error);
    }
    if let Ok(grant) = &exchanged {
        assert!(!grant.access.expose().is_empty());
        let info = done(answers, salesforce.identity(grant, TIMEOUT));
        assert!(info.instance_url.is_none_or(|origin| salesforce.hosts().own(&origin).is_some()));
        let life = done(answers, salesforce.introspected_life(host, app, &grant.access));
        assert!(life.ok().flatten().is_none_or(|life| life.is_positive()));
        let nonce = Hash::of("nonce");
        let expected = Expected {
            audience: "3MVG9",
            nonce: &nonce,
            identity: &identity(),
            issuers: &[host.origin()],
            access: &grant.access,
        };
        let id_token = grant.id_token.clone().unwrap_or_else(|| RawIdToken::new(""));
        let now = "2026-11-30T12:00:00Z".parse::<Timestamp>().expect("a time");
        let checked = done(answers, salesforce.check_id_token(host, &id_token, &expected, now));
        assert!(checked.is_err(), "an id_token that nobody signed is believed");
    }
    let _ = done(answers, salesforce.revoke(host, REFRESH_TOKEN));
    brings_tokens
}

/// Runs a call to its end, and looks at where its requests went.
fn done<T>(answers: &Answers, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a call waits for something else than an answer")
    };
    let asked = std::mem::take(&mut *answers.asked.lock().expect("no panic"));
    assert!(asked.len() <= MAX_REQUESTS, "{asked:?}");
    for uri in asked {
        assert!(Hosts::salesforce().own(&uri.to_string()).is_some(), "{uri}");
    }
    result
}

/// An error can be shown and diagnosed, and what it asks for is within limits.
fn is_explained(error: &SalesforceError) {
    assert!(error.retry_after().is_none_or(|wait| wait <= Duration::from_hours(24)));
    let evidence = error.evidence();
    assert!(evidence.code.is_some() || evidence.description.is_some());
    error.to_string();
}

fn identity() -> Identity {
    Identity {
        org: "00D50000000IZ3ZEAW".parse().expect("an org's id"),
        user: "00550000001fg5OAAQ".parse().expect("a user's id"),
        username: None,
    }
}
