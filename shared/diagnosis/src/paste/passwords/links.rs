//! What leads from a label to its value.

use super::super::linking::{ADJECTIVES, AUXILIARIES, BE, PREPOSITIONS, SIGNS};
use super::super::names::{is_harmless_word, is_secret_name};
use super::super::status::is_status;
use super::super::value;
use super::{Label, is_cjk, skip, starts_with};

/// What leads from a label to its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// A colon or an equals sign, also behind a verb or an adjective: "is:", "again:".
    Assigned,
    /// A verb or a dash: "is".
    Said,
    /// More words and then one of the others: "has been changed to", "for uma@acme.example:".
    Described,
    /// Other words and a colon: "Contraseña del portal:".
    Qualified,
    /// The end of the line or of a table's cell.
    Below,
    /// A blank.
    Beside,
}

/// Maximum characters of a word between a label and its value.
pub(super) const MAX_WORD: usize = 60;

/// Maximum words between a label and its value.
const MAX_WORDS: usize = 8;

/// Maximum adjectives between a label and its colon.
const MAX_ADJECTIVES: usize = 3;

/// What may lead from a label to its value, and where the value then begins.
pub(super) fn find(text: &[(usize, char)], source: &str, label: Label) -> Vec<(Link, usize)> {
    let Some(end) = past_tail(text, label) else { return Vec::new() };
    let after = past_remark(text, end);
    let closed = skip(text, after, |c| matches!(c, '"' | '\'' | ' ' | ']' | '*' | '`' | '）'));
    if is_separator(text, closed) {
        return vec![(Link::Assigned, past_blanks(text, closed + 1))];
    }
    if let Some(sign) = SIGNS.iter().find(|sign| starts_with(text, after, sign)) {
        return vec![(Link::Said, past_blanks(text, after + sign.chars().count()))];
    }
    match text.get(closed).map(|(_, c)| *c) {
        Some('\n') => {
            let next = skip(text, closed, |c| matches!(c, '\n' | ' '));
            return vec![(Link::Below, next)];
        }
        Some('<') if past_tags(text, source, closed) > closed => {
            return vec![(Link::Below, past_tags(text, source, closed))];
        }
        _ => {}
    }
    if text.get(after).is_none_or(|(_, c)| !matches!(c, ' ' | '/' | '#')) {
        return Vec::new();
    }
    let said = words(text, after);
    let beside =
        said.is_none().then(|| (Link::Beside, past_blanks(text, after))).filter(|_| text[after].1 == ' ');
    said.into_iter().chain(adjectives(text, source, after, label)).chain(beside).collect()
}

/// Past what the name of a field goes on with behind a label: "password2", "contraseña_nueva".
fn past_tail(text: &[(usize, char)], label: Label) -> Option<usize> {
    const LONGEST: usize = 40;
    let is_letter = |index: usize| {
        text.get(index).is_some_and(|(_, c)| c.is_ascii_alphanumeric() || (c.is_alphabetic() && !is_cjk(*c)))
    };
    let goes_on = |index: usize| {
        is_letter(index)
            || matches!(text[index].1, '_' | '-')
            || (text[index].1 == '.' && is_letter(index + 1))
    };
    let limit = text.len().min(label.end + LONGEST);
    let end = (label.end..limit).find(|index| !goes_on(*index)).unwrap_or(limit);
    let tail: String = text[label.end..end].iter().map(|(_, c)| *c).collect();
    let tail = tail.trim_end_matches('-');
    if tail.is_empty() {
        return Some(label.end);
    }
    let end = label.end + tail.chars().count();
    if tail.bytes().all(|byte| byte.is_ascii_digit()) && label.kind.is_password() {
        return Some(end);
    }
    let closed = skip(text, end, |c| matches!(c, '"' | '\'' | ' ' | ']' | '*' | '`'));
    let is_name = is_separator(text, closed) && is_secret_name(&format!("{}{tail}", label.word));
    (label.kind.is_password() && is_name).then_some(end)
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

/// Up to three other words, numbers or signs and then a colon: "1:", "temporal:", "(prod) new:".
fn adjectives(text: &[(usize, char)], source: &str, after: usize, label: Label) -> Option<(Link, usize)> {
    let mut at = skip(text, after, |c| c == ' ');
    let mut are_known = true;
    for _ in 0..MAX_ADJECTIVES {
        let limit = text.len().min(at + MAX_WORD);
        let end = (at..limit).find(|index| is_border(text[*index].1)).unwrap_or(limit);
        let word: String = text[at..end].iter().map(|(_, c)| *c).collect();
        let belongs =
            |c: char| c.is_alphanumeric() || matches!(c, '#' | '-' | '\'' | '’' | '/' | '(' | ')' | '.');
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        // A value, and none of the words before it.
        let is_mixed = bare.contains(|c: char| c.is_ascii_digit()) && bare.contains(char::is_alphabetic);
        if word.is_empty()
            || !word.chars().all(belongs)
            || is_mixed
            || is_harmless_word(bare)
            || is_status(bare)
        {
            return None;
        }
        are_known &= ADJECTIVES.contains(&bare) || bare.bytes().all(|byte| byte.is_ascii_digit());
        let next = skip(text, end, |c| c == ' ');
        if is_separator(text, next) && !starts_with(text, next, "://") {
            return qualified(text, source, next, label, are_known);
        }
        // A sentence or a line ends.
        if next == end || word.ends_with('.') {
            return None;
        }
        at = next;
    }
    None
}

/// The link of adjectives before the separator that stands here.
fn qualified(
    text: &[(usize, char)],
    source: &str,
    separator: usize,
    label: Label,
    are_known: bool,
) -> Option<(Link, usize)> {
    let start = past_blanks(text, separator + 1);
    let value = text.get(start).map_or("", |(byte, _)| &source[*byte..]);
    let word = value.split_whitespace().next().unwrap_or_default();
    if value.starts_with(['{', '[']) || value::names_an_error(&word[..word.floor_char_boundary(200)]) {
        return None;
    }
    match (are_known, label.kind.is_password()) {
        (true, true) => Some((Link::Assigned, start)),
        (true, false) | (false, true) => Some((Link::Qualified, start)),
        (false, false) => None,
    }
}

fn is_border(c: char) -> bool {
    c.is_whitespace() || matches!(c, ':' | '=' | '：' | '＝')
}

pub(super) fn is_separator(text: &[(usize, char)], at: usize) -> bool {
    text.get(at).is_some_and(|(_, c)| matches!(c, ':' | '=' | '：' | '＝'))
}

/// Behind a separator: past tags, and past the end of the line if the label stood on a line of its own.
pub(super) fn past_line_break(text: &[(usize, char)], source: &str, start: usize) -> (Link, usize) {
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
