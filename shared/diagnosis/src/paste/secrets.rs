//! Takes out what must not be kept: what is named as a secret, and what looks like one.
//!
//! By name: `code=`, `"access_token": "…"`, `Authorization: Bearer …`. By shape: a session id (`00D…!…`), a JWT,
//! and any long run of letters and digits that is no word. It removes rather too much than too little: the error
//! codes and descriptions that a diagnosis needs have neither such names nor such shapes.

use super::super::catalogue::telling;
use super::super::words::normal;
use super::names::{self, Secret};
use super::status::is_status;
use super::value::{self, Value};

/// What stands where something was.
pub(super) const REMOVED: &str = "[removed]";

/// The text without secrets. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    remove_all(text, true)
}

/// The text without secrets that are named. What only looks like a secret stays: an encoded address may.
pub(super) fn remove_named(text: &str) -> String {
    remove_all(text, false)
}

fn remove_all(text: &str, by_looks: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut compound = 0;
    while at < text.len() {
        let rest = &text[at..];
        let run = run_length(rest, is_word);
        if by_looks && at >= compound {
            let length = run_length(rest, is_compound);
            compound = at + length.max(1);
            if is_random(&rest[..length]) {
                out.push_str(REMOVED);
                at += run_length(rest, is_tail);
                continue;
            }
        }
        if run == 0 {
            let other = rest.find(is_word).unwrap_or(rest.len());
            out.push_str(&rest[..other]);
            at += other;
        } else if let Some((value, length)) = named(dotted_name(text, at, at + run), &rest[run..], &out) {
            out.push_str(&rest[..run + value]);
            out.push_str(REMOVED);
            let mut secret = at + run + value..at + run + value + length;
            // What was taken may itself have named what follows it: `Cookie: "access_token": "…"`.
            while let Some((value, length)) = named(&text[secret.clone()], &text[secret.end..], "") {
                secret = secret.end + value..secret.end + value + length;
            }
            at = secret.end;
        } else if by_looks && looks_secret(&rest[..run], &rest[run..]) {
            out.push_str(REMOVED);
            at += run + run_length(&rest[run..], is_tail);
        } else {
            out.push_str(&rest[..run]);
            at += run;
        }
    }
    out
}

/// The name that ends here. A property's name has dots: `sf.password.uat=…`. A host has some too, and a port behind them.
fn dotted_name(text: &str, start: usize, end: usize) -> &str {
    const LONGEST: usize = 60;
    if !text[end..].trim_start().starts_with('=') && !text[end..].starts_with(": ") {
        return &text[start..end];
    }
    let from = text.ceil_char_boundary(start.saturating_sub(LONGEST));
    let before = &text[from..start];
    let length = before.len() - before.trim_end_matches(|c| is_word(c) || c == '.').len();
    &text[start - length..end]
}

/// Where the value of a named secret begins behind its name, and how long it is.
fn named(name: &str, after: &str, before: &str) -> Option<(usize, usize)> {
    let closed = after.trim_start_matches(['"', '\'', ']', '`', '*']);
    let spaced = closed.trim_start_matches(' ');
    let ends = |scheme: &str| {
        name.get(name.len().saturating_sub(scheme.len())..)
            .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    };
    // Most words name nothing.
    let is_bearer = ends("bearer");
    let is_scheme = is_bearer || (name.eq_ignore_ascii_case("oauth") && is_credential(spaced));
    if !spaced.starts_with(['=', ':']) && !is_scheme {
        return None;
    }
    let secret = if is_scheme { Secret::Token } else { names::secret_of(name)? };
    let separator = match spaced.as_bytes() {
        [b'=' | b':', b'>' | b'=', ..] => 2,
        [b'=' | b':', ..] => 1,
        // "Bearer 00D…" and, said of somebody's words, "session id is …" have none.
        _ if is_scheme && spaced.len() < closed.len() => 0,
        _ => return None,
    };
    let assigned = spaced.starts_with('=');
    let value = spaced[separator..].trim_start_matches(' ');
    // A structure is none; its members are looked at one by one.
    if value.starts_with(['{', '['])
        && value[1..].starts_with(['"', '\'', '\\', '{', '[', ' ', '\n', '}', ']'])
    {
        return None;
    }
    if value::is_encoded(value) {
        return None;
    }
    let plain = name.to_ascii_lowercase();
    let header = plain.ends_with("authorization") || plain.trim_end_matches('s').ends_with("cookie");
    let in_query = assigned && before.ends_with(['?', '&']);
    let Value { start: opened, end, is_quoted } = value::find(value, in_query);
    let value = &value[opened..];
    let start = after.len() - value.len();
    let length = if header && !is_quoted { header_length(value) } else { end - opened };
    let text = value[..length].trim();
    let before = &before[before.ceil_char_boundary(before.len().saturating_sub(20))..];
    let said = normal(before.rsplit(char::is_whitespace).find(|word| !word.is_empty()).unwrap_or_default());
    let is_code = telling(&normal(text)).is_some()
        || (plain.ends_with("code") && (said == "error" || is_short_number(text) || is_capitals(text)));
    let is_sentence = !assigned && !is_quoted && !header;
    let is_prose = is_sentence
        && if secret == Secret::Password { is_status(text) } else { is_word_of_prose(text, secret) };
    if value.starts_with(REMOVED) {
        return Some((start, REMOVED.len()));
    }
    if text.is_empty() || is_code || is_prose || (is_sentence && names_an_error_of(&plain, text)) {
        return None;
    }
    Some((start, length + continued(&value[length..])))
}

