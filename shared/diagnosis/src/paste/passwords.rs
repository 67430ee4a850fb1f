//! Takes out what somebody calls a password, in the languages that Salesforce's users use most.
//!
//! A label and a separator (`Passwort: …`, `pw=…`) are enough. Of prose only "my password is …" is: in "your password
//! is expired" nothing is secret, so there the value must have a digit or a sign. A security token, a one-time code or a
//! session id that prose names is treated in the same way.
//!
//! | module | does |
//! | --- | --- |
//! | [`before`] | finds the value of "… is my password" |
//! | [`links`] | finds what leads from a label to its value: a colon, a verb, adjectives |
//! | [`look`] | tells what a value looks like |
//! | [`several`] | finds the other values of "user / password: …" |

mod before;
mod links;
mod look;
mod several;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::catalogue::telling;
use super::super::words::normal;
use super::labels::{CODES, CREDENTIALS, OF_ERRORS, OTHERS, PASSWORDS, PLURALS, SHORT, WEAK};
use super::linking::{LOGINS, MINE};
use super::secrets::REMOVED;
use super::status::is_status;
use super::value::{self, Value};
use links::Link;
use look::Look;

/// The text without passwords. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let lower: Vec<(usize, char)> = text.char_indices().map(|(at, c)| (at, lower_case(c))).collect();
    let byte = |index: usize| lower.get(index).map_or(text.len(), |(at, _)| *at);
    let (mut out, mut at, mut copied) = (String::with_capacity(text.len()), 0, 0);
    while at < lower.len() {
        let mut next = at + 1;
        if let Some(label) = label_at(&lower, at) {
            let before = value_before_label(&lower, text, label, copied);
            for (start, end) in before.into_iter().chain(value_after_label(&lower, text, label)) {
                if byte(start) < copied || text[byte(start)..].starts_with(REMOVED) {
                    continue;
                }
                out.push_str(&text[copied..byte(start)]);
                out.push_str(REMOVED);
                copied = byte(end);
                next = next.max(end);
            }
        }
        at = next;
    }
    out.push_str(&text[copied..]);
    out
}

/// A letter in lower case. Greek has two small letters for one capital.
fn lower_case(c: char) -> char {
    match c.to_lowercase().next() {
        Some('ς') => 'σ',
        lower => lower.unwrap_or(c),
    }
}

/// Whether a word beside other values looks like one of a secret.
pub(super) fn looks_like_a_value(word: &str) -> bool {
    Look::of(word).is_another_value(word)
}

/// What a label names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Password,
    /// Several passwords, or a user and a password.
    Several,
    Other,
    /// A one-time code.
    Code,
    /// A word that also means harmless things.
    Weak,
    /// A user: a password may follow its name.
    User,
}

impl Kind {
    const fn is_password(self) -> bool {
        matches!(self, Self::Password | Self::Several)
    }
}

/// A label in a text: the characters that it has.
#[derive(Clone, Copy)]
struct Label {
    start: usize,
    end: usize,
    word: &'static str,
    kind: Kind,
}

