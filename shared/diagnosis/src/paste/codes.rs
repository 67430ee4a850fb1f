//! Salesforce's error codes, wherever in a text they stand.

use super::super::Confidence;
use super::super::catalogue::{CODES, telling};
use super::super::words::{Word, normal};

/// A code in a text.
#[derive(Debug)]
pub(super) struct Found {
    /// As it was written.
    pub(super) as_written: String,
    /// In normal form.
    pub(super) normal: String,
    /// The most that a rule is sure of by this code alone.
    pub(super) known: Confidence,
}

/// The longest code that the catalogue knows, in words.
const LONGEST: usize = 6;

/// Only the first so many words that look like a code are compared letter by letter with the known ones.
const RETYPED: usize = 16;

/// The most telling code of a text, the first of equals. If none is known, one that was retyped with a slip.
pub(super) fn find(text: &str, words: &[Word]) -> Option<Found> {
    let mut best: Option<Found> = None;
    for found in all(text, words) {
        if best.as_ref().is_none_or(|best| found.known > best.known) {
            best = Some(found);
        }
    }
    best.or_else(|| retyped(text))
}

/// Every known code of a text, in order.
pub(super) fn all(text: &str, words: &[Word]) -> Vec<Found> {
    let mut codes = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if !begins_code(&words[at].text) {
            at += 1;
            continue;
        }
        let code = (1..=LONGEST.min(words.len() - at))
            .rev()
            .find_map(|length| code_at(text, words, at, length).map(|found| (found, length)));
        match code {
            Some((found, length)) => {
                codes.push(found);
                at += length;
            }
            None => at += 1,
        }
    }
    codes
}

/// Most words begin none, and then nothing has to be put together and looked up.
fn begins_code(word: &str) -> bool {
    // A blank comes before any letter: of the codes with this word at their head the shortest is first.
    let first = CODES.get(CODES.partition_point(|code| *code < word));
    let rest = first.and_then(|code| code.strip_prefix(word));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn code_at(text: &str, words: &[Word], at: usize, length: usize) -> Option<Found> {
    let code = &words[at..at + length];
    let normal = code.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    let known = telling(&normal)?;
    let as_written = &text[code[0].start..code[length - 1].end];
    let is_code = match length {
        1 => is_numbered_error(text, words, at),
        _ if is_part_of_longer(text, code[0].start, code[length - 1].end) => false,
        // Two plain words are prose ("access denied") unless they were written as one.
        2 => !as_written.contains(char::is_whitespace) && as_written.contains(['_', '-']),
        _ => as_written.len() <= normal.len() + 8,
    };
    is_code.then(|| Found { as_written: as_written.to_owned(), normal, known })
}

/// A code is a whole token: `OAUTH_APP_BLOCKED_BY_POLICY` is a code that nobody knows, not `OAUTH_APP_BLOCKED`.
/// Only tokens that are joined by underscores are judged: a hyphen may be a dash.
fn is_part_of_longer(text: &str, start: usize, end: usize) -> bool {
    let joined = text[start..end].contains('_');
    let before = text[..start].strip_suffix('_').and_then(|before| before.chars().next_back());
    let after = text[end..].strip_prefix('_').and_then(|after| after.chars().next());
    joined && [before, after].into_iter().flatten().any(|c| c.is_ascii_alphanumeric())
}

/// A number alone is a code where it is said to be one: `1804 : …`, `error 1804`, `errorCode=1800`.
fn is_numbered_error(text: &str, words: &[Word], at: usize) -> bool {
    let word = &words[at];
    let before = at.checked_sub(1).map_or("", |before| words[before].text.as_str());
    before.starts_with("error")
        || before.starts_with("code")
        || text[word.end..].trim_start_matches(' ').starts_with(':')
}

/// The words of a text that are prose: those inside a token like `OAUTH_APP_BLOCKED_BY_POLICY` are emptied. A code
/// that nobody knows is not a sentence, and no word of it goes together with the words around it.
pub(super) fn prose(text: &str, mut words: Vec<Word>) -> Vec<Word> {
    const LEAST_PARTS: usize = 3;
    let is_joined = |left: &Word, right: &Word| text.get(left.end..right.start) == Some("_");
    let is_capital = |word: &Word| !text[word.start..word.end].contains(|c: char| c.is_ascii_lowercase());
    let mut start = 0;
    while start < words.len() {
        let mut end = start + 1;
        while end < words.len() && is_joined(&words[end - 1], &words[end]) {
            end += 1;
        }
        if end - start >= LEAST_PARTS && words[start..end].iter().all(is_capital) {
            words[start..end].iter_mut().for_each(|word| word.text.clear());
        }
        start = end;
    }
    words
}

/// A code that somebody typed off a screen: one or two letters wrong in a long one. What could be two known codes
/// is neither.
fn retyped(text: &str) -> Option<Found> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.len() >= 12 && word.len() <= 40 && word.contains('_'))
        .take(RETYPED)
        .find_map(|word| {
            let typed = normal(word);
            let mut meant = CODES.iter().filter(|code| code.len() >= 12 && is_slip(&typed, code));
            let code = meant.next().filter(|_| meant.next().is_none())?;
            Some(Found { as_written: word.to_owned(), normal: (*code).to_owned(), known: telling(code)? })
        })
}