/// Whether a text begins with what stands behind the name of a scheme: "OAuth 00Dxx0000001gPL".
fn is_credential(text: &str) -> bool {
    const MIN_LENGTH: usize = 12;
    let run = &text[..run_length(text, is_tail)];
    run.len() >= MIN_LENGTH
        && run.contains(|c: char| c.is_ascii_digit())
        && run.contains(|c: char| c.is_ascii_alphabetic())
        && run.bytes().filter(u8::is_ascii_digit).count() > 1
}

/// Whether a value is a word: "expired", or "California" behind a name that also means harmless things.
fn is_word_of_prose(text: &str, secret: Secret) -> bool {
    let small = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
    let rest = if secret == Secret::Ambiguous { text.get(1..).unwrap_or(text) } else { text };
    small(text) || is_status(text) || (rest.len() < text.len() && rest.len() > 1 && small(rest))
}

/// `INVALID_SESSION_ID: Session …`: the name is an error, and a word follows.
fn names_an_error_of(name: &str, text: &str) -> bool {
    ["invalid", "expired", "missing", "bad_", "unsupported", "no_"]
        .iter()
        .any(|start| name.starts_with(start))
        && text.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '-' | ',' | '.'))
}

/// How long the value of a header is: it has quoted parts, and its line ends with a quotation mark in a log.
fn header_length(text: &str) -> usize {
    let mut before = ' ';
    let mut is_inside = false;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => break,
            '"' if is_inside => is_inside = false,
            '"' if before == '=' => is_inside = true,
            '"' => return at,
            _ => {}
        }
        if c != '\\' {
            before = c;
        }
    }
    text.find('\n').unwrap_or(text.len())
}

/// How much of the following lines still belongs to a value that was broken at the end of its line.
fn continued(after: &str) -> usize {
    let mut taken = 0;
    loop {
        let rest = &after[taken..];
        let Some(next) = rest.strip_prefix('\n') else { return taken };
        let bare = next.trim_start_matches(['>', ' ', '|', '\t']);
        let length = bare.find(ends_line_of_value).unwrap_or(bare.len());
        if !bare[..length].contains(|c: char| c.is_ascii_digit()) || bare[..length].contains(['=', ':']) {
            return taken;
        }
        taken += rest.len() - bare.len() + length;
    }
}

/// Whether a run of letters and digits looks like a secret, given what follows it.
fn looks_secret(run: &str, after: &str) -> bool {
    let count = |text: &str, class: fn(&u8) -> bool| text.bytes().filter(class).count();
    let digits = count(run, u8::is_ascii_digit);
    let letters = count(run, u8::is_ascii_alphabetic);
    let longest = |wanted: fn(&u8) -> bool| {
        run.split(['-', '_']).filter(|part| part.bytes().any(|byte| wanted(&byte))).map(str::len).max()
    };
    let is_host = [".my.", ".sandbox.", ".develop.", ".scratch.", ".lightning.", ".trailblaze.", ".demo."]
        .iter()
        .any(|suffix| after.starts_with(suffix));
    let session = run.starts_with("00D") && after.starts_with('!');
    let jwt = run.starts_with("eyJ") && run.len() >= 12;
    let random = letters > 0 && (longest(u8::is_ascii_digit) >= Some(16) || (run.len() >= 20 && digits >= 4));
    // Salesforce's error ids are two shorter numbers: "1234567890-12345".
    let number = letters == 0 && longest(u8::is_ascii_digit) >= Some(12);
    session || jwt || (!is_host && (random || number || longest(u8::is_ascii_alphabetic) >= Some(40)))
}