/// The labels that begin with a character, the longest first; passwords before others.
static LABELS: LazyLock<HashMap<char, Vec<(&str, Kind)>>> = LazyLock::new(|| {
    let mut labels: HashMap<char, Vec<(&str, Kind)>> = HashMap::new();
    let groups: [(&[&'static str], Kind); 8] = [
        (&PLURALS, Kind::Several),
        (&CREDENTIALS, Kind::Several),
        (&PASSWORDS, Kind::Password),
        (&SHORT, Kind::Password),
        (&CODES, Kind::Code),
        (&OTHERS, Kind::Other),
        (&WEAK, Kind::Weak),
        (&LOGINS, Kind::User),
    ];
    for (group, kind) in groups {
        for label in group {
            labels.entry(label.chars().next().unwrap_or_default()).or_default().push((label, kind));
        }
    }
    for labels in labels.values_mut() {
        labels.sort_by_key(|(label, _)| std::cmp::Reverse(label.len()));
    }
    labels
});

/// The label that begins here.
fn label_at(text: &[(usize, char)], at: usize) -> Option<Label> {
    let is_letter = |index: usize| text.get(index).is_some_and(|(_, c)| c.is_alphanumeric());
    // Most characters of a text are in the middle of a word.
    if !is_letter(at) || (text[at].1.is_ascii() && at > 0 && is_letter(at - 1)) {
        return None;
    }
    let known = LABELS.get(&text[at].1).and_then(|labels| {
        labels.iter().find(|(label, kind)| {
            starts_with(text, at, label) && {
                let end = at + label.chars().count();
                // A short word stands in many others: "pin" in "ping".
                let is_whole = !label.is_ascii() || !text.get(end).is_some_and(|(_, c)| c.is_alphabetic());
                is_whole || matches!(kind, Kind::Password | Kind::Several) && label.len() > 4
            }
        })
    });
    let Some((word, kind)) = known.copied() else { return misspelled(text, at) };
    // A word of its own. Languages without blanks have no such border.
    let is_border = if word.chars().all(|c| c.is_ascii() || !is_cjk(c)) {
        at == 0 || !is_letter(at - 1)
    } else {
        // "ファイルパス" is a file's path.
        word != "パス" || at == 0 || !is_katakana(text[at - 1].1)
    };
    is_border.then(|| Label { start: at, end: at + word.chars().count(), word, kind })
}

/// "pasword", "passwrod": the word "password" with one slip.
fn misspelled(text: &[(usize, char)], at: usize) -> Option<Label> {
    const WORD: &str = "password";
    if text[at].1 != 'p' {
        return None;
    }
    let length = text[at..].iter().take(WORD.len() + 2).take_while(|(_, c)| c.is_ascii_alphabetic()).count();
    if length.abs_diff(WORD.len()) > 1 {
        return None;
    }
    let typed: Vec<u8> = text[at..at + length].iter().filter_map(|(_, c)| u8::try_from(*c).ok()).collect();
    is_one_slip(&typed, WORD.as_bytes()).then_some(Label {
        start: at,
        end: at + length,
        word: WORD,
        kind: Kind::Password,
    })
}

/// Whether one letter is changed, missing, too many or swapped with the next one.
fn is_one_slip(typed: &[u8], meant: &[u8]) -> bool {
    let same = typed.iter().zip(meant).take_while(|(a, b)| a == b).count();
    let (typed, meant) = (&typed[same..], &meant[same..]);
    match (typed, meant) {
        ([a, b, rest @ ..], [c, d, other @ ..]) if a == d && b == c && rest == other => true,
        ([_, rest @ ..], [_, other @ ..]) if rest == other => true,
        ([_, rest @ ..], other) if rest == other => true,
        (rest, [_, other @ ..]) => rest == other,
        _ => false,
    }
}

/// The value that is said to be what the label names: "… is my password".
fn value_before_label(
    text: &[(usize, char)],
    source: &str,
    label: Label,
    copied: usize,
) -> Option<(usize, usize)> {
    const LONGEST: usize = 120;
    if matches!(label.kind, Kind::Several | Kind::User) || is_of_error(text, label.start) {
        return None;
    }
    let end = text[label.start].0;
    let start = source.ceil_char_boundary(end.saturating_sub(LONGEST).max(copied));
    let line = &source[start..end];
    let line_start = line.rfind('\n').map_or(0, |at| at + 1);
    let kind = if matches!(label.kind, Kind::Code) || label.word == "code" {
        before::Wanted::Code
    } else {
        before::Wanted::Secret
    };
    let (from, to) = before::find(&line[line_start..], kind)?;
    let index = |byte: usize| text.partition_point(|(at, _)| *at < start + line_start + byte);
    Some((index(from), index(to)))
}

/// Where the value begins and ends that follows a label.
fn value_after_label(text: &[(usize, char)], source: &str, label: Label) -> Option<(usize, usize)> {
    links::find(text, source, label)
        .into_iter()
        .find_map(|(link, start)| value_at(text, source, label, link, start))
}

/// Where the value ends that begins here, if it is one of a secret.
fn value_at(
    text: &[(usize, char)],
    source: &str,
    label: Label,
    link: Link,
    start: usize,
) -> Option<(usize, usize)> {
    let at = label.start;
    let in_query = link == Link::Assigned && is_in_query(text, at);
    let (link, start) = if matches!(link, Link::Assigned) {
        links::past_line_break(text, source, start)
    } else {
        (link, start)
    };
    let byte = |index: usize| text.get(index).map_or(source.len(), |(at, _)| *at);
    let rest = &source[byte(start)..];
    if value::is_encoded(rest) {
        return None;
    }
    let Value { start: opened, end, is_quoted } = value::find(rest, in_query);
    let given = &rest[opened..end];
    if label.kind == Kind::User {
        let (from, to) = several::beside_user(rest, opened, end)?;
        let index = |at: usize| text.partition_point(|(found, _)| *found < byte(start) + at);
        return Some((index(from), index(to)));
    }
    let first = start + rest[..opened].chars().count();
    let last = first + given.trim_end_matches(' ').chars().count();
    if first >= last || telling(&normal(given)).is_some() {
        return None;
    }
    // "482 913" is one code.
    let code = look::code(&source[byte(first)..]);
    let look = Look::of(given);
    let is_pair = label.kind == Kind::Several || several::is_pair(text, label);
    let is_secret = match label.kind {
        Kind::Weak => !is_of_error(text, at) && look::is_weak_secret(label.word, given, code),
        Kind::Code if code.is_some() => !is_of_error(text, at),
        kind => {
            let is_state = !is_quoted && !in_query && is_status(given);
            !is_state && look.is_secret(link, kind.is_password(), is_quoted, is_mine(text, at))
        }
    };
    let is_credential = CREDENTIALS.contains(&label.word);
    let has_credentials = || {
        matches!(link, Link::Assigned | Link::Said | Link::Described)
            && several::are_credentials(&source[byte(first)..])
    };
    if !is_secret || (is_credential && !has_credentials()) {
        return None;
    }
    let last = match code {
        Some(length) if !label.kind.is_password() => last.max(first + length),
        _ => last,
    };
    if label.kind.is_password() && !in_query {
        let values = match label.kind {
            Kind::Several if PLURALS.contains(&label.word) => several::Values::Many,
            _ if is_pair => several::Values::Two,
            _ => several::Values::One,
        };
        let end = several::end(source, byte(first), byte(last), values);
        if end > byte(last) {
            return Some((first, text.partition_point(|(at, _)| *at < end)));
        }
    }
    let is_alone = link == Link::Assigned && label.kind.is_password() && !is_quoted && !in_query;
    let rest = if is_alone && begins_line(text, at) { passphrase(text, source, last) } else { last };
    Some((first, rest))
}

/// Whether the words before a label make an error's number of its value.
fn is_of_error(text: &[(usize, char)], at: usize) -> bool {
    OF_ERRORS
        .iter()
        .any(|word| at.checked_sub(word.len()).is_some_and(|before| starts_with(text, before, word)))
}

/// Whether a label is the name of a query's field.
fn is_in_query(text: &[(usize, char)], at: usize) -> bool {
    let before = text[at.saturating_sub(links::MAX_WORD)..at].iter().rev();
    let mut before = before.skip_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    before.next().is_some_and(|(_, c)| matches!(c, '?' | '&'))
}

/// Whether nothing but a few words and the marks of a quotation or a list stand before a label.
fn begins_line(text: &[(usize, char)], at: usize) -> bool {
    let before = text[at.saturating_sub(links::MAX_WORD)..at].iter().rev().take_while(|(_, c)| *c != '\n');
    before.clone().count() < links::MAX_WORD / 2
        && before
            .clone()
            .all(|(_, c)| c.is_alphabetic() || matches!(c, ' ' | '>' | '|' | '-' | '*' | '•' | '+'))
}

/// Where a passphrase ends that begins with the word that ends here: with its line, if the line says nothing else.
fn passphrase(text: &[(usize, char)], source: &str, end: usize) -> usize {
    const MAX_PHRASE: usize = 80;
    let line_end = (end..text.len().min(end + MAX_PHRASE + 1)).find(|index| text[*index].1 == '\n');
    let line_end = match line_end {
        Some(line_end) => line_end,
        None if text.len() <= end + MAX_PHRASE => text.len(),
        None => return end,
    };
    let byte = |index: usize| text.get(index).map_or(source.len(), |(at, _)| *at);
    let rest = &source[byte(end)..byte(line_end)];
    if rest.trim().is_empty() {
        return end;
    }
    let says_more = rest.contains(['=', ':', '(', '[', '{', '<', '@', '|', '"', '“', '„'])
        || rest.contains(REMOVED)
        || rest.split_whitespace().count() > 6
        || rest.trim_end().contains([',', ';'])
        || rest.contains(". ")
        || value::names_an_error(rest)
        || super::says_anything(&super::prose(rest));
    if says_more { end } else { end + rest.trim_end().chars().count() }
}

/// Whether "my" or a word like it stands before a label.
fn is_mine(text: &[(usize, char)], at: usize) -> bool {
    MINE.iter().any(|mine| {
        at.checked_sub(mine.chars().count()).is_some_and(|before| {
            let is_word = before == 0
                || !text[before - 1].1.is_alphanumeric()
                || mine.chars().all(|c| is_cjk(c) || c == ' ');
            is_word && starts_with(text, before, mine)
        })
    })
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{0e00}'..='\u{0e7f}')
}

const fn is_katakana(c: char) -> bool {
    matches!(c, '\u{30a0}'..='\u{30ff}')
}

fn starts_with(text: &[(usize, char)], at: usize, word: &str) -> bool {
    let mut index = at;
    word.chars().all(|wanted| {
        let found = text.get(index).is_some_and(|(_, c)| *c == wanted);
        index += 1;
        found
    })
}

fn skip(text: &[(usize, char)], from: usize, over: impl Fn(char) -> bool) -> usize {
    (from..text.len()).find(|index| !over(text[*index].1)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
