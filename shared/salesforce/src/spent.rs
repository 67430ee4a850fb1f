//! Whether a request may have spent the refresh token that it carried: the one place that decides it.
//!
//! Where an app rotates its refresh tokens, sending a spent one again ends the whole grant. So a token is sent again
//! only if the answer shows that the first request was not carried out. [`ROWS`] says which answers do;
//! docs/architecture.md explains them.

use std::ops::RangeInclusive;

use crate::{SalesforceError, error::ErrorFormat};

/// Whether an app's refresh answers can carry a new refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// They can, or it is not known: the old one may end with each refresh.
    Possible,
    /// They never do: a refresh token cannot be spent.
    Never,
}

/// How far a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    /// No connection was made.
    NotConnected,
    /// The request was sent, and no whole answer came back.
    NoWholeAnswer,
    /// A whole answer came.
    Answered,
}

/// What the answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// Tokens, usable or not.
    Tokens,
    /// An OAuth error in JSON (RFC 6749 §5.2).
    OAuthError,
    /// Salesforce's own JSON error, as its APIs send it.
    SalesforceError,
    /// Anything else, with a `Retry-After` header.
    WithRetryAfter,
    /// Anything else.
    Other,
}

/// One rule. The first one that applies decides.
struct Row {
    rotation: Option<Rotation>,
    transport: Transport,
    status: RangeInclusive<u16>,
    bodies: &'static [Body],
    may_have_spent: bool,
    /// Why, in the words of docs/architecture.md.
    why: &'static str,
}

const ANY_STATUS: RangeInclusive<u16> = 0..=999;
const ANY_BODY: &[Body] =
    &[Body::Tokens, Body::OAuthError, Body::SalesforceError, Body::WithRetryAfter, Body::Other];

/// The decision table.
const ROWS: [Row; 9] = [
    Row {
        rotation: Some(Rotation::Never),
        transport: Transport::NoWholeAnswer,
        status: ANY_STATUS,
        bodies: ANY_BODY,
        may_have_spent: false,
        why: "The app's answers never carry a new refresh token, so a lost answer took none with it.",
    },
    Row {
        rotation: Some(Rotation::Never),
        transport: Transport::Answered,
        status: ANY_STATUS,
        bodies: &[Body::OAuthError, Body::SalesforceError, Body::WithRetryAfter, Body::Other],
        may_have_spent: false,
        why: "The app's answers never carry a new refresh token, so no status ends the one that was sent.",
    },
    Row {
        rotation: None,
        transport: Transport::NotConnected,
        status: ANY_STATUS,
        bodies: ANY_BODY,
        may_have_spent: false,
        why: "No connection was made, so Salesforce never saw the token.",
    },
    Row {
        rotation: None,
        transport: Transport::NoWholeAnswer,
        status: ANY_STATUS,
        bodies: ANY_BODY,
        may_have_spent: true,
        why: "The request left, and Salesforce may have carried it out before the answer was lost.",
    },
    Row {
        rotation: None,
        transport: Transport::Answered,
        status: 300..=399,
        bodies: ANY_BODY,
        may_have_spent: false,
        why: "A redirect names another place to ask; the request was not carried out.",
    },
    Row {
        rotation: None,
        transport: Transport::Answered,
        status: ANY_STATUS,
        bodies: &[Body::OAuthError],
        may_have_spent: false,
        why: "An OAuth error in JSON is the token endpoint's own refusal: it issued nothing.",
    },
    Row {
        rotation: None,
        transport: Transport::Answered,
        status: 429..=429,
        bodies: &[Body::SalesforceError, Body::WithRetryAfter, Body::Other],
        may_have_spent: false,
        why: "A rate limit turns the request away before it is carried out (an assumption).",
    },
    Row {
        rotation: None,
        transport: Transport::Answered,
        status: 503..=503,
        bodies: &[Body::SalesforceError, Body::WithRetryAfter],
        may_have_spent: false,
        why: "A 503 that says when to come back, or is Salesforce's JSON, turns the request away (an assumption).",
    },
    Row {
        rotation: None,
        transport: Transport::Answered,
        status: ANY_STATUS,
        bodies: ANY_BODY,
        may_have_spent: true,
        why: "Any other answer may come from a gateway in front of a request that was carried out.",
    },
];

impl Row {
    fn applies(&self, rotation: Rotation, transport: Transport, status: u16, body: Body) -> bool {
        self.rotation.is_none_or(|wanted| wanted == rotation)
            && self.transport == transport
            && self.status.contains(&status)
            && self.bodies.contains(&body)
    }
}

/// The row that decides.
fn row(rotation: Rotation, transport: Transport, status: u16, body: Body) -> &'static Row {
    let [.., last] = &ROWS;
    ROWS.iter().find(|row| row.applies(rotation, transport, status, body)).unwrap_or(last)
}

impl SalesforceError {
    /// Whether the request may have been carried out though no usable answer came: the refresh token that was sent
    /// with it may be spent.
    pub fn may_have_spent(&self, rotation: Rotation) -> bool {
        let (transport, status, body) = self.seen();
        let row = row(rotation, transport, status, body);
        tracing::debug!(may_have_spent = row.may_have_spent, status, "{}", row.why);
        row.may_have_spent
    }

