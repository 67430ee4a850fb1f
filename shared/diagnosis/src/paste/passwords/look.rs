//! What the value of a secret looks like.

use super::Link;

/// What a value looks like.
#[expect(clippy::struct_excessive_bools, reason = "four independent observations of one text")]
pub(super) struct Look {
    /// It has a digit or a sign that words do not have.
    odd: bool,
    /// It has letters and digits, six characters or more, and is no version and no date.
    random: bool,
    /// It is a number of up to three digits: a count, a status, days.
    is_count: bool,
    is_address: bool,
}

impl Look {
    pub(super) fn of(value: &str) -> Self {
        let tells = value.trim_end_matches(['.', '!', '?', ')', ',', ';', ':']);
        let digit = tells.chars().any(|c| c.is_ascii_digit());
        let sign = |c: char| {
            c.is_ascii_punctuation() && !matches!(c, '-' | '\'' | '/' | '_' | ',' | ';' | '"' | '`')
        };
        let letters = tells.chars().filter(|c| c.is_alphabetic()).count();
        Self {
            odd: digit || tells.chars().any(sign),
            random: digit && letters > 1 && tells.chars().count() >= 6,
            is_count: tells.len() <= 3 && tells.bytes().all(|byte| byte.is_ascii_digit()),
            is_address: value.contains("://"),
        }
    }

    pub(super) fn is_secret(&self, link: Link, is_password: bool, is_quoted: bool, is_mine: bool) -> bool {
        match link {
            Link::Assigned => is_password || is_quoted || self.odd,
            Link::Said => (is_mine && is_password) || self.odd,
            Link::Described => self.odd && !self.is_address,
            Link::Qualified => self.odd && !self.is_address && !self.is_count,
            Link::Below => is_password && self.random && !self.is_address,
            Link::Beside => is_password && ((is_mine && self.odd) || self.random),
        }
    }

    /// Whether a word beside other values is one of a secret and none of prose.
    pub(super) fn is_another_value(&self, word: &str) -> bool {
        self.odd && !self.is_count && !self.is_address && word.chars().count() > 3
    }
}

/// Whether a value is one of those that a "token", a "secret" or a "code" has. `code`: how long the one-time code is that
/// the value begins.
pub(super) fn is_weak_secret(label: &str, value: &str, code: Option<usize>) -> bool {
    const MIN_CODE: usize = 5;
    let Look { random, is_address, .. } = Look::of(value);
    code.is_some_and(|length| length >= MIN_CODE) || (label != "code" && random && !is_address)
}

/// How many characters a one-time code has that a text begins with: `482913`, `482 913`, `48-29-13`, `G-482913`.
pub(super) fn code(text: &str) -> Option<usize> {
    const DIGITS: std::ops::RangeInclusive<usize> = 4..=8;
    const MAX_GROUPS: usize = 4;
    let letters = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let mut end = match text.as_bytes().get(letters) {
        Some(b'-') if (1..=3).contains(&letters) => letters + 1,
        _ if letters == 0 => 0,
        _ => return None,
    };
    let mut digits = 0;
    for group in 0..MAX_GROUPS {
        let rest = &text[end..];
        let separator = usize::from(group > 0 && rest.starts_with([' ', '-']));
        if group > 0 && separator == 0 {
            break;
        }
        let number = &rest[separator..];
        let length = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let is_group = length > 0 && (group == 0 || (2..=4).contains(&length));
        // A year, a time or a number with a unit is none: "482913 2026-11-30".
        if !is_group || !ends_number(&number[length..]) || digits + length > *DIGITS.end() {
            break;
        }
        digits += length;
        end += separator + length;
    }
    (DIGITS.contains(&digits)).then_some(end)
}

/// Whether nothing goes on with a number: "482913", but "10:30", "1.5" and "24h" are others.
fn ends_number(after: &str) -> bool {
    let mut chars = after.chars();
    match chars.next() {
        Some('.' | ',' | ':' | '/') => chars.next().is_none_or(|c| !c.is_ascii_digit()),
        Some(c) => !c.is_alphanumeric() && c != '%' && c != '_',
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_groups() {
        for (text, found) in [
            ("482913", Some("482913")),
            ("482 913.", Some("482 913")),
            ("482-913 and", Some("482-913")),
            ("48 29 13", Some("48 29 13")),
            ("G-482913 is", Some("G-482913")),
            ("4829", Some("4829")),
            ("400", None),
            ("10:30", None),
            ("123456789", None),
            ("v60.0", None),
            ("1804 : The", Some("1804")),
        ] {
            assert_eq!(code(text).map(|length| &text[..length]), found, "{text}");
        }
    }
}
