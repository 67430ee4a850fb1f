//! Takes out secrets whose name is itself a value: `{"name": "password", "value": "…"}`, `- name: PASSWORD` with
//! `value: …` below it, `["password", "…"]`, `"password": {"value": "…"}`.

use super::cuts::{self, Cut, trimmed};
use super::linking::USERS;
use super::names::{Secret, is_secret_name, secret_of};
use super::status::is_status;
use super::value::{self, Value};

/// Members whose value is a name.
const NAMES: [&str; 18] = [
    "name",
    "key",
    "id",
    "field",
    "label",
    "header",
    "attribute",
    "param",
    "parameter",
    "property",
    "title",
    "variable",
    "var",
    "fieldname",
    "keyname",
    "type",
    "k",
    "n",
];

/// Members that hold a value.
const VALUES: [&str; 20] = [
    "value",
    "content",
    "val",
    "text",
    "v",
    "data",
    "default",
    "defaultvalue",
    "initialvalue",
    "answer",
    "string",
    "stringvalue",
    "plain",
    "plaintext",
    "current",
    "new",
    "old",
    "input",
    "secret",
    "raw",
];

/// Maximum bytes between a name and its value.
const NEAR: usize = 300;

/// Maximum bytes of a name.
const MAX_NAME: usize = 60;

/// The text without secrets in pairs. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let mut cuts = Vec::new();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if matches!(c, '"' | '\'') {
            cuts.extend(list(text, at, c));
        }
        // A member begins with its quotation mark or its first letter.
        if (matches!(c, '"' | '\'') || c.is_ascii_alphabetic())
            && !is_name(before)
            && !matches!(before, '"' | '\'')
        {
            cuts.extend(member(text, at));
            cuts.extend(nested(text, at));
        }
        before = c;
    }
    cuts::apply(text, cuts)
}

const fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// The key of a member, and where its value begins.
fn key(text: &str, at: usize) -> Option<(&str, usize)> {
    let quote = text[at..].chars().next().filter(|c| matches!(c, '"' | '\''));
    let start = at + quote.map_or(0, char::len_utf8);
    let near = &text[start..text.floor_char_boundary(start + MAX_NAME)];
    let length = near.find(|c| !is_name(c)).filter(|length| *length > 0)?;
    let mut after = &near[length..];
    if let Some(quote) = quote {
        after = after.strip_prefix(quote)?;
    }
    let spaced = after.trim_start_matches(' ');
    let value = spaced.strip_prefix("=>").or_else(|| spaced.strip_prefix([':', '=']))?;
    let value = value.trim_start_matches(' ');
    Some((&near[..length], start + near.len() - value.len()))
}

/// A string or a word: where it begins, where it ends, and what follows it.
fn scalar(text: &str, at: usize) -> Option<(usize, usize, usize)> {
    let rest = &text[at..text.floor_char_boundary(at + NEAR)];
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let length = string_length(&rest[1..], quote)?;
        return Some((at + 1, at + 1 + length, at + 2 + length));
    }
    let Value { start, end, .. } = value::find(rest, false);
    let word = &rest[start..end];
    // The next member: `1,"value":…`.
    let next = [",\"", ",'", ", "].iter().filter_map(|next| word.find(next)).min();
    let word = word[..next.unwrap_or(word.len())].trim_end_matches([',', '}', ']']);
    let end = start + word.len();
    (!word.is_empty() && !word.starts_with(['{', '['])).then_some((at + start, at + end, at + end))
}

/// How long a string is that its quotation mark closes on the same line.
fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let length = text.find(|c: char| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes || c == '\n'
    })?;
    text[length..].starts_with(quote).then_some(length)
}

/// `"name": "password", "value": "…"`, in either order.
fn member(text: &str, at: usize) -> Vec<Cut> {
    let Some((key, value)) = key(text, at) else { return Vec::new() };
    if !NAMES.iter().any(|name| key.eq_ignore_ascii_case(name)) {
        return Vec::new();
    }
    let Some((start, end, after)) = scalar(text, value) else { return Vec::new() };
    let name = &text[start..end];
    if name.len() > MAX_NAME || !is_secret_name(name) {
        return Vec::new();
    }
    let ends = |c: char| matches!(c, '{' | '}');
    let behind = &text[after..text.floor_char_boundary(after + NEAR)];
    let behind = &behind[..behind.find(ends).unwrap_or(behind.len())];
    let behind = &behind
        [..["\n\n", "\n-", "\n  -"].iter().filter_map(|end| behind.find(end)).min().unwrap_or(behind.len())];
    let ahead = &text[text.ceil_char_boundary(at.saturating_sub(NEAR))..at];
    let ahead =
        ahead.rfind(ends).map_or("", |open| if ahead[open..].starts_with('{') { &ahead[open..] } else { "" });
    let mut cuts = values(text, after, after + behind.len());
    if cuts.is_empty() {
        cuts = values(text, at - ahead.len(), at);
    }
    cuts
}

