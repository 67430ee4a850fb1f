//! Takes out what somebody calls a password, in the languages that Salesforce's users use most.
//!
//! A label and a separator (`Passwort: …`, `pw=…`) are enough. Of prose only "my password is …" is: in "your password
//! is expired" nothing is secret, so there the value must have a digit or a sign. A security token, a one-time code or a
//! session id that prose names is treated in the same way.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::catalogue::telling;
use super::super::words::normal;
use super::labels::{AUXILIARIES, BE, MINE, OF_ERRORS, OTHERS, PASSWORDS, PREPOSITIONS, SIGNS, WEAK};
use super::secrets::REMOVED;
use super::value::{self, Value};

/// The text without passwords. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let lower: Vec<(usize, char)> =
        text.char_indices().map(|(at, c)| (at, c.to_lowercase().next().unwrap_or(c))).collect();
    let byte = |index: usize| lower.get(index).map_or(text.len(), |(at, _)| *at);
    let (mut out, mut at, mut copied) = (String::with_capacity(text.len()), 0, 0);
    while at < lower.len() {
        match value_after_label(&lower, text, at) {
            Some((start, end)) if !text[byte(start)..].starts_with(REMOVED) => {
                out.push_str(&text[copied..byte(start)]);
                out.push_str(REMOVED);
                copied = byte(end);
                at = end;
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[copied..]);
    out
}

/// What a label names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Password,
    Other,
    Weak,
}

/// The labels that begin with a character, the longest first; passwords before others.
static LABELS: LazyLock<HashMap<char, Vec<(&str, Kind)>>> = LazyLock::new(|| {
    let mut labels: HashMap<char, Vec<(&str, Kind)>> = HashMap::new();
    let all = [(&PASSWORDS[..], Kind::Password), (&OTHERS, Kind::Other), (&WEAK, Kind::Weak)];
    for (group, kind) in all {
        let mut group = group.to_vec();
        group.sort_by_key(|label| std::cmp::Reverse(label.len()));
        for label in group {
            labels.entry(label.chars().next().unwrap_or_default()).or_default().push((label, kind));
        }
    }
    labels
});

/// The label that begins here.
fn label(text: &[(usize, char)], at: usize) -> Option<(&'static str, Kind)> {
    let labels = LABELS.get(&text.get(at)?.1)?;
    labels.iter().copied().find(|(label, _)| starts_with(text, at, label))
}

/// What leads from a label to its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// A colon or an equals sign, also behind a verb: "is:".
    Assigned,
    /// A verb or a dash: "is".
    Said,
    /// More words and then one of the others: "has been changed to", "for uma@acme.example:".
    Described,
    /// The end of the line or of a table's cell.
    Below,
    /// A blank.
    Beside,
}

/// Where the value begins and ends whose label begins here.
fn value_after_label(text: &[(usize, char)], source: &str, at: usize) -> Option<(usize, usize)> {
    let is_letter = |index: usize| text.get(index).is_some_and(|(_, c)| c.is_alphanumeric());
    // Most characters of a text are in the middle of a word.
    if !is_letter(at) || (text[at].1.is_ascii() && at > 0 && is_letter(at - 1)) {
        return None;
    }
    let (label, kind) = label(text, at)?;
    // A word of its own: "pw" stands in many others. Languages without blanks have no such border.
    if label.chars().all(|c| c.is_ascii() || !is_cjk(c)) && at > 0 && is_letter(at - 1) {
        return None;
    }
    let is_password = kind == Kind::Password || matches!(label, "pw" | "pwd" | "psw" | "pswd");
    let after = past_remark(text, at + label.chars().count());
    let (link, start) = link(text, source, after)?;
    let in_query = link == Link::Assigned && is_in_query(text, at);
    let (link, start) =
        if link == Link::Assigned { past_line_break(text, source, start) } else { (link, start) };

    let byte = |index: usize| text.get(index).map_or(source.len(), |(at, _)| *at);
    let rest = &source[byte(start)..];
    if value::is_encoded(rest) {
        return None;
    }
    let Value { start: opened, end, is_quoted } = value::find(rest, in_query);
    let given = &rest[opened..end];
    let first = start + rest[..opened].chars().count();
    let last = first + given.trim_end_matches(' ').chars().count();
    if first >= last || telling(&normal(given)).is_some() {
        return None;
    }
    let is_secret = match kind {
        Kind::Weak => is_weak_secret(text, at, label, given),
        _ => Look::of(given).is_secret(link, is_password, is_quoted, is_mine(text, at)),
    };
    if !is_secret {
        return None;
    }
    let is_alone = link == Link::Assigned && is_password && !is_quoted && !in_query;
    let rest = if is_alone && begins_line(text, at) { passphrase(text, source, last) } else { last };
    Some((first, rest))
}

