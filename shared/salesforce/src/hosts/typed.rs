//! Reads a login host out of what a person typed or pasted: an address bar, an e-mail, a chat, a spreadsheet.
//! Copy artifacts are removed. Whatever could make two readers see two hosts is refused, not interpreted.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{
    HostRefused, LoginHost,
    copied::{is_invisible, is_separator, is_symbol, simplified, unescaped, without_escapes},
};

/// Maximum bytes of a host that is read. DNS allows 253, and an ending may be added.
const MAX_HOST: usize = 200;

/// The length of a record's id, and of one with its case checksum.
const ID_LENGTHS: [usize; 2] = [15, 18];

/// Words that introduce an address, and begin no company's name: `My Domain acme.my.salesforce.com`, `we use acme…`.
const LABELS: [&str; 14] = [
    "domain", "url", "uri", "address", "hostname", "instance", "login", "is", "use", "uses", "using", "used",
    "named", "called",
];

/// Words that introduce an address after another such word: `log in to acme…`. Alone, they may begin a name: `on semi`.
const PREPOSITIONS: [&str; 17] = [
    "at", "to", "on", "in", "via", "with", "for", "from", "the", "our", "my", "your", "are", "us", "go",
    "log", "sign",
];

/// A host as it was typed.
#[derive(Debug)]
pub(super) struct TypedHost {
    pub(super) name: String,
    /// Whether nothing follows the name. A name before a slash or a colon may be a damaged scheme or a label
    /// (`ttps://acme`), so it is never completed.
    pub(super) is_alone: bool,
}

/// Reads the one login host that was typed, as `admit` sees it.
///
/// Text around an address is skipped, unless a word before it may be the first half of its name.
pub(super) fn read(
    typed: &str,
    admit: impl Fn(&TypedHost) -> Result<LoginHost, HostRefused>,
) -> Result<LoginHost, HostRefused> {
    let text = normalized(typed);
    let words = words(&text);
    let read = |word: &Word<'_>| host_of(word).and_then(|host| admit(&host));
    let found = match &words[..] {
        [] => Err(HostRefused::Empty),
        [only] => read(only),
        _ => one_of(words.iter().filter(|word| word.text.contains('.')).map(|word| (word, read(word)))),
    };
    found.map_err(|why| {
        let is_of_no_host = matches!(why, HostRefused::NotAHost | HostRefused::NotSalesforce);
        if is_of_no_host && words.iter().any(Word::has_org_id) { HostRefused::OrgId } else { why }
    })
}

/// The one host that all addresses of a text name. At least one of them must be whole.
fn one_of<'a>(
    all: impl Iterator<Item = (&'a Word<'a>, Result<LoginHost, HostRefused>)>,
) -> Result<LoginHost, HostRefused> {
    let mut named: Option<LoginHost> = None;
    let (mut is_whole, mut refused) = (false, HostRefused::NotAHost);
    for (word, read) in all {
        match (read, &named) {
            (Ok(host), Some(before)) if host != *before => return Err(HostRefused::Several),
            (Ok(host), _) => {
                is_whole |= word.is_whole();
                named = Some(host);
            }
            (Err(why), _) if refused == HostRefused::NotAHost => refused = why,
            (Err(_), _) => {}
        }
    }
    match named {
        Some(host) if is_whole => Ok(host),
        Some(_) => Err(HostRefused::Several),
        None => Err(refused),
    }
}

/// A part of a text that may be an address.
#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    /// Whether the word and the previous one may be one name that was typed with a space.
    may_be_half: bool,
    /// Whether a colon follows: a label, or the rest of a scheme.
    is_label: bool,
}

impl Word<'_> {
    /// `corp.my.salesforce.com` in `acme corp.my.salesforce.com` may be half of a name.
    fn is_whole(&self) -> bool {
        !self.may_be_half || ["https://", "http://"].iter().any(|scheme| self.text.starts_with(scheme))
    }

    fn has_org_id(&self) -> bool {
        !self.text.contains('/') && self.text.split([':', '=', '#']).any(is_org_id)
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut gap = String::new();
    for piece in text.split_inclusive(is_separator) {
        let (piece, separator) = match piece.char_indices().next_back() {
            Some((at, last)) if is_separator(last) => (piece.split_at(at).0, Some(last)),
            _ => (piece, None),
        };
        let word = trimmed(piece);
        if word.is_empty() {
            gap.push_str(piece);
            if piece.contains(':')
                && let Some(before) = words.last_mut()
            {
                before.is_label = true;
            }
        } else {
            let may_be_half = !words.is_empty() && may_join(&gap) && !is_introduction(&words);
            let is_label = piece.ends_with(':');
            words.push(Word { text: word, may_be_half, is_label });
            gap.clear();
            gap.push_str(if is_label || is_list_number(piece) { ":" } else { "" });
        }
        gap.extend(separator);
    }
    words
}

