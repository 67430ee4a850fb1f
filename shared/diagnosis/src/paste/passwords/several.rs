//! The other values behind one label: "user / password: uma / …", "passwords: …, …", "my password is … or …".

use super::super::linking::{JOINS, USERS};
use super::super::secrets::REMOVED;
use super::super::value;
use super::Label;
use super::look::Look;

/// Maximum bytes behind the first value that are looked at.
const NEAR: usize = 300;

/// Maximum values behind one label.
const MAX_VALUES: usize = 12;

/// Maximum characters beside a label that may name a user.
const BESIDE: usize = 30;

/// How many values a label announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    One,
    Two,
    Many,
}

/// Whether a label is one of two: "user / password", "Login und Passwort", "password/user".
pub(super) fn is_pair(text: &[(usize, char)], label: Label) -> bool {
    if !label.kind.is_password() {
        return false;
    }
    let before: String =
        text[label.start.saturating_sub(BESIDE)..label.start].iter().map(|(_, c)| *c).collect();
    let before = before.rsplit('\n').next().unwrap_or_default().trim_end();
    let user = match before.strip_suffix(['/', '&', '+', ',', '\\', '|', '-', '／', '・', '＆']) {
        Some(user) => Some(user),
        None => before.rsplit_once(' ').filter(|(_, word)| JOINS.contains(word)).map(|(user, _)| user),
    };
    let is_user = |text: &str| USERS.iter().any(|user| text == *user || text.ends_with(user));
    if user.is_some_and(|user| is_user(user.trim_end())) {
        return true;
    }
    let after: String = text[label.end..text.len().min(label.end + BESIDE)].iter().map(|(_, c)| *c).collect();
    let Some((after, _)) = after.split_once([':', '=', '：']) else { return false };
    let other = after.trim().trim_start_matches(['/', '&', '+', ',']).trim();
    let other =
        other.split_once(' ').filter(|(word, _)| JOINS.contains(word)).map_or(other, |(_, other)| other);
    !after.trim().is_empty() && !after.contains('\n') && is_user(other)
}

/// Where the last value ends, given where the first one begins and ends. Values go on while a sign or a word joins them
/// and they look like no words.
pub(super) fn end(source: &str, start: usize, end: usize, values: Values) -> usize {
    let first = &source[start..end];
    let is_address_of_mail = first.contains('@') && first.contains('.');
    let is_pair = values != Values::One;
    let mut must = usize::from(is_pair || is_address_of_mail);
    let near = &source[..source.floor_char_boundary(end + NEAR)];
    let line = &near[..near[end..].find('\n').map_or(near.len(), |at| end + at)];
    let (mut at, mut last) = (end, end);
    for _ in 0..MAX_VALUES {
        let (mut between, mut word) = next_word(&line[at..]);
        if between == 0 {
            break;
        }
        let mut joined = line[at..at + between].contains(|c: char| c != ' ');
        if JOINS.contains(&word.to_lowercase().as_str()) || ["->", "→", "-", "–", "=>"].contains(&word) {
            at += between + word.len();
            joined = true;
            (between, word) = next_word(&line[at..]);
        }
        at += between;
        if word.is_empty() || ends_values(word) {
            break;
        }
        let is_odd = Look::of(word).is_another_value(word);
        let word = word.trim_end_matches([',', ';']);
        let belongs = must > 0
            || (values == Values::Many && joined)
            || (is_odd && (joined || is_pair || is_address_of_mail));
        if !belongs {
            break;
        }
        must = must.saturating_sub(1);
        at += word.len();
        last = at;
    }
    last
}

/// How many bytes of signs a text begins with, and the word behind them. An encoded line break or mark ends a word.
fn next_word(text: &str) -> (usize, &str) {
    const ENDS: [&str; 7] = ["\\n", "\\r", "\\t", "\\u", "\\\"", "&", "、"];
    let signs = |c: char| {
        matches!(
            c,
            ' ' | ',' | ';' | '/' | '|' | '+' | ':' | '"' | '\'' | '“' | '”' | '„' | '、' | '／' | '・'
        )
    };
    let bare = text.strip_prefix(" & ").unwrap_or(text).trim_start_matches(signs);
    let word = &bare[..bare.find(char::is_whitespace).unwrap_or(bare.len())];
    let end = ENDS.iter().filter_map(|end| word.find(end)).min().unwrap_or(word.len());
    (text.len() - bare.len(), &word[..end])
}

/// The value behind a user's name: "login: uma@acme.example / …".
pub(super) fn beside_user(rest: &str, start: usize, end: usize) -> Option<(usize, usize)> {
    const MAX_NAME: usize = 80;
    let (name, inside) = match rest[start..end].split_once('/') {
        Some((name, inside)) => (name, inside),
        None => (&rest[start..end], ""),
    };
    if name.is_empty() || name.len() > MAX_NAME || name.contains("://") || ends_values(name) {
        return None;
    }
    let from = if inside.is_empty() {
        let after = rest[end..].trim_start_matches(['"', '\'', ' ', '/']);
        let between = &rest[end..rest.len() - after.len()];
        if !between.contains('/') && !rest[start..end].ends_with('/') {
            return None;
        }
        rest.len() - after.len()
    } else {
        end - inside.len()
    };
    let after = &rest[from..rest.floor_char_boundary(from + NEAR)];
    let word = &after[..after.find(char::is_whitespace).unwrap_or(after.len())];
    let is_value = Look::of(word).is_another_value(word) && !ends_values(word) && !word.contains('/');
    is_value.then_some((from, from + word.len()))
}

/// Whether a word is none of the values: an error, another field, an address, a label.
fn ends_values(word: &str) -> bool {
    word.contains(REMOVED)
        || word.contains("://")
        || word.starts_with(['<', '{', '['])
        || word.ends_with(':')
        || word.split_once(['=', ':']).is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-'))
        })
        || value::names_an_error(word)
}

/// Whether the text behind "credentials:" has any: an e-mail address, or a word that is none of prose.
pub(super) fn are_credentials(text: &str) -> bool {
    let near = &text[..text.floor_char_boundary(NEAR)];
    let line = near.split('\n').next().unwrap_or_default();
    let mut words = line
        .split(|c: char| c.is_whitespace() || matches!(c, '/' | ',' | ';'))
        .filter(|word| !word.is_empty());
    words.by_ref().take(3).any(|word| !ends_values(word) && Look::of(word).is_another_value(word))
}
