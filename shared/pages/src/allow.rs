//! What an admin is asked to allow: who asks, for whom, what the app may do, and how to check that the request is genuine.

use std::net::IpAddr;

use domain::App;

/// Maximum length of a quoted text, in characters.
const MAX_QUOTE: usize = 60;

/// Maximum length of the part of a consumer key that is shown, in characters. Every key begins with the same few.
const KEY_SHOWN: usize = 20;

/// Scopes in Salesforce's words, as its consent page and Setup show them: Salesforce Help, "OAuth Tokens and Scopes", and
/// the Mobile SDK guide, "Scope Parameter Values" (read in November 2026).
const SCOPES: [(&str, &str); 22] = [
    ("address", "Access the identity URL service"),
    ("api", "Manage user data via APIs"),
    ("cdp_ingest_api", "Manage Data Cloud Ingestion API data"),
    ("cdp_profile_api", "Manage Data Cloud profile data"),
    ("cdp_query_api", "Perform ANSI SQL queries on Data Cloud data"),
    ("chatter_api", "Access Connect REST API resources"),
    ("content", "Access content resources"),
    ("custom_permissions", "Access custom permissions"),
    ("eclair_api", "Access Analytics REST API Charts Geodata resources"),
    ("email", "Access the identity URL service"),
    ("full", "Full access"),
    ("id", "Access the identity URL service"),
    ("lightning", "Access Lightning applications"),
    ("offline_access", "Perform requests at any time"),
    ("openid", "Access unique user identifiers"),
    ("pardot_api", "Manage Pardot services"),
    ("phone", "Access the identity URL service"),
    ("profile", "Access the identity URL service"),
    ("refresh_token", "Perform requests at any time"),
    ("visualforce", "Access Visualforce applications"),
    ("wave_api", "Access Analytics REST API resources"),
    ("web", "Manage user data via Web browsers"),
];

/// A scope of an app.
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a str,
    /// Salesforce's words for it, where they are known.
    pub(crate) words: Option<&'static str>,
}

/// The scopes that an app asks for.
pub(crate) fn scopes(app: &App) -> Vec<Scope<'_>> {
    let words = |name: &str| SCOPES.iter().find(|(known, _)| *known == name).map(|(_, words)| *words);
    app.scopes.iter().map(|name| Scope { name, words: words(name) }).collect()
}

/// The beginning of an app's consumer key, by which an admin knows the app again in Setup; never the whole key.
pub(crate) fn key_beginning(app: &App) -> String {
    let shown = KEY_SHOWN.min(app.consumer_key.chars().count() / 2);
    app.consumer_key.chars().take(shown).collect::<String>() + "…"
}

/// Addresses, one after another.
pub(crate) fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// A text that a product's user may have written, safe to stand in a sentence that an admin acts on: cut, without line
/// breaks and without what a mail client turns into a link.
pub(crate) fn quoted(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let plain: Vec<&str> = words.filter(|word| !is_link(word)).collect();
    let plain = plain.join(" ");
    if plain.chars().count() <= MAX_QUOTE {
        return plain;
    }
    plain.chars().take(MAX_QUOTE - 1).collect::<String>() + "…"
}

/// Whether mail clients make a link of it: an address of the web or of mail, or a bare host with a path.
fn is_link(word: &str) -> bool {
    let word = word.to_lowercase();
    let host = word.trim_matches(|c: char| !c.is_alphanumeric());
    let dotted = host.split_once('.').is_some_and(|(label, rest)| {
        let top = rest.split(['/', ':', '?', '#']).next().unwrap_or_default().rsplit('.').next();
        !label.is_empty() && top.is_some_and(|top| top.len() >= 2 && top.chars().all(char::is_alphabetic))
    });
    word.contains("://") || word.contains('@') || word.starts_with("www.") || dotted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_never_reach_a_quote() {
        for (text, kept) in [
            ("Uma Okafor", "Uma Okafor"),
            ("J. P. O'Neil, Jr.", "J. P. O'Neil, Jr."),
            ("Uma\nOkafor\u{7}", "Uma Okafor"),
            ("see https://evil.example/x now", "see now"),
            ("see www.evil.example", "see"),
            ("(evil.example/login) Uma", "Uma"),
            ("HTTPS://EVIL.EXAMPLE Uma", "Uma"),
            ("uma@acme.example", ""),
            ("v1.2 of 3.5", "v1.2 of 3.5"),
        ] {
            assert_eq!(quoted(text), kept, "{text}");
        }
        assert_eq!(quoted(&"x".repeat(200)).chars().count(), MAX_QUOTE);
    }

    #[test]
    fn scopes_are_sorted_and_known_once() {
        assert!(SCOPES.is_sorted_by(|(one, _), (other, _)| one < other));
    }
}
