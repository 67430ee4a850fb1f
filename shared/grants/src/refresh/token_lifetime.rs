//! How long an access token lives. Salesforce does not say in its answer (fact base 3.7), so it is taken from
//! the best that is known: the token itself, Salesforce when asked, what the product reported, the app's policy.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{App, ExpiryBasis, LearntLife, SaturatingTime as _, secret::AccessToken};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use store::ConnectionRecord;

/// The session time-outs that an org can choose, in minutes (Setup > Session Settings).
const TIME_OUTS: [i64; 8] = [15, 30, 60, 120, 240, 480, 720, 1440];

/// A token that is rejected before the shortest time-out was not ended by one.
const FRESH: SignedDuration = SignedDuration::from_mins(TIME_OUTS[0]);

/// No org lets a session live longer. What says otherwise is wrong, and believed it would keep a dead token in use for
/// ever, or overflow the clock.
const LONGEST: SignedDuration = SignedDuration::from_mins(TIME_OUTS[7]);

/// How far ahead of its end the sweep replaces a token that is in use: two of its runs.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);

/// Minimum age of a token, by our clock, before it is replaced for its lifetime alone: each refresh is a login at
/// Salesforce, which allows 3,600 an hour.
const MIN_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Whether a token is too young to be replaced for its lifetime alone. Two processes' clocks may differ.
pub(crate) fn is_young(record: &ConnectionRecord, now: Timestamp) -> bool {
    record.fetched_at.is_some_and(|at| now.duration_since(at).abs() < MIN_AGE)
}

/// Whether a token that was issued then is too young to have ended by itself.
pub(crate) fn is_fresh(issued_at: Timestamp, now: Timestamp) -> bool {
    now < issued_at.later_by(FRESH)
}

/// What a rejection teaches about the org's time-out: the longest that fits.
pub(crate) fn learnt_from_rejection(issued_at: Timestamp, now: Timestamp) -> Option<LearntLife> {
    let age = now.duration_since(issued_at).as_mins();
    let minutes = TIME_OUTS.into_iter().rev().find(|minutes| *minutes <= age)?;
    Some(LearntLife { life: SignedDuration::from_mins(minutes), basis: ExpiryBasis::Rejection })
}

/// A life as it is believed, whoever told it.
pub(crate) fn believed(told: SignedDuration) -> SignedDuration {
    told.min(LONGEST)
}

/// How long a token lives that has just come.
///
/// What was learnt by a rejection only ever shortens the app's policy: a session that was used lives on, so a
/// late rejection does not say that it always will.
pub(crate) fn of_token(
    token: &AccessToken,
    learnt: Option<LearntLife>,
    app: &App,
) -> (SignedDuration, ExpiryBasis) {
    if let Some(life) = its_own(token) {
        return (life, ExpiryBasis::Token);
    }
    let policy = app.access_token_life();
    match learnt {
        Some(LearntLife { life, basis: ExpiryBasis::Introspection }) => {
            (believed(life), ExpiryBasis::Introspection)
        }
        Some(LearntLife { life, basis }) if life < policy => (life, basis),
        _ => (policy, ExpiryBasis::AppPolicy),
    }
}

/// A JWT's life by its own clock. It came from Salesforce over TLS and is not used as a proof of anything, so
/// its signature is not looked at.
fn its_own(token: &AccessToken) -> Option<SignedDuration> {
    #[derive(Deserialize)]
    struct Claims {
        iat: i64,
        exp: i64,
    }
    let mut parts = token.expose().split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let life = SignedDuration::from_secs(claims.exp.checked_sub(claims.iat)?);
    life.is_positive().then(|| believed(life))
}

/// When the sweep replaces a token that is in use: ahead of its end, never in the first half of its life, and never in the
/// minute after it came. By the clock of a Salesforce that is behind, a token may have ended when it comes.
pub fn ahead_of(record: &ConnectionRecord) -> Timestamp {
    let ahead = ahead(record.issued_at, record.expires_at);
    record.fetched_at.map_or(ahead, |at| ahead.max(at.later_by(MIN_AGE)))
}

pub(crate) fn ahead(issued_at: Timestamp, expires_at: Timestamp) -> Timestamp {
    let life = expires_at.duration_since(issued_at);
    expires_at.earlier_by(AHEAD.min(life / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    #[test]
    fn a_rejection_teaches_the_longest_time_out_that_fits() {
        let learnt = |age| learnt_from_rejection(at(0), at(age)).map(|learnt| learnt.life.as_mins());
        assert_eq!(learnt(14), None);
        assert_eq!(learnt(15), Some(15));
        assert_eq!(learnt(119), Some(60));
        assert_eq!(learnt(5000), Some(1440));
    }

    #[test]
    fn a_jwt_says_itself_how_long_it_lives() {
        let jwt = |claims: &str| AccessToken::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)));
        assert_eq!(its_own(&jwt(r#"{"iat":1000,"exp":8200}"#)), Some(SignedDuration::from_hours(2)));
        for absurd in [r#"{"iat":1000,"exp":9223372036854775807}"#, r#"{"iat":0,"exp":4102444800}"#] {
            assert_eq!(its_own(&jwt(absurd)), Some(SignedDuration::from_hours(24)), "{absurd}");
        }
        for bad in [r#"{"iat":9,"exp":8}"#, "{}", r#"{"iat":-9223372036854775808,"exp":9223372036854775807}"#]
        {
            assert_eq!(its_own(&jwt(bad)), None, "{bad}");
        }
        assert_eq!(its_own(&AccessToken::new("00D5!AQ.opaque.with_dots")), None);
    }

    fn app(minutes: u32) -> App {
        serde_json::from_value(serde_json::json!({
            "id": "sync",
            "kind": "connected_app",
            "consumer_key": "3MVG9key",
            "secret": "apps/sync",
            "scopes": ["api"],
            "names": ["Sync"],
            "packages": {},
            "login_hosts": ["production"],
            "access_token_minutes": minutes,
        }))
        .expect("an app")
    }

    #[test]
    fn rejection_shortens_the_policy_and_never_lengthens_it() {
        let life = |learnt: i64, basis| {
            let learnt = LearntLife { life: SignedDuration::from_mins(learnt), basis };
            let (life, basis) = of_token(&AccessToken::new("00D!opaque"), Some(learnt), &app(60));
            (life.as_mins(), basis)
        };
        assert_eq!(life(30, ExpiryBasis::Rejection), (30, ExpiryBasis::Rejection));
        assert_eq!(life(120, ExpiryBasis::Rejection), (60, ExpiryBasis::AppPolicy));
        assert_eq!(life(120, ExpiryBasis::Introspection), (120, ExpiryBasis::Introspection));
    }

    #[test]
    fn a_token_is_replaced_ahead_but_not_in_its_first_half() {
        assert_eq!(ahead(at(0), at(120)), at(110));
        assert_eq!(ahead(at(0), at(10)), at(5));
    }
}
