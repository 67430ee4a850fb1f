//! Takes out secrets in commands and in programs: `conn.login('uma', '…')`, `curl -uuma:…`, `-p …`.

use super::cuts::{self, Cut, trimmed};
use super::names::is_secret_name;
use super::passwords::looks_like_a_value;
use super::secrets::REMOVED;
use super::value;

/// Maximum bytes of a call's arguments.
const NEAR: usize = 500;

/// Functions whose arguments but the first are secrets.
const LOGINS: [&str; 12] = [
    "login",
    "logon",
    "signin",
    "sign_in",
    "log_in",
    "authenticate",
    "salesforce",
    "credentials",
    "basicauth",
    "loginbysoap",
    "credential",
    "setpassword",
];

/// Functions that take other arguments too: only what looks like a value goes.
const OTHERS: [&str; 8] =
    ["connect", "connection", "auth", "session", "client", "authorize", "config", "getconnection"];

/// Options whose value is a user and a password.
const USERS: [&str; 6] = ["--user", "--proxy-user", "--auth", "-u", "-U", "-a "];

/// Words that begin with "-p" and are other options.
const OTHER_OPTIONS: [&str; 14] = [
    "port", "path", "proxy", "profile", "proj", "page", "prod", "print", "param", "process", "package",
    "prefix", "public", "private",
];

/// The text without secrets in commands. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let mut cuts = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => cuts.extend(arguments(text, at)),
            b'-' if at == 0 || text[..at].ends_with([' ', '\n', '\t', '"', '\'', ',', '[']) => {
                cuts.extend(user(text, at).or_else(|| password(text, at)));
            }
            _ => {}
        }
    }
    cuts::apply(text, cuts)
}

/// The strings between the brackets of a call, but for the first one.
fn arguments(text: &str, open: usize) -> Vec<Cut> {
    const LONGEST: usize = 40;
    let before = &text[text.ceil_char_boundary(open.saturating_sub(LONGEST))..open];
    let before = before.trim_end_matches([' ', '=', ':']);
    let name = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let is_login = LOGINS.iter().any(|login| name.ends_with(login));
    if name.is_empty() || !(is_login || OTHERS.iter().any(|other| name.ends_with(other))) {
        return Vec::new();
    }
    let near = &text[open + 1..text.floor_char_boundary(open + 1 + NEAR)];
    let mut cuts = Vec::new();
    // A variable may be the first argument.
    let (mut at, mut number) = (0, 0);
    while let Some(found) = near[at..].find(['"', '\'', '`', ')', '\n']) {
        let quote = near[at + found..].chars().next().unwrap_or(')');
        if quote == ')' {
            break;
        }
        if quote == '\n' {
            at += found + 1;
            continue;
        }
        let start = at + found + 1;
        let mut escaped = false;
        let length = near[start..].find(|c: char| {
            let closes = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            closes || c == '\n'
        });
        let Some(length) = length else { break };
        let given = &near[start..start + length];
        number += 1 + usize::from(number == 0 && near[..start].contains(','));
        let is_value = !given.contains("://")
            && !given.contains(REMOVED)
            && given.split_whitespace().count() < 3
            && !is_secret_name(given)
            && !value::names_an_error(given);
        if number > 1 && is_value && (is_login || looks_like_a_value(given)) {
            cuts.extend(trimmed(text, open + 1 + start, open + 1 + start + length));
        }
        at = start + length + quote.len_utf8();
    }
    cuts
}

