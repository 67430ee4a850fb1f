//! Evidence: what was seen, in Salesforce's words, without secrets and without names of people.

use domain::{Evidence, Provenance, Surface};

use crate::redact;

/// A code or a description is kept up to this many characters: it may come from anybody.
pub const MAX_EVIDENCE: usize = 500;

/// Codes that Salesforce never sends: what we find ourselves. The catalogue has a cause for each.
pub const OUR_OWN: [&str; 20] = [
    "answer_lost",
    "answer_malformed",
    "attempt_expired",
    "attempt_used",
    "callback_interrupted",
    "ended_by_revoke",
    "host_moved",
    "id_token_invalid",
    "identity_mismatch",
    "instance_unknown",
    "internal",
    "other_identity_refused",
    "other_identity_unanswered",
    "receipt_refused",
    "reconnect_overtaken",
    "refresh_token_missing",
    "scope_missing",
    "signature_mismatch",
    "tokens_rejected",
    "unexpected_answer",
];

/// Our own code for an answer that is another's than it claims to be.
pub const NOT_THEIRS: &str = "identity_mismatch";

/// What a callback's query said. Whoever sits at the browser can write it, so it cannot claim one of our
/// own codes: those are set by [`our_own`] alone.
pub fn callback(code: &str, description: Option<&str>) -> Evidence {
    observed(Surface::Callback, Some(theirs(code)), description, None)
}

/// What a product says that Salesforce's API answered. Like a callback it cannot claim one of our own codes.
pub fn reported(code: Option<&str>, description: Option<&str>, status: Option<u16>) -> Evidence {
    let said = observed(Surface::Api, code.map(theirs), description, status);
    Evidence { provenance: Provenance::Reported, ..said }
}

/// What we found ourselves, in one of the catalogue's codes for it.
pub fn our_own(surface: Surface, code: &'static str, description: Option<&str>) -> Evidence {
    debug_assert!(OUR_OWN.contains(&code), "{code}");
    observed(surface, Some(code), description, None)
}

/// What an endpoint of Salesforce's answered.
pub fn token_endpoint(code: Option<&str>, description: Option<&str>, status: Option<u16>) -> Evidence {
    observed(Surface::TokenEndpoint, code, description, status)
}

/// What we saw ourselves. Texts lose their secrets as pasted ones do ([`redact`]). They are cut at [`MAX_EVIDENCE`] characters and cleared of control characters and of whom
/// they name ([`nameless`]).
pub fn observed(
    surface: Surface,
    code: Option<&str>,
    description: Option<&str>,
    http_status: Option<u16>,
) -> Evidence {
    let keep = |text: &str| -> String {
        let text: String =
            nameless(&redact(text)).chars().filter(|c| !c.is_control()).take(MAX_EVIDENCE).collect();
        text.trim().to_owned()
    };
    Evidence {
        surface,
        provenance: Provenance::Observed,
        code: code.map(keep).filter(|text| !text.is_empty()),
        description: description.map(keep).filter(|text| !text.is_empty()),
        http_status,
        host: None,
    }
}

/// What stands for a mail address.
const SOMEBODY: &str = "(a user)";

/// A text without mail addresses: a Salesforce user name has the form of one, and a failure is read by people to whom it
/// does not belong.
fn nameless(text: &str) -> String {
    let is_of_address = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let name = before.trim_end_matches(is_of_address);
        let end = after.find(|c| !is_of_address(c)).unwrap_or(after.len());
        // A full stop after an address ends the sentence.
        let domain = after[..end].trim_end_matches('.');
        if name.len() == before.len() || domain.is_empty() {
            kept.push_str(&rest[..=at]);
            rest = after;
        } else {
            kept.push_str(name);
            kept.push_str(SOMEBODY);
            rest = &after[domain.len()..];
        }
    }
    kept + rest
}

/// A code that somebody else wrote: never one of our own.
fn theirs(code: &str) -> &str {
    if OUR_OWN.contains(&code) { "unexpected_answer" } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_nobody() {
        for (said, kept) in [
            (
                "user uma.o'neil+sf@acme.example.full is not admin approved",
                "user (a user) is not admin approved",
            ),
            ("uma@acme.example", "(a user)"),
            ("ask <ada@acme.example>, or uma@acme.example.", "ask <(a user)>, or (a user)."),
            ("ümit@bücher.example: no", "(a user): no"),
            ("a@b@c.example", "(a user)@c.example"),
            ("at 5 @ noon, @home, me@", "at 5 @ noon, @home, me@"),
        ] {
            let evidence = callback(said, Some(said));
            assert_eq!(evidence.description.as_deref(), Some(kept));
            assert_eq!(evidence.code.as_deref(), Some(kept));
        }
    }

    #[test]
    fn an_address_that_is_cut_is_gone_all_the_same() {
        let long = format!("{} uma@acme.example", "x".repeat(MAX_EVIDENCE - 6));
        let description = callback("e", Some(&long)).description.expect("a text");
        assert!(!description.contains("uma"), "{description}");
    }
}
