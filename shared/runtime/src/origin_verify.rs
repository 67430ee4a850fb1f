//! Where a proxy stands before the API, what did not come through it is refused.
//!
//! An HTTP API takes no WAF itself, and answers at its own address whoever finds that. So the proxy (CloudFront, with
//! AWS WAF) sends a secret of its own with every request. Here only digests of it are known: neither the template nor
//! a function's environment holds anything to steal.

use domain::secret::Hash;
use http::StatusCode;

use platform::SettingError;
use web::{Problem, Request};

/// The header in which the proxy sends its secret.
const HEADER: &str = "x-origin-verify";

/// The setting that has the digests.
const DIGESTS: &str = "ORIGIN_VERIFY_DIGESTS";

/// What is asked of a request before anything else is.
#[derive(Debug, Clone, Default)]
pub(crate) struct OriginVerifier {
    /// Of the proxy's secrets: two while one takes the other's place, none where no proxy stands before us.
    secrets: Vec<Hash>,
}

impl OriginVerifier {
    /// As the template sets it (`ORIGIN_VERIFY_DIGESTS`): digests with a comma between them, or nothing.
    pub(crate) fn from_env() -> Result<Self, SettingError> {
        Self::read(&std::env::var(DIGESTS).unwrap_or_default())
            .ok_or(SettingError::Unusable { name: DIGESTS, why: "it must be SHA-256 digests in base64url" })
    }

    fn read(digests: &str) -> Option<Self> {
        let digests = digests.split(',').filter(|digest| !digest.is_empty());
        Some(Self { secrets: digests.map(Hash::parse).collect::<Option<_>>()? })
    }

    /// Whether a request came through the proxy, if there is one. The secret is taken out of it: nothing that handles
    /// the request can tell it on.
    pub(crate) fn lets_in(&self, request: &mut Request) -> bool {
        let sent = request.headers_mut().remove(HEADER);
        let sent = sent.and_then(|sent| sent.to_str().map(Hash::of).ok());
        self.secrets.is_empty()
            || sent.is_some_and(|sent| self.secrets.iter().any(|known| known.matches(&sent)))
    }
}

/// The answer to what came by another way.
pub(crate) fn refused() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "not-through-the-front",
        "This is not the way in",
        "Call Latchkey by its public address.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [&str; 2] = ["of-the-proxy-until-now-0123456789", "of-the-proxy-from-now-on-0123456789"];

    fn asks(front: &OriginVerifier, secret: Option<&str>) -> (bool, Request) {
        let mut request = Request::default();
        if let Some(secret) = secret {
            request.headers_mut().insert(HEADER, secret.parse().unwrap());
        }
        (front.lets_in(&mut request), request)
    }

    #[test]
    fn what_did_not_come_through_the_proxy_is_refused() {
        let front =
            OriginVerifier::read(&SECRETS.map(|secret| Hash::of(secret).as_str().to_owned()).join(","))
                .unwrap();

        for secret in SECRETS {
            let (let_in, request) = asks(&front, Some(secret));
            assert!(let_in, "{secret}");
            assert!(!request.headers().contains_key(HEADER), "it goes no further");
        }
        for other in [None, Some(""), Some("another"), Some(Hash::of(SECRETS[0]).as_str())] {
            assert!(!asks(&front, other).0, "{other:?}");
        }
    }

    #[test]
    fn without_a_proxy_everybody_comes_in() {
        assert!(asks(&OriginVerifier::read("").unwrap(), None).0);
    }

    #[test]
    fn what_is_no_digest_stops_the_function() {
        for digests in ["a-secret-in-place-of-its-digest", "=", &format!("{},x", Hash::of("a").as_str())] {
            assert!(OriginVerifier::read(digests).is_none(), "{digests}");
        }
    }
}
