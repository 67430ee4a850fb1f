//! Ids: prefixed so that a person can tell them apart, opaque so that nobody parses them, and sortable by
//! time where they are listed.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::EventType;

/// Why a text is not an id. The text itself is not repeated: it may be a pasted secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct NotAnId {
    expected: &'static str,
}

/// Crockford's base 32 in lower case: no i, l, o or u, so that an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Encodes bytes so that the texts sort as the bytes do.
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(ALPHABET[((bits >> held) & 31) as usize] as char);
        }
    }
    if held > 0 {
        text.push(ALPHABET[((bits << (5 - held)) & 31) as usize] as char);
    }
    text
}

/// A 48-bit millisecond time and 74 random bits (RFC 9562 UUIDv7): sortable, and not to be guessed.
fn fresh(now: Timestamp) -> String {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let random: [u8; 10] = crate::secret::random();
    base32(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().as_bytes())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) { Ok(Self(text.to_owned())) } else { Err(NotAnId { expected: $what }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;
            fn try_from(text: String) -> Result<Self, NotAnId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

/// Lower-case letters, digits and inner hyphens, at most 40 characters: what a person chooses in a file.
fn slug(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn minted(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 26 && rest.bytes().all(|b| ALPHABET.contains(&b)))
}

/// A Salesforce record id: 15 case-sensitive characters, or 18 with their checksum, and a key prefix.
fn record(prefix: &str, text: &str) -> bool {
    matches!(text.len(), 15 | 18)
        && text.starts_with(prefix)
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

id!(
    /// A product, as its file names it: `fernway`.
    ProductId, "a product id (a-z, 0-9 and hyphens, at most 40)", slug
);
id!(
    /// One of a product's apps at Salesforce, as the product file names it: `sync`.
    AppId, "an app id (a-z, 0-9 and hyphens, at most 40)", slug
);
id!(
    /// One of a product's webhook endpoints, as the product file names it: `backend`.
    EndpointId, "an endpoint id (a-z, 0-9 and hyphens, at most 40)", slug
);
id!(
    /// A connect session: `cs_…`. It is the digest of the session's connect key, so whoever holds the link
    /// finds the session and whoever holds the id cannot make the link.
    SessionId, "a connect session id (cs_…)", |text| minted("cs_", text)
);
id!(
    /// An attempt: `at_…`, the digest of its `state`.
    AttemptId, "an attempt id (at_…)", |text| minted("at_", text)
);
id!(
    /// A connection: `con_…`, sortable by the time it was made.
    ConnectionId, "a connection id (con_…)", |text| minted("con_", text)
);
id!(
    /// A failure, and the key of its help page: `fl_…`. The reference that a person reads out is
    /// [`FailureId::reference`], from which the link cannot be made.
    FailureId, "a failure id (fl_…)", |text| minted("fl_", text)
);
id!(
    /// An incident: `in_…`.
    IncidentId, "an incident id (in_…)", |text| minted("in_", text)
);
id!(
    /// An event: `evt_…`, the digest of what happened, so that the same change always makes the same id.
    EventId, "an event id (evt_…)", |text| minted("evt_", text)
);
id!(
    /// A Salesforce org id: `00D…`.
    OrgId, "a Salesforce org id (00D…)", |text| record("00D", text)
);
id!(
    /// A Salesforce user id: `005…`.
    SalesforceUserId, "a Salesforce user id (005…)", |text| record("005", text)
);

impl OrgId {
    /// Whether both name one org: the 15- and the 18-character form of an id are the same id.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0[..15] == other.0[..15]
    }
}

impl SalesforceUserId {
    /// Whether both name one user: the 15- and the 18-character form of an id are the same id.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0[..15] == other.0[..15]
    }
}

impl SessionId {
    pub(crate) fn of_key(key: &str) -> Self {
        Self(format!("cs_{}", digest(key)))
    }
}

impl AttemptId {
    pub(crate) fn of_state(state: &str) -> Self {
        Self(format!("at_{}", digest(state)))
    }
}

impl ConnectionId {
    /// A new connection's id.
    pub fn mint(now: Timestamp) -> Self {
        Self(format!("con_{}", fresh(now)))
    }
}

impl IncidentId {
    /// A new incident's id.
    pub fn mint(now: Timestamp) -> Self {
        Self(format!("in_{}", fresh(now)))
    }
}

impl EventId {
    /// The id of the event that a change of a connection makes. A connection's revision rises once for each of its
    /// events, so this names one event whatever its type.
    pub fn of_connection(connection: &ConnectionId, revision: u64) -> Self {
        Self(format!("evt_{}", digest(&format!("connection\n{connection}\n{revision}"))))
    }

    /// The id of any other event: its type, what it is about, and which of the subject's events of that type it is (a
    /// failure's id or a due time; empty where a subject has one).
    pub fn of(kind: EventType, subject: &str, point: &str) -> Self {
        Self(format!("evt_{}", digest(&format!("{kind}\n{subject}\n{point}"))))
    }

    /// The id of an event that no change makes: a test.
    pub fn mint(now: Timestamp) -> Self {
        Self(format!("evt_{}", fresh(now)))
    }
}

impl FailureId {
    /// A new failure's id.
    pub fn mint(now: Timestamp) -> Self {
        Self(format!("fl_{}", fresh(now)))
    }

    /// Where the ids of failures from that time on begin, for what is sorted by them.
    pub fn floor(at: Timestamp) -> String {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        format!("fl_{}", base32(&(u128::from(millis) << 80).to_be_bytes()))
    }

    /// What a person reads to support over the telephone: `LK-7H3K-9QZM`. One-way from the id.
    pub fn reference(&self) -> String {
        let text = digest(&self.0).to_ascii_uppercase();
        format!("LK-{}-{}", &text[..4], &text[4..8])
    }
}

/// 128 bits of SHA-256 as 26 characters: enough that nobody finds a second key for an id.
fn digest(text: &str) -> String {
    base32(&Sha256::digest(text.as_bytes())[..16])
}

/// The time that a minted id carries, for what is sorted by it.
pub fn minted_at(id: &str) -> Option<Timestamp> {
    let text = id.split_once('_')?.1;
    let millis = text.bytes().take(10).try_fold(0u64, |sum, b| {
        ALPHABET.iter().position(|a| *a == b).map(|digit| (sum << 5) | digit as u64)
    })?;
    Timestamp::from_millisecond(i64::try_from(millis >> 2).ok()?).ok()
}

const _: () = assert!(size_of::<Uuid>() == 16, "26 characters of base 32 hold one UUID");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let earlier = ConnectionId::mint("2026-11-22T10:00:00Z".parse().unwrap());
        let later = ConnectionId::mint("2026-11-22T10:00:00.001Z".parse().unwrap());
        assert!(earlier < later);
        assert_eq!(minted_at(earlier.as_str()), Some("2026-11-22T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn an_id_of_one_kind_is_not_one_of_another() {
        let connection = ConnectionId::mint(Timestamp::UNIX_EPOCH);
        assert!(connection.as_str().parse::<ConnectionId>().is_ok());
        assert!(connection.as_str().parse::<FailureId>().is_err());
        assert!("con_../../x".parse::<ConnectionId>().is_err());
        assert!("Acme".parse::<ProductId>().is_err());
        assert!("00D000000000001AAA".parse::<OrgId>().is_ok());
        assert!("00D000000000001".parse::<OrgId>().unwrap().same_as(&"00D000000000001AAA".parse().unwrap()));
    }

    #[test]
    fn a_times_floor_is_below_every_id_of_that_time_and_above_those_of_before() {
        let at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let floor = FailureId::floor(at);
        assert!(floor.as_str() < FailureId::mint(at).as_str());
        assert!(floor.as_str() > FailureId::mint(at - jiff::SignedDuration::from_millis(1)).as_str());
        assert!(floor.parse::<FailureId>().is_ok());
    }

    #[test]
    fn a_reference_does_not_hold_its_link() {
        let failure = FailureId::mint(Timestamp::UNIX_EPOCH);
        let reference = failure.reference();
        assert_eq!(reference.len(), "LK-7H3K-9QZM".len());
        assert!(!failure.as_str().to_ascii_uppercase().contains(&reference[3..7]));
    }
}
