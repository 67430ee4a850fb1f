//! Finds where a secret's value ends.
//!
//! People's passwords contain commas, quotation marks, ampersands and brackets. Such a character ends a value only where
//! what follows shows it: a blank, the end of the text, another field. In doubt the value goes on: a text that loses too
//! much costs support a question, one that loses too little costs a password.
//!
//! Values are read as they are written, before anything is decoded: `Tr%26ck` and `ab\"cd` still show where they end.

use super::super::catalogue::telling;
use super::super::words::normal;
use super::names::is_secret_name;
use super::secrets::is_error_code;

/// Maximum bytes behind a character that are looked at to tell whether it ends a value. It keeps reading linear.
const AHEAD: usize = 64;

/// Maximum bytes of a tag that ends a value.
const MAX_TAG: usize = 300;

/// Maximum bytes of a quoted value behind the first quotation mark that may close it.
const MAX_QUOTED: usize = 500;

/// Names of fields that are kept, so a value ends before them. Every other name may be a part of a password.
const FIELDS: [&str; 48] = [
    "action",
    "app",
    "audience",
    "clientid",
    "description",
    "display",
    "email",
    "environment",
    "error",
    "errorcode",
    "errordescription",
    "errormessage",
    "errortype",
    "erroruri",
    "event",
    "exceptioncode",
    "exceptionmessage",
    "granttype",
    "host",
    "hostname",
    "http",
    "https",
    "id",
    "instanceurl",
    "issuedat",
    "level",
    "login",
    "loginurl",
    "message",
    "method",
    "msg",
    "name",
    "org",
    "organizationid",
    "orgid",
    "prompt",
    "reason",
    "redirecturi",
    "responsetype",
    "scope",
    "status",
    "timestamp",
    "tokentype",
    "un",
    "uri",
    "url",
    "user",
    "username",
];

/// Tags that stand right behind a value in the source of a page.
const TAGS: [&str; 27] = [
    "a", "b", "body", "br", "button", "code", "dd", "div", "dt", "em", "font", "form", "hr", "html", "i",
    "img", "input", "label", "li", "p", "pre", "small", "span", "strong", "table", "td", "tr",
];

/// Quotation marks and angle brackets in an encoded text, in lower case and behind their `&` or backslash.
const ENCODED_MARKS: [&str; 22] = [
    "quot;", "apos;", "lt;", "gt;", "#34;", "#39;", "#60;", "#62;", "#x22;", "#x27;", "#x3c;", "#x3e;",
    "u0022", "u0027", "u003c", "u003e", "x22", "x27", "x3c", "x3e", "#039;", "#034;",
];

/// A value: the bytes of the text that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_quoted: bool,
}

/// The value that a text begins with. In a query every `&name=` begins another field; elsewhere a known one does.
pub(super) fn find(text: &str, in_query: bool) -> Value {
    if let Some((start, length)) = quoted(text) {
        return Value { start, end: start + length, is_quoted: true };
    }
    Value { start: 0, end: unquoted(text, in_query), is_quoted: false }
}

/// Whether a value begins with an encoded mark. Then all of its structure is encoded, and its end shows once that is
/// decoded.
pub(super) fn is_encoded(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['&', '\\']) else { return false };
    let mut rest = rest.trim_start_matches('\\');
    while let Some(next) = rest.strip_prefix("amp;") {
        rest = next;
    }
    ENCODED_MARKS.iter().any(|mark| starts_with(rest, mark))
}

/// Where a quoted value begins, and how long it is.
fn quoted(text: &str) -> Option<(usize, usize)> {
    let backslashes = text.len() - text.trim_start_matches('\\').len();
    let open = text[backslashes..].chars().next()?;
    let close = match open {
        '"' | '\'' | '`' => open,
        '“' | '„' if backslashes == 0 => '”',
        '‘' if backslashes == 0 => '’',
        '«' if backslashes == 0 => '»',
        '「' if backslashes == 0 => '」',
        '『' if backslashes == 0 => '』',
        _ => return None,
    };
    let start = backslashes + open.len_utf8();
    Some((start, quoted_length(&text[start..], close, backslashes)))
}