/// What a value looks like.
struct Look {
    /// It has a digit or a sign that words do not have.
    odd: bool,
    /// It has letters and digits, six characters or more, and is no version and no date.
    random: bool,
    is_address: bool,
}

impl Look {
    fn of(value: &str) -> Self {
        let tells = value.trim_end_matches(['.', '!', '?', ')', ',', ';', ':']);
        let digit = tells.chars().any(|c| c.is_ascii_digit());
        let sign = |c: char| {
            c.is_ascii_punctuation() && !matches!(c, '-' | '\'' | '/' | '_' | ',' | ';' | '"' | '`')
        };
        let letters = tells.chars().filter(|c| c.is_alphabetic()).count();
        Self {
            odd: digit || tells.chars().any(sign),
            random: digit && letters > 1 && tells.chars().count() >= 6,
            is_address: value.contains("://"),
        }
    }

    fn is_secret(&self, link: Link, is_password: bool, is_quoted: bool, is_mine: bool) -> bool {
        match link {
            Link::Assigned => is_password || is_quoted || self.odd,
            Link::Said => (is_mine && is_password) || self.odd,
            Link::Described => self.odd && !self.is_address,
            Link::Below => is_password && self.random && !self.is_address,
            Link::Beside => is_password && ((is_mine && self.odd) || self.random),
        }
    }
}

/// Whether a value is one of those that a "token", a "secret" or a "code" has.
fn is_weak_secret(text: &[(usize, char)], at: usize, label: &str, value: &str) -> bool {
    let tells = value.trim_end_matches(['.', '!', '?', ')', ',', ';']);
    let is_number = (5..=8).contains(&tells.len()) && tells.bytes().all(|byte| byte.is_ascii_digit());
    let is_error = OF_ERRORS
        .iter()
        .any(|word| at.checked_sub(word.len()).is_some_and(|before| starts_with(text, before, word)));
    let Look { random, is_address, .. } = Look::of(value);
    !is_error && (is_number || (label != "code" && random && !is_address))
}

/// What leads from a label to its value, and where the value begins.
fn link(text: &[(usize, char)], source: &str, after: usize) -> Option<(Link, usize)> {
    let closed = skip(text, after, |c| matches!(c, '"' | '\'' | ' ' | ']' | '*' | '`' | '）'));
    if is_separator(text, closed) {
        return Some((Link::Assigned, past_blanks(text, closed + 1)));
    }
    if let Some(sign) = SIGNS.iter().find(|sign| starts_with(text, after, sign)) {
        return Some((Link::Said, past_blanks(text, after + sign.chars().count())));
    }
    match text.get(closed).map(|(_, c)| *c) {
        Some('\n') => {
            let next = skip(text, closed, |c| matches!(c, '\n' | ' '));
            return Some((Link::Below, next));
        }
        Some('<') if past_tags(text, source, closed) > closed => {
            return Some((Link::Below, past_tags(text, source, closed)));
        }
        _ => {}
    }
    if text.get(after).is_none_or(|(_, c)| *c != ' ') {
        return None;
    }
    Some(words(text, after).unwrap_or_else(|| (Link::Beside, past_blanks(text, after))))
}

