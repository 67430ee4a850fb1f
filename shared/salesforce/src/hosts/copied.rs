//! What copying and writing programs do to the characters of a text.

/// Characters around an address, by their names in HTML.
const ENTITIES: [(&str, char); 22] = [
    ("quot", '"'),
    ("apos", '\''),
    ("lt", '<'),
    ("gt", '>'),
    ("nbsp", ' '),
    ("ensp", ' '),
    ("emsp", ' '),
    ("thinsp", ' '),
    ("ldquo", '"'),
    ("rdquo", '"'),
    ("bdquo", '"'),
    ("laquo", '"'),
    ("raquo", '"'),
    ("lsquo", '\u{2018}'),
    ("rsquo", '\u{2019}'),
    ("bull", '\u{2022}'),
    ("hellip", '\u{2026}'),
    ("shy", '\u{ad}'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("lrm", '\u{200e}'),
    ("rlm", '\u{200f}'),
];

/// Maximum bytes of an entity before its semicolon.
const MAX_ENTITY: usize = 10;

/// The text, with the characters that HTML's entities mean.
pub(super) fn unescaped(typed: &str) -> String {
    let mut text = String::with_capacity(typed.len());
    let mut rest = typed;
    while let Some((before, after)) = rest.split_once('&') {
        text.push_str(before);
        let is_entity = |name: &str| {
            let letters = name.trim_start_matches('#');
            (1..MAX_ENTITY).contains(&letters.len()) && letters.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if let Some((name, after)) = after.split_once(';').filter(|(name, _)| is_entity(name)) {
            // An unknown one may be a letter of a name, so it ends no word.
            text.push(character(name).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = after;
        } else {
            text.push('&');
            rest = after;
        }
    }
    text.push_str(rest);
    text
}

/// The text, with the characters that the escapes of JSON, logs and shells mean: `\n`, `\t`, `\u200b`, `\x20`. What may be
/// another escape or the first letter of a name is refused: nobody can tell the name.
pub(super) fn without_escapes(typed: &str) -> String {
    let mut text = String::with_capacity(typed.len());
    let mut rest = typed;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let after = rest[at..].trim_start_matches('\\');
        let backslashes = rest.len() - at - after.len();
        rest = after;
        let next = after.chars().next().filter(char::is_ascii_alphanumeric);
        let Some(next) = next else {
            text.extend(std::iter::repeat_n('\\', backslashes));
            continue;
        };
        if !"nrtuxbefv0".contains(next.to_ascii_lowercase()) {
            // `\\acme`: a path of Windows.
            text.extend(std::iter::repeat_n('\\', backslashes));
            continue;
        }
        let meant = (backslashes == 1).then(|| escape(after)).flatten();
        let (c, length) = meant.unwrap_or((char::REPLACEMENT_CHARACTER, 0));
        text.push(c);
        rest = &after[length..];
    }
    text.push_str(rest);
    text
}

/// The character of an escape behind its backslash, and how many bytes it has.
fn escape(text: &str) -> Option<(char, usize)> {
    let code_point = |digits: usize| {
        let hex = text.get(1..=digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
        Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, digits + 1))
    };
    match text.as_bytes().first()? {
        b'n' | b'r' => Some(('\n', 1)),
        b't' => Some(('\t', 1)),
        b'u' => code_point(4),
        b'x' => code_point(2),
        _ => None,
    }
}

/// The character of an entity: `quot`, `#8203`, `#x200b`.
fn character(entity: &str) -> Option<char> {
    let Some(number) = entity.strip_prefix('#') else {
        let found = ENTITIES.iter().find(|(name, _)| entity.eq_ignore_ascii_case(name));
        return found.map(|(_, c)| *c);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

/// Full-width forms become ASCII, dashes that an editor made of hyphens become hyphens again, and characters that nobody
/// sees are dropped.
pub(super) fn simplified(typed: &str) -> String {
    let mut text = String::with_capacity(typed.len());
    for c in typed.chars() {
        match c {
            '\u{ff01}'..='\u{ff5e}' => {
                text.extend(char::from_u32(u32::from(c) - 0xfee0).map(|c| c.to_ascii_lowercase()));
            }
            '\u{3002}' | '\u{ff61}' => text.push('.'),
            '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2212}' | '\u{fe63}' => text.push('-'),
            // Editors write two hyphens, as in a sandbox's name, as one dash.
            '\u{2013}' | '\u{2014}' | '\u{2015}' => text.push_str("--"),
            // Cells of a table: text before a tab is not part of a name.
            '\t' => text.push('|'),
            c if c.is_whitespace() => text.push(' '),
            c if is_invisible(c) => {}
            c => text.push(c.to_ascii_lowercase()),
        }
    }
    text
}

/// Characters that have no width or no glyph: controls, joiners, marks of direction, byte order marks, fillers,
/// variation selectors and tags (Unicode's `Default_Ignorable_Code_Point`).
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// What stands between or around addresses in a text, and in no address of ours.
pub(super) fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '|' | '`' | '"' | '\'' | '*'
    ) || matches!(c, '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}' | '\u{ab}' | '\u{bb}')
        || matches!(c, '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301b}' | '\u{3001}' | '\u{2022}' | '\u{b7}')
        || is_symbol(c)
}

/// Arrows, check marks, blocks, emoji and what copying leaves of an image: what people put before an entry of a list.
pub(super) fn is_symbol(c: char) -> bool {
    matches!(c, '\u{20e3}' | '\u{2190}'..='\u{2bff}' | '\u{fffc}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::super::{HostRefused, Hosts};

    #[test]
    fn what_stands_before_an_address_is_removed() {
        const ACME: &str = "https://acme.my.salesforce.com";
        let hosts = Hosts::salesforce();
        for typed in [
            "1. acme.my.salesforce.com",
            "12. https://acme.my.salesforce.com/home",
            "we are Acme:\n 1. acme.my.salesforce.com",
            "1\u{fe0f}\u{20e3} acme.my.salesforce.com",
            "\u{1f449} acme.my.salesforce.com",
            "Acme \u{1f449}\u{1f3fd} acme.my.salesforce.com",
            "\u{2192} acme.my.salesforce.com",
            "\u{2714}\u{fe0f} acme.my.salesforce.com \u{1f389}",
            "\u{fffc}acme.my.salesforce.com",
            "we use acme.my.salesforce.com",
            "Our instance is at acme.my.salesforce.com",
            "please log in to acme.my.salesforce.com.",
            "url:https://acme.my.salesforce.com",
            "My Domain URL:acme.my.salesforce.com",
            "%20acme.my.salesforce.com",
            "%E2%80%8B%20acme.my.salesforce.com",
            "%22https://acme.my.salesforce.com%22",
            "#acme.my.salesforce.com",
            "# acme.my.salesforce.com",
            "@acme.my.salesforce.com",
            "\\acme.my.salesforce.com",
            "\\\\acme.my.salesforce.com",
            "\\nacme.my.salesforce.com",
            "\\r\\nacme.my.salesforce.com\\n",
            "url:\\tacme.my.salesforce.com",
            "\\u200bacme.my.salesforce.com\\u200B",
            "\\x20https://acme.my.salesforce.com",
            "\u{bf}acme.my.salesforce.com?",
            "view-source:https://acme.my.salesforce.com/",
            "see view-source:https://acme.my.salesforce.com/",
            "\"https%3A%2F%2Facme.my.salesforce.com%2F\"",
            "<https%3A%2F%2Facme.my.salesforce.com>",
            "it is https%3A%2F%2Facme.my.salesforce.com",
            "https%3A%2F%2Facme.my.salesforce.com%2F%E2%80%8B",
            "\u{201c}https%3A%2F%2Facme.my.salesforce.com\u{201d}",
            "acme.my.salesforce.com&#8203;",
            "&#x200B;acme.my.salesforce.com",
            "&ldquo;acme.my.salesforce.com&rdquo;",
            "&laquo;acme.my.salesforce.com&raquo;",
            "&#60;https://acme.my.salesforce.com&#62;",
            "acme.my.salesforce.com&hellip;",
            "&#97;cme.my.salesforce.com",
        ] {
            let origin = hosts.my_domain(typed).map(|host| host.origin().to_owned());
            assert_eq!(origin, Ok(ACME.to_owned()), "{typed}");
        }
    }

    #[test]
    fn names_that_nobody_can_tell_are_refused() {
        let hosts = Hosts::salesforce();
        for (typed, why) in [
            ("00D50000000IZ3Z.my.salesforce.com", HostRefused::OrgId),
            ("https://00D50000000IZ3ZEAW.lightning.force.com/", HostRefused::OrgId),
            ("OrgId-00D50000000IZ3Z", HostRefused::OrgId),
            ("\\bacme.my.salesforce.com", HostRefused::NotAHost),
            ("\\\\nacme.my.salesforce.com", HostRefused::NotAHost),
            ("\\uacme.my.salesforce.com", HostRefused::NotAHost),
        ] {
            assert_eq!(hosts.my_domain(typed), Err(why), "{typed}");
        }
    }

    #[test]
    fn what_may_be_half_of_a_name_is_refused() {
        let hosts = Hosts::salesforce();
        for typed in [
            "acme corp.my.salesforce.com",
            "3 m.my.salesforce.com",
            "on semi.my.salesforce.com",
            "we work.my.salesforce.com",
            "north at kearney.my.salesforce.com",
            "acme\u{1f449}corp.my.salesforce.com",
            "uma @acme.my.salesforce.com",
            "acme\\ corp.my.salesforce.com",
            "acme--uat. sandbox.my.salesforce.com",
        ] {
            assert_eq!(hosts.my_domain(typed).err(), Some(HostRefused::Several), "{typed}");
        }
        assert!(HostRefused::Several.to_string().contains("without other words"));
    }

    #[test]
    fn what_is_no_artifact_is_part_of_the_name() {
        let hosts = Hosts::salesforce();
        for typed in [
            "%C3%A9acme.my.salesforce.com",
            "%61cme.my.salesforce.com",
            "https:%2f%2facme.my.salesforce.com",
            "ttps:acme.my.salesforce.com",
            "url:acme/other.my.salesforce.com",
            "url://acme.my.salesforce.com",
            "uma@acme.my.salesforce.com",
            "@uma@acme.my.salesforce.com",
            "#x/acme.my.salesforce.com",
            "&eacute;acme.my.salesforce.com",
            "https%253A%252F%252Facme.my.salesforce.com",
        ] {
            assert!(hosts.my_domain(typed).is_err(), "{typed}: {:?}", hosts.my_domain(typed));
        }
    }
}
