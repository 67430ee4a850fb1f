//! Controls of what goes wrong at Salesforce beyond the named faults: the faults of the token endpoint with their texts and
//! addresses, clocks, latencies, and grants that end.

use std::time::Duration;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderValue, StatusCode},
    routing::post,
};
use jiff::SignedDuration;
use serde::Deserialize;

use super::super::{
    Salesforce,
    fault::{Fault, GrantType},
};
use super::control::{Answer, Refused, done, read};

/// Maximum bytes of an answer that is too large.
const MAX_HUGE: usize = 50_000_000;

pub(super) fn routes() -> Router<Salesforce> {
    Router::new()
        .route("/_world/token-fault", post(token_fault).delete(forget_token_faults))
        .route("/_world/clock-error", post(clock_error))
        .route("/_world/latency", post(latency))
        .route("/_world/api-busy", post(api_busy))
        .route("/_world/revoke-grants", post(revoke_grants))
        .route("/_world/revoking-ends-all", post(revoking_ends_all))
        .route("/_world/refresh-sandbox", post(refresh_sandbox))
}

/// [`Fault`] as JSON: `"half"`, or `{"answer": {"status": 400, "error": "invalid_grant", "description": "…"}}`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TokenFault {
    Html { status: u16 },
    Redirect { status: u16, to: String },
    Empty,
    Huge { bytes: usize },
    Answer { status: u16, error: String, description: String },
    Slow { milliseconds: u64 },
    Half,
    CommitThenDrop,
    WrongSignature,
    MissingRefreshToken,
    AnotherUser,
    InstanceUrl { url: String },
    WrongNonce,
}

impl TokenFault {
    fn checked(self) -> Result<Fault, Refused> {
        let status = |status: u16| match StatusCode::from_u16(status) {
            Ok(_) if status >= 200 => Ok(status),
            _ => Err(Refused(format!("{status} is not the status of an answer"))),
        };
        Ok(match self {
            Self::Html { status: code } => Fault::Html(status(code)?),
            Self::Redirect { status: code, to } => {
                HeaderValue::from_str(&to)
                    .map_err(|_| Refused("to is not the value of a header".to_owned()))?;
                Fault::Redirect(status(code)?, to)
            }
            Self::Empty => Fault::Empty,
            Self::Huge { bytes } if bytes <= MAX_HUGE => Fault::Huge(bytes),
            Self::Huge { .. } => return Err(Refused(format!("bytes is at most {MAX_HUGE}"))),
            Self::Answer { status: code, error, description } => {
                Fault::Answer { status: status(code)?, error, description }
            }
            Self::Slow { milliseconds } => Fault::Slow(Duration::from_millis(milliseconds)),
            Self::Half => Fault::Half,
            Self::CommitThenDrop => Fault::CommitThenDrop,
            Self::WrongSignature => Fault::WrongSignature,
            Self::MissingRefreshToken => Fault::MissingRefreshToken,
            Self::AnotherUser => Fault::AnotherUser,
            Self::InstanceUrl { url } => Fault::InstanceUrl(url),
            Self::WrongNonce => Fault::WrongNonce,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFaultOrder {
    fault: TokenFault,
    /// Which requests; without it the next one.
    grant_type: Option<GrantType>,
}

async fn token_fault(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let TokenFaultOrder { fault, grant_type } = read(&body)?;
    salesforce.queue_token_fault_of(grant_type, fault.checked()?);
    Ok(done())
}

async fn forget_token_faults(State(salesforce): State<Salesforce>) -> Answer {
    salesforce.change(|state| state.token_faults.clear());
    Ok(done())
}

/// Maximum seconds that the token endpoint's clock may be ahead or behind: a year.
const MAX_CLOCK_ERROR: u64 = 366 * 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockError {
    seconds: i64,
}

async fn clock_error(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let ClockError { seconds } = read(&body)?;
    if seconds.unsigned_abs() > MAX_CLOCK_ERROR {
        return Err(Refused(format!("seconds: at most {MAX_CLOCK_ERROR}, a year")));
    }
    salesforce.set_clock_error(SignedDuration::from_secs(seconds));
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    token_milliseconds: Option<u64>,
    api_milliseconds: Option<u64>,
}

async fn latency(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let Latency { token_milliseconds, api_milliseconds } = read(&body)?;
    if let Some(token) = token_milliseconds {
        salesforce.set_token_latency(Duration::from_millis(token));
    }
    if let Some(api) = api_milliseconds {
        salesforce.set_api_latency(Duration::from_millis(api));
    }
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiBusy {
    busy: bool,
}

async fn api_busy(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let ApiBusy { busy } = read(&body)?;
    salesforce.set_api_busy(busy);
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrgUser {
    org: String,
    user: String,
}

async fn revoke_grants(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let OrgUser { org, user } = read(&body)?;
    let is_known = salesforce.read(|state| state.org(&org).is_some_and(|org| org.user(&user).is_some()));
    if !is_known {
        return Err(Refused(format!("there is no user {user} in an org {org}")));
    }
    salesforce.revoke_grants(&org, &user);
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokingEndsAll {
    ends_all: bool,
}

async fn revoking_ends_all(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let RevokingEndsAll { ends_all } = read(&body)?;
    salesforce.set_revoking_ends_all(ends_all);
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sandbox {
    org: String,
}

async fn refresh_sandbox(State(salesforce): State<Salesforce>, body: Bytes) -> Answer {
    let Sandbox { org } = read(&body)?;
    if !salesforce.read(|state| state.org(&org).is_some_and(super::super::Org::is_sandbox)) {
        return Err(Refused(format!("there is no sandbox {org}")));
    }
    salesforce.refresh_sandbox(&org);
    Ok(done())
}
