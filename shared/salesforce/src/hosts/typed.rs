//! Reads a login host out of what a person typed or pasted: an address bar, an e-mail, a chat, a spreadsheet.
//! Copy artifacts are removed. Whatever could make two readers see two hosts is refused, not interpreted.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{HostRefused, LoginHost};

/// Maximum bytes of a host that is read. DNS allows 253, and an ending may be added.
const MAX_HOST: usize = 200;

/// The length of a record's id, and of one with its case checksum.
const ID_LENGTHS: [usize; 2] = [15, 18];

/// Words that introduce an address: `My Domain acme.my.salesforce.com`.
const LABELS: [&str; 5] = ["domain", "url", "address", "hostname", "is"];

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
    /// The previous word, if the two may be one name that was typed with a space.
    joined_to: Option<&'a str>,
    /// Whether a colon follows: a label, or the rest of a scheme.
    is_label: bool,
}

impl Word<'_> {
    /// `corp.my.salesforce.com` in `acme corp.my.salesforce.com` may be half of a name.
    fn is_whole(&self) -> bool {
        self.joined_to.is_none_or(|before| LABELS.contains(&before))
            || ["https://", "http://"].iter().any(|scheme| self.text.starts_with(scheme))
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
            let before = words.last().map(|before| before.text).filter(|_| may_join(&gap));
            let is_label = piece.ends_with(':');
            words.push(Word { text: word, joined_to: before, is_label });
            gap.clear();
            gap.push_str(if is_label { ":" } else { "" });
        }
        gap.extend(separator);
    }
    words
}

/// Whether the words around a gap may be one name that was typed wrongly: `acme uat`, `acme - uat`, `o'neil`.
fn may_join(gap: &str) -> bool {
    gap.chars().all(|c| matches!(c, ' ' | '-' | '_' | '.' | '~'))
        || matches!(gap, "'" | "`" | "*" | ")" | "]" | "}" | "\u{2018}" | "\u{2019}" | "\u{2022}" | "\u{b7}")
}

/// Characters around an address, as HTML escapes them.
const ENTITIES: [(&str, &str); 7] = [
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&#34;", "\""),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&nbsp;", " "),
    ("&#160;", " "),
];

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
            // Cells of a table: text before a tab is not part of a name.
            '\t' => text.push('|'),
            c if c.is_whitespace() => text.push(' '),
            c if is_invisible(c) => {}
            c => text.push(c.to_ascii_lowercase()),
        }
    }
    for (entity, character) in ENTITIES {
        if text.contains(entity) {
            text = text.replace(entity, character);
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

/// Removes a sentence's punctuation from the end, and a list's from the beginning. A hyphen after a name without an ending
/// stays: `acme--` is half of a sandbox's name.
fn trimmed(word: &str) -> &str {
    let mut rest = word.trim_start_matches(['.', ':', '_', '~', '-', '=']);
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
    if is_org_id(host) {
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