/// The words that lead from a label to its value: "is", "is now:", "for uma@acme.example is".
fn words(text: &[(usize, char)], after: usize) -> Option<(Link, usize)> {
    let mut at = skip(text, after, |c| c == ' ');
    let (mut count, mut only_verbs, mut is_described) = (0, true, false);
    let mut last_verb = None;
    while count < MAX_WORDS {
        let end = (at..text.len()).find(|index| is_border(text[*index].1)).unwrap_or(text.len());
        let word: String = text[at..end.min(at + MAX_WORD)].iter().map(|(_, c)| *c).collect();
        let is_verb = BE.contains(&word.as_str());
        let is_known = is_verb || AUXILIARIES.contains(&word.as_str());
        if count == 0 && PREPOSITIONS.contains(&word.as_str()) && !is_verb {
            is_described = true;
        } else if word.is_empty() || !(is_known || (is_described && last_verb.is_none())) {
            break;
        }
        only_verbs &= is_verb;
        count += 1;
        let next = skip(text, end, |c| c == ' ');
        if is_separator(text, next) && !starts_with(text, next, "://") {
            let link = if only_verbs { Link::Assigned } else { Link::Described };
            return Some((link, past_blanks(text, next + 1)));
        }
        if is_verb || (is_known && !is_described) {
            let link = if only_verbs { Link::Said } else { Link::Described };
            last_verb = Some((link, past_blanks(text, next)));
            let sign = SIGNS.iter().find(|sign| starts_with(text, end, sign));
            if let Some(sign) = sign {
                return Some((link, past_blanks(text, end + sign.chars().count())));
            }
        }
        // A sentence ends.
        if next == end {
            break;
        }
        at = next;
    }
    last_verb
}

/// Maximum words between a label and its value.
const MAX_WORDS: usize = 8;

/// Maximum characters of such a word.
const MAX_WORD: usize = 60;

fn is_border(c: char) -> bool {
    c.is_whitespace() || matches!(c, ':' | '=' | '：' | '＝')
}

fn is_separator(text: &[(usize, char)], at: usize) -> bool {
    text.get(at).is_some_and(|(_, c)| matches!(c, ':' | '=' | '：' | '＝'))
}

/// Whether a label is the name of a query's field.
fn is_in_query(text: &[(usize, char)], at: usize) -> bool {
    let before = text[at.saturating_sub(MAX_WORD)..at].iter().rev();
    let mut before = before.skip_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    before.next().is_some_and(|(_, c)| matches!(c, '?' | '&'))
}

/// Whether nothing but a few words and the marks of a quotation or a list stand before a label.
fn begins_line(text: &[(usize, char)], at: usize) -> bool {
    let before = text[at.saturating_sub(MAX_WORD)..at].iter().rev().take_while(|(_, c)| *c != '\n');
    before.clone().count() < MAX_WORD / 2
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

/// Behind a separator: past tags, and past the end of the line if the label stood on a line of its own.
fn past_line_break(text: &[(usize, char)], source: &str, start: usize) -> (Link, usize) {
    let start = past_blanks(text, past_tags(text, source, start));
    if text.get(start).is_some_and(|(_, c)| *c == '\n') {
        let next = skip(text, start, |c| matches!(c, '\n' | ' '));
        return (Link::Described, past_blanks(text, past_tags(text, source, next)));
    }
    (Link::Assigned, start)
}

/// Past the tags of HTML that begin here.
fn past_tags(text: &[(usize, char)], source: &str, mut at: usize) -> usize {
    while let Some((byte, '<')) = text.get(at)
        && value::is_tag(&source[*byte..])
    {
        let close = (at..text.len()).find(|index| text[*index].1 == '>').unwrap_or(text.len());
        at = skip(text, close + 1, |c| c == ' ');
    }
    at
}

fn past_blanks(text: &[(usize, char)], at: usize) -> usize {
    skip(text, at, |c| matches!(c, ' ' | '>' | '='))
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

/// "(8 characters)", "*": what stands between a label and its colon.
fn past_remark(text: &[(usize, char)], after: usize) -> usize {
    const LONGEST: usize = 40;
    let open = skip(text, after, |c| c == ' ');
    if text.get(open).is_none_or(|(_, c)| *c != '(') {
        return after;
    }
    let close = (open..text.len().min(open + LONGEST)).find(|index| matches!(text[*index].1, ')' | '\n'));
    match close {
        Some(close) if text[close].1 == ')' => {
            let colon = skip(text, close + 1, |c| c == ' ');
            if text.get(colon).is_some_and(|(_, c)| matches!(c, ':' | '=' | '：')) {
                close + 1
            } else {
                after
            }
        }
        _ => after,
    }
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{0e00}'..='\u{0e7f}')
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
