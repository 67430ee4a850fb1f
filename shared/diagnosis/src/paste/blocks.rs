//! Takes out secrets that stand below their name, indented, as YAML has them: `password: |`, `password:` with `value: …`.

use super::cuts::{self, Cut, trimmed};
use super::names::{Secret, is_secret_name, secret_of};
use super::status::is_status;
use super::value;

/// Maximum lines below a name.
const MAX_LINES: usize = 60;

/// Maximum bytes of a line that only names a secret.
const MAX_NAME: usize = 80;

/// The text without secrets in blocks. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let mut cuts = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        if let Some((secret, is_block)) = opened(line) {
            cuts.extend(below(text, end, indent(line), secret, is_block));
        }
        start = end;
    }
    cuts::apply(text, cuts)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// What a line names that holds nothing else, and whether a block of text is announced.
fn opened(line: &str) -> Option<(Secret, bool)> {
    if line.len() > MAX_NAME {
        return None;
    }
    let line = line.trim().trim_start_matches("- ").trim_start();
    let (name, mark) = line.split_once(':')?;
    let mark = mark.trim();
    let is_block = mark.starts_with(['|', '>'])
        && mark[1..].chars().all(|c| matches!(c, '+' | '-') || c.is_ascii_digit());
    if !is_block && !mark.is_empty() {
        return None;
    }
    let name = name.trim().trim_matches(['"', '\'']);
    let is_name = name.split_whitespace().count() == 1;
    secret_of(name).filter(|_| is_name).map(|secret| (secret, is_block))
}

/// The secrets in the lines that are indented more than their name.
fn below(text: &str, from: usize, indented: usize, secret: Secret, is_block: bool) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut block_end = from;
    let mut start = from;
    for line in text[from..].split_inclusive('\n').take(MAX_LINES) {
        let end = start + line.len();
        let is_blank = line.trim().is_empty();
        if !is_blank && indent(line) <= indented {
            break;
        }
        if !is_blank {
            block_end = end;
            if !is_block {
                cuts.extend(entry(text, start, end, secret));
            }
        }
        start = end;
    }
    if is_block { trimmed(text, from, block_end).into_iter().collect() } else { cuts }
}

/// The value of `value: …` or `- …`.
fn entry(text: &str, start: usize, end: usize, secret: Secret) -> Option<Cut> {
    let line = &text[start..end];
    let bare = line.trim_start().trim_start_matches("- ");
    let given = match bare.split_once(": ") {
        Some((name, given)) if !is_secret_name(name) => given,
        None if bare.len() < line.trim_start().len() => bare,
        Some(_) | None => return None,
    };
    let plain = given.trim().trim_matches(['"', '\'']);
    let is_odd = plain.contains(|c: char| c.is_ascii_digit());
    let is_word = plain.split_whitespace().count() == 1;
    let is_kept = is_status(plain) || value::names_an_error(plain) || plain.contains("://");
    let quoted = given.trim_start().starts_with(['"', '\'']);
    let from = end - given.trim_start().len() + usize::from(quoted);
    let to = end - (given.len() - given.trim_end().len()) - usize::from(quoted && given.trim_end().len() > 1);
    ((is_odd || (is_word && secret == Secret::Password)) && !is_kept)
        .then(|| trimmed(text, from, to))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_below_a_name_go() {
        for (pasted, kept) in [
            ("password: |\n  hunter\nerror: x", "password: |\n  [removed]\nerror: x"),
            ("  token: >-\n    ab\n\n    cd\n  error: x", "  token: >-\n    [removed]\n  error: x"),
            ("password:\n  value: hunter\nerror: x", "password:\n  value: [removed]\nerror: x"),
            ("client_secret:\n  current: \"A1b\"\n", "client_secret:\n  current: \"[removed]\"\n"),
            ("passwords:\n  - hunter\n  - 'geheim'\n", "passwords:\n  - [removed]\n  - '[removed]'\n"),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }

    #[test]
    fn other_blocks_stay() {
        for text in [
            "error: |\n  invalid_grant\n",
            "token:\n  status: expired\n  error: invalid_grant\n",
            "password:\nnot indented\n",
            "token_policy:\n  days: 90\n",
        ] {
            assert_eq!(remove(text), text);
        }
    }
}
