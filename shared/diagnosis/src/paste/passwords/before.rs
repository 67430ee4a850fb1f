//! The value of "… is my password" and "logged in with … as password": it stands before the label.

use super::super::linking::{BEFORE_SIGNS, MINE, POINTING};
use super::super::secrets::REMOVED;
use super::super::value;
use super::look::{self, Look};

/// What a label wants before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A one-time code.
    Code,
    /// A password, a token or a key.
    Secret,
}

/// Maximum words between a verb and the label: "is your Salesforce verification".
const MAX_BETWEEN: usize = 4;

/// Minimum characters of a value.
const MIN_VALUE: usize = 4;

/// Where in the line before a label its value begins and ends.
pub(super) fn find(line: &str, wanted: Wanted) -> Option<(usize, usize)> {
    let end = pointing(line)?;
    let said = line[..end].trim_end();
    if let Some(found) = quoted(said) {
        return Some(found).filter(|(start, end)| is_value(&said[*start..*end], wanted, true));
    }
    let start = said.rfind(char::is_whitespace).map_or(0, |at| at + blank_length(said, at));
    if wanted == Wanted::Code {
        // "482 913" is one code.
        let two = said[..start].trim_end().rfind(char::is_whitespace);
        let two = two.map_or(0, |at| at + blank_length(said, at));
        let whole = [two, start].into_iter().find(|from| is_whole_code(&said[*from..]))?;
        return Some((whole, said.len()));
    }
    let opened =
        start + said[start..].len() - said[start..].trim_start_matches(['"', '\'', '(', '“', '„']).len();
    is_value(&said[opened..], wanted, false).then_some((opened, said.len()))
}

fn blank_length(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

/// Where the verb begins that makes the label a name for what stands before it.
fn pointing(line: &str) -> Option<usize> {
    let mut rest = line.trim_end().trim_end_matches(['"', '\'', '“', '„', '*', '`']).trim_end();
    for _ in 0..=MAX_BETWEEN {
        for sign in BEFORE_SIGNS {
            if let Some(before) = rest.strip_suffix(sign) {
                return Some(before.len());
            }
        }
        // Languages without blanks: "…が私の".
        let mine =
            MINE.iter().filter(|mine| !mine.is_ascii()).find_map(|mine| rest.strip_suffix(mine.trim_end()));
        if let Some(before) = mine
            && let Some(before) = BEFORE_SIGNS.iter().find_map(|sign| before.trim_end().strip_suffix(sign))
        {
            return Some(before.len());
        }
        // "… (my password)".
        if let Some(before) = rest.strip_suffix('(') {
            return Some(before.trim_end().len()).filter(|end| *end > 0);
        }
        let start = rest.rfind(char::is_whitespace)?;
        let word = rest[start..].trim();
        if let Some(open) = word.strip_prefix('(').filter(|word| word.chars().all(char::is_alphabetic)) {
            return Some(rest.len() - open.len() - 1);
        }
        let lower = word.to_lowercase();
        if POINTING.contains(&lower.trim_end_matches(':')) {
            return Some(start);
        }
        // A sentence ends, or something else is said.
        if word.ends_with(['.', ',', ';', ':', '!', '?']) || word.contains(['=', '(', '<', '{']) {
            return None;
        }
        rest = rest[..start].trim_end();
    }
    None
}

/// The text in the quotation marks that end a text.
fn quoted(said: &str) -> Option<(usize, usize)> {
    let close = said.chars().next_back()?;
    let open = match close {
        '"' | '\'' | '`' => close,
        '”' => '“',
        '“' => '„',
        '’' => '‘',
        '»' => '«',
        '」' => '「',
        _ => return None,
    };
    let end = said.len() - close.len_utf8();
    let start = said[..end].rfind(open)? + open.len_utf8();
    (start < end).then_some((start, end))
}

fn is_whole_code(text: &str) -> bool {
    look::code(text) == Some(text.len())
}

fn is_value(text: &str, wanted: Wanted, is_quoted: bool) -> bool {
    if text.contains(REMOVED) || value::names_an_error(text) {
        return false;
    }
    match wanted {
        Wanted::Code => is_whole_code(text),
        Wanted::Secret if is_quoted => text.chars().count() >= MIN_VALUE && !text.contains(' '),
        Wanted::Secret => text.chars().count() >= MIN_VALUE && Look::of(text).is_another_value(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_stand_before_its_label() {
        for (line, wanted, found) in [
            ("Summer2026! is my ", Wanted::Secret, Some("Summer2026!")),
            ("logged in with Abc!9xyz as ", Wanted::Secret, Some("Abc!9xyz")),
            ("Sommer26x war mein altes ", Wanted::Secret, Some("Sommer26x")),
            ("entrei com Qzx7Wvk! como ", Wanted::Secret, Some("Qzx7Wvk!")),
            ("Qzx7Wvk!が私の", Wanted::Secret, Some("Qzx7Wvk!")),
            ("Qzx7Wvk!是我的", Wanted::Secret, Some("Qzx7Wvk!")),
            ("\"hunter\" is the ", Wanted::Secret, Some("hunter")),
            ("Summer2026! (my ", Wanted::Secret, Some("Summer2026!")),
            ("482913 is your Salesforce ", Wanted::Code, Some("482913")),
            ("482 913 is your ", Wanted::Code, Some("482 913")),
            ("G-482913 is your Google ", Wanted::Code, Some("G-482913")),
            ("what is my ", Wanted::Secret, None),
            ("[removed] is my ", Wanted::Secret, None),
            ("OAUTH_APP_BLOCKED is my ", Wanted::Secret, None),
            ("it failed with error 400 as the ", Wanted::Secret, None),
            ("Summer2026! failed. I forgot my ", Wanted::Secret, None),
        ] {
            let found_text = find(line, wanted).map(|(start, end)| &line[start..end]);
            assert_eq!(found_text, found, "{line}");
        }
    }
}