/// How long a value is that a quotation mark closes. One that is never closed ends with its line.
fn quoted_length(text: &str, close: char, level: usize) -> usize {
    let mut first = None;
    let mut backslashes = 0;
    for (at, c) in text.char_indices() {
        if c == '\n' || first.is_some_and(|first| at > first + MAX_QUOTED) {
            return first.unwrap_or(at);
        }
        // A mark inside a string of JSON has more backslashes before it than the one that opened the string.
        if c == close && (backslashes <= level || backslashes % (2 * (level + 1)) == level) {
            let end = at - backslashes.min(level);
            if closes(&text[at + c.len_utf8()..]) {
                return end;
            }
            first.get_or_insert(end);
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    first.unwrap_or(text.len())
}

/// Whether a quotation mark closes a value, by what follows it: `"ab"cd"` has one in its value.
fn closes(after: &str) -> bool {
    match after.chars().next() {
        None => true,
        Some('.' | '!' | '?') => after[1..].chars().next().is_none_or(char::is_whitespace),
        Some(c) => {
            c.is_whitespace()
                || is_closer(c)
                || !c.is_ascii()
                || matches!(c, ':' | '&' | '|' | '/' | '\\' | '<')
        }
    }
}

/// How long a value is that nothing encloses.
fn unquoted(text: &str, in_query: bool) -> usize {
    let mut passed = None;
    let mut end = text.len();
    let mut skip_to = 0;
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        let rest = ahead(&text[at..]);
        let found = match c {
            '」' | '』' | '。' | '、' | '”' | '»' => Some(true),
            _ if c.is_whitespace() => Some(true),
            '&' => match reference(rest) {
                Reference::Blank => Some(true),
                Reference::Character(length) => {
                    skip_to = at + length;
                    None
                }
                Reference::Ampersand(length) => Some(begins_field(&rest[length..], in_query, &['='])),
            },
            '\\' => escape(rest, in_query),
            '<' => Some(is_tag(&text[at..])),
            '#' | '|' => Some(begins_field(&rest[1..], in_query, &['=', ':'])),
            '`' | '(' | '{' | '[' => Some(false),
            _ if is_closer(c) => Some(ends_behind(rest, in_query)),
            _ => None,
        };
        match found {
            Some(true) => {
                end = at;
                break;
            }
            Some(false) => {
                passed.get_or_insert(at);
            }
            None => {}
        }
    }
    // An error code is no part of a password.
    passed.filter(|passed| names_an_error(&text[*passed..end])).unwrap_or(end)
}

/// Whether a value ends with the closing bracket, the quotation mark, the comma or the semicolon that `rest` begins
/// with, by what follows it.
fn ends_behind(rest: &str, in_query: bool) -> bool {
    let after = rest.trim_start_matches(|c| is_closer(c) || matches!(c, '.' | '\\'));
    let run = &rest[..rest.len() - after.len()];
    // `","`: the next member of a structure, whatever its name.
    let is_member = run.contains(',') && run.matches(['"', '\'']).count() > 1;
    match after.chars().next() {
        // What lies beyond is not looked at.
        None => rest.len() + 4 < AHEAD,
        Some(c) => {
            c.is_whitespace()
                || matches!(c, '{' | '[')
                || begins_field(after, in_query || is_member, &['=', ':'])
        }
    }
}

/// What a backslash says about the end of a value: `\"` closes a string of JSON, `\n` is a new line, `\u0026` is `&`.
fn escape(rest: &str, in_query: bool) -> Option<bool> {
    let after = rest.trim_start_matches('\\');
    match after.as_bytes() {
        [b'"' | b'\'', ..] => Some(ends_behind(after, in_query)),
        [b'n' | b'r' | b't', ..] => {
            let next = after[1..].trim_start_matches('\\');
            let word = &next[..next.find(|c: char| c.is_whitespace() || c == '\\').unwrap_or(next.len())];
            Some(!word.contains(|c: char| c.is_ascii_digit()) || begins_field(next, false, &['=', ':']))
        }
        [b'u', ..] if starts_with(after, "u0026") => {
            Some(begins_field(&after[5..], in_query, &['=']) || begins_field(&after[5..], in_query, &['\\']))
        }
        _ => None,
    }
}

/// What an ampersand begins.
enum Reference {
    /// A blank or a line break.
    Blank,
    /// Another character: so many bytes.
    Character(usize),
    /// Itself: so many bytes.
    Ampersand(usize),
}

fn reference(rest: &str) -> Reference {
    let mut length = 1;
    while let Some(next) =
        ["amp;", "#38;", "#038;", "#x26;"].iter().find(|next| starts_with(&rest[length..], next))
    {
        length += next.len();
    }
    let name = &rest[length..];
    let name = name.as_bytes().iter().take(10).position(|byte| *byte == b';').map(|end| &name[..end]);
    match name {
        Some("nbsp" | "#10" | "#13" | "#160" | "#32" | "#xA" | "#xa" | "#xD" | "#xd" | "NewLine") => {
            Reference::Blank
        }
        Some(name)
            if name.starts_with('#') || name.len() > 1 && name.bytes().all(|b| b.is_ascii_alphabetic()) =>
        {
            Reference::Character(length + name.len() + 1)
        }
        _ => Reference::Ampersand(length),
    }
}

/// Whether a text begins with a field's name and a separator.
fn begins_field(text: &str, any_name: bool, separators: &[char]) -> bool {
    let text = text.trim_start_matches(['"', '\'', '\\']);
    let length = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .unwrap_or(text.len());
    let (name, after) = text.split_at(length);
    let after = after.trim_start_matches(['"', '\'', '\\', ' ']);
    let assigns = after.starts_with(separators)
        || separators.contains(&'=')
            && ["%3d", "&#61;", "\\u003d", "u003d"].iter().any(|e| starts_with(after, e));
    if name.is_empty() || !assigns {
        return false;
    }
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    any_name || FIELDS.binary_search(&plain.as_str()).is_ok() || is_secret_name(name)
}

/// Whether a text begins with an end tag or with a tag of HTML. Other words in angle brackets may be a password's.
pub(super) fn is_tag(text: &str) -> bool {
    let text = &text[1..text.floor_char_boundary(MAX_TAG)];
    let name = text.trim_start_matches(['/', '!', '?']);
    let length = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    let is_known =
        text.starts_with(['/', '!', '?']) || TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(&name[..length]));
    length > 0 && is_known && name.find(['>', '<', '\n']).is_some_and(|at| name[at..].starts_with('>'))
}