/// `"password": {"value": "…"}`, `"passwords": ["…", "…"]`.
fn nested(text: &str, at: usize) -> Vec<Cut> {
    let Some((key, value)) = key(text, at) else { return Vec::new() };
    let near = &text[value..text.floor_char_boundary(value + NEAR)];
    let (Some(open), true) = (near.chars().next().filter(|c| matches!(c, '{' | '[')), is_secret_name(key))
    else {
        return Vec::new();
    };
    let close = value + near.find(if open == '{' { '}' } else { ']' }).unwrap_or(near.len());
    if open == '{' {
        return values(text, value + 1, close);
    }
    let mut cuts = Vec::new();
    let mut at = value + 1;
    while let Some(found) = text[at..close].find(['"', '\'']) {
        let Some((start, end, after)) = scalar(text, at + found) else { break };
        if is_value(&text[start..end], secret_of(key)) {
            cuts.extend(trimmed(text, start, end));
        }
        at = after;
        if at >= close {
            break;
        }
    }
    cuts
}

/// The values of the members between two places.
fn values(text: &str, from: usize, to: usize) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut before = ' ';
    let mut skip = from;
    for (offset, c) in text[from..to].char_indices() {
        let at = from + offset;
        let begins = (matches!(c, '"' | '\'') || c.is_ascii_alphabetic())
            && !is_name(before)
            && !matches!(before, '"' | '\'');
        before = c;
        if at < skip || !begins {
            continue;
        }
        let Some((key, value)) = key(text, at) else { continue };
        let Some((start, end, after)) = scalar(text, value) else { continue };
        skip = after;
        let given = &text[start..end];
        let is_sentence = given.split_whitespace().count() > 2 && !key.eq_ignore_ascii_case("value");
        let is_kept = is_sentence || is_status(given) || value::names_an_error(given);
        if VALUES.iter().any(|name| key.eq_ignore_ascii_case(name)) && !is_kept {
            cuts.extend(trimmed(text, start, end));
        }
    }
    cuts
}

/// `"password", "…"`: two elements of a list, or two arguments of a call.
fn list(text: &str, at: usize, quote: char) -> Option<Cut> {
    let rest = &text[at + 1..text.floor_char_boundary(at + 1 + MAX_NAME)];
    let length = string_length(rest, quote)?;
    let secret = secret_of(&rest[..length]).filter(|_| !rest[..length].contains(char::is_whitespace))?;
    let after = at + 2 + length;
    let next = text[after..].trim_start_matches(' ').strip_prefix(',')?.trim_start_matches(' ');
    if !next.starts_with(['"', '\'']) {
        return None;
    }
    let (start, end, behind) = scalar(text, text.len() - next.len())?;
    // The value of one member and the name of the next.
    if text[..at].trim_end().ends_with([':', '=']) || text[behind..].trim_start().starts_with(':') {
        return None;
    }
    let given = &text[start..end];
    is_value(given, Some(secret)).then(|| trimmed(text, start, end)).flatten()
}

/// Whether a string is a secret's value and no other name: lists of scopes and of grant types have such names.
fn is_value(given: &str, secret: Option<Secret>) -> bool {
    let is_odd =
        given.contains(|c: char| c.is_ascii_digit() || (c.is_ascii_punctuation() && !"_-./: ".contains(c)));
    let lower = given.to_lowercase();
    let is_name = !is_odd && (is_secret_name(given) || USERS.contains(&lower.as_str()));
    !is_name
        && !is_status(given)
        && !value::names_an_error(given)
        && (is_odd || secret == Some(Secret::Password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_named_secrets_go() {
        for (pasted, kept) in [
            (r#"{"name": "pw", "value": "hunter"}"#, r#"{"name": "pw", "value": "[removed]"}"#),
            (r#"{"name":"password","content":"hunter"}"#, r#"{"name":"password","content":"[removed]"}"#),
            (r#"{"field":"pwd","x":1,"val":"hunter"}"#, r#"{"field":"pwd","x":1,"val":"[removed]"}"#),
            (r#"{"value":"hunter","label":"Password"}"#, r#"{"value":"[removed]","label":"Password"}"#),
            ("{'key': 'sid', 'value': 'a1'}", "{'key': 'sid', 'value': '[removed]'}"),
            ("{name: 'password', value: 'hunter'}", "{name: 'password', value: '[removed]'}"),
            ("- name: SF_PASSWORD\n  value: hunter", "- name: SF_PASSWORD\n  value: [removed]"),
            (r#"["password","hunter"]"#, r#"["password","[removed]"]"#),
            ("('password', 'hunter')", "('password', '[removed]')"),
            (r#"put("client_secret", "A1b2")"#, r#"put("client_secret", "[removed]")"#),
            (r#"{"password": {"value": "hunter"}}"#, r#"{"password": {"value": "[removed]"}}"#),
            (r#"{"passwords": ["hunter", "geheim"]}"#, r#"{"passwords": ["[removed]", "[removed]"]}"#),
            (r#"{"key":"Cookie","value":"sid=a\"b; x=1"}"#, r#"{"key":"Cookie","value":"[removed]"}"#),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }

    #[test]
    fn other_pairs_stay() {
        for text in [
            r#"{"name":"error","value":"invalid_grant"}"#,
            r#"{"name":"token"},{"name":"error","value":"invalid_grant"}"#,
            r#"{"scope":["api","refresh_token","web"]}"#,
            r#"{"grant_types":["authorization_code","password","client_credentials"]}"#,
            r#"{"field":"password","text":"Your password is too short."}"#,
            r#"{"name":"code","value":"OAUTH_APP_BLOCKED"}"#,
            r#""username", "password", "token""#,
            "- name: SF_PASSWORD\n- name: LEVEL\n  value: debug",
        ] {
            assert_eq!(remove(text), text);
        }
    }
}