    /// What came, in the words of the table.
    fn seen(&self) -> (Transport, u16, Body) {
        let answered = |status, body| (Transport::Answered, status, body);
        match self {
            Self::Unreachable(no_answer) if no_answer.sent => (Transport::NoWholeAnswer, 0, Body::Other),
            Self::Unreachable(_) => (Transport::NotConnected, 0, Body::Other),
            Self::Moved(moved) => answered(moved.status, Body::Other),
            Self::Refused { status, format: ErrorFormat::OAuth, .. } => answered(*status, Body::OAuthError),
            Self::Refused { status, format: ErrorFormat::Api, .. } => {
                answered(*status, Body::SalesforceError)
            }
            Self::Unreadable { status, retry_after: Some(_), .. } => answered(*status, Body::WithRetryAfter),
            Self::Unreadable { status, .. } => answered(*status, Body::Other),
            Self::Doubtful(doubtful) => answered(doubtful.status, Body::Tokens),
            Self::Untrusted(_) => answered(200, Body::Tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Body::*, Rotation::*, Transport::*, *};
    use crate::SalesforceError as CallError;

    type Example = (Rotation, Transport, &'static [u16], &'static [Body], bool);
    /// What each row of the table decides, in its order: inputs that meet it and no row before it.
    const EXAMPLES: [Example; 9] = [
        (Never, NoWholeAnswer, &[0], &[Other], false),
        (
            Never,
            Answered,
            &[200, 302, 400, 404, 500, 502, 503, 504],
            &[OAuthError, WithRetryAfter, Other],
            false,
        ),
        (Possible, NotConnected, &[0], &[Other], false),
        (Possible, NoWholeAnswer, &[0], &[Other], true),
        (Possible, Answered, &[300, 301, 302, 303, 307, 308, 399], &[Tokens, OAuthError, Other], false),
        (Possible, Answered, &[200, 400, 401, 403, 429, 500, 503], &[OAuthError], false),
        (Possible, Answered, &[429], &[SalesforceError, WithRetryAfter, Other], false),
        (Possible, Answered, &[503], &[SalesforceError, WithRetryAfter], false),
        (
            Possible,
            Answered,
            &[100, 200, 201, 204, 299, 400, 401, 403, 404, 408, 413, 428, 430, 500, 501, 502, 504, 520, 599],
            &[Tokens, SalesforceError, WithRetryAfter, Other],
            true,
        ),
    ];

    #[test]
    fn each_row_decides_its_own_answers() {
        for (number, ((rotation, transport, statuses, bodies, spent), expected)) in
            EXAMPLES.iter().zip(&ROWS).enumerate()
        {
            for status in *statuses {
                for body in *bodies {
                    let decided = row(*rotation, *transport, *status, *body);
                    assert_eq!(decided.why, expected.why, "row {number}: {status} {body:?}");
                    assert_eq!(decided.may_have_spent, *spent, "row {number}: {status} {body:?}");
                }
            }
        }
    }

    #[test]
    fn bare_503_and_tokens_at_any_status_may_have_spent() {
        assert!(row(Possible, Answered, 503, Other).may_have_spent);
        assert!(row(Possible, Answered, 429, Tokens).may_have_spent);
        assert!(row(Never, Answered, 200, Tokens).may_have_spent, "the answer may carry one after all");
    }

    #[test]
    fn each_error_meets_the_row_of_what_came() {
        let refused = |status, format| CallError::Refused {
            status,
            code: "unknown".into(),
            description: String::new(),
            format,
            retry_after: None,
            calls: 1,
        };
        let unreadable = |status, seconds: Option<u64>| CallError::Unreadable {
            status,
            what: "HTML",
            retry_after: seconds.map(std::time::Duration::from_secs),
            calls: 1,
        };
        let no_answer = |sent| {
            CallError::Unreachable(crate::http::NoAnswer { what: "reset".into(), sent, oversized: false })
        };
        let moved = CallError::Moved(crate::error::Moved { status: 302, to: None, calls: 2 });
        for (error, spent) in [
            (no_answer(true), true),
            (no_answer(false), false),
            (moved, false),
            (refused(400, ErrorFormat::OAuth), false),
            (refused(503, ErrorFormat::OAuth), false),
            (refused(500, ErrorFormat::Api), true),
            (refused(503, ErrorFormat::Api), false),
            (refused(429, ErrorFormat::Api), false),
            (unreadable(503, Some(1)), false),
            (unreadable(503, None), true),
            (unreadable(500, Some(1)), true),
            (unreadable(429, None), false),
            (unreadable(200, None), true),
            (CallError::Untrusted(crate::Distrust::Signature), true),
        ] {
            assert_eq!(error.may_have_spent(Possible), spent, "{error:?}");
        }
        assert!(!no_answer(true).may_have_spent(Never), "nothing new comes with an app that never rotates");
        assert!(CallError::Untrusted(crate::Distrust::Signature).may_have_spent(Never));
    }

    #[test]
    fn architecture_page_gives_each_reason() {
        let page = include_str!("../../../docs/architecture.md");
        for row in &ROWS {
            assert!(page.contains(row.why), "docs/architecture.md lacks: {}", row.why);
        }
    }
}
