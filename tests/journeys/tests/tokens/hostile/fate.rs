//! The table: what must come of each fault, flow by flow. It is written from the design, not from the code.
//!
//! Where several faults have the same outcome for the same reason, one rule covers them.

use world::salesforce::{Endpoint, Misbehavior};

/// What becomes of a refresh or an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The true answer is used: the fault is no reason to doubt it.
    Used,
    /// Nothing was spent, and the grant works once the server does.
    Unspent,
    /// The request was carried out, and its answer never came or lacks the new refresh token: the user has to connect
    /// again, once the one recovery was refused.
    Lost,
    /// The answer came and cannot be used as it is: it is kept for an operator's decision.
    Kept,
}

/// What becomes of a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connect {
    /// The user is connected.
    Succeeds,
    /// The user sees a page that leads on, and no grant is left that nobody holds.
    Fails,
    /// The same, but the answer that never came, or whose tokens nobody can read, leaves a grant at Salesforce that
    /// nobody holds.
    Orphans,
}

/// What becomes of a revocation that meets a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// It is sent again until Salesforce confirms it.
    Retried,
    /// The answer says that the token is revoked, and nothing in it is a reason to doubt that (RFC 7009 §2.2).
    Believed,
}

/// The members without which an answer of the token endpoint cannot be used.
const NEEDED: [&str; 6] = ["access_token", "id", "issued_at", "signature", "refresh_token", "token_type"];

const MEMBERS: [&str; 9] = [
    "access_token",
    "refresh_token",
    "id",
    "issued_at",
    "signature",
    "instance_url",
    "token_type",
    "scope",
    "id_token",
];

/// What a fault does to one member of a token answer.
fn member(fault: &Misbehavior) -> Option<(&str, &str)> {
    fault.name.rsplit_once('-').filter(|(member, _)| MEMBERS.contains(member))
}

fn is_empty(word: &str) -> bool {
    ["absent", "empty", "blank", "null"].contains(&word)
}

/// Faults that a client notices only by its own timeout.
pub(crate) fn is_slow(fault: &Misbehavior) -> bool {
    fault.name.starts_with("silence")
}

/// Whether a fault can happen at an endpoint: members of a token answer stand in no other, and what is only read is not
/// carried out.
pub(crate) fn applies(endpoint: Endpoint, fault: &Misbehavior) -> bool {
    let own = match fault.name.as_str() {
        "other-org" | "other-user" | "wrong-signature" | "same-refresh-token" => Some(Endpoint::Token),
        name if name.starts_with("issued-") || name.starts_with("instance-") => Some(Endpoint::Token),
        name if name.starts_with("expires-in-") || name.starts_with("token-type-") => Some(Endpoint::Token),
        name if name.starts_with("scope-") => Some(Endpoint::Token),
        name if name.starts_with("keys-") => Some(Endpoint::Keys),
        name if name.starts_with("username-") => Some(Endpoint::Identity),
        "inactive" | "active-absent" | "active-text" => Some(Endpoint::Introspect),
        _ if member(fault).is_some() => Some(Endpoint::Token),
        _ => None,
    };
    let is_read = [Endpoint::Keys, Endpoint::Identity, Endpoint::Userinfo].contains(&endpoint);
    own.is_none_or(|own| own == endpoint) && !(is_read && fault.name.starts_with("processed-"))
}

/// What must become of a refresh.
pub(crate) fn of_refresh(fault: &Misbehavior) -> Fate {
    if !fault.delivers_answer() {
        return if fault.processed { Fate::Lost } else { Fate::Unspent };
    }
    match fault.name.as_str() {
        "wrong-signature" | "other-org" | "other-user" | "token-type-unknown" | "token-type-dpop" => {
            return Fate::Kept;
        }
        // The world has replaced the token that it repeats.
        "same-refresh-token" => return Fate::Lost,
        "tokens-with-400" | "tokens-with-500" | "tokens-in-a-list" | "gzip" => return Fate::Kept,
        _ => {}
    }
    match member(fault) {
        Some((member, _)) if !NEEDED.contains(&member) => Fate::Used,
        // A number is as good as its text, and signed as it is written. As an identity it is none.
        None | Some((_, "doubled") | ("issued_at", "number")) => Fate::Used,
        // Absent or empty means Bearer.
        Some(("token_type", word)) if is_empty(word) => Fate::Used,
        // Without a new one the refresh token that was sent stays. The world has replaced it, so only its user helps.
        Some(("refresh_token", word)) if is_empty(word) => Fate::Lost,
        Some(_) => Fate::Kept,
    }
}

/// Whether Latchkey takes the answer to say that nothing was spent, as docs/salesforce.md 7 assumes (row 1): redirects,
/// 429, and 503 with `Retry-After`. Then an ordinary request follows, and the recovery after it.
pub(crate) fn is_taken_as_unspent(fault: &Misbehavior) -> bool {
    let name = fault.name.as_str();
    name.contains("redirect")
        || name.ends_with("-429")
        || (name.contains("retry-after") && name.ends_with("-503"))
}

/// What must become of an import: as of a refresh, but there is no org or user yet that it could be another than. An
/// answer without a usable instance is used: Salesforce's identity address names it.
pub(crate) fn of_import(fault: &Misbehavior) -> Fate {
    match of_refresh(fault) {
        Fate::Kept if ["other-org", "other-user"].contains(&fault.name.as_str()) => Fate::Used,
        fate => fate,
    }
}

/// What must become of a connect whose exchange meets a fault.
pub(crate) fn of_exchange(fault: &Misbehavior) -> Connect {
    match of_refresh(fault) {
        Fate::Unspent => Connect::Fails,
        // Whoever cannot unpack it does not know which token to revoke.
        _ if fault.name == "gzip" => Connect::Orphans,
        _ if !fault.delivers_answer() => Connect::Orphans,
        // Repeats the refresh token that was sent: an exchange sends none.
        _ if fault.name == "same-refresh-token" => Connect::Succeeds,
        fate => match member(fault) {
            // Without its refresh token an answer leaves nothing by which the grant could be revoked.
            Some(("refresh_token", word)) if word != "doubled" && word != "contradicted" => Connect::Orphans,
            // The exchange asks for an id_token.
            Some(("id_token", word)) if word != "doubled" => Connect::Fails,
            _ if fate == Fate::Used => Connect::Succeeds,
            _ => Connect::Fails,
        },
    }
}

/// What must become of a connect that meets a fault when it fetches the keys for the id_token.
pub(crate) fn of_keys(fault: &Misbehavior) -> Connect {
    let unusable = [
        "keys-empty",
        "keys-foreign-algorithm",
        "keys-rotated",
        "gzip",
        "utf-16",
        "trailing-text",
        "tokens-in-a-list",
        "byte-order-mark",
    ];
    let usable = fault.delivers_answer() && !unusable.contains(&fault.name.as_str());
    if usable { Connect::Succeeds } else { Connect::Fails }
}

/// What must become of a revocation.
pub(crate) fn of_revocation(fault: &Misbehavior) -> Revocation {
    let says_so = fault.name == "unprocessed-empty-200"
        || (fault.name.starts_with("json-") && fault.name != "json-error-200");
    if !fault.processed && says_so { Revocation::Believed } else { Revocation::Retried }
}
