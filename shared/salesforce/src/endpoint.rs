//! One POST to one of Salesforce's OAuth endpoints, at the host that serves the org now.
//!
//! The HTTP client follows no redirect. Here one is followed on two conditions: the request moves to the same path at
//! another host, and that host is one of Salesforce's login hosts ([`Hosts`](crate::Hosts)). If the redirect names no
//! such host, the org's generic login host is asked: it serves every org that has not switched it off. Only an org's My
//! Domain is believed if it says no: a generic login host that a redirect led to may just not serve the org.

use std::time::Duration;

use domain::Environment;
use http::{HeaderMap, StatusCode, header};
use jiff::fmt::rfc2822;
use tokio::time::Instant;
use url::Url;

use crate::{
    LoginHost, Salesforce, SalesforceError,
    answer::holds_tokens,
    error::Moved,
    http::{ANSWER, NoAnswer},
    token::Introspection,
};

/// Maximum wait that a `Retry-After` can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Minimum time left for asking another host after a redirect.
const MIN_TIME_LEFT: Duration = Duration::from_secs(2);

/// A whole answer that is not a redirect.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The host that gave it.
    pub(crate) host: LoginHost,
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    /// How many hosts were asked.
    pub(crate) calls: u32,
    pub(crate) body: Vec<u8>,
}

/// What one host did with a request. A redirect whose body holds tokens is an answer.
enum Reply {
    Answered(Answered),
    Redirected { status: u16, location: Option<String> },
}

impl Salesforce {
    /// Sends a form, within `timeout` over all hosts. Only a redirect leads to another host: it spends nothing.
    pub(crate) async fn post(
        &self,
        host: &LoginHost,
        path: &str,
        form: &[u8],
        timeout: Duration,
    ) -> Result<Answered, SalesforceError> {
        let began = Instant::now();
        let (status, location) = match self.post_once(host, path, form, timeout).await? {
            Reply::Answered(answered) => return Ok(answered),
            Reply::Redirected { status, location } => (status, location),
        };
        let mut calls = 1;
        let left = || Some(timeout.saturating_sub(began.elapsed())).filter(|left| *left >= MIN_TIME_LEFT);

        let named = location.as_deref().and_then(|to| self.login_host_of(host, to));
        if let (Some(to), Some(left)) = (&named, left()) {
            calls += 1;
            match self.post_once(to, path, form, left).await {
                Ok(Reply::Answered(answered)) if answered.is_believed() => {
                    return Ok(Answered { calls, ..answered });
                }
                Err(no_answer) if no_answer.sent => return Err(no_answer.into()),
                Ok(_) | Err(_) => {}
            }
        }
        let generic = self.hosts().generic(host).filter(|generic| named.as_ref() != Some(generic));
        if let (Some(generic), Some(left)) = (generic, left()) {
            calls += 1;
            match self.post_once(&generic, path, form, left).await {
                Ok(Reply::Answered(answered)) if answered.is_believed() => {
                    return Ok(Answered { calls, ..answered });
                }
                Err(no_answer) if no_answer.sent => return Err(no_answer.into()),
                Ok(_) | Err(_) => {}
            }
        }
        let to = location.as_deref().and_then(|to| host_name(host, to));
        Err(SalesforceError::Moved(Moved { status, to, calls }))
    }

    async fn post_once(
        &self,
        host: &LoginHost,
        path: &str,
        form: &[u8],
        timeout: Duration,
    ) -> Result<Reply, NoAnswer> {
        let request = http::Request::post(host.at(path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form.to_vec())
            .map_err(|_| NoAnswer::unsent("the request's address is not valid"))?;
        let timeout = (timeout != ANSWER).then_some(timeout);
        let (head, body) = self.http.send_within(request, timeout).await?.into_parts();
        if head.status.is_redirection() && !holds_tokens(&body) {
            let location = head.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
            return Ok(Reply::Redirected {
                status: head.status.as_u16(),
                location: location.map(ToOwned::to_owned),
            });
        }
        Ok(Reply::Answered(Answered {
            host: host.clone(),
            status: head.status,
            retry_after: retry_after(&head.headers),
            calls: 1,
            body,
        }))
    }

    /// The login host that a redirect names, if it is one of Salesforce's and another than the one that named it.
    fn login_host_of(&self, from: &LoginHost, location: &str) -> Option<LoginHost> {
        let url = Url::parse(location).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let to = self.hosts().readmit(&url.origin().ascii_serialization()).ok()?;
        (plain && to != *from).then_some(to)
    }
}

impl Answered {
    /// Whether the answer of a host that a redirect led to counts. A *no* of a generic login host does not, whether the
    /// redirect named it or not: it knows neither token nor user of an org that it does not serve.
    fn is_believed(&self) -> bool {
        let says_no = self.is_oauth_error() || self.says_inactive();
        self.host.environment() == Environment::MyDomain || holds_tokens(&self.body) || !says_no
    }