/// Whether a text contains an error code that the catalogue knows.
pub(super) fn names_an_error(text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        .filter(|word| word.len() > 4)
        .any(|word| telling(&normal(word)).is_some() || is_error_code(word))
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | '}' | ']' | '>' | ',' | ';')
}

/// The next bytes of a text, at most [`AHEAD`].
fn ahead(text: &str) -> &str {
    &text[..text.floor_char_boundary(AHEAD)]
}

pub(super) fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_a_field_or_a_blank_follows() {
        for (text, value) in [
            ("Sum,mer2026! and", "Sum,mer2026!"),
            ("Sum;mer2026!, and", "Sum;mer2026!"),
            ("Sum\"mer'2026!\n", "Sum\"mer'2026!"),
            ("Tr&ck=2026!", "Tr&ck=2026!"),
            ("Tr&ck2026&error=x", "Tr&ck2026"),
            ("Tr%26ck2026%21&amp;Login=x", "Tr%26ck2026%21"),
            (r"Tr&ck2026\u0026error=x", "Tr&ck2026"),
            ("a&lt;b2026</password>", "a&lt;b2026"),
            ("a<b2026<br>", "a<b2026"),
            ("a)b}2026) then", "a)b}2026"),
            ("hunter,error:x", "hunter"),
            (r#"hunter","anything":1,"error":"x""#, "hunter"),
            (r#"hunter"}"#, "hunter"),
            (r"hunter\nerror: x", "hunter"),
            (r"hunter\nOAUTH_APP_BLOCKED", "hunter"),
            (r"hunter\new2026 x", r"hunter\new2026"),
            ("hunter&OAUTH_APP_BLOCKED", "hunter"),
            ("hunter&nbsp;x", "hunter"),
            ("hunter&quot;x2026", "hunter&quot;x2026"),
        ] {
            assert_eq!(&text[..find(text, false).end], value, "{text}");
        }
        assert_eq!(find("abc&anything=1", true).end, 3);
    }

    #[test]
    fn quoted_values_end_with_their_own_mark() {
        for (text, value) in [
            (r#""ab\"cd2026!", x"#, r#"ab\"cd2026!"#),
            (r#""ab\\", "error""#, r"ab\\"),
            (r#"\"ab\\\"cd\", \"error\""#, r#"ab\\\"cd"#),
            (r#""ab"cd2026!"}"#, r#"ab"cd2026!"#),
            ("'it's 2026!' then", "it's 2026!"),
            ("\"never closed\nnext", "never closed"),
            ("«zwei Wörter» ok", "zwei Wörter"),
        ] {
            let Value { start, end, is_quoted } = find(text, false);
            assert!(is_quoted && &text[start..end] == value, "{text}: {}", &text[start..end]);
        }
    }

    #[test]
    fn names_of_fields_are_sorted() {
        assert!(FIELDS.is_sorted());
    }
}