/// `-u user:password`, `-uuser:password`, `--user=user:password`.
fn user(text: &str, at: usize) -> Option<Cut> {
    let rest = &text[at..];
    let option =
        USERS.iter().copied().find(|option| rest.starts_with(*option)).or_else(|| joined_options(rest))?;
    let start = at + option.len();
    let after = &text[start..];
    let is_long = option.starts_with("--");
    let bare = after.trim_start_matches(['=', ' ', '"', '\'', ',']);
    let is_other = after.starts_with(|c: char| c.is_ascii_alphabetic())
        && (is_long || ["ri", "rl", "ser", "tf"].iter().any(|other| after.starts_with(other)));
    if is_other {
        return None;
    }
    let opened = text.len() - bare.len();
    let quoted = text[..opened].ends_with(['"', '\'']);
    let from = if quoted { opened - 1 } else { opened };
    let value::Value { start: inside, end, .. } = value::find(&text[from..], false);
    let given = &text[from + inside..from + end];
    let colon = given.find(':')? + 1;
    if given.contains("://") {
        return None;
    }
    trimmed(text, from + inside + colon, from + end)
}

/// `-su `: options without values, and `-u`.
fn joined_options(text: &str) -> Option<&str> {
    const LONGEST: usize = 5;
    let length = text[1..].find(|c: char| !c.is_ascii_alphabetic()).filter(|length| *length <= LONGEST)?;
    let option = &text[..=length];
    (option.ends_with('u') && text[option.len()..].starts_with(' ')).then_some(option)
}

/// `-p password`, `-ppassword`: what looks like a value and no port, path or other option.
fn password(text: &str, at: usize) -> Option<Cut> {
    let after = text[at..].strip_prefix("-p")?;
    let bare = after.trim_start_matches([' ', '=']);
    let start = text.len() - bare.len();
    let is_attached = bare.len() == after.len();
    if is_attached && OTHER_OPTIONS.iter().any(|option| after.starts_with(&option[1..])) {
        return None;
    }
    let value::Value { start: inside, end, .. } = value::find(bare, false);
    let given = &bare[inside..end];
    let is_other =
        given.starts_with(['/', '.', '-', '$']) || given.contains("://") || value::names_an_error(given);
    // Other programs have ports, folders and targets there: "-p 8080:80", "-p build:prod1".
    let has_digit = given.contains(|c: char| c.is_ascii_digit());
    let is_mixed = given.contains(|c: char| c.is_uppercase() || "!@#$%^&*?+~".contains(c));
    (has_digit && is_mixed && !is_other && looks_like_a_value(given))
        .then(|| trimmed(text, start + inside, start + end))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_commands_go() {
        for (pasted, kept) in [
            ("conn.login('uma@acme.example','hunter', cb)", "conn.login('uma@acme.example','[removed]', cb)"),
            ("Salesforce('uma','hunter','tok')", "Salesforce('uma','[removed]','[removed]')"),
            ("connection.login(\"uma\", \"hunter\");", "connection.login(\"uma\", \"[removed]\");"),
            ("auth=('uma', 'Qzx7!k')", "auth=('uma', '[removed]')"),
            ("curl -uuma:hunter https://x", "curl -uuma:[removed] https://x"),
            ("curl -su uma:hunter https://x", "curl -su uma:[removed] https://x"),
            ("Login(name, 'hunter')", "Login(name, '[removed]')"),
            ("curl -u uma:hunter https://x", "curl -u uma:[removed] https://x"),
            ("curl --user=uma:hunter x", "curl --user=uma:[removed] x"),
            ("curl --user 'uma:hun ter' x", "curl --user 'uma:[removed]' x"),
            ("sfdx login -p Qzx7Wvk! -u uma", "sfdx login -p [removed] -u uma"),
            ("mysql -pQzx7Wvk! db", "mysql -p[removed] db"),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }

    #[test]
    fn other_commands_stay() {
        for text in [
            "docker run -p 8080:80 app",
            "sfdx force:source:deploy -p force-app -u uma@acme.example",
            "npm run -p build:prod1",
            "ssh -port=2222 host",
            "login(failed) 'a' 'b'",
            "auth('oauth2', 'callback')",
            "login(\"uma\", \"OAUTH_APP_BLOCKED\")",
            "curl -uri http://x -url http://y",
        ] {
            assert_eq!(remove(text), text);
        }
    }
}