    /// Whether introspection says that a token is not active.
    fn says_inactive(&self) -> bool {
        serde_json::from_slice::<Introspection>(&self.body).is_ok_and(|told| !told.active)
    }
}

/// The host that a `Location` names, for the operators to read.
fn host_name(from: &LoginHost, location: &str) -> Option<String> {
    let url = Url::parse(from.origin()).and_then(|base| base.join(location)).ok()?;
    url.host_str().map(|host| host.chars().take(253).collect())
}

/// `Retry-After` in either of its forms (RFC 9110 §10.2.3). A date is counted from the answer's own `Date`: the two
/// are of one clock. Malformed headers are ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(header::RETRY_AFTER)?;
    let wait = if let Ok(seconds) = after.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = |text: &str| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
        let wait = date(after)?.duration_since(date(text(header::DATE)?)?);
        Duration::try_from(wait).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

impl crate::Hosts {
    /// The generic login host of the orgs that a My Domain can be of; `None` where there is none to tell, or it is
    /// this host.
    pub(crate) fn generic(&self, host: &LoginHost) -> Option<LoginHost> {
        if host.environment() != Environment::MyDomain {
            return None;
        }
        let production = self.production();
        // A government or a China org has login hosts of its own.
        let (_, domain) = production.host().split_once('.')?;
        let name = host.host().strip_suffix(domain)?;
        let is_test_org = [".sandbox.", ".scratch."].iter().any(|part| name.contains(part));
        Some(if is_test_org { self.sandbox() } else { production })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hosts, Http};

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let read = |pairs: &[(header::HeaderName, &str)]| {
            retry_after(&pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
        };
        assert_eq!(read(&[(header::RETRY_AFTER, "61")]), Some(Duration::from_secs(61)));
        assert_eq!(read(&[(header::RETRY_AFTER, "99999999999")]), Some(MAX_RETRY_AFTER));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[(header::RETRY_AFTER, "soon")]), None);
        let later = "Mon, 30 Nov 2026 06:01:30 GMT";
        assert_eq!(read(&[(header::RETRY_AFTER, later)]), None, "no Date to count from");
        let with_date = [(header::RETRY_AFTER, later), (header::DATE, "Mon, 30 Nov 2026 06:00:00 GMT")];
        assert_eq!(read(&with_date), Some(Duration::from_secs(90)));
        let past = [(header::RETRY_AFTER, "Mon, 30 Nov 2026 05:00:00 GMT"), with_date[1].clone()];
        assert_eq!(read(&past), Some(Duration::ZERO));
    }

    #[test]
    fn redirect_is_followed_to_salesforce_login_hosts_only() {
        let salesforce = Salesforce::new(Http::new(), Hosts::salesforce());
        let from = Hosts::salesforce().my_domain("acme").unwrap();
        let to =
            |location: &str| salesforce.login_host_of(&from, location).map(|host| host.origin().to_owned());
        assert_eq!(
            to("https://acme-new.my.salesforce.com/services/oauth2/token").as_deref(),
            Some("https://acme-new.my.salesforce.com")
        );
        assert_eq!(
            to("https://login.salesforce.com/?ec=302").as_deref(),
            Some("https://login.salesforce.com")
        );
        for elsewhere in [
            "https://evil.example/services/oauth2/token",
            "https://acme.my.salesforce.com.evil.example/",
            "https://u:p@acme-new.my.salesforce.com/",
            "http://acme-new.my.salesforce.com/services/oauth2/token",
            "https://acme-new.my.salesforce.com:8443/",
            "https://acme.my.salesforce.com/services/oauth2/token",
            "/services/oauth2/token",
            "//evil.example/",
            "",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn no_of_a_generic_host_after_a_redirect_means_nothing() {
        let hosts = Hosts::salesforce();
        let is_believed = |host: &LoginHost, status: StatusCode, body: &str| {
            let body = body.as_bytes().to_vec();
            Answered { host: host.clone(), status, retry_after: None, calls: 1, body }.is_believed()
        };
        let (refused, ok) = (StatusCode::BAD_REQUEST, StatusCode::OK);
        let ended = r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#;
        let unknown = r#"{"error":"invalid_token"}"#;
        let (inactive, active) = (r#"{"active":false}"#, r#"{"active":true,"exp":1,"iat":0}"#);
        let tokens = r#"{"access_token":"00D!x","active":false}"#;
        for generic in [hosts.production(), hosts.sandbox()] {
            for (status, body) in [(refused, ended), (refused, unknown), (ok, inactive)] {
                assert!(!is_believed(&generic, status, body), "{body}");
            }
            for (status, body) in
                [(ok, active), (ok, tokens), (ok, ""), (StatusCode::BAD_GATEWAY, "<html></html>")]
            {
                assert!(is_believed(&generic, status, body), "{body}");
            }
        }
        let own = hosts.my_domain("acme").unwrap();
        for (status, body) in [(refused, ended), (refused, unknown), (ok, inactive), (ok, active)] {
            assert!(is_believed(&own, status, body), "{body}");
        }
    }

    #[test]
    fn generic_login_host_is_of_the_same_kind_of_org() {
        let hosts = Hosts::salesforce();
        let generic = |typed: &str| {
            hosts.generic(&hosts.my_domain(typed).unwrap()).map(|host| host.origin().to_owned())
        };
        assert_eq!(generic("acme").as_deref(), Some("https://login.salesforce.com"));
        assert_eq!(
            generic("acme.develop.my.salesforce.com").as_deref(),
            Some("https://login.salesforce.com")
        );
        assert_eq!(generic("acme--uat").as_deref(), Some("https://test.salesforce.com"));
        assert_eq!(generic("acme.scratch.my.salesforce.com").as_deref(), Some("https://test.salesforce.com"));
        assert_eq!(generic("acme.my.salesforce.mil"), None);
        assert_eq!(generic("acme.my.sfcrmproducts.cn"), None);
        assert_eq!(generic("login.salesforce.com"), None);
    }
}
