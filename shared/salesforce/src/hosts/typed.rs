//! Reads a login host out of what a person typed or pasted: an address bar, an e-mail, a chat, a spreadsheet.
//! Copy artifacts are removed. Whatever could make two readers see two hosts is refused, not interpreted.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{HostRefused, LoginHost};

/// Maximum bytes of a host that is read. DNS allows 253, and an ending may be added.
const MAX_HOST: usize = 200;

/// The length of an org id, and of one with its case checksum.
const ORG_ID: [usize; 2] = [15, 18];

/// Reads the one login host that was typed, as `admit` sees it.
///
/// Text around an address is skipped, unless a word before it may be the first half of its name.
pub(super) fn read(
    typed: &str,
    admit: impl Fn(&str) -> Result<LoginHost, HostRefused>,
) -> Result<LoginHost, HostRefused> {
    let text = normalized(typed);
    let words = words(&text);
    if let [only] = words[..] {
        return admit(&host_of(only.text)?);
    }
    let mut found = Err(if words.is_empty() { HostRefused::Empty } else { HostRefused::NotAHost });
    for word in words.iter().filter(|word| word.text.contains('.')) {
        let read = host_of(word.text).and_then(|host| admit(&host));
        let read = read.and_then(|host| if word.is_whole() { Ok(host) } else { Err(HostRefused::Several) });
        found = match (found, read) {
            (Ok(before), Ok(host)) if before != host => return Err(HostRefused::Several),
            (Ok(host), _) | (_, Ok(host)) => Ok(host),
            (Err(HostRefused::NotAHost), Err(why)) | (Err(why), Err(_)) => Err(why),
        };
    }
    found
}

/// A part of a text that may be an address.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    /// Nothing but blanks divides it from a word before it.
    follows: bool,
}

impl Word<'_> {
    /// `corp.my.salesforce.com` in `acme corp.my.salesforce.com` may be half of a name.
    fn is_whole(self) -> bool {
        !self.follows || self.text.starts_with("http")
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut follows = false;
    for piece in text.split_inclusive(is_separator) {
        let (piece, separator) = match piece.char_indices().next_back() {
            Some((at, last)) if is_separator(last) => (piece.split_at(at).0, Some(last)),
            _ => (piece, None),
        };
        let word = trimmed(piece);
        if !word.is_empty() {
            words.push(Word { text: word, follows });
            follows = !piece.ends_with(':');
        }
        follows = follows && separator == Some(' ');
    }
    words
}

/// Full-width forms become ASCII, dashes that an editor made of hyphens become hyphens again, characters that
/// nobody sees are dropped, and a percent-encoded address is decoded.
fn normalized(typed: &str) -> String {
    let mut text = String::with_capacity(typed.len());
    for c in typed.chars() {
        match c {
            '\u{ff01}'..='\u{ff5e}' => {
                text.extend(char::from_u32(u32::from(c) - 0xfee0));
            }
            '\u{3002}' | '\u{ff61}' => text.push('.'),
            '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2212}' | '\u{fe63}' => text.push('-'),
            // Editors write two hyphens, as in a sandbox's name, as one dash.
            '\u{2013}' | '\u{2014}' | '\u{2015}' => text.push_str("--"),
            c if c.is_whitespace() => text.push(' '),
            c if is_invisible(c) => {}
            c => text.push(c.to_ascii_lowercase()),
        }
    }
    let encoded = ["http%3a", "https%3a"].iter().any(|scheme| text.trim_start().starts_with(scheme));
    if encoded && let Ok(decoded) = percent_decode_str(&text).decode_utf8() {
        return match decoded {
            // Decoded once, and only to text that this function would leave as it is.
            Cow::Owned(decoded) if decoded.is_ascii() => decoded.to_ascii_lowercase(),
            _ => text,
        };
    }
    text
}

/// Characters that have no width or no glyph: controls, joiners, marks of direction, byte order marks, fillers,
/// variation selectors and tags (Unicode's `Default_Ignorable_Code_Point`).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// What stands between or around addresses in a text, and in no address of ours.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '|' | '`' | '"' | '\'' | '*'
    ) || matches!(c, '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}' | '\u{ab}' | '\u{bb}')
        || matches!(c, '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301b}' | '\u{3001}' | '\u{2022}' | '\u{b7}')
}

/// Without a sentence's punctuation at the end, or a list's at the beginning.
fn trimmed(word: &str) -> &str {
    word.trim_end_matches(['.', ':', '!', '?', '_', '~', '\u{2026}'])
        .trim_start_matches(['.', ':', '_', '~', '-', '='])
}

/// The host of one address. Path, query and fragment are dropped.
fn host_of(address: &str) -> Result<String, HostRefused> {
    let mut rest = address;
    while let Some(shorter) = ["https:", "http:", "//"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(HostRefused::Username);
    }
    let host = authority.split_once(':').map_or(authority, |(host, port)| {
        if port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) { host } else { "" }
    });
    let host = host.trim_end_matches('.');
    let host = host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host);
    // Salesforce gives out no My Domain of this name; what is left of a copied address is no host.
    if host.split('.').next() == Some("www") {
        return Err(HostRefused::NotSalesforce);
    }
    if is_org_id(host) {
        return Err(HostRefused::OrgId);
    }
    let well_formed = host.len() <= MAX_HOST && host.split('.').all(is_label);
    if well_formed { Ok(host.to_owned()) } else { Err(HostRefused::NotAHost) }
}

/// One label of a host. Salesforce gives out none that is an internationalized name (`xn--`).
pub(super) fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.starts_with("xn--")
}

fn is_org_id(word: &str) -> bool {
    ORG_ID.contains(&word.len()) && word.starts_with("00d") && word.bytes().all(|b| b.is_ascii_alphanumeric())
}