/// Whether one is the other with a slip. A slip spares short words: `EC` and `CA` are two things, and so are the
/// words of two families of codes.
fn is_slip(typed: &str, code: &str) -> bool {
    const LEAST_LETTERS: usize = 5;
    if !near(typed, code) {
        return false;
    }
    let (typed, code): (Vec<&str>, Vec<&str>) = (typed.split(' ').collect(), code.split(' ').collect());
    if typed.len() != code.len() {
        return near(&typed.concat(), &code.concat()) && typed.concat().len() == code.concat().len();
    }
    typed.iter().zip(code).all(|(typed, code)| *typed == code || code.len() >= LEAST_LETTERS)
}

/// At most two letters changed, missing or too many.
fn near(typed: &str, code: &str) -> bool {
    if typed.len().abs_diff(code.len()) > 2 {
        return false;
    }
    let code: Vec<char> = code.chars().collect();
    let mut row: Vec<usize> = (0..=code.len()).collect();
    for (i, a) in typed.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in code.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[code.len()] <= 2
}

#[cfg(test)]
mod tests {
    use super::super::super::words::words;
    use super::*;

    #[test]
    fn a_code_is_a_whole_token() {
        let known = |text: &str| find(text, &words(text)).map(|found| found.normal);
        for longer in
            ["OAUTH_APP_BLOCKED_BY_POLICY", "NOT_OAUTH_APP_BLOCKED", "error=invalid_client_metadata"]
        {
            assert_eq!(known(longer), None, "{longer}");
        }
        for whole in
            ["OAUTH_APP_BLOCKED: no", "_OAUTH_APP_BLOCKED_", "x=OAUTH_APP_BLOCKED&y", "oauth-app-blocked"]
        {
            assert_eq!(known(whole).as_deref(), Some("oauth app blocked"), "{whole}");
        }
    }

    #[test]
    fn a_slip_never_leads_to_another_family() {
        let known = |text: &str| find(text, &words(text)).map(|found| found.normal);
        assert_eq!(known("OAUTH_APROVAL_ERROR_GENERIC").as_deref(), Some("oauth approval error generic"));
        assert_eq!(known("OAUTH_APP_BLOKED").as_deref(), Some("oauth app blocked"));
        for other in ["OAUTH_CA_APP_NOT_FOUND", "LOGIN_ERROR_SSO_PKI_INVALID", "LOGIN_OAUTH_NO_TICKET"] {
            assert_eq!(known(other), None, "{other}");
        }
    }

    #[test]
    fn every_code_begins_with_its_first_word_and_with_no_part_of_it() {
        for code in CODES {
            let first = code.split(' ').next().unwrap_or_default();
            assert!(begins_code(first), "{code}");
            assert!(!begins_code(&format!("{first}x")), "{code}");
        }
        assert!(!begins_code("invali"));
    }
}
