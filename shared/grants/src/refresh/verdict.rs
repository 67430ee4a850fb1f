//! What an error of the token endpoint means: for the refresh token, the app and the host.

use diagnosis::{Actor, Diagnosis};
use domain::{Confidence, SaturatingTime as _};
use jiff::SignedDuration;
use salesforce::{Rotation, SalesforceError};
use store::{ConnectionRecord, Health};

use crate::refresh::{Ask, health::Told};

/// How long a refusal that nobody knows to be final is retried before the user is needed.
const UNEXPLAINED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What a refusal does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The grant is over: only connecting again helps.
    Ended,
    /// An admin has to act. It is tried again: they may have.
    Blocked,
    /// It is tried again later.
    Retry {
        /// Whether Salesforce refuses the grant itself, for a reason that is not known to be final.
        unexplained: bool,
    },
}

/// A refusal ends a grant only if its text is known to be final, or if nobody understood it for a whole day in which
/// Salesforce answered nothing else. What is wrong with the settings of a customer's own app never ends one: that
/// customer's admin has to act.
pub(crate) fn verdict(
    record: &ConnectionRecord,
    ask: Ask<'_>,
    error: &SalesforceError,
    diagnosis: &Diagnosis,
) -> Verdict {
    let (cause, now) = (diagnosis.cause(), ask.time.now());
    let is_in_app = cause.actor == Actor::Vendor;
    let sure = diagnosis.ranked.first().is_some_and(|first| first.confidence == Confidence::Sure);
    let since = record.backoff.as_ref().and_then(|backoff| backoff.refused_since(now));
    match cause.actor_in(Some(ask.app)) {
        Actor::Wait | Actor::Vendor => Verdict::Retry { unexplained: false },
        Actor::Admin if is_in_app || sure || error.is_final_refusal() || error.names_an_obstacle() => {
            Verdict::Blocked
        }
        Actor::EndUser if error.is_final_refusal() => Verdict::Ended,
        _ if since.is_some_and(|since| since.later_by(UNEXPLAINED_FOR) <= now) => Verdict::Ended,
        Actor::EndUser | Actor::Admin => Verdict::Retry { unexplained: true },
    }
}

/// The status of a host that is down (RFC 9110 §15.6.4). Other errors may be one org's or one request's own.
const DOWN: u16 = 503;

/// The status of a gateway that waited in vain (RFC 9110 §15.6.5).
const GATEWAY_TIMEOUT: u16 = 504;

/// What a refusal tells of the app and the host.
pub(crate) fn told(error: &SalesforceError) -> Told<'static> {
    match error {
        SalesforceError::Refused { status, .. } if *status < 500 && error.is_invalid_client() => {
            Told::AppRefused
        }
        SalesforceError::Refused { status: DOWN, .. }
        | SalesforceError::Unreadable { status: DOWN, .. }
        | SalesforceError::Unreachable(_) => Told::Down,
        // A limit in front of the token endpoint is not its answer, whatever it is written in.
        SalesforceError::Refused { status: 429 | 500.., .. } => Told::Nothing,
        SalesforceError::Refused { .. } => Told::Refused,
        // A redirect, or a page in front of the token endpoint, says nothing about the endpoint.
        _ => Told::Nothing,
    }
}

/// The same where the refresh token may be spent: whether the host is silent, or answers what cannot be used.
pub(crate) fn told_by_silence(error: &SalesforceError) -> Told<'static> {
    match error {
        SalesforceError::Unreachable(_)
        | SalesforceError::Unreadable { status: DOWN | GATEWAY_TIMEOUT, .. } => Told::Unanswered,
        SalesforceError::Unreadable { status: 500.., .. } => Told::Lost,
        SalesforceError::Unreadable { status: 200..=299, .. } | SalesforceError::Untrusted(_) => {
            Told::Untrusted("unexpected_answer")
        }
        _ => Told::Nothing,
    }
}

/// What the answer to an exchange or an import tells that gave no tokens: both are lost with it.
pub(crate) fn told_once(error: &SalesforceError) -> Told<'static> {
    if error.may_have_spent(Rotation::Possible) { told_by_silence(error) } else { told(error) }
}

/// Whether a refresh token that was sent may be spent, though no usable answer came.
pub(crate) fn may_have_spent(error: &SalesforceError, health: &Health) -> bool {
    let rotation = if health.app.rotates == Some(false) { Rotation::Never } else { Rotation::Possible };
    error.may_have_spent(rotation)
}
