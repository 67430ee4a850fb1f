//! The signature of Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): HMAC-SHA256 over `<id>.<timestamp>.<body>`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

/// What every secret begins with.
const PREFIX: &str = "whsec_";

/// Minimum and maximum bytes of a secret, as the specification has them.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// An endpoint's secret: `whsec_` and the base64 of 24 to 64 bytes.
#[derive(Clone)]
pub struct SigningSecret(SecretSlice<u8>);

/// A text is no secret of Standard Webhooks. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ followed by the base64 of 24 to 64 random bytes")]
pub struct SigningSecretError;

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

impl SigningSecret {
    /// Reads a secret as it is stored.
    pub fn parse(text: &str) -> Result<Self, SigningSecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(SigningSecretError)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SigningSecretError)?;
        if SECRET_BYTES.contains(&bytes.len()) { Ok(Self(bytes.into())) } else { Err(SigningSecretError) }
    }

    /// Writes bytes as a secret.
    pub fn encode(bytes: &[u8]) -> String {
        format!("{PREFIX}{}", STANDARD.encode(bytes))
    }

    fn sign(&self, content: &[&[u8]]) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else {
            return String::new();
        };
        for part in content {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The three headers of a delivery. While a secret is being rotated, both secrets sign: the receiver accepts the delivery
/// with either.
pub fn headers(
    id: &str,
    sent_at: Timestamp,
    body: &[u8],
    secrets: &[SigningSecret],
) -> [(&'static str, String); 3] {
    let timestamp = sent_at.as_second().to_string();
    let content: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(&content)).collect();
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signatures.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use jiff::SignedDuration;
    use standardwebhooks::Webhook;

    use super::*;

    const BODY: &[u8] = br#"{"type":"connection.blocked"}"#;

    fn secret(byte: u8) -> (String, SigningSecret) {
        let text = SigningSecret::encode(&[byte; 32]);
        let parsed = SigningSecret::parse(&text).expect("a secret");
        (text, parsed)
    }

    #[expect(clippy::disallowed_methods, reason = "the foreign verifier compares with the machine's clock")]
    fn now() -> Timestamp {
        Timestamp::now()
    }

    fn signed(secrets: &[SigningSecret]) -> HeaderMap {
        signed_at(now(), secrets)
    }

    fn signed_at(at: Timestamp, secrets: &[SigningSecret]) -> HeaderMap {
        let headers = headers("ev_1", at, BODY, secrets);
        headers
            .into_iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    #[derive(serde::Deserialize)]
    struct Recorded {
        id: String,
        timestamp: i64,
        secrets: Vec<String>,
        body: String,
        signature: String,
    }

    /// What `tests/clients` gives to the libraries of npm and PyPI.
    #[test]
    fn recorded_deliveries_are_signed_as_today() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/webhooks/deliveries.json");
        let text = std::fs::read_to_string(path).expect("the recorded deliveries");
        let recorded: Vec<Recorded> = serde_json::from_str(&text).expect("JSON");
        assert!(recorded.len() >= 3 && recorded.iter().any(|delivery| delivery.secrets.len() == 2));
        for Recorded { id, timestamp, secrets, body, signature } in recorded {
            let secrets: Vec<_> =
                secrets.iter().map(|text| SigningSecret::parse(text).expect("a secret")).collect();
            let at = Timestamp::from_second(timestamp).expect("a time");
            let [_, _, (name, signed)] = headers(&id, at, body.as_bytes(), &secrets);
            assert_eq!((name, signed), ("webhook-signature", signature), "{id}");
        }
    }

    #[test]
    fn foreign_verifier_accepts_a_delivery() {
        let (text, secret) = secret(7);
        Webhook::new(&text).expect("a secret").verify(BODY, &signed(&[secret])).expect("a good signature");
    }

    #[test]
    fn foreign_verifier_refuses_a_change() {
        let (text, secret) = secret(7);
        let verifier = Webhook::new(&text).expect("a secret");
        let headers = signed(&[secret]);
        assert!(verifier.verify(br#"{"type":"connection.deleted"}"#, &headers).is_err(), "another body");
        let changed = |name: &'static str, value: &str| {
            let mut headers = headers.clone();
            headers.insert(name, HeaderValue::from_str(value).expect("a value"));
            verifier.verify(BODY, &headers)
        };
        assert!(changed("webhook-id", "ev_2").is_err(), "another id");
        let later = (now().as_second() + 1).to_string();
        assert!(changed("webhook-timestamp", &later).is_err(), "another time");
        let (other, _) = self::secret(8);
        assert!(Webhook::new(&other).expect("a secret").verify(BODY, &headers).is_err(), "another secret");
    }

    #[test]
    fn foreign_verifier_refuses_an_old_delivery() {
        let (text, secret) = secret(7);
        let verifier = Webhook::new(&text).expect("a secret");
        let secrets = [secret];
        let minutes_ago = |minutes| signed_at(now() - SignedDuration::from_mins(minutes), &secrets);
        verifier.verify(BODY, &minutes_ago(4)).expect("in time");
        assert!(verifier.verify(BODY, &minutes_ago(6)).is_err(), "replayed");
    }

    #[test]
    fn both_secrets_sign_during_rotation() {
        let (old_text, old) = secret(1);
        let (new_text, new) = secret(2);
        let headers = signed(&[old, new]);
        for text in [old_text, new_text] {
            Webhook::new(&text).expect("a secret").verify(BODY, &headers).expect("either secret verifies");
        }
    }

    #[test]
    fn malformed_secret_is_refused_without_repeating_it() {
        for text in [
            "",
            "whsec_",
            "whsec_!!!",
            "c2hvcnQ=",
            &SigningSecret::encode(&[1; 8]),
            &SigningSecret::encode(&[1; 65]),
        ] {
            let error = SigningSecret::parse(text).expect_err(text).to_string();
            assert!(text.len() < 10 || !error.contains(text), "{error}");
        }
        assert_eq!(format!("{:?}", secret(3).1), "SigningSecret");
    }
}
