//! Characters that a text hides or reorders others with: a name must read as it is stored.

use std::{borrow::Cow, ops::RangeInclusive};

/// Whether a character is not shown, or changes how others are: control characters, directions (bidi), blanks without
/// width, tags. Joiners are none of them: Persian, Indic scripts and emoji need them.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'
                ..='\u{180F}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// Joiners: harmless in a name, and deceptive in an id.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

/// Variation selectors: they choose a form of the character before them.
fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}')
}

/// A character that is as wide as others and has nothing in it: the empty Braille pattern.
const BLANK: char = '\u{2800}';

/// The first character of a name that may not be in one. Joiners and blanks are part of a name between characters that are
/// seen: at an end they make a name another one that looks the same, and a name of them alone is empty to the eye.
pub fn deceptive_in_name(text: &str) -> Option<char> {
    let is_unseen = |c: &char| is_joiner(*c) || *c == BLANK;
    let shown = text.trim();
    let first = || shown.chars().next().filter(|c| is_unseen(c) || is_variation_selector(*c));
    let last = || shown.chars().next_back().filter(is_unseen);
    text.chars().find(|c| is_deceptive(*c)).or_else(first).or_else(last)
}

/// The first character of an id that may not be in one.
pub fn deceptive_in_id(text: &str) -> Option<char> {
    text.chars().find(|c| is_deceptive(*c) || is_joiner(*c) || is_variation_selector(*c) || *c == BLANK)
}

/// A page as a person shall see it: without deceptive characters, whoever's text they came with. Line breaks and tabs
/// stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| is_deceptive(c) && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(hidden) {
        Cow::Owned(text.chars().filter(|c| !hidden(*c)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Minimum and maximum bytes of a refresh token. Salesforce's have about 90.
pub const REFRESH_TOKEN_LENGTHS: RangeInclusive<usize> = 16..=4096;

/// What copying made of a token, as what to do about it: quotation marks, percent-encoding, a label before it, a form body
/// or a list around it, blanks and invisible characters. Such a token is not sent: Salesforce would count a failed login.
pub fn copy_artifact(token: &str) -> Option<&'static str> {
    const QUOTES: [char; 7] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];
    if token.contains(QUOTES) {
        Some("has quotation marks in it: leave them out")
    } else if token.contains('%') {
        Some("is percent-encoded: decode it first (%3D is =, %21 is !)")
    } else if !token.bytes().all(|b| b.is_ascii_graphic()) {
        Some("has a space, a line break or an invisible character in it")
    } else if token.contains('&') {
        Some("has & in it, like a form body or HTML: send the token alone")
    } else if token.contains(':') || token.trim_end_matches('=').contains('=') {
        Some("has a label before it, such as \"Bearer:\" or \"refresh_token=\": leave the label out")
    } else if !token.bytes().all(is_of_token) {
        Some(
            "has a character that is not part of a token, such as a comma or a bracket: send the token alone",
        )
    } else {
        None
    }
}

/// Characters of a bearer token (RFC 6750 section 2.1), and the exclamation mark that Salesforce uses.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=!".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_artifacts_of_a_token_are_explained() {
        for (token, says) in [
            ("\"5Aep861\"", "quotation marks"),
            ("\u{201c}5Aep861\u{201d}", "quotation marks"),
            ("5Aep861%3D%3D", "percent-encoded"),
            ("5Aep861\n", "a line break"),
            ("5Aep\u{200b}861", "an invisible character"),
            ("5Aep 861", "a space"),
            ("Bearer:5Aep861", "a label"),
            ("refresh_token:5Aep861", "a label"),
            ("refresh_token=5Aep861", "a label"),
            ("rt1=5Aep861==", "a label"),
            ("refresh_token=5Aep861&token_type=Bearer", "a form body"),
            ("5Aep861&token_type=Bearer", "a form body"),
            ("&quot;5Aep861&quot;", "HTML"),
            ("5Aep861,", "a comma"),
            ("5Aep861;", "a comma"),
            ("<5Aep861>", "a bracket"),
            ("[5Aep861]", "a bracket"),
            ("5Aep861}", "a bracket"),
            ("5Aep861\\n", "not part of a token"),
            ("5Aep861#", "not part of a token"),
        ] {
            assert!(copy_artifact(token).is_some_and(|what| what.contains(says)), "{token}");
        }
        for token in ["5Aep861TSESvWeug_xvFHRBTTbf.YrTWgEyj==", "00D5g!AQE+/._-~=", ""] {
            assert_eq!(copy_artifact(token), None, "{token}");
        }
    }

    #[test]
    fn deceptive_characters_are_found() {
        for c in ['\0', '\u{7f}', '\u{85}', '\u{202E}', '\u{2066}', '\u{200B}', '\u{FEFF}', '\u{E0041}', '\n']
        {
            let text = format!("Acme{c}Inc");
            assert_eq!(deceptive_in_name(&text), Some(c));
            assert_eq!(deceptive_in_id(&text), Some(c));
        }
    }

    #[test]
    fn names_of_the_world_are_not_deceptive() {
        for name in [
            "Acme, Inc.",
            "Zoë & Söhne",
            "株式会社",
            "شرکت می\u{200C}خواهم",
            "👩\u{200D}💻 Labs",
            "עברית",
            "a\u{301}",
        ] {
            assert_eq!(deceptive_in_name(name), None, "{name}");
            assert_eq!(visible(name), name);
        }
        assert_eq!(deceptive_in_id("c\u{200D}1"), Some('\u{200D}'));
    }

    #[test]
    fn names_that_nobody_sees_are_found() {
        for (name, found) in [
            ("\u{200C}", '\u{200C}'),
            ("\u{200D}", '\u{200D}'),
            ("\u{2800}", '\u{2800}'),
            (" \u{200D} ", '\u{200D}'),
            ("\u{2800}\u{200C}\u{2800}", '\u{2800}'),
            ("\u{FE0F}", '\u{FE0F}'),
            ("Fernway\u{200D}", '\u{200D}'),
            ("\u{200C}Fernway", '\u{200C}'),
            ("Fernway\u{2800}", '\u{2800}'),
        ] {
            assert_eq!(deceptive_in_name(name), Some(found), "{name:?}");
        }
        for name in ["☕\u{FE0F}", "Fernway ☕\u{FE0F}", "می\u{200C}خواهم", "⠓\u{2800}⠁", ""] {
            assert_eq!(deceptive_in_name(name), None, "{name:?}");
        }
        for id in ["c-1\u{FE0F}", "c\u{FE00}-1", "c-1\u{2800}", "c-1\u{E0100}"] {
            assert!(deceptive_in_id(id).is_some(), "{id:?}");
        }
    }

    #[test]
    fn a_page_loses_what_would_deceive_and_keeps_its_lines() {
        assert_eq!(visible("<p>\n\tuma\u{202E}moc.liamg@\0x</p>"), "<p>\n\tumamoc.liamg@x</p>");
    }
}