/// Whether a long run, dots included, mixes capitals, small letters and digits as only chance does.
fn is_random(run: &str) -> bool {
    let any = |class: fn(&u8) -> bool| run.bytes().filter(class).count();
    run.len() >= 32
        && any(u8::is_ascii_digit) >= 4
        && any(u8::is_ascii_uppercase) >= 4
        && any(u8::is_ascii_lowercase) >= 4
        && !run.contains("salesforce")
}

fn is_compound(c: char) -> bool {
    is_word(c) || matches!(c, '.' | '!' | '~')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// What a secret goes on with once it was recognised.
fn is_tail(c: char) -> bool {
    is_word(c) || matches!(c, '.' | '!' | '~' | '+' | '/' | '=')
}

/// What ends the part of a value that was broken over lines.
fn ends_line_of_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '&' | '"' | '\'' | '<' | '>' | ',' | ';' | ')' | '}' | ']' | '|' | '#')
}

fn is_short_number(text: &str) -> bool {
    text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text that stands where a code is expected is an error's.
pub(super) fn is_error_code(text: &str) -> bool {
    telling(&normal(text)).is_some() || is_short_number(text) || is_capitals(text)
}

/// `API_DISABLED_FOR_ORG`: an error code by its looks.
fn is_capitals(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn run_length(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_errors_stay() {
        for (pasted, kept) in [
            (
                "?code=aPrxY.9w==&state=x1&error=access_denied",
                "?code=[removed]&state=[removed]&error=access_denied",
            ),
            (
                r#"{"access_token": "00D5g!AQ", "error": "invalid_grant"}"#,
                r#"{"access_token": "[removed]", "error": "invalid_grant"}"#,
            ),
            (r#"{"code":"OAUTH_APP_BLOCKED"}"#, r#"{"code":"OAUTH_APP_BLOCKED"}"#),
            ("sid 00D5g0000008abcE!AQEAQ.x_y works", "sid [removed] works"),
            ("Authorization: Bearer abc.def\nHTTP 401", "Authorization: [removed]\nHTTP 401"),
            (
                "Error refreshing token: expired access/refresh token",
                "Error refreshing token: expired access/refresh token",
            ),
            ("password: hunter", "password: [removed]"),
            ("client_secret_prod=Abc!9 x", "client_secret_prod=[removed] x"),
            (r#"{"passwordConfirmation": "hunter"}"#, r#"{"passwordConfirmation": "[removed]"}"#),
            ("sf.client_secret.uat=Abc!9 x", "sf.client_secret.uat=[removed] x"),
            ("user[password_confirmation]=hunter", "user[password_confirmation]=[removed]"),
            ("Authorization was OAuth 00Dxx0000001gPL", "Authorization was OAuth [removed]"),
            ("OAuth error 1804", "OAuth error 1804"),
            ("Password: expired", "Password: expired"),
            ("state: California", "state: California"),
            ("answer: no, pin: locked", "answer: no, pin: locked"),
            ("ErrorId: 1234567890-12345", "ErrorId: 1234567890-12345"),
            ("token_type: Bearer1, status_code: 40012", "token_type: Bearer1, status_code: 40012"),
            (
                "INVALID_SESSION_ID: Session expired or invalid",
                "INVALID_SESSION_ID: Session expired or invalid",
            ),
            (r#"Cookie: "access_token": "a~b", "error": "x""#, r#"Cookie: "[removed]", "error": "x""#),
            ("token=00D5g\n> 0008abc!AQ1\nthanks", "token=[removed]\nthanks"),
            (
                "https://acme-corporation--uat2025.sandbox.my.salesforce.com/x",
                "https://acme-corporation--uat2025.sandbox.my.salesforce.com/x",
            ),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }
}
