//! What must never be printed, and the digests of it that may be stored.
//!
//! None of these types has `Display`, `Serialize` or `PartialEq`; `Debug` shows a placeholder. A secret is
//! taken out at the one place that sends it, by a method whose name says so.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::id::{AttemptId, ConnectionId, ProductId, SessionId};

/// Random bytes from the operating system.
///
/// # Panics
/// When the operating system has none to give: no key, state or nonce may then be made.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A SHA-256 digest that may be stored and compared: 43 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hash(String);

impl Hash {
    /// Digests a secret of at least 128 random bits: a low-entropy one could be found by trying.
    pub fn of(secret: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes())))
    }

    /// A digest that was written down.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == Sha256::output_size()).then(|| Self(text.to_owned()))
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its time how much was alike.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// Takes custody of a secret.
            pub fn new(text: impl Into<String>) -> Self {
                Self(SecretString::from(text.into()))
            }

            /// The secret itself, for the one place that sends or seals it.
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }
        }
    };
}

secret!(
    /// A Salesforce access token.
    AccessToken
);
secret!(
    /// A Salesforce refresh token: lets its holder mint access tokens. It never leaves the broker.
    RefreshToken
);
secret!(
    /// An authorization code (RFC 6749 §4.1.2).
    AuthorizationCode
);
secret!(
    /// An app's consumer secret.
    ConsumerSecret
);
secret!(
    /// An OpenID Connect id_token as it was sent: unverified.
    RawIdToken
);
secret!(
    /// The body of a token answer as it came, unchecked. It may hold the only copy of a grant.
    RawTokenAnswer
);
secret!(
    /// The key in a connect link: `ck_…`.
    ConnectKey
);
secret!(
    /// The key in a one-time link to the operators' page: `ol_…`.
    OpsKey
);
secret!(
    /// The `state` of an attempt (RFC 6749 §10.12).
    State
);
secret!(
    /// The one-time receipt that a browser carries from the callback to the product: `rc_…`.
    Receipt
);
secret!(
    /// A product's API key: `lk_<product>_<key id>_<secret>`.
    ApiKey
);
secret!(
    /// What an attempt's cookie holds. PKCE verifier and OpenID nonce derive from it, so the table that
    /// holds its digest can make neither.
    BrowserSecret
);

fn token<const N: usize>(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<N>()))
}

/// Which tokens are alike, without holding one: 22 characters of base64url, 128 bits of SHA-256.
///
/// A product computes the same: `base64url(sha256(token)[..16])`, or sends back the one it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    fn of(token: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(&Sha256::digest(token.as_bytes())[..16]))
    }

    /// A fingerprint that a caller sent, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed =
            text.len() == 22 && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 16);
        well_formed.then(|| Self(text.to_owned()))
    }

    /// The fingerprint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccessToken {
    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.expose())
    }
}

impl AuthorizationCode {
    /// Its fingerprint: the name of what was sent, in quarantine.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.expose())
    }
}

impl RefreshToken {
    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.expose())
    }

    /// By what a product's import of it is known again, for as long as the product may bring it: an HMAC under the
    /// token itself (HKDF, RFC 5869), which nothing else in the table is alike to, and no rotated key changes.
    pub fn import_mark(&self, product: &ProductId) -> Hash {
        Hash(URL_SAFE_NO_PAD.encode(derive(self.expose(), &["import", product.as_str()])))
    }
}

impl ConnectKey {
    /// A new link's key: 192 random bits.
    pub fn mint() -> Self {
        Self::new(token::<24>("ck_"))
    }

    /// The same key for the same idempotency key of the same API key, so that a repeated call finds the
    /// session that the first one made and can give its link again, though the table holds no key.
    pub fn for_idempotency(api_key: &ApiKey, idempotency_key: &str) -> Self {
        let derived = derive(api_key.expose(), &["connect key", idempotency_key]);
        Self::new(format!("ck_{}", URL_SAFE_NO_PAD.encode(&derived[..24])))
    }

    /// The session that this key opens.
    pub fn session(&self) -> SessionId {
        SessionId::of_key(self.expose())
    }
}

impl OpsKey {
    /// A new link's key: 192 random bits.
    pub fn mint() -> Self {
        Self::new(token::<24>("ol_"))
    }

    /// What of it is stored.
    pub fn hash(&self) -> Hash {
        Hash::of(self.expose())
    }
}

impl State {
    /// A new attempt's `state`: 256 random bits.
    pub fn mint() -> Self {
        Self::new(token::<32>(""))
    }

    /// The attempt that this state names.
    pub fn attempt(&self) -> AttemptId {
        AttemptId::of_state(self.expose())
    }
}

impl BrowserSecret {
    /// A new attempt's cookie: 256 random bits.
    pub fn mint() -> Self {
        Self::new(token::<32>(""))
    }

    /// The digest that the attempt is bound to.
    pub fn hash(&self) -> Hash {
        Hash::of(self.expose())
    }

    /// The PKCE verifier of an attempt (RFC 7636 §4.1): 43 characters.
    pub fn pkce_verifier(&self, attempt: &AttemptId) -> String {
        URL_SAFE_NO_PAD.encode(derive(self.expose(), &["pkce verifier", attempt.as_str()]))
    }