/// Whether the words introduce an address that follows.
fn is_introduction(words: &[Word<'_>]) -> bool {
    let is_preposition = |word: &Word<'_>| PREPOSITIONS.contains(&word.text);
    match words {
        [.., last] if LABELS.contains(&last.text) => true,
        [.., before, last] => {
            is_preposition(last) && (is_preposition(before) || LABELS.contains(&before.text))
        }
        _ => false,
    }
}

/// Whether a word numbers the entries of a list: `1.`. A number without a period may begin a name.
fn is_list_number(piece: &str) -> bool {
    let number = piece.strip_suffix('.').unwrap_or_default();
    (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the words around a gap may be one name that was typed wrongly: `acme uat`, `acme - uat`, `o'neil`.
fn may_join(gap: &str) -> bool {
    gap.chars().all(|c| matches!(c, ' ' | '-' | '_' | '.' | '~'))
        || matches!(gap, "'" | "`" | "*" | ")" | "]" | "}" | "\u{2018}" | "\u{2019}" | "\u{2022}" | "\u{b7}")
        || gap.chars().all(is_symbol)
}

/// Entities become characters, and a percent-encoded address is decoded, once.
fn normalized(typed: &str) -> String {
    let text = simplified(&without_escapes(&unescaped(typed)));
    let is_encoded =
        |word: &str| ["http%3a", "https%3a"].iter().any(|scheme| trimmed(word).starts_with(scheme));
    if text.split(is_separator).any(is_encoded)
        && let Ok(Cow::Owned(decoded)) = percent_decode_str(&text).decode_utf8()
    {
        return simplified(&decoded);
    }
    text
}

/// Removes a list's punctuation and other artifacts from the beginning.
fn without_beginning(word: &str) -> &str {
    let mut rest = word;
    loop {
        let mut shorter =
            rest.trim_start_matches(['.', ':', '_', '~', '-', '=', '\u{2026}', '\u{a1}', '\u{bf}']);
        // The signs before a heading, a tag or a mention, and half of an escape.
        if shorter.contains('.') || shorter.bytes().all(|b| b"#@\\".contains(&b)) {
            shorter = without_encoded_beginning(shorter).trim_start_matches(['#', '@', '\\']);
            shorter = without_label(shorter.strip_prefix("view-source:").unwrap_or(shorter));
        }
        if shorter.len() == rest.len() {
            return rest;
        }
        rest = shorter;
    }
}

/// Removes percent-encoded spaces and invisible characters from the beginning. An encoded letter may begin a name.
fn without_encoded_beginning(word: &str) -> &str {
    let is_byte = |hex: &&str| hex.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let mut rest = word;
    while let Some(encoded) = rest.strip_prefix('%').filter(is_byte) {
        rest = encoded.get(2..).unwrap_or_default();
    }
    let is_around = |c: char| c.is_whitespace() || is_invisible(c) || is_separator(c);
    let encoded = word.strip_suffix(rest).unwrap_or_default();
    match percent_decode_str(encoded).decode_utf8() {
        Ok(decoded) if decoded.chars().all(is_around) => rest,
        _ => word,
    }
}

/// Removes a label from the beginning: `url:https://acme…`. A word that is no label may be a damaged scheme.
fn without_label(word: &str) -> &str {
    match word.split_once(':') {
        Some((label, rest))
            if LABELS.contains(&label) && (rest.starts_with("http") || !rest.starts_with('/')) =>
        {
            rest
        }
        _ => word,
    }
}

/// Removes a sentence's punctuation from the end, and what is no part of an address from the beginning. A hyphen after a
/// name without an ending stays: `acme--` is half of a sandbox's name.
fn trimmed(word: &str) -> &str {
    let mut rest = without_beginning(word);
    loop {
        let mut shorter = rest.trim_end_matches(['.', ':', '!', '?', '_', '~', '\u{2026}']);
        if shorter.contains('.') {
            shorter = without_encoded_end(shorter).trim_end_matches(['-', '\\']);
        }
        if shorter.len() == rest.len() {
            return rest;
        }
        rest = shorter;
    }
}

/// Removes a percent-encoded space, line break or invisible character from the end.
fn without_encoded_end(word: &str) -> &str {
    let Some((rest, digits)) = word.rsplit_once('%') else { return word };
    match u8::from_str_radix(digits, 16) {
        Ok(byte) if digits.len() == 2 && !byte.is_ascii_alphanumeric() => rest,
        _ => word,
    }
}

/// The host of one address. Path, query and fragment are dropped.
fn host_of(word: &Word<'_>) -> Result<TypedHost, HostRefused> {
    let mut rest = word.text;
    while let Some(shorter) = ["https:", "http:", "//"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(HostRefused::Username);
    }
    let host = authority.split_once(':').map_or(authority, |(host, port)| {
        if (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()) { host } else { "" }
    });
    let is_alone = host.len() == rest.len() && !word.is_label;
    let host = host.trim_end_matches('.');
    let host = host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host);
    // Salesforce gives out no My Domain of this name; what is left of a copied address is no host.
    if host.split('.').next() == Some("www") {
        return Err(HostRefused::NotSalesforce);
    }
    // An id with an ending, or behind a word: `00D….my.salesforce.com`, `OrgId-00D…`.
    if host.split(['.', '-']).any(is_org_id) {
        return Err(HostRefused::OrgId);
    }
    let is_well_formed =
        host.len() <= MAX_HOST && host.split('.').all(is_label) && !matches!(host, "http" | "https");
    if is_well_formed {
        Ok(TypedHost { name: host.to_owned(), is_alone })
    } else {
        Err(HostRefused::NotAHost)
    }
}

/// One label of a host. Salesforce gives out none that is an internationalized name (`xn--`).
pub(super) fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.starts_with("xn--")
}

/// Whether a word looks like the id of a record, such as a user. It does not name an org.
pub(super) fn is_record_id(word: &str) -> bool {
    ID_LENGTHS.contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric())
        && matches!(word.as_bytes(), [b'0', ..] | [b'a', b'0'..=b'9', ..])
        && word.bytes().filter(u8::is_ascii_digit).count() >= 4
}

fn is_org_id(word: &str) -> bool {
    ID_LENGTHS.contains(&word.len())
        && word.starts_with("00d")
        && word.bytes().all(|b| b.is_ascii_alphanumeric())
}