    /// The PKCE S256 challenge of an attempt (RFC 7636 §4.2).
    pub fn pkce_challenge(&self, attempt: &AttemptId) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.pkce_verifier(attempt).as_bytes()))
    }

    /// The OpenID Connect nonce of an attempt.
    pub fn nonce(&self, attempt: &AttemptId) -> String {
        URL_SAFE_NO_PAD.encode(&derive(self.expose(), &["nonce", attempt.as_str()])[..16])
    }
}

impl Receipt {
    /// The one receipt of an attempt that returned: derived from the browser's secret, so that this browser can get it
    /// again and nobody else can make it. It names the connection, so redeeming needs no look-up.
    pub fn of(connection: &ConnectionId, browser: &BrowserSecret, attempt: &AttemptId) -> Self {
        let derived = derive(browser.expose(), &["receipt", attempt.as_str(), connection.as_str()]);
        Self::new(format!("rc_{}_{}", &connection.as_str()[4..], URL_SAFE_NO_PAD.encode(&derived[..24])))
    }

    /// The connection that the receipt names. Only the session's stored digest says whether it is true.
    pub fn connection(&self) -> Option<ConnectionId> {
        let (id, _) = self.expose().strip_prefix("rc_")?.split_at_checked(26)?;
        format!("con_{id}").parse().ok()
    }

    /// The digest that the session stores.
    pub fn hash(&self) -> Hash {
        Hash::of(self.expose())
    }
}

impl ApiKey {
    /// A new key of a product: 256 random bits.
    pub fn mint(product: &ProductId, key_id: &str) -> Self {
        Self::new(token::<32>(&format!("lk_{product}_{key_id}_")))
    }

    /// The product that the key claims to be of, and the key's id. Only the product's stored digest says
    /// whether it is true.
    pub fn claims(&self) -> Option<(ProductId, &str)> {
        let mut parts = self.expose().strip_prefix("lk_")?.splitn(3, '_');
        Some((parts.next()?.parse().ok()?, parts.next()?))
    }

    /// The digest that the product stores.
    pub fn hash(&self) -> Hash {
        Hash::of(self.expose())
    }
}

/// HKDF-SHA256 (RFC 5869) of a secret for one use. Every part of `context` goes in with its length, so
/// that no two contexts make the same bytes.
///
/// # Panics
/// Never: 32 bytes are within HKDF's limit.
pub fn derive(secret: &str, context: &[&str]) -> [u8; 32] {
    let mut key = [0; 32];
    expand(b"latchkey", secret.as_bytes(), &length_prefixed(context), &mut key)
        .expect("32 bytes are within HKDF's limit");
    key
}

fn expand(salt: &[u8], secret: &[u8], info: &[u8], key: &mut [u8]) -> Result<(), hkdf::InvalidLength> {
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, key)
}

/// Joins parts so that no two lists of parts give the same bytes: each follows its length.
pub fn length_prefixed(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn debug_shows_no_secret() {
        let key = ApiKey::mint(&"fernway".parse().unwrap(), "k1");
        assert!(!format!("{key:?}").contains(&key.expose()[15..]));
    }

    #[test]
    fn an_api_key_names_its_product_and_id() {
        let key = ApiKey::mint(&"fernway-eu".parse().unwrap(), "k1");
        let (product, id) = key.claims().unwrap();
        assert_eq!((product.as_str(), id), ("fernway-eu", "k1"));
        assert!(ApiKey::new("lk_").claims().is_none());
        assert!(ApiKey::new("Bearer x").claims().is_none());
    }

    #[test]
    fn a_receipt_names_its_connection() {
        let connection = ConnectionId::mint(Timestamp::UNIX_EPOCH);
        let receipt = Receipt::of(&connection, &BrowserSecret::mint(), &State::mint().attempt());
        assert_eq!(receipt.connection(), Some(connection));
        assert!(Receipt::new("rc_é").connection().is_none());
    }

    #[test]
    fn receipt_depends_on_browser_attempt_and_connection() {
        let (browser, attempt) = (BrowserSecret::mint(), State::mint().attempt());
        let connection = ConnectionId::mint(Timestamp::UNIX_EPOCH);
        let receipt = Receipt::of(&connection, &browser, &attempt).hash();
        assert_eq!(Receipt::of(&connection, &browser, &attempt).hash(), receipt);
        let others = [
            Receipt::of(&connection, &BrowserSecret::mint(), &attempt),
            Receipt::of(&connection, &browser, &State::mint().attempt()),
            Receipt::of(&ConnectionId::mint(Timestamp::UNIX_EPOCH), &browser, &attempt),
        ];
        assert!(others.iter().all(|other| other.hash() != receipt));
    }

    #[test]
    fn a_verifier_is_one_attempts_alone() {
        let (browser, one, two) = (BrowserSecret::mint(), State::mint().attempt(), State::mint().attempt());
        assert_eq!(browser.pkce_verifier(&one), browser.pkce_verifier(&one));
        assert_ne!(browser.pkce_verifier(&one), browser.pkce_verifier(&two));
        assert_eq!(browser.pkce_verifier(&one).len(), 43);
        assert_ne!(browser.nonce(&one), browser.pkce_verifier(&one)[..22]);
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        assert_ne!(length_prefixed(&["ab", "c"]), length_prefixed(&["a", "bc"]));
    }

    #[test]
    fn an_idempotency_key_finds_its_link_again() {
        let key = ApiKey::mint(&"fernway".parse().unwrap(), "k1");
        let again = |idem| ConnectKey::for_idempotency(&key, idem).session();
        assert_eq!(again("order-1"), again("order-1"));
        assert_ne!(again("order-1"), again("order-2"));
    }
}
